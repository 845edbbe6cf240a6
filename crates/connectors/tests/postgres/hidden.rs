//! Connections that are let in and do not show yet: what `post_auth_delay` makes of one, which anybody may ask for.

use crate::holder::{access, connect, target, url};
use crate::until;
use gatepass_connectors::Connector;
use gatepass_connectors::postgres::login_name;
use gatepass_core::wire::Secret;
use gatepass_testkit::Postgres as Server;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Starts to connect, stays unseen for so many seconds, and then for as long as it is let; true when it ever got at
/// the orders.
fn hide(secret: &Secret, seconds: u32) -> JoinHandle<bool> {
    let url = format!("{}?options=-c%20post_auth_delay%3D{seconds}", url(secret));
    tokio::spawn(async move {
        match connect(&url).await {
            Ok(client) => {
                let got = client.batch_execute("SELECT count(*) FROM orders").await.is_ok();
                let _ = client.batch_execute("SELECT pg_sleep(600)").await;
                got
            }
            Err(_) => false,
        }
    })
}

/// A server that logs who was let in.
fn talkative() -> Server {
    let server = Server::start_with(&["log_connections=on"]);
    server.make_orders();
    server
}

/// Waits until so many connections of `login` were let in.
async fn hidden(server: &Server, login: &str, many: usize) {
    let let_in = format!("connection authorized: user={login} ");
    until("they are let in", async || server.log().matches(&let_in).count() == many).await;
}

fn unseen(server: &Server) -> String {
    let sql = "SELECT count(*) FROM pg_locks LEFT JOIN pg_stat_activity a USING (pid)
                WHERE locktype = 'virtualxid' AND a.usesysid IS NULL AND a.datid IS NULL";
    server.psql("orders", sql)
}

#[tokio::test]
async fn one_that_shows_soon_is_waited_for_and_ended() {
    let server = talkative();
    let connector = crate::holder::connector(&server.admin_url());
    let access = access(&["orders_reader"]);
    let secret = connector.provision(&access).await.unwrap();
    let hiding = hide(&secret, 1);
    hidden(&server, &login_name(access.grant), 1).await;
    let removed = connector.remove(access.grant).await.unwrap();
    assert_eq!(removed.sessions_ended, 1);
    assert!(!hiding.await.unwrap(), "it never got at the orders");
    assert_eq!(server.psql("orders", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gp\\_%'"), "0");
}

#[tokio::test]
async fn one_that_hides_for_long_is_ended_as_well() {
    let server = talkative();
    let connector = crate::holder::connector(&server.admin_url());
    let access = access(&["orders_reader"]);
    let secret = connector.provision(&access).await.unwrap();
    let hiding = [hide(&secret, 600), hide(&secret, 600)];
    hidden(&server, &login_name(access.grant), 2).await;
    assert_eq!(unseen(&server), "2");
    let started = Instant::now();
    connector.remove(access.grant).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    until("none is left", async || unseen(&server) == "0").await;
    for one in hiding {
        assert!(!one.await.unwrap());
    }
}

#[tokio::test]
async fn a_superusers_is_left_alone() {
    let server = talkative();
    server.psql("orders", "CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'boss'");
    let connector = crate::holder::connector(&server.admin_url());
    let access = access(&["orders_reader"]);
    connector.provision(&access).await.unwrap();
    let boss = Secret::Postgres { url: server.url("boss", "boss", "orders") };
    let slow = hide(&boss, 8);
    hidden(&server, "boss", 1).await;
    connector.remove(access.grant).await.unwrap();
    assert_eq!(unseen(&server), "1");
    let there = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'boss'";
    until("it gets in", async || server.psql("orders", there) == "1").await;
    slow.abort();
}

/// Who hides has nothing of it even when the removal can't finish.
#[tokio::test]
async fn while_a_removal_is_refused_a_login_has_no_rights() {
    let target = target();
    let access = access(&["orders_reader"]);
    let login = login_name(access.grant);
    target.provision(&access).await;
    target.sees(&format!("GRANT USAGE ON SCHEMA public TO {login}"));
    target.connector.remove(access.grant).await.unwrap_err();
    let rights = format!("SELECT has_table_privilege('{login}', 'orders', 'SELECT')");
    assert_eq!(target.sees(&rights), "f");
    assert_eq!(
        target.connector.inspect().await.unwrap()[0].grant,
        access.grant,
        "it is still found by its tag"
    );
    // Asked for again, it has them again; and then it ends.
    target.provision(&access).await;
    assert_eq!(target.sees(&rights), "t");
    target.connector.remove(access.grant).await.unwrap_err();
    target.sees(&format!("REVOKE USAGE ON SCHEMA public FROM {login}"));
    target.connector.remove(access.grant).await.unwrap();
}
