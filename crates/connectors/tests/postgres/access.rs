//! What a holder can do, and until when.

use crate::holder::{access, connect, connector, now, password, target, url};
use gatepass_connectors::postgres::login_name;
use gatepass_connectors::{Class, Connector};

#[tokio::test]
async fn the_privileges_of_the_role_and_no_more() {
    let target = target();
    let reader = target.provision(&access(&["orders_reader"])).await;
    let writer = target.provision(&access(&["orders_writer"])).await;
    assert_eq!(target.holder(&reader, "SELECT count(*) FROM orders"), Ok("100".into()));
    let insert = "INSERT INTO orders (customer, cents) VALUES ('new', 1)";
    assert!(target.holder(&reader, insert).unwrap_err().contains("permission denied"));
    assert_eq!(target.holder(&writer, insert), Ok(String::new()));
    for more in [
        "CREATE ROLE x",
        "CREATE DATABASE x",
        "DROP TABLE orders",
        "TRUNCATE orders",
        "SET ROLE gatepass_admin",
    ] {
        assert!(target.holder(&writer, more).is_err(), "{more}");
    }
    let attributes = "SELECT rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
                        FROM pg_roles WHERE rolname LIKE 'gp\\_%'";
    assert!(target.sees(attributes).lines().all(|line| line == "f"));
    assert_eq!(target.connector.class(), Class::B);
}

#[tokio::test]
async fn the_server_never_hears_the_password() {
    let target = target();
    let access = access(&["orders_reader"]);
    let secret = target.provision(&access).await;
    assert_eq!(target.holder(&secret, "SELECT 1"), Ok("1".into()));
    let log = target.server.log();
    assert!(log.contains(&format!("CREATE ROLE {}", login_name(access.grant))), "the server logs statements");
    assert!(!log.contains(password(&secret)));
    let verifier = target
        .sees(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{}'", login_name(access.grant)));
    assert!(verifier.starts_with("SCRAM-SHA-256$"));
}

#[tokio::test]
async fn provisioned_again_it_has_exactly_what_was_asked_last() {
    let target = target();
    let mut access = access(&["orders_reader", "orders_writer"]);
    target.provision(&access).await;
    access.grants = vec!["orders_reader".into(), "orders_reader".into()];
    let secret = target.provision(&access).await;
    let groups = "SELECT string_agg(g, ',') FROM unnest(ARRAY['orders_reader', 'orders_writer']) g
                   WHERE pg_has_role(current_user, g, 'MEMBER')";
    assert_eq!(target.holder(&secret, groups), Ok("orders_reader".into()));
}

#[tokio::test]
async fn after_the_guard_nobody_logs_in() {
    let target = target();
    let mut access = access(&["orders_reader"]);
    access.until = now() - chrono::TimeDelta::milliseconds(1);
    let secret = target.provision(&access).await;
    assert!(target.holder(&secret, "SELECT 1").unwrap_err().contains("password authentication failed"));
    access.until = now() + chrono::TimeDelta::hours(1);
    target.connector.guard(&access).await.unwrap();
    let open = connect(url(&secret)).await.unwrap();
    access.until = now() - chrono::TimeDelta::milliseconds(1);
    target.connector.guard(&access).await.unwrap();
    assert!(target.holder(&secret, "SELECT 1").is_err());
    assert!(open.query_one("SELECT 1", &[]).await.is_ok(), "the guard leaves open sessions running: class B");
}

#[tokio::test]
async fn a_holder_cant_take_every_connection() {
    let target = target();
    let strict = connector(&target.server.admin_url_of(&target.database)).connection_limit(2);
    let secret = strict.provision(&access(&["orders_reader"])).await.unwrap();
    let _sessions = [connect(url(&secret)).await.unwrap(), connect(url(&secret)).await.unwrap()];
    assert!(target.holder(&secret, "SELECT 1").unwrap_err().contains("too many connections for role"));
    let usual = target.provision(&access(&["orders_reader"])).await;
    let limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user";
    assert_eq!(target.holder(&usual, limit), Ok("20".into()));
}
