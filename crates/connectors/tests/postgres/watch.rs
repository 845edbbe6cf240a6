//! The watch on the target, as docs/connectors/postgres-guard.sql makes it: open sessions end without Gatepass.

use crate::holder::{access, connect, connector, now, url};
use crate::until;
use gatepass_connectors::postgres::login_name;
use gatepass_connectors::{Class, Connector, TargetError};
use gatepass_testkit::Postgres as Server;
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("../../../../docs/connectors/postgres-guard.sql");

#[tokio::test]
async fn it_ends_open_sessions_and_without_it_nothing_is_given() {
    let server = Server::orders();
    let (plain, watched) = (connector(&server.admin_url()), connector(&server.admin_url()).watched());
    assert_eq!((plain.class(), watched.class()), (Class::B, Class::A));
    let mut mine = access(&["orders_reader"]);
    let refused = watched.provision(&mine).await;
    assert!(matches!(&refused, Err(TargetError::Refused(m)) if m.contains("no watch")), "{refused:?}");

    server.psql("orders", SCRIPT);
    server.psql("orders", SCRIPT);
    server.psql("orders", "ALTER ROLE gatepass_watch PASSWORD 'watch'");
    let watch = server.url("gatepass_watch", "watch", "orders");
    for more in ["SELECT * FROM orders", "CREATE ROLE x", "CREATE TABLE gatepass_watch.x ()"] {
        assert!(server.psql_at(&watch, more).is_err(), "{more}");
    }
    let watching = connect(&watch).await.unwrap();
    let running = tokio::spawn(async move { watching.batch_execute("CALL gatepass_watch.run()").await });
    until("it looks", async || watched.provision(&mine).await.is_ok()).await;

    let other = access(&["orders_reader"]);
    let theirs = connect(url(&watched.provision(&other).await.unwrap())).await.unwrap();
    let secret = watched.provision(&mine).await.unwrap();
    let sessions = [connect(url(&secret)).await.unwrap(), connect(url(&secret)).await.unwrap()];
    sessions[1].batch_execute("BEGIN; LOCK TABLE pg_temp.x").await.unwrap_err();
    mine.until = now() + chrono::TimeDelta::seconds(1);
    watched.guard(&mine).await.unwrap();
    for session in &sessions {
        until("it ends", async || session.is_closed()).await;
    }
    let late = now() - mine.until;
    assert!(late >= chrono::TimeDelta::zero() && late < chrono::TimeDelta::seconds(2), "{late}");
    assert!(theirs.batch_execute("SELECT 1").await.is_ok(), "whose end has not come goes on");
    assert!(connect(url(&secret)).await.is_err());

    // Somebody else's session does not pass for the watch.
    server.psql(
        "orders",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'gatepass_watch'",
    );
    assert!(running.await.unwrap().is_err());
    let name = "SET application_name = 'gatepass watch 99999999999'";
    theirs.batch_execute(name).await.unwrap();
    let gone = Instant::now();
    until("it is missed", async || watched.provision(&access(&["orders_reader"])).await.is_err()).await;
    assert!(gone.elapsed() < Duration::from_secs(5), "{:?}", gone.elapsed());
    assert!(watched.inspect().await.unwrap().iter().any(|f| f.name == login_name(mine.grant)));
    assert_eq!(watched.remove(mine.grant).await.unwrap().sessions_ended, 0);
    assert_eq!(watched.remove(other.grant).await.unwrap().sessions_ended, 1);
}
