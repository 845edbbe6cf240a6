//! What the log is signed with, and what is never signed.

use gatepass_core::wire::{Accepted, Head};
use gatepass_log::{LogKey, LogVerifier};
use gatepass_server::testing::{PATIENCE, TestServer};
use gatepass_server::{Options, StartError};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

async fn text(server: &TestServer, path: &str) -> (u16, String) {
    let answer = server.http.get(format!("{}{path}", server.url)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn key(server: &TestServer) -> String {
    text(server, "/v1/log/key").await.1.trim().to_owned()
}

/// What stands beside the database.
fn kept(server: &TestServer) -> Head {
    let verifier = LogVerifier::new(LogKey::parse(&read(&server.config.log_key)).unwrap().vkey()).unwrap();
    verifier.open(&read(&server.config.data.join("checkpoint"))).unwrap()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap()
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

/// Why it does not start.
async fn refused(server: &TestServer) -> String {
    let config = server.config.clone();
    let fake: std::sync::Arc<dyn gatepass_connectors::Connector> = std::sync::Arc::new(server.fake.clone());
    let connectors = std::collections::BTreeMap::from([("pg".to_owned(), fake)]);
    let error = gatepass_server::start(config, Options { connectors, ..Options::default() }).await.err();
    let error = error.expect("it does not start");
    assert!(matches!(error, StartError::Signing(_)), "{error}");
    error.to_string()
}

#[tokio::test]
async fn the_key_is_kept_and_no_other_signs() {
    let mut server = TestServer::start().await;
    let file = server.config.log_key.clone();
    let vkey = key(&server).await;
    server.down().await;
    // What was signed last is there, and is the log's own.
    let store = gatepass_server::open_store(&server.config, Default::default()).await.unwrap();
    assert_eq!(kept(&server), store.head().await.unwrap());
    drop(store);
    assert_eq!(mode(&server.config.data.join("checkpoint")), 0o600);

    let key_text = read(&file);
    fs::remove_file(&file).unwrap();
    let said = refused(&server).await;
    assert!(said.contains(&vkey) && said.contains("copy it from a machine where a node runs"), "{said}");
    assert!(!file.exists(), "none was made");
    fs::write(&file, LogKey::generate("test/gatepass", &[9; 32]).as_bytes()).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let said = refused(&server).await;
    assert!(said.contains(&vkey) && said.contains("is another"), "{said}");
    fs::write(&file, "no key").unwrap();
    assert!(refused(&server).await.contains("is no key of a log"));
    fs::write(&file, &key_text).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert!(refused(&server).await.contains("chmod 0600"));
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let note = server.config.data.join("checkpoint");
    let signed = read(&note);
    fs::write(&note, signed.replacen("\n1\n", "\n2\n", 1)).unwrap();
    let said = refused(&server).await;
    assert!(said.contains("is not a head that was signed with the log’s key"), "{said}");
    fs::write(&note, &signed).unwrap();

    // Another name for people does not make another log.
    server.config.name = "Somebody else’s".to_owned();
    server.up().await;
    assert_eq!(key(&server).await, vkey);
    server.finish().await;
}

#[tokio::test]
async fn the_first_use_makes_it() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gatepass.toml");
    fs::write(&config, "[server]\nname = \"example.com/of us\"\n[log]\nkey_file = \"./keys/log\"\n").unwrap();
    let ask = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepass-server"));
        let done = command.args(["log", "key", "--config"]).arg(&config).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let said = ask();
    let verifier = LogVerifier::new(&said).unwrap();
    assert_eq!((verifier.origin(), said.lines().count()), ("example.com/of-us", 1));
    assert_eq!(ask(), said);
    let file: PathBuf = folder.path().join("keys/log");
    assert_eq!(LogKey::parse(&read(&file)).unwrap().vkey(), said.trim());
    assert_eq!((mode(&file), mode(&folder.path().join("keys"))), (0o600, 0o700));
}

/// The store as it was before: what was written since is gone, and another history begins.
async fn go_back(server: &TestServer, to: &Head, tree: &str) {
    let (size, root) = (to.size, &to.root.0);
    let sql = format!(
        "UPDATE head SET size = {size}, root = '{root}', tree = '{tree}'; DELETE FROM event WHERE seq > {size}"
    );
    match &server.database {
        Some(database) => drop(database.psql(&sql)),
        None => database_file(server).execute_batch(&sql).unwrap(),
    }
}

fn database_file(server: &TestServer) -> rusqlite::Connection {
    rusqlite::Connection::open(server.config.data.join("gatepass.db")).unwrap()
}

fn tree(server: &TestServer) -> String {
    const SQL: &str = "SELECT tree FROM head";
    match &server.database {
        Some(database) => database.psql(SQL),
        None => database_file(server).query_row(SQL, [], |row| row.get(0)).unwrap(),
    }
}

async fn until<T>(what: &str, mut there: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            match there().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

#[tokio::test]
async fn a_log_that_does_not_go_on_from_what_was_signed_is_not_signed() {
    let mut server = TestServer::start().await;
    server.invite("dana", &["dba"], false, false).await;
    server.invite("olga", &["oncall"], false, false).await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.placed().await;
    let (then, then_tree) = (server.store().head().await.unwrap(), tree(&server));
    let asked: Accepted = tomas.ask("write", 60).await.get();
    tomas.withdraw(&asked.request).await.get::<Accepted>();
    server.placed().await;
    let signed = until("what was decided is signed", async || {
        let head = server.store().head().await.unwrap();
        Some(kept(&server)).filter(|signed| *signed == head)
    })
    .await;
    go_back(&server, &then, &then_tree).await;
    until("it is noticed", async || (text(&server, "/v1/log/checkpoint").await.0 == 409).then_some(())).await;
    assert_eq!(tomas.ask("write", 60).await.code(), "log_held");
    let page = tomas.get("/v1/log/events").await;
    assert_eq!(page.body.get("checkpoint"), None);
    assert_eq!(text(&server, "/v1/log/tile/0/000.p/1").await.0, 409);
    server.down().await;
    assert_eq!(kept(&server), signed, "nothing was signed since");
    // Nor after another start, until somebody says how it goes on.
    server.up().await;
    assert_eq!(text(&server, "/v1/log/checkpoint").await.0, 409);
    server.down().await;
    let store = gatepass_server::open_store(&server.config, Default::default()).await.unwrap();
    let key = LogKey::parse(&read(&server.config.log_key)).unwrap();
    let lost = gatepass_server::seen::recover(&*store, &server.config.data, Some(&key)).await.unwrap();
    assert_eq!(lost, Some(signed));
    assert_eq!(kept(&server), store.head().await.unwrap());
    drop(store);
    server.up().await;
    until("it is signed again", async || {
        let head = server.store().head().await.unwrap();
        (head.size > then.size && kept(&server) == head).then_some(())
    })
    .await;
    assert_eq!(server.kinds().await.last(), Some(&"log.recovered"));
    assert!(server.config.data.join("checkpoint.given-up").exists());
    server.finish().await;
}
