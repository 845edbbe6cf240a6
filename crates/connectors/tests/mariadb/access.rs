//! What a holder can do.

use crate::holder::{access, connect, connector, now, password, target, url};
use gatepass_connectors::mariadb::account_name;
use gatepass_connectors::{Connector, TargetError};

const INSERT: &str = "INSERT INTO orders (customer, cents) VALUES ('new', 1)";

#[tokio::test]
async fn the_privileges_of_the_role_and_no_more() {
    let target = target();
    let reader = target.provision(&access(&["orders_reader"])).await;
    let writer = target.provision(&access(&["orders_writer"])).await;
    assert_eq!(target.holder(&reader, "SELECT COUNT(*) FROM orders"), Ok("100".into()), "it is on at login");
    assert!(target.holder(&reader, INSERT).unwrap_err().contains("command denied"));
    assert_eq!(target.holder(&writer, INSERT), Ok(String::new()));
    for more in [
        "CREATE USER x",
        "CREATE DATABASE x",
        "DROP TABLE orders",
        "GRANT orders_writer TO root@localhost",
        "SET ROLE gatepass_admin_owner",
        "CALL gatepass_admin.guard()",
        "CALL gatepass_admin.status()",
        "SELECT * FROM gatepass_admin.accounts",
        "SELECT * FROM mysql.user",
        "SET GLOBAL event_scheduler = OFF",
    ] {
        assert!(target.holder(&writer, more).is_err(), "{more}");
    }
}

#[tokio::test]
async fn several_roles_are_on_at_once_and_go_with_the_account() {
    let target = target();
    let other = format!("{}_b", target.database);
    target.server.sql(&format!(
        "CREATE DATABASE {other}; CREATE TABLE {other}.t (n int); CREATE ROLE {other};
         GRANT INSERT ON {other}.* TO {other}; GRANT {other} TO gatepass_admin_owner@localhost WITH ADMIN OPTION"
    ));
    let mut both = access(&["orders_reader", &other, "orders_reader"]);
    let secret = target.provision(&both).await;
    let use_both = format!("SELECT COUNT(*) FROM orders; INSERT INTO {other}.t VALUES (1)");
    assert_eq!(target.holder(&secret, &use_both), Ok("100".into()));
    // Provisioned again it has exactly what was asked last.
    both.grants = vec!["orders_reader".into()];
    let secret = target.provision(&both).await;
    assert_eq!(target.holder(&secret, "SELECT COUNT(*) FROM orders"), Ok("100".into()));
    assert!(target.holder(&secret, &use_both).unwrap_err().contains("denied"));
    target.connector.remove(both.grant).await.unwrap();
    let left =
        format!("SELECT COUNT(*) FROM mysql.global_priv WHERE User LIKE '{}%'", account_name(both.grant));
    assert_eq!(target.server.sql(&left), "0");
}

#[tokio::test]
async fn privileges_instead_of_a_role() {
    let target = target();
    let database = &target.database;
    // Its neighbour's name differs in what would be a wildcard.
    let neighbour = database.replace('_', "x");
    target.server.sql(&format!("CREATE DATABASE {neighbour}; CREATE TABLE {neighbour}.t (n int)"));
    target.server.sql(&format!(
        "GRANT SELECT, INSERT ON {database}.* TO gatepass_admin_owner@localhost WITH GRANT OPTION"
    ));
    let all = access(&[&format!("SELECT, insert ON {database}.*")]);
    let secret = target.provision(&all).await;
    assert_eq!(target.holder(&secret, &format!("{INSERT}; SELECT COUNT(*) FROM orders")), Ok("101".into()));
    assert!(target.holder(&secret, "DELETE FROM orders").is_err());
    assert!(target.holder(&secret, &format!("SELECT * FROM {neighbour}.t")).is_err());
    let one = access(&[&format!("SELECT ON `{database}`.`orders`"), "orders_reader"]);
    let secret = target.provision(&one).await;
    assert_eq!(target.holder(&secret, "SELECT COUNT(*) FROM orders"), Ok("101".into()));
    for access in [all, one] {
        target.connector.remove(access.grant).await.unwrap();
    }
    // What the operator did not allow can't be given, and leaves nothing.
    for more in
        [format!("DROP ON {database}.*"), "SELECT ON mysql.*".into(), "INSERT ON gatepass_admin.*".into()]
    {
        let asked = access(&[&more]);
        let refused = target.connector.provision(&asked).await;
        assert!(matches!(refused, Err(TargetError::Configuration(_))), "{more}: {refused:?}");
        assert!(
            target.server.sql("SELECT User FROM mysql.db").lines().all(|u| u != account_name(asked.grant))
        );
        target.connector.remove(asked.grant).await.unwrap();
    }
    assert_eq!(target.connector.inspect().await.unwrap(), []);
}

#[tokio::test]
async fn the_server_never_hears_the_password() {
    let target = target();
    let access = access(&["orders_reader"]);
    let secret = target.provision(&access).await;
    assert_eq!(target.holder(&secret, "SELECT 1"), Ok("1".into()));
    let statements = target.server.statements();
    assert!(statements.contains(&account_name(access.grant)), "the server logs statements");
    assert!(!statements.contains(password(&secret)));
}

#[tokio::test]
async fn a_holder_cant_take_every_connection() {
    let target = target();
    let strict = connector(&target.server.admin_url_of(&target.database)).connection_limit(2);
    let secret = strict.provision(&access(&["orders_reader"])).await.unwrap();
    let _sessions = [connect(url(&secret)).await.unwrap(), connect(url(&secret)).await.unwrap()];
    assert!(target.holder(&secret, "SELECT 1").unwrap_err().contains("max_user_connections"));
}

#[tokio::test]
async fn holders_come_from_where_they_may() {
    let target = target();
    let url = target.server.admin_url_of(&target.database);
    let asked = access(&["orders_reader"]);
    let elsewhere = connector(&url).from_host("192.0.2.%");
    let secret = elsewhere.provision(&asked).await.unwrap();
    assert!(target.holder(&secret, "SELECT 1").is_err());
    // Changed in the configuration: the account moves, and there is one still.
    let here = connector(&url).from_host("127.0.0.1");
    let secret = here.provision(&asked).await.unwrap();
    assert_eq!(target.holder(&secret, "SELECT 1"), Ok("1".into()));
    let accounts = format!("SELECT Host FROM mysql.user WHERE User = '{}'", account_name(asked.grant));
    assert_eq!(target.server.sql(&accounts), "127.0.0.1");
    // And is found where it was made, whatever the configuration says by then.
    elsewhere.remove(asked.grant).await.unwrap();
    assert_eq!(target.server.sql(&accounts), "");
    let nonsense = connector(&url).from_host("%' OR '1").provision(&access(&["orders_reader"])).await;
    assert!(matches!(nonsense, Err(TargetError::Configuration(_))), "{nonsense:?}");
}

#[tokio::test]
async fn the_clock_is_the_targets() {
    let target = target();
    target.server.sql("SET GLOBAL time_zone = '+05:30'");
    let ours = now();
    let theirs = target.connector.clock().await.unwrap().unwrap();
    assert!((theirs - ours).num_seconds().abs() < 5, "{ours} {theirs}");
    target.server.sql("SET GLOBAL time_zone = 'SYSTEM'");
}
