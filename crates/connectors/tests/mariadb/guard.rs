//! What ends an access when Gatepass does nothing.

use crate::holder::{access, connect, connector, now, target, url};
use crate::until;
use chrono::TimeDelta;
use gatepass_connectors::{Class, Connector};
use gatepass_testkit::Mariadb as Server;
use mysql_async::prelude::Queryable;

#[tokio::test]
async fn the_event_ends_access_and_sessions_by_itself() {
    let target = target();
    let (mut soon, later) = (access(&["orders_writer"]), access(&["orders_reader"]));
    soon.until = now() + TimeDelta::milliseconds(2500);
    let (first, second) = (target.provision(&soon).await, target.provision(&later).await);
    let mut idle = connect(url(&first)).await.unwrap();
    let mut other = connect(url(&second)).await.unwrap();
    let mut busy = connect(url(&first)).await.unwrap();
    let busy = tokio::spawn(async move {
        let outcome = busy.query_drop("BEGIN; DELETE FROM orders; SELECT SLEEP(600)").await;
        (outcome, now())
    });
    let (ended, at) = busy.await.unwrap();
    assert!(ended.is_err());
    assert!(at >= soon.until, "not before: {at} {}", soon.until);
    assert!(at < soon.until + TimeDelta::seconds(2), "{at} {}", soon.until);
    until("nobody logs in", async || target.holder(&first, "SELECT 1").is_err()).await;
    assert!(idle.query_drop("SELECT 1").await.is_err());
    assert_eq!(target.holder(&second, "SELECT COUNT(*) FROM orders"), Ok("100".into()), "undone");
    assert!(other.query_drop("SELECT 1").await.is_ok(), "another's access goes on");

    let found = target.connector.inspect().await.unwrap();
    assert_eq!(found.len(), 2, "what the guard ended still stands there until it is removed");
    assert_eq!(target.connector.class(), Class::A);
    assert_eq!(target.connector.remove(soon.grant).await.unwrap().sessions_ended, 0);
    assert_eq!(target.connector.inspect().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_extended_is_left_alone() {
    let target = target();
    let mut access = access(&["orders_reader"]);
    access.until = now() + TimeDelta::milliseconds(1500);
    let secret = target.provision(&access).await;
    let mut session = connect(url(&secret)).await.unwrap();
    let first_end = access.until;
    access.until += TimeDelta::hours(1);
    target.connector.guard(&access).await.unwrap();
    until("the first end is past", async || now() > first_end + TimeDelta::milliseconds(2500)).await;
    assert!(session.query_drop("SELECT 1").await.is_ok());
    assert_eq!(target.holder(&secret, "SELECT 1"), Ok("1".into()));
    // Ended by the guard because the target's clock was ahead, say, and extended after that: it lets in again.
    access.until = now();
    target.connector.guard(&access).await.unwrap();
    assert!(
        target.holder(&secret, "SELECT 1").unwrap_err().contains("locked"),
        "at once, not with the event"
    );
    until("the event ends the session", async || session.query_drop("SELECT 1").await.is_err()).await;
    access.until = now() + TimeDelta::hours(1);
    target.connector.guard(&access).await.unwrap();
    assert_eq!(target.holder(&secret, "SELECT 1"), Ok("1".into()));
}

#[tokio::test]
async fn without_the_scheduler_access_must_be_removed() {
    let server = Server::start_with(&["event-scheduler=OFF"]);
    server.make_orders();
    let connector = connector(&server.admin_url());
    let mut access = access(&["orders_reader"]);
    access.until = now() + TimeDelta::milliseconds(300);
    let secret = connector.provision(&access).await.unwrap();
    connector.inspect().await.unwrap();
    assert_eq!(connector.class(), Class::C);
    until("its end is past", async || now() > access.until + TimeDelta::milliseconds(1500)).await;
    assert_eq!(server.sql_at(url(&secret), "SELECT 1"), Ok("1".into()), "nothing ends it");
    server.sql("SET GLOBAL event_scheduler = ON");
    until("the event ends it, late", async || server.sql_at(url(&secret), "SELECT 1").is_err()).await;
    connector.inspect().await.unwrap();
    assert_eq!(connector.class(), Class::A);
    server.sql("ALTER EVENT gatepass_admin.guard DISABLE ON SLAVE");
    connector.inspect().await.unwrap();
    assert_eq!(connector.class(), Class::C, "as it is on a replica that became the primary");
    connector.remove(access.grant).await.unwrap();
}
