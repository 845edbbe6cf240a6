//! The PostgreSQL connector on a real server, through the admin that docs/connectors/postgres-admin.sql makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod holder;

use gatepass_connectors::postgres::{Postgres, login_name};
use gatepass_connectors::{Class, Connector, TargetError};
use gatepass_testkit::Postgres as Server;
use gatepass_testkit::postgres::ADMIN_PASSWORD;
use holder::{access, connect, connector, now, password, target, url};
use std::time::{Duration, Instant};

/// Waits for a condition that something else brings about.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < limit, "{what}");
        tokio::task::yield_now().await;
    }
}

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
    target.connector.guard(access.grant, now() + chrono::TimeDelta::hours(1)).await.unwrap();
    let open = connect(url(&secret)).await.unwrap();
    target.connector.guard(access.grant, now() - chrono::TimeDelta::milliseconds(1)).await.unwrap();
    assert!(target.holder(&secret, "SELECT 1").is_err());
    assert!(open.query_one("SELECT 1", &[]).await.is_ok(), "the guard leaves open sessions running: class B");
}

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
    let login = login_name(access.grant);
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
    assert!(target.connector.guard(access.grant, now()).await.is_err(), "its end can't be moved any more");

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
async fn names_are_quoted_by_the_server() {
    let target = target();
    let nasty = [r#"a"; drop role x; --"#, "it's", "Ümläut $1 %I", r"back\slash", "a,b"];
    for name in nasty {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        target.sees(&format!("CREATE ROLE {quoted}; GRANT SELECT ON orders TO {quoted}"));
        target.sees(&format!(
            "DO $do$ BEGIN IF current_setting('server_version_num')::int >= 160000 THEN
               EXECUTE $g$GRANT {quoted} TO gatepass_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE$g$; END IF; END $do$"
        ));
    }
    let access = access(&nasty);
    let secret = target.provision(&access).await;
    assert_eq!(target.holder(&secret, "SELECT count(*) FROM orders"), Ok("100".into()));
    target.connector.provision(&holder::access(&nasty[..1])).await.unwrap();
    target.connector.remove(access.grant).await.unwrap();
    let Err(TargetError::Configuration(message)) = target
        .connector
        .provision(&holder::access(&[r#"b"; drop role orders_reader; --"#, "orders_reader"]))
        .await
    else {
        panic!("there is no such group");
    };
    assert_eq!(message, r#"the target has no group role "b\"; drop role orders_reader; --""#);
    assert_eq!(target.sees("SELECT count(*) FROM pg_roles WHERE rolname = 'orders_reader'"), "1");
}

#[tokio::test]
async fn roles_that_nobody_should_give_are_refused() {
    let target = target();
    for group in ["gatepass_admin", "postgres"] {
        let refused = target.connector.provision(&access(&[group])).await;
        assert!(matches!(refused, Err(TargetError::Configuration(_))), "{group}: {refused:?}");
    }
    assert_eq!(target.connector.inspect().await.unwrap(), [], "and nothing is left of it");
}

#[tokio::test]
async fn a_role_of_that_name_that_is_not_ours_is_left_alone() {
    let target = target();
    let access = access(&["orders_reader"]);
    let login = login_name(access.grant);
    target.sees(&format!("CREATE ROLE {login}"));
    let refused = target.connector.provision(&access).await;
    assert!(matches!(&refused, Err(TargetError::Refused(m)) if m.contains(&login)), "{refused:?}");
    assert_eq!(target.connector.inspect().await.unwrap(), []);
    target.sees(&format!("DROP ROLE {login}"));
}

#[tokio::test]
async fn targets_on_one_cluster_see_only_their_own() {
    let (one, two) = (target(), target());
    let access = access(&["orders_reader"]);
    one.provision(&access).await;
    assert_eq!(one.connector.inspect().await.unwrap().len(), 1);
    assert_eq!(two.connector.inspect().await.unwrap(), []);
}

#[tokio::test]
async fn a_target_that_is_down_is_told_quickly_and_used_again_when_it_is_back() {
    let mut server = Server::orders();
    let connector = connector(&server.admin_url());
    let access = access(&["orders_reader"]);
    connector.provision(&access).await.unwrap();
    server.stop();
    let started = Instant::now();
    for _ in 0..3 {
        assert!(matches!(connector.remove(access.grant).await, Err(TargetError::Unreachable(_))));
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    server.start_again();
    until("it is used again", async || connector.remove(access.grant).await.is_ok()).await;
    // A connection that was kept and is dead is replaced within the call.
    connector.provision(&access).await.unwrap();
    server.stop();
    server.start_again();
    assert_eq!(connector.inspect().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_configuration_has_wrong_is_said_without_the_password() {
    let target = target();
    let good = target.server.admin_url();
    let wrong = [
        (good.clone(), "not the password", "password authentication failed"),
        (good.replace("/orders", "/nowhere"), ADMIN_PASSWORD, "\"nowhere\" does not exist"),
        (format!("{good}?sslmode=require"), ADMIN_PASSWORD, "TLS"),
    ];
    for (url, password, says) in wrong {
        let connector = Postgres::new(&url, &password.into()).unwrap();
        let error = connector.inspect().await.unwrap_err();
        assert!(error.to_string().contains(says) && !error.to_string().contains(password), "{error}");
        assert!(matches!(error, TargetError::Configuration(_)), "{error:?}");
    }
    // An admin without the right to make logins.
    target.sees("CREATE ROLE feeble LOGIN PASSWORD 'feeble'");
    let url = target.server.admin_url().replace("gatepass_admin", "feeble");
    let error = Postgres::new(&url, &"feeble".into()).unwrap().provision(&access(&["orders_reader"])).await;
    assert!(
        matches!(&error, Err(TargetError::Configuration(m)) if m.contains("permission denied")),
        "{error:?}"
    );
}

#[tokio::test]
async fn tls_is_used_when_offered_and_verified_when_required() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = more\n[name]\nCN = target\n\
                  [more]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = critical, CA:FALSE\n";
    std::fs::write(dir.path().join("config"), config).unwrap();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-config", "config", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let server = Server::start();
    server.make_orders();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    server.encrypt(&read("cert.pem"), &read("key.pem"));
    let url = server.admin_url();
    let encrypted = "SELECT coalesce(bool_and(ssl), false) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                      WHERE application_name = 'gatepass'";
    let known = format!("{url}?sslmode=verify-full&sslrootcert={}/cert.pem", dir.path().display());
    for (url, tls) in [(url.clone(), "t"), (known, "t"), (format!("{url}?sslmode=disable"), "f")] {
        let connector = connector(&url);
        connector.inspect().await.unwrap();
        assert_eq!(server.psql("orders", encrypted), tls, "{url}");
        drop(connector);
        until("it is closed", async || {
            server.psql("orders", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gatepass'")
                == "0"
        })
        .await;
    }
    let unknown = connector(&format!("{url}?sslmode=require")).inspect().await.unwrap_err();
    assert!(matches!(&unknown, TargetError::Configuration(m) if m.contains("certificate")), "{unknown:?}");
}

#[tokio::test]
async fn a_prepared_transaction_does_not_outlive_the_access() {
    let mut server = Server::start_with(&["max_prepared_transactions=5"]);
    server.make_orders();
    let connector = connector(&server.admin_url());
    let access = access(&["orders_writer"]);
    let secret = connector.provision(&access).await.unwrap();
    server.psql_at(url(&secret), "BEGIN; DELETE FROM orders; PREPARE TRANSACTION 'it''s later'").unwrap();
    connector.remove(access.grant).await.unwrap();
    assert_eq!(server.psql("orders", "SELECT count(*) FROM pg_prepared_xacts"), "0");
    assert_eq!(server.psql("orders", "SELECT count(*) FROM orders"), "100");
    server.stop();
}

#[tokio::test]
async fn a_session_ends_within_its_budget() {
    let target = target();
    let mut worst = Duration::ZERO;
    for _ in 0..20 {
        let access = access(&["orders_reader"]);
        let secret = target.provision(&access).await;
        let session = connect(url(&secret)).await.unwrap();
        let asks = tokio::spawn(async move {
            while session.batch_execute("SELECT 1").await.is_ok() {}
            Instant::now()
        });
        let started = Instant::now();
        target.connector.remove(access.grant).await.unwrap();
        worst = worst.max(asks.await.unwrap().duration_since(started));
    }
    println!("the slowest of 20: {worst:?}");
}
