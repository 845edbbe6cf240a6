//! Several on one server: other targets, other Gatepasses, and people.

use crate::holder::{access, connector, target};
use crate::until;
use gatepass_connectors::mariadb::{Mariadb, account_name};
use gatepass_connectors::{Connector, Stranger, TargetError};
use gatepass_testkit::Mariadb as Server;
use gatepass_testkit::mariadb::ADMIN_PASSWORD;

#[tokio::test]
async fn targets_of_one_server_see_and_remove_only_their_own() {
    let (one, two) = (target(), target());
    let access = access(&["orders_reader"]);
    let secret = one.provision(&access).await;
    assert_eq!(one.connector.inspect().await.unwrap().len(), 1);
    assert_eq!(two.connector.inspect().await.unwrap(), []);
    for refused in [
        two.connector.provision(&access).await.map(|_| ()),
        two.connector.guard(&access).await.map(|_| ()),
        two.connector.remove(access.grant).await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(TargetError::Refused(_))), "{refused:?}");
    }
    assert_eq!(one.holder(&secret, "SELECT 1"), Ok("1".into()));
}

#[tokio::test]
async fn another_gatepass_on_the_server_is_out_of_reach() {
    let server = Server::orders();
    server.admin("gatepass_two", &["orders_reader"]);
    let first = connector(&server.admin_url());
    let url = server.admin_url().replace("gatepass_admin", "gatepass_two");
    let second = Mariadb::new(&url, &ADMIN_PASSWORD.into()).unwrap();
    let access = access(&["orders_reader"]);
    let secret = second.provision(&access).await.unwrap();
    assert_eq!(first.inspect().await.unwrap(), []);
    assert!(first.remove(access.grant).await.is_err());
    assert!(first.provision(&access).await.is_err());
    assert_eq!(server.sql_at(crate::holder::url(&secret), "SELECT 1"), Ok("1".into()));
    // Whoever has the login of the one can't get at the other, nor at anything else.
    for sql in [
        "CALL gatepass_two.inspect('orders')",
        "CALL gatepass_admin.drop_account('root', 'localhost')",
        "CALL gatepass_admin.end_sessions('root', @x)",
        "CALL gatepass_admin.give('root', 'localhost', '[]')",
        "CALL gatepass_admin.refuse('45001', 'x')",
        "CALL gatepass_admin.guard()",
        "CALL gatepass_admin.provision(UUID(), 'orders', 'root', 'localhost', CONCAT('*', REPEAT('0', 40)), 1, 0, '[]')",
        "CALL gatepass_admin.provision(UUID(), 'orders', CONCAT('gp_', REPEAT('a', 26)), '%', CONCAT('*', REPEAT('0', 40)),
            1, 0, '[{\"privileges\":\"SELECT\",\"schema\":\"mysql\"}]')",
        "CALL gatepass_admin.provision(UUID(), 'orders', CONCAT('gp_', REPEAT('b', 26)), '%', CONCAT('*', REPEAT('0', 40)),
            1, 0, '[{\"privileges\":\"SELECT ON x TO y\",\"schema\":\"orders\"}]')",
        "CREATE USER x",
        "ALTER USER root@localhost IDENTIFIED BY 'x'",
        "SELECT * FROM gatepass_admin.accounts",
        "SELECT * FROM orders.orders",
        "SET ROLE orders_reader",
        "SELECT * FROM mysql.global_priv",
    ] {
        let refused = server.sql_as("gatepass_admin", ADMIN_PASSWORD, "", sql);
        assert!(refused.is_err(), "{sql}: {refused:?}");
    }
    assert_eq!(server.sql("SELECT CURRENT_USER()"), "root@localhost");
}

