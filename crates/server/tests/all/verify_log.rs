//! `verify-log` on what a server wrote, and on what somebody changed in its database.

use chrono::TimeDelta;
use gatepass_core::event::Fact;
use gatepass_core::wire::{Accepted, Verdict};
use gatepass_server::testing::{Setup, TestClock, TestServer};
use gatepass_server::verify_log::{Verified, verify_log};
use std::sync::Arc;

async fn at(clock: &Arc<TestClock>) -> TestServer {
    TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await
}

/// Every way that an access goes, and everything else that people do.
async fn told(server: &TestServer, clock: &TestClock) {
    let tomas = server.person("tomas", &["backend"]).await;
    let (noor, jonas) = (server.person("noor", &["dba"]).await, server.person("jonas", &["oncall"]).await);
    let ada = server.admin("ada").await;
    let asked = tomas.ask("write", 1200).await.get::<Accepted>().request;
    noor.approve(&asked).await.get::<Accepted>();
    jonas.decide(&asked, Verdict::Approve, Some(600)).await.get::<Accepted>();
    server.until("grant.active", 1).await;
    let events = server.events().await;
    let grant = events.iter().find_map(|(_, e)| match &e.fact {
        Fact::GrantActive { grant, .. } => Some(*grant),
        _ => None,
    });
    let more = tomas.extend(grant.unwrap(), 300).await.get::<Accepted>().request;
    noor.approve(&more).await.get::<Accepted>();
    jonas.approve(&more).await.get::<Accepted>();
    server.until("grant.extended", 1).await;
    clock.advance(TimeDelta::seconds(1000));
    server.until("grant.ended", 1).await;
    let denied = tomas.ask("write", 1200).await.get::<Accepted>().request;
    jonas.decide(&denied, Verdict::Deny, None).await.get::<Accepted>();
    let taken = tomas.ask("write", 1200).await.get::<Accepted>().request;
    tomas.withdraw(&taken).await.get::<Accepted>();
    let read = tomas.ask("read", 600).await.get::<Accepted>();
    server.until("grant.active", 2).await;
    tomas.give_back(&read).await.get::<Accepted>();
    server.until("grant.ended", 2).await;
    tomas.ask("read", 600).await.get::<Accepted>();
    server.until("grant.active", 3).await;
    let open = tomas.ask("write", 1200).await.get::<Accepted>().request;
    noor.approve(&open).await.get::<Accepted>();
    assert_eq!(ada.revoke_all(noor.id).await.status, 200);
    assert_eq!(ada.revoke_all(tomas.id).await.status, 200);
    server.until("grant.ended", 3).await;
    server.placed().await;
}

fn noon() -> Arc<TestClock> {
    TestClock::new("2026-11-17T12:00:00Z".parse().unwrap())
}

#[tokio::test]
async fn what_a_server_wrote_holds_also_while_it_runs() {
    let clock = noon();
    let server = at(&clock).await;
    told(&server, &clock).await;
    let Verified { report, head, .. } = verify_log(&**server.store(), &server.config).await.unwrap().unwrap();
    assert_eq!(report.head, Some(head.clone()));
    assert_eq!((report.positions, report.events), (head.size, head.size));
    assert_eq!((report.decisions, report.grants, report.ended), (6, 3, 3));
    assert!(report.without_catalogue.is_empty() && report.overdue.is_empty(), "{report:?}");
    server.finish().await;
}

#[tokio::test]
async fn what_is_changed_in_the_database_is_found_and_named() {
    if gatepass_server::testing::shared() {
        // The rows of a shared store are looked at by the same code.
        return;
    }
    let clock = noon();
    let server = at(&clock).await;
    told(&server, &clock).await;
    let (store, config) = (server.store().clone(), server.config.clone());
    let db = rusqlite::Connection::open(config.data.join("gatepass.db")).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    for (sql, rule, at) in [
        (
            "UPDATE event SET body = replace(body, '\"duration_s\":600', '\"duration_s\":900') WHERE seq > 5",
            "leaf",
            None,
        ),
        ("UPDATE event SET leaf = zeroblob(32) WHERE seq = 7", "leaf", Some(7)),
        ("DELETE FROM event WHERE seq = 6", "dense", Some(6)),
        ("DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)", "dense", None),
        ("UPDATE text SET text = 'something else'", "text", None),
    ] {
        db.execute_batch(
            "CREATE TABLE kept AS SELECT * FROM event; CREATE TABLE said AS SELECT * FROM text;",
        )
        .unwrap();
        assert!(db.execute(sql, []).unwrap() > 0, "{sql}");
        let found = verify_log(&*store, &config).await.unwrap().unwrap_err();
        assert_eq!(found.rule, rule, "{sql}: {found}");
        assert!(at.is_none_or(|at| found.seq == at), "{sql}: {found}");
        db.execute_batch(
            "DELETE FROM event; INSERT INTO event SELECT * FROM kept; DROP TABLE kept;
             DELETE FROM text; INSERT INTO text SELECT * FROM said; DROP TABLE said;",
        )
        .unwrap();
        verify_log(&*store, &config).await.unwrap().unwrap();
    }
    drop(db);
    server.finish().await;
}
