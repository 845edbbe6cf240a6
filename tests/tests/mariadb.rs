//! A MariaDB target with the real programs: what the command line shows, and that access ends by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_testkit::mariadb::ADMIN_PASSWORD;
use gatepass_testkit::{Mariadb, Postgres};
use gatepass_tests::{Person, Server, eventually};
use std::time::{Duration, Instant};

#[tokio::test]
async fn access_to_mariadb_is_given_used_and_ends() {
    let (home, orders, ledger) = (tempfile::tempdir().unwrap(), Postgres::orders(), Mariadb::orders());
    let password = home.path().join("ledger-password");
    std::fs::write(&password, ADMIN_PASSWORD).unwrap();
    let more = format!(
        r#"
[[target]]
id = "ledger"
kind = "mariadb"
url = "{}"
password_file = "{}"

[[resource]]
id = "ledger-db"
name = "Ledger"
environment = "production"
target = "ledger"

[[resource.role]]
id = "write"
name = "Write"
grants = ["orders_writer"]
ask = ["backend"]
approve = []
default = "1m"
max = "1h"
"#,
        ledger.admin_url(),
        password.display()
    );
    let server = Server::start(&orders, &more);
    let env = [("GATEPASS_KEYSTORE".to_owned(), "file".to_owned())];
    let tomas = Person::new("tomas", "Tomás Rivera", "backend", home.path(), &env);
    tomas.join(&server);

    let ask = |length: &str| {
        let request =
            tomas.json(&["request", "ledger-db/write", "--for", length, "--reason", "wrong totals"]);
        request["id"].as_str().unwrap().to_owned()
    };
    let (short, long) = (ask("8s"), ask("10m"));
    for id in [&short, &long] {
        eventually("it is active", async || tomas.grant(id).filter(|g| g["state"] == "active")).await;
    }
    let credential = |id: &str| {
        let credential = tomas.json(&["credential", id]);
        assert_eq!(credential["kind"], "mariadb", "{credential}");
        assert!(credential["expires_at"].is_string(), "{credential}");
        credential["url"].as_str().unwrap().to_owned()
    };
    let (first, second) = (credential(&short), credential(&long));
    assert_eq!(ledger.sql_at(&first, "SELECT COUNT(*) FROM orders"), Ok("100".into()));

    // Cut in the middle of a transaction, at its end.
    let started = Instant::now();
    let cut = ledger.sql_at(&first, "BEGIN; DELETE FROM orders; SELECT SLEEP(600)");
    assert!(cut.is_err() && started.elapsed() < Duration::from_secs(10), "{cut:?} {:?}", started.elapsed());
    assert!(ledger.sql_at(&first, "SELECT 1").is_err());
    let ended = async || tomas.grant(&short).filter(|g| g["state"] == "ended");
    eventually("it has ended", ended).await;
    assert_eq!(ledger.sql_at(&second, "SELECT COUNT(*) FROM orders"), Ok("100".into()), "the other stays");
    tomas.json(&["return", &long]);
    eventually("the other too", async || tomas.grant(&long).filter(|g| g["state"] == "ended")).await;
    assert_eq!(ledger.sql("SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'gp\\_%'"), "0");
    assert_eq!(ledger.sql("SELECT COUNT(*) FROM gatepass_admin.accounts"), "0");
}