#[tokio::test]
async fn an_account_of_that_name_that_is_not_ours_is_left_alone() {
    let target = target();
    let access = access(&["orders_reader"]);
    let account = account_name(access.grant);
    target.server.sql(&format!("CREATE USER {account}@'%'"));
    let refused = target.connector.provision(&access).await;
    assert!(matches!(&refused, Err(TargetError::Refused(m)) if m.contains(&account)), "{refused:?}");
    assert_eq!(target.connector.inspect().await.unwrap(), []);
    assert!(target.connector.remove(access.grant).await.is_err(), "it lets in, so it is not called removed");
    assert_eq!(target.server.sql(&format!("SELECT COUNT(*) FROM mysql.user WHERE User = '{account}'")), "1");
    target.server.sql(&format!("DROP USER {account}@'%'"));
    target.connector.remove(access.grant).await.unwrap();
}

#[tokio::test]
async fn who_holds_it_besides() {
    let target = target();
    let (database, role) = (&target.database, format!("{}_r", target.database));
    let privileges = format!("INSERT, SELECT ON {database}.*");
    let table = format!("SELECT ON {database}.orders");
    target.server.sql(&format!(
        "CREATE ROLE {role}; GRANT {role} TO gatepass_admin_owner@localhost WITH ADMIN OPTION;
         GRANT SELECT, INSERT ON {database}.* TO gatepass_admin_owner@localhost WITH GRANT OPTION;
         CREATE ROLE {role}_2; GRANT {role} TO {role}_2;
         CREATE USER {role}_ann@'10.%', {role}_bob@localhost, {role}_cy@localhost, {role}_dee@localhost;
         GRANT {role} TO {role}_ann@'10.%'; GRANT {role}_2 TO {role}_bob@localhost;
         GRANT SELECT, INSERT, DELETE ON {database}.* TO {role}_bob@localhost;
         GRANT SELECT ON {database}.* TO {role}_cy@localhost;
         GRANT SELECT, UPDATE ON {database}.orders TO {role}_dee@localhost"
    ));
    let given = access(&[&role, &privileges]);
    target.provision(&given).await;
    let grants = [role.clone(), privileges.clone(), table.clone()];
    let strangers = target.connector.strangers(&grants).await.unwrap();
    let stranger = |name: &str, grants: &[&String]| Stranger {
        name: format!("{role}_{name}"),
        grants: {
            let mut grants: Vec<String> = grants.iter().map(ToString::to_string).collect();
            grants.sort();
            grants
        },
    };
    let expected = [
        stranger("ann@10.%", &[&role]),
        stranger("bob@localhost", &[&role, &privileges]),
        stranger("dee@localhost", &[&table]),
    ];
    assert_eq!(strangers, expected);
    assert_eq!(target.connector.strangers(&[]).await.unwrap(), []);
}

/// What is under way on the target when its caller is gone goes on there; whatever comes of it, an account without a row
/// that says whose it is would be left for ever.
#[tokio::test]
async fn no_account_is_left_that_stands_nowhere() {
    let target = target();
    for round in 0..24_u64 {
        let access = access(&["orders_reader", "orders_writer"]);
        let account = account_name(access.grant);
        let mut provision = target.connector.provision(&access);
        if round % 2 == 0 {
            let pause = std::time::Duration::from_micros(round * 400);
            let _ = tokio::time::timeout(pause, &mut provision).await;
            drop(provision);
            let _ = target.connector.remove(access.grant).await;
        } else {
            let _ = tokio::join!(provision, target.connector.remove(access.grant));
        }
        let under_way = format!(
            "SELECT COUNT(*) FROM information_schema.processlist
              WHERE user = 'gatepass_admin' AND info LIKE '%{}%'",
            target.database
        );
        until("the target is done with it", async || target.server.sql(&under_way) == "0").await;
        let accounts = format!("SELECT COUNT(*) FROM mysql.global_priv WHERE User LIKE '{account}%'");
        let rows =
            format!("SELECT COUNT(*) FROM gatepass_admin.accounts WHERE grant_id = '{}'", access.grant);
        let (left, known) = (target.server.sql(&accounts), target.server.sql(&rows));
        assert!(left == "0" || known == "1", "{round}: {left} left, {known} known");
        target.connector.remove(access.grant).await.unwrap();
        assert_eq!(
            (target.server.sql(&accounts), target.server.sql(&rows)),
            ("0".into(), "0".into()),
            "{round}"
        );
    }
}
