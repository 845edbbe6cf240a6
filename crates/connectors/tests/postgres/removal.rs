//! How an access ends, whatever its holder did.

use crate::holder::{access, connect, connector, target, url};
use crate::until;
use gatepass_connectors::postgres::login_name;
use gatepass_connectors::{Connector, TargetError};
use gatepass_testkit::Postgres as Server;
use std::time::{Duration, Instant};

#[tokio::test]
async fn sessions_end_whatever_they_do() {
    let target = target();
    let access = access(&["orders_writer"]);
    let login = login_name(access.grant);
    let secret = target.provision(&access).await;
    // In a transaction that holds a lock on its own login, so that altering the login has to wait for it.
    let in_transaction = connect(url(&secret)).await.unwrap();
    in_transaction
        .batch_execute(&format!("BEGIN; DELETE FROM orders; ALTER ROLE {login} PASSWORD 'mine'"))
        .await
        .unwrap();
    let asleep = connect(url(&secret)).await.unwrap();
    let asleep = tokio::spawn(async move { asleep.batch_execute("SELECT pg_sleep(600)").await });
    let as_group = connect(url(&secret)).await.unwrap();
    as_group.batch_execute("SET ROLE orders_writer").await.unwrap();
    let active = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE usename = '{login}' AND query LIKE 'SELECT pg_sleep%'"
    );
    until("it sleeps", async || target.sees(&active) == "1").await;

    let started = Instant::now();
    let removed = target.connector.remove(access.grant).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(removed.sessions_ended, 3);
    assert!(in_transaction.batch_execute("COMMIT").await.is_err());
    assert!(asleep.await.unwrap().is_err());
    assert!(as_group.batch_execute("SELECT 1").await.is_err());
    assert_eq!(target.sees("SELECT count(*) FROM orders"), "100", "what was not committed is undone");
    assert_eq!(target.sees(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{login}'")), "0");
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
                while let Ok(client) = connect(&url).await {
                    sessions += 1;
                    // Until it is cut off.
                    while client.batch_execute("SELECT 1").await.is_ok() {}
                }
                sessions
            })
        })
        .collect();
    let open =
        format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}'", login_name(access.grant));
    until("all are in", async || target.sees(&open) == "4").await;
    let removed = target.connector.remove(access.grant).await.unwrap();
    assert!(removed.sessions_ended >= 4);
    for one in storm {
        assert!(one.await.unwrap() >= 1);
    }
    assert_eq!(target.sees("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'gp\\_%' AND datname = current_database()"), "0");
}

#[tokio::test]
async fn a_holder_who_changed_the_password_is_out_as_well() {
    let target = target();
    let access = access(&["orders_reader"]);
    let login = login_name(access.grant);
    let secret = target.provision(&access).await;
    target.holder(&secret, &format!("ALTER ROLE {login} PASSWORD 'mine'")).unwrap();
    let own = target.server.url(&login, "mine", &target.database);
    assert_eq!(target.server.psql_at(&own, "SELECT 1"), Ok("1".into()));
    target.connector.remove(access.grant).await.unwrap();
    assert!(target.server.psql_at(&own, "SELECT 1").is_err());
}

#[tokio::test]
async fn what_the_holder_made_is_handed_to_the_group() {
    let target = target();
    target.sees("CREATE SCHEMA work; GRANT USAGE, CREATE ON SCHEMA work TO orders_writer");
    let other = format!("{}_too", target.database);
    target.server.orders_again(&other);
    target.server.psql(&other, "CREATE SCHEMA work; GRANT USAGE, CREATE ON SCHEMA work TO orders_writer");
    let access = access(&["orders_writer"]);
    let secret = target.provision(&access).await;
    let make = "CREATE TABLE work.notes AS SELECT 'kept' AS note;
                CREATE FUNCTION work.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
                CREATE TYPE work.mood AS ENUM ('good');
                ALTER DEFAULT PRIVILEGES IN SCHEMA work GRANT SELECT ON TABLES TO orders_reader;
                GRANT SELECT ON work.notes TO orders_reader;
                CREATE TEMP TABLE scratch (n int)";
    target.holder(&secret, make).unwrap();
    target.server.psql_at(&url(&secret).replace(&target.database, &other), make).unwrap();

    target.connector.remove(access.grant).await.unwrap();
    for database in [&target.database, &other] {
        let owner = "SELECT tableowner FROM pg_tables WHERE schemaname = 'work'";
        assert_eq!(target.server.psql(database, owner), "orders_writer");
        assert_eq!(target.server.psql(database, "SELECT note FROM work.notes"), "kept");
        assert_eq!(target.server.psql(database, "SELECT work.f()"), "1");
    }
    let admins =
        "SELECT count(*) FROM pg_shdepend WHERE refobjid = 'gatepass_admin'::regrole AND deptype = 'o'";
    assert_eq!(target.sees(admins), "0", "nothing becomes the admin's");
}

