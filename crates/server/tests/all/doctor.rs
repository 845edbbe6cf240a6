//! One look at all that a server depends on: healthy, and with each fault.

use gatepass_log::LogKey;
use gatepass_server::testing::database::{Database, SERVICE, SERVICE_PASSWORD, prepare};
use gatepass_server::testing::{Setup, TestServer};
use gatepass_testkit::Postgres;
use gatepass_testkit::postgres::ADMIN_PASSWORD;
use rcgen::{CertificateParams, KeyPair};
use rusqlite::Connection;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const SERVER: &str = env!("CARGO_BIN_EXE_gatepass-server");
const TARGET: &str = r#"
[[target]]
id = "orders-pg"
kind = "postgres"
url = "TARGET"
password_file = "orders-password"

[[resource]]
id = "orders-db"
name = "Orders database"
environment = "production"
target = "orders-pg"

[[resource.role]]
id = "read"
name = "Read"
grants = ["orders_reader"]
ask = ["backend"]
approve = []
default = "1h"
max = "8h"
"#;

/// A directory with a configuration and its secrets.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.secret("orders-password", ADMIN_PASSWORD);
        home.secret("database-password", SERVICE_PASSWORD);
        home.set("yes");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn secret(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
    }

    /// Whether a time server sets the clock, as the machine would say.
    fn set(&self, said: &str) {
        fs::write(self.path("timedatectl"), format!("#!/bin/sh\necho {said}\n")).unwrap();
        fs::set_permissions(self.path("timedatectl"), Permissions::from_mode(0o755)).unwrap();
    }

    /// The findings, and whether the program is content.
    fn look(&self, lines: &str, target: &str, before: &[&str]) -> (Vec<Value>, bool) {
        let text =
            format!("[server]\nname = \"test/gatepass\"\n{lines}\n{}", TARGET.replace("TARGET", target));
        fs::write(self.path("gatepass.toml"), text).unwrap();
        let words = [before, &[SERVER, "doctor", "--json", "--config"]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(self.path("gatepass.toml"));
        command.env("PATH", format!("{}:/usr/bin:/bin", self.0.path().display()));
        let done = command.output().unwrap();
        let found = serde_json::from_slice(&done.stdout);
        (
            found.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&done.stderr))),
            done.status.success(),
        )
    }
}

/// Those that are not ok: what they are about, with their verdict.
fn bad(found: &[Value]) -> Vec<String> {
    let bad = found.iter().filter(|f| f["verdict"] != "ok");
    bad.map(|f| {
        assert!(f["todo"].as_str().is_some_and(|todo| !todo.is_empty()), "{f}");
        format!("{} {}", f["verdict"].as_str().unwrap(), f["about"].as_str().unwrap())
    })
    .collect()
}

fn says<'a>(found: &'a [Value], about: &str) -> &'a str {
    found.iter().find(|f| f["about"] == about).unwrap()["says"].as_str().unwrap()
}

