//! How an access ends, whatever its holder did.

use crate::holder::{access, connect, connector, target, url};
use crate::until;
use gatepass_connectors::mariadb::account_name;
use gatepass_connectors::{Connector, TargetError};
use gatepass_testkit::Mariadb as Server;
use mysql_async::prelude::Queryable;
use std::time::{Duration, Instant};

#[tokio::test]
async fn sessions_end_whatever_they_do() {
    let target = target();
    let access = access(&["orders_writer"]);
    let account = account_name(access.grant);
    let secret = target.provision(&access).await;
    let mut in_transaction = connect(url(&secret)).await.unwrap();
    in_transaction.query_drop("BEGIN").await.unwrap();
    in_transaction.query_drop("DELETE FROM orders").await.unwrap();
    let mut hanging = Vec::new();
    for sql in [
        "SELECT SLEEP(600)",
        // Waits for the lock of the transaction.
        "UPDATE orders SET cents = 0",
        "SELECT BENCHMARK(100000000000, MD5('x'))",
        "SELECT COUNT(*) FROM orders a, orders b, orders c, orders d, orders e, orders f",
        "DO GET_LOCK('gatepass', 600), SLEEP(600)",
    ] {
        let mut session = connect(url(&secret)).await.unwrap();
        hanging.push(tokio::spawn(async move { session.query_drop(sql).await }));
    }
    let active = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{account}' AND command = 'Query'"
    );
    until("all five hang", async || target.server.sql(&active) == "5").await;

    let started = Instant::now();
    let removed = target.connector.remove(access.grant).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(removed.sessions_ended, 6);
    assert!(in_transaction.query_drop("COMMIT").await.is_err());
    for one in hanging {
        assert!(one.await.unwrap().is_err());
    }
    let orders = format!("SELECT COUNT(*), SUM(cents) > 0 FROM {}.orders", target.database);
    assert_eq!(target.server.sql(&orders), "100\t1", "what was not committed is undone");
}

#[tokio::test]
async fn locks_that_hold_up_the_server_do_not_hold_up_the_end() {
    // Of its own: everything on it is locked for a moment.
    let server = Server::orders();
    let connector = connector(&server.admin_url());
    let name = "orders_locker";
    server.sql(&format!(
        "CREATE ROLE {name}; GRANT RELOAD ON *.* TO {name}; GRANT SELECT, LOCK TABLES ON orders.* TO {name};
         GRANT {name} TO gatepass_admin_owner@localhost WITH ADMIN OPTION"
    ));
    let access = access(&[name]);
    let secret = connector.provision(&access).await.unwrap();
    let mut session = connect(url(&secret)).await.unwrap();
    session.query_drop("LOCK TABLES orders WRITE").await.unwrap();
    let mut locker = connect(url(&secret)).await.unwrap();
    session.query_drop("UNLOCK TABLES").await.unwrap();
    locker.query_drop("FLUSH TABLES WITH READ LOCK").await.unwrap();
    assert_eq!(connector.remove(access.grant).await.unwrap().sessions_ended, 2);
    assert!(locker.query_drop("SELECT 1").await.is_err());
}

#[tokio::test]
async fn a_holder_who_keeps_coming_back_is_out_in_the_end() {
    let target = target();
    let access = access(&["orders_reader"]);
    let secret = target.provision(&access).await;
    let storm: Vec<_> = (0..4)
        .map(|_| {
            let url = url(&secret).to_owned();
            tokio::spawn(async move {
                let mut sessions = 0;
                while let Ok(mut session) = connect(&url).await {
                    sessions += 1;
                    // Until it is cut off.
                    while session.query_drop("SELECT 1").await.is_ok() {}
                }
                sessions
            })
        })
        .collect();
    until("all are in", async || target.connector.inspect().await.unwrap()[0].sessions == 4).await;
    assert!(target.connector.remove(access.grant).await.unwrap().sessions_ended >= 4);
    for one in storm {
        assert!(one.await.unwrap() >= 1);
    }
    let open = format!(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{}'",
        account_name(access.grant)
    );
    assert_eq!(target.server.sql(&open), "0");
}