#[tokio::test]
async fn what_cant_be_handed_over_is_said_and_the_access_ends_all_the_same() {
    let target = target();
    target.sees("CREATE SCHEMA work; CREATE ROLE makers; GRANT USAGE, CREATE ON SCHEMA work TO makers");
    target.server.admin(&target.database, "makers");
    let access = access(&["makers"]);
    let login = login_name(access.grant);
    let secret = target.provision(&access).await;
    target.holder(&secret, "CREATE FUNCTION work.f() RETURNS int LANGUAGE sql AS 'SELECT 1'").unwrap();
    // The group may not own anything there any more.
    target.sees("REVOKE CREATE ON SCHEMA work FROM makers");
    let session = connect(url(&secret)).await.unwrap();

    let Err(TargetError::Refused(message)) = target.connector.remove(access.grant).await else {
        panic!("it is refused");
    };
    assert!(message.contains(&login) && message.contains("permission denied for schema work"), "{message}");
    assert!(session.batch_execute("SELECT 1").await.is_err(), "the session has ended");
    assert!(target.holder(&secret, "SELECT 1").is_err(), "nobody logs in");
    let found = target.connector.inspect().await.unwrap();
    assert_eq!((found.len(), found[0].sessions), (1, 0), "it is still found");
    assert!(target.connector.guard(&access).await.is_err(), "its end can't be moved any more");

    target.sees("GRANT CREATE ON SCHEMA work TO makers");
    target.connector.remove(access.grant).await.unwrap();
    assert_eq!(target.connector.inspect().await.unwrap(), []);
    target.sees("DROP OWNED BY makers; DROP ROLE makers");
}

#[tokio::test]
async fn what_others_gave_to_the_login_is_theirs_to_take_back() {
    let target = target();
    let access = access(&["orders_reader"]);
    let secret = target.provision(&access).await;
    target.sees(&format!("GRANT INSERT ON orders TO {}", login_name(access.grant)));
    let refused = target.connector.remove(access.grant).await;
    assert!(matches!(&refused, Err(TargetError::Refused(m)) if m.contains("orders")), "{refused:?}");
    assert!(target.holder(&secret, "SELECT 1").is_err(), "nobody logs in");
    target.sees(&format!("REVOKE INSERT ON orders FROM {}", login_name(access.grant)));
    target.connector.remove(access.grant).await.unwrap();
}

#[tokio::test]
async fn a_prepared_transaction_does_not_outlive_the_access() {
    let server = Server::start_with(&["max_prepared_transactions=5"]);
    server.make_orders();
    let connector = connector(&server.admin_url());
    let access = access(&["orders_writer"]);
    let secret = connector.provision(&access).await.unwrap();
    server.psql_at(url(&secret), "BEGIN; DELETE FROM orders; PREPARE TRANSACTION 'it''s later'").unwrap();
    // This one holds a lock on the login's own row, and no session has to stay for it.
    let lock =
        format!("BEGIN; ALTER ROLE {} PASSWORD 'mine'; PREPARE TRANSACTION 'lock'", login_name(access.grant));
    server.psql_at(url(&secret), &lock).unwrap();
    connector.remove(access.grant).await.unwrap();
    assert_eq!(server.psql("orders", "SELECT count(*) FROM pg_prepared_xacts"), "0");
    assert_eq!(server.psql("orders", "SELECT count(*) FROM orders"), "100");
}
