//! Ways in that no password guards, and sessions that are hard to end.

use crate::holder::{access, connect, connector, now, url};
use crate::until;
use gatepass_connectors::Connector;
use gatepass_connectors::postgres::login_name;
use gatepass_testkit::Postgres as Server;
use std::time::{Duration, Instant};

/// `trust` stands for every method but passwords: peer, ident, cert, gss, ldap. PostgreSQL looks at `VALID UNTIL` with
/// passwords only, so past the guard the login gets in; past the removal it does not.
#[tokio::test]
async fn where_no_password_is_asked_for_removal_ends_it() {
    let server = Server::orders();
    let hba = server.psql("orders", "SHOW hba_file");
    let lines = "host all all 127.0.0.1/32 trust";
    server.psql("orders", &format!("COPY (SELECT '{lines}') TO '{hba}'; SELECT pg_reload_conf()"));
    let connector = connector(&server.admin_url());
    let mut access = access(&["orders_reader"]);
    connector.provision(&access).await.unwrap();
    let free = server.url(&login_name(access.grant), "", "orders");
    until("no password is asked for", async || server.psql_at(&free, "SELECT 1").is_ok()).await;
    access.until = now() - chrono::TimeDelta::milliseconds(1);
    connector.guard(&access).await.unwrap();
    assert_eq!(
        server.psql_at(&free, "SELECT count(*) FROM orders"),
        Ok("100".into()),
        "the guard guards passwords only"
    );
    let session = connect(&free).await.unwrap();
    assert!(connector.remove(access.grant).await.unwrap().sessions_ended >= 1);
    assert!(session.batch_execute("SELECT 1").await.is_err());
    assert!(server.psql_at(&free, "SELECT 1").unwrap_err().contains("does not exist"));
}

#[tokio::test]
async fn a_session_whose_client_reads_nothing_ends() {
    let server = Server::orders();
    let connector = connector(&server.admin_url());
    let access = access(&["orders_reader"]);
    let login = login_name(access.grant);
    let secret = connector.provision(&access).await.unwrap();
    let (client, mut connection) =
        tokio_postgres::connect(url(&secret), tokio_postgres::NoTls).await.unwrap();
    let flood = client.batch_execute("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)");
    tokio::pin!(flood);
    // The server writes until nothing fits any more: the client asks and never reads on.
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{login}' AND wait_event = 'ClientWrite'"
    );
    let limit = Instant::now() + Duration::from_secs(20);
    let mut asked = false;
    while server.psql("orders", &waits) != "1" {
        assert!(Instant::now() < limit, "it does not wait");
        if !asked {
            std::future::poll_fn(|context| {
                let _ = flood.as_mut().poll(context);
                let _ = std::pin::Pin::new(&mut connection).poll(context);
                std::task::Poll::Ready(())
            })
            .await;
            let active = format!(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = '{login}' AND state = 'active'"
            );
            asked = server.psql("orders", &active) == "1";
        }
    }
    assert_eq!(connector.remove(access.grant).await.unwrap().sessions_ended, 1);
    assert_eq!(
        server.psql("orders", &format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{login}'")),
        "0"
    );
}

#[tokio::test]
async fn parallel_workers_end_with_their_leader() {
    let server = Server::start_with(&["max_parallel_workers_per_gather=2", "min_parallel_table_scan_size=0"]);
    server.make_orders();
    let slow = "CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS
                  'BEGIN PERFORM pg_sleep(600); RETURN $1; END'";
    server.psql("orders", slow);
    let connector = connector(&server.admin_url());
    let access = access(&["orders_reader"]);
    let login = login_name(access.grant);
    let secret = connector.provision(&access).await.unwrap();
    let session = connect(url(&secret)).await.unwrap();
    session.batch_execute("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET parallel_leader_participation = off").await.unwrap();
    let query = tokio::spawn(async move { session.batch_execute("SELECT sum(slow(id)) FROM orders").await });
    let workers = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{login}' AND backend_type = 'parallel worker'"
    );
    until("workers work", async || server.psql("orders", &workers) != "0").await;
    assert!(connector.remove(access.grant).await.unwrap().sessions_ended >= 1);
    assert!(query.await.unwrap().is_err());
    assert_eq!(server.psql("orders", &workers), "0");
}