/// A certificate that ends so many days from now, with its key.
fn certificate(home: &Home, days: i64) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let now = gatepass_server::clock::Clock::now(&gatepass_server::clock::SystemClock);
    let ends =
        std::time::UNIX_EPOCH + std::time::Duration::from_secs((now.timestamp() + days * 86_400) as u64);
    params.not_after = ends.into();
    let key = KeyPair::generate().unwrap();
    fs::write(home.path("certificate.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    home.secret("key.pem", &key.serialize_pem());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_shared_database_everything_is_ok_until_it_is_not() {
    let mut machine = Postgres::start_with(&["fsync=on"]);
    machine.make_orders();
    prepare(&machine, "gatepass_doctor").await;
    let psql = |sql: &str| machine.psql("gatepass_doctor", sql);
    let url = format!("postgres://{SERVICE}@127.0.0.1:{}/gatepass_doctor", machine.port());
    let options = gatepass_server::store::postgres::Options {
        url: url.clone(),
        password: SERVICE_PASSWORD.into(),
        direct: None,
        pooler: false,
        connections: 8,
    };
    let node = TestServer::with(Setup { database: Some(options), ..Setup::default() }).await;
    node.person("tomas", &["backend"]).await;
    let home = Home::new();
    let key = home.path("data/log.key");
    fs::create_dir(home.path("data")).unwrap();
    fs::copy(&node.config.log_key, &key).unwrap();
    let postgres = "password_file = \"database-password\"";
    let tls = "tls = { certificate_file = \"certificate.pem\", key_file = \"key.pem\" }";
    certificate(&home, 90);
    let lines = |more: &str| format!("database = \"{url}\"\npostgres = {{ {postgres}{more} }}\n{tls}");
    let (healthy, target) = (lines(""), machine.admin_url());
    let look = |lines: &str, target: &str| home.look(lines, target, &[]);

    let (found, content) = look(&healthy, &target);
    assert_eq!((bad(&found), content), (vec![], true), "{found:#?}");
    let about: Vec<&str> = found.iter().map(|f| f["about"].as_str().unwrap()).collect();
    assert!(about.len() > 14, "{about:?}");
    assert!(says(&found, "log.newest").starts_with("all 3 events"));

    // What stands in files.
    home.set("no");
    assert_eq!(bad(&look(&healthy, &target).0), ["warn clock.set"]);
    home.set("yes");
    certificate(&home, 10);
    assert_eq!(bad(&look(&healthy, &target).0), ["warn certificate.end"]);
    certificate(&home, -1);
    let (found, content) = look(&healthy, &target);
    assert_eq!((bad(&found), content), (vec!["fail certificate.end".to_owned()], false));
    certificate(&home, 90);
    let kept = fs::read_to_string(&key).unwrap();
    fs::remove_file(&key).unwrap();
    assert_eq!(bad(&look(&healthy, &target).0), ["fail log.key"]);
    home.secret("data/log.key", &LogKey::generate("test/gatepass", &[8; 32]));
    let (found, _) = look(&healthy, &target);
    assert!(says(&found, "log.key").contains("is another"), "{found:#?}");
    home.secret("data/log.key", &kept);
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(bad(&look(&healthy, &target).0), ["fail log.key"]);
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(home.path("orders-password"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(bad(&look(&healthy, &target).0), ["fail files.secret"]);

    // The target.
    home.secret("orders-password", "another one");
    assert_eq!(bad(&look(&healthy, &target).0), ["fail target.login"]);
    home.secret("orders-password", ADMIN_PASSWORD);
    machine.psql(
        "orders",
        "REVOKE pg_signal_backend FROM gatepass_admin; ALTER ROLE orders_reader RENAME TO readers",
    );
    let (found, _) = look(&healthy, &target);
    assert_eq!(bad(&found), ["fail target.rights"]);
    let lacks = says(&found, "target.rights");
    assert!(lacks.contains("pg_signal_backend") && lacks.contains("“orders_reader”"), "{lacks}");
    machine.psql(
        "orders",
        "GRANT pg_signal_backend TO gatepass_admin; ALTER ROLE readers RENAME TO orders_reader",
    );

    // The database.
    let (found, _) = home.look(&healthy, &target, &["faketime", "-f", "+5m"]);
    assert!(bad(&found).contains(&"fail clock.database".to_owned()), "{found:#?}");
    assert!(says(&found, "clock.database").starts_with("this machine’s clock is 300"), "{found:#?}");
    assert_eq!(bad(&look(&lines(", pooler = true"), &target).0), ["warn database.listen"]);
    assert_eq!(bad(&look(&lines(", connections = 1000"), &target).0), ["warn database.connections"]);
    psql("DELETE FROM setting WHERE key = 'token_key'");
    assert_eq!(bad(&look(&healthy, &target).0), ["warn database.token_key"]);
    psql("INSERT INTO setting VALUES ('token_key', '')");
    psql("INSERT INTO refinery_schema_history (version, name) VALUES (99, 'contract_all')");
    let (found, _) = look(&healthy, &target);
    assert_eq!(bad(&found), ["fail database.schema"]);
    assert!(says(&found, "database.schema").contains("V99__contract_all"));
    psql("DELETE FROM refinery_schema_history WHERE version = 99");
    psql(
        "CREATE TABLE kept AS SELECT * FROM refinery_schema_history; DELETE FROM refinery_schema_history WHERE version > 1",
    );
    assert_eq!(bad(&look(&healthy, &target).0), ["fail database.schema"]);
    psql("INSERT INTO refinery_schema_history SELECT * FROM kept WHERE version > 1");
    psql("UPDATE event SET body = replace(body, 'backend', 'backenp') WHERE seq = 2");
    let (found, _) = look(&healthy, &target);
    assert_eq!(bad(&found), ["fail log.newest"]);
    assert!(says(&found, "log.newest").contains("position 2"));
    psql("UPDATE event SET body = replace(body, 'backenp', 'backend') WHERE seq = 2");

    node.finish().await;
    psql("UPDATE node SET seen_at = seen_at - interval '1 minute'");
    assert_eq!(bad(&look(&healthy, &target).0), ["warn nodes"]);
    psql("INSERT INTO outbox (event_id, body) VALUES (gen_random_uuid(), '{}')");
    assert_eq!(bad(&look(&healthy, &target).0), ["warn database.outbox", "warn nodes"]);
    psql(&format!("ALTER ROLE {SERVICE} PASSWORD 'changed'"));
    let (found, _) = look(&healthy, &target);
    assert_eq!(bad(&found), ["fail database.reachable", "warn log.newest"]);
    machine.stop();
    let (found, content) = look(&healthy, &target);
    assert_eq!(bad(&found), ["fail database.reachable", "warn log.newest", "fail target.login"]);
    assert!(!content);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_can_lose_is_said() {
    // The tests' own database has fsync off.
    let database = Database::fresh().await;
    let home = Home::new();
    let lines = format!(
        "database = \"{}\"\npostgres = {{ password_file = \"database-password\" }}",
        database.options().url
    );
    let target = format!("postgres://nobody@127.0.0.1:{}/postgres", database.server().port());
    let (found, _) = home.look(&lines, &target, &[]);
    let durable = found.iter().find(|f| f["about"] == "database.durable").unwrap();
    assert_eq!(durable["verdict"], "warn");
    assert_eq!(durable["todo"], "Set fsync = on");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_server_with_its_own_data_too() {
    let orders = Postgres::orders();
    let server = TestServer::start().await;
    server.person("tomas", &["backend"]).await;
    let data: &Path = &server.config.data.clone();
    let home = Home::new();
    let lines = format!("data = \"{}\"", data.display());
    let look = || home.look(&lines, &orders.admin_url(), &[]).0;
    let found = look();
    // Little room on the machine that runs this is its own affair.
    let but_room =
        |found: Vec<String>| found.into_iter().filter(|f| !f.ends_with("data.room")).collect::<Vec<_>>();
    assert_eq!(but_room(bad(&found)), Vec::<String>::new(), "{found:#?}");
    assert!(says(&found, "log.newest").starts_with("all 3 events"));
    assert!(says(&found, "data.room").ends_with("MiB are left where the data is"));

    fs::set_permissions(data, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(but_room(bad(&look())), ["fail data.directory"]);
    fs::set_permissions(data, Permissions::from_mode(0o700)).unwrap();
    let copy = home.path("data");
    fs::create_dir(&copy).unwrap();
    fs::set_permissions(&copy, Permissions::from_mode(0o700)).unwrap();
    // One moment of it: the file by itself, while a server writes or has just stopped, is none.
    let whole = Connection::open(data.join("gatepass.db")).unwrap();
    whole.execute("VACUUM INTO ?1", [copy.join("gatepass.db").to_str()]).unwrap();
    drop(whole);
    fs::copy(&server.config.log_key, copy.join("log.key")).unwrap();
    server.finish().await;
    let data = &copy;
    let look = || home.look("data = \"./data\"", &orders.admin_url(), &[]).0;
    let db = Connection::open(data.join("gatepass.db")).unwrap();
    db.execute_batch("DELETE FROM event WHERE seq = 3").unwrap();
    assert_eq!(but_room(bad(&look())), ["fail log.newest"]);
    drop(db);
    fs::write(data.join("gatepass.db"), "no database").unwrap();
    for beside in ["gatepass.db-wal", "gatepass.db-shm"] {
        let _ = fs::remove_file(data.join(beside));
    }
    assert_eq!(but_room(bad(&look())), ["fail log.newest"]);
}
