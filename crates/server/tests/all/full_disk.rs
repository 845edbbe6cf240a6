//! No room on the disk that SQLite writes to.

use crate::redacted;
use chrono::TimeDelta;
use gatepass_core::wire::{Accepted, Page, RequestView};
use gatepass_server::store::sqlite::SqliteOptions;
use gatepass_server::testing::{PATIENCE, Setup, TestClock, TestServer};

#[tokio::test]
async fn a_full_disk_is_said_and_the_server_stays_up() {
    let sqlite = SqliteOptions { max_pages: Some(110) };
    let mut server = TestServer::with(Setup { sqlite, ..Setup::default() }).await;
    let mut tomas = server.person("tomas", &["backend"]).await;
    server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let mut asked = Vec::new();
    let refused = loop {
        let answer = tomas.ask("write", 60).await;
        if answer.status != 201 {
            break answer;
        }
        asked.push(answer.get::<Accepted>().request);
    };
    assert_eq!((refused.status, refused.code()), (507, "disk_full"));
    redacted(|| insta::assert_json_snapshot!("disk_full", refused.body));
    assert!(!asked.is_empty());
    // What was there is there, and no more.
    let list: Page<RequestView> = tomas.get("/v1/requests?limit=1000").await.get();
    assert_eq!(list.items.len(), asked.len());
    assert_eq!(tomas.get("/readyz").await.status, 200);

    server.down().await;
    server.sqlite = SqliteOptions::default();
    server.up().await;
    tomas.url = server.url.clone();
    tomas.sign_in().await;
    for request in &asked {
        tomas.withdraw(request).await.get::<Accepted>();
    }
    server.finish().await;
}

/// With no room on the disk the end can't be written down; the access ends all the same.
#[tokio::test]
async fn an_end_does_not_wait_for_the_disk() {
    let clock = TestClock::new("2026-11-17T12:00:00Z".parse().unwrap());
    let sqlite = SqliteOptions { max_pages: Some(120) };
    let setup = Setup { clock: clock.clone(), sqlite, ..Setup::default() };
    let mut server = TestServer::with(setup).await;
    let mut tomas = server.person("tomas", &["backend"]).await;
    server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    tomas.ask_because("read", 60, None, None).await.get::<Accepted>();
    server.until("grant.active", 1).await;
    let mut asked = Vec::new();
    loop {
        let answer = tomas.ask("write", 60).await;
        if answer.status == 507 {
            break;
        }
        asked.push(answer.get::<Accepted>().request);
    }
    clock.advance(TimeDelta::seconds(60));
    let gone = async {
        while !server.fake.accesses().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    // Once in a while the last pages still have room for the end's small events; it has to hold either way.
    tokio::time::timeout(PATIENCE, gone).await.expect("the access ends");

    server.down().await;
    server.sqlite = SqliteOptions::default();
    server.up().await;
    server.until("grant.ended", 1).await;
    tomas.url = server.url.clone();
    tomas.sign_in().await;
    for request in &asked {
        tomas.withdraw(request).await.get::<Accepted>();
    }
    server.finish().await;
}