#[tokio::test]
async fn a_holder_who_changed_the_password_is_out_as_well() {
    let target = target();
    let access = access(&["orders_reader"]);
    let account = account_name(access.grant);
    let secret = target.provision(&access).await;
    target.holder(&secret, "SET PASSWORD = PASSWORD('mine')").unwrap();
    let own = || target.server.sql_as(&account, "mine", "", "SELECT 1");
    assert_eq!(own(), Ok("1".into()));
    target.connector.remove(access.grant).await.unwrap();
    assert!(own().is_err());
}

/// What MariaDB leaves running when nobody ends sessions; the reasons for how `remove` goes about it.
#[tokio::test]
async fn what_leaves_sessions_running() {
    let target = target();
    for (statement, reads_on) in [
        ("ALTER USER {} ACCOUNT LOCK", true),
        ("ALTER USER {} PASSWORD EXPIRE", true),
        ("ALTER USER {} IDENTIFIED BY 'another'", true),
        ("REVOKE orders_reader FROM {}", true),
        ("DROP USER {}", true),
    ] {
        let access = access(&["orders_reader"]);
        let secret = target.provision(&access).await;
        let mut session = connect(url(&secret)).await.unwrap();
        session.query_drop("SELECT COUNT(*) FROM orders").await.unwrap();
        let who = format!("{}@'%'", account_name(access.grant));
        target.server.sql(&statement.replace("{}", &who));
        assert_eq!(session.query_drop("SELECT COUNT(*) FROM orders").await.is_ok(), reads_on, "{statement}");
        assert_eq!(target.connector.remove(access.grant).await.unwrap().sessions_ended, 1, "{statement}");
        assert!(session.query_drop("SELECT 1").await.is_err());
    }
}

#[tokio::test]
async fn what_the_holder_made_does_not_work_for_others_afterwards() {
    let target = target();
    let database = &target.database;
    let all = "CREATE, CREATE ROUTINE, CREATE VIEW, EVENT, EXECUTE, INSERT, SELECT";
    target
        .server
        .sql(&format!("GRANT {all} ON {database}.* TO gatepass_admin_owner@localhost WITH GRANT OPTION"));
    // Not by a role: what is kept on the server runs without its definer's roles.
    let maker = format!("{all} ON {database}.*");
    let asked = access(&[&maker]);
    let account = account_name(asked.grant);
    let secret = target.provision(&asked).await;
    target
        .holder(
            &secret,
            "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1);
             CREATE SQL SECURITY DEFINER VIEW door AS SELECT COUNT(*) FROM orders;
             CREATE FUNCTION way() RETURNS int RETURN (SELECT COUNT(*) FROM orders);
             CREATE EVENT again ON SCHEDULE EVERY 1 SECOND DO INSERT INTO kept VALUES (2)",
        )
        .unwrap();
    let rows = || target.server.sql(&format!("SELECT COUNT(*) FROM {database}.kept")).parse::<u32>().unwrap();
    until("the event runs", async || rows() > 1).await;

    let another = target.provision(&access(&[&maker])).await;
    let doors = ["SELECT * FROM door", "SELECT way()"];
    for door in doors {
        assert_eq!(target.holder(&another, door), Ok("100".into()));
    }
    target.connector.remove(asked.grant).await.unwrap();
    let before = rows();
    for door in doors {
        assert!(target.holder(&another, door).is_err(), "{door}");
    }
    let error = format!("[{account}@%][{database}.again]");
    until("the event fails", async || target.server.log().contains(&error)).await;
    assert_eq!(rows(), before, "what the holder wrote stays, and nothing is added");
}

#[tokio::test]
async fn another_account_of_that_name_is_said_and_left() {
    let target = target();
    let access = access(&["orders_reader"]);
    let account = account_name(access.grant);
    let secret = target.provision(&access).await;
    target.server.sql(&format!("CREATE USER {account}@localhost IDENTIFIED BY 'someone'"));
    let refused = target.connector.remove(access.grant).await;
    let Err(TargetError::Refused(message)) = refused else { panic!("{refused:?}") };
    assert!(message.contains(&format!("{account}@localhost")), "{message}");
    assert!(target.holder(&secret, "SELECT 1").is_err(), "ours is gone");
    assert_eq!(target.connector.inspect().await.unwrap().len(), 1, "and is not called removed");
    target.server.sql(&format!("DROP USER {account}@localhost"));
    target.connector.remove(access.grant).await.unwrap();
    assert_eq!(target.connector.inspect().await.unwrap(), []);
}
