//! The schema of a shared database, changed beside nodes that live.

use gatepass_core::wire::Accepted;
use gatepass_server::store::postgres::schema::{self, Migrated, Migration, OldNode, Reach};
use gatepass_server::store::postgres::{Options, PostgresStore};
use gatepass_server::store::{Store as _, StoreError};
use gatepass_server::testing::database::{Database, OWNER, SERVICE, SERVICE_PASSWORD};
use gatepass_server::testing::{PATIENCE, Setup, TestServer, database_lines};
use std::path::Path;
use std::process::{Command, Output};
use tokio::sync::watch;
use tokio_postgres::NoTls;

const SERVER: &str = env!("CARGO_BIN_EXE_gatepass-server");

/// What the next version knows beside this one's: two steps that expand, and one that contracts.
fn next_version() -> Vec<Migration> {
    let mut known = schema::known();
    for (name, sql) in [
        (
            "note",
            "ALTER TABLE request ADD COLUMN note text NOT NULL DEFAULT 'x'; CREATE TABLE noted (id int);",
        ),
        ("note_index", "CREATE INDEX request_by_note ON request (note) WHERE note <> 'x';"),
        ("contract_person", "DROP INDEX request_by_note; ALTER TABLE invite DROP COLUMN used_by;"),
    ] {
        let version = schema::newest(&known) + 1;
        known.push(Migration::unapplied(&format!("V{version}__{name}"), sql).unwrap());
    }
    known
}

/// The role that owns the schema.
fn owner(database: &Database) -> Options {
    let options = database.options();
    Options { url: options.url.replacen(SERVICE, OWNER, 1), ..options }
}

async fn run(database: &Database, reach: Reach) -> Migrated {
    PostgresStore::migrate_knowing(&owner(database), &next_version(), reach).await.unwrap()
}

async fn node(database: &Database) -> TestServer {
    TestServer::with(Setup { database: Some(database.options()), ..Setup::default() }).await
}

/// As if the nodes that stopped had done so a minute ago.
fn a_minute_passes(database: &Database) {
    database.psql("UPDATE node SET seen_at = seen_at - interval '1 minute'");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_run_side_by_side_until_the_old_are_gone() {
    let database = Database::fresh().await;
    let level = schema::newest(&schema::known());
    let nodes = [node(&database).await, node(&database).await];
    let mut asking = Vec::new();
    for (node, handle) in nodes.iter().zip(["tomas", "iris"]) {
        asking.push(node.person(handle, &["backend"]).await);
    }
    for handle in ["dana", "olga"] {
        nodes[0].person(handle, &[if handle == "dana" { "dba" } else { "oncall" }]).await;
    }
    let looked = run(&database, Reach::Look).await;
    assert_eq!((looked.level, looked.applied.len(), looked.waiting.len()), (level, 0, 3));

    // Whoever asks meanwhile does not notice.
    let (stop, stopped) = watch::channel(false);
    let (begun, mut count) = watch::channel(0);
    let write = async |who: usize| {
        while !*stopped.borrow() {
            let asked: Accepted = asking[who].ask("write", 60).await.get();
            asking[who].withdraw(&asked.request).await.get::<Accepted>();
            begun.send_modify(|n| *n += 1);
        }
    };
    let expand = async {
        count.wait_for(|n| *n > 2).await.unwrap();
        let done = run(&database, Reach::Contract).await;
        let sofar = *count.borrow();
        count.wait_for(|n| *n > sofar + 2).await.unwrap();
        stop.send(true).unwrap();
        done
    };
    let (done, (), ()) =
        tokio::time::timeout(PATIENCE, async { tokio::join!(expand, write(0), write(1)) }).await.unwrap();
    let contracting = format!("V{}__contract_person", level + 3);
    assert_eq!(done.level, level + 2);
    assert_eq!(done.applied, [format!("V{}__note", level + 1), format!("V{}__note_index", level + 2)]);
    assert_eq!(done.waiting, [contracting.as_str()]);
    // Both are of one name and version: this machine's.
    let [OldNode { schema, version, .. }] = done.nodes.as_slice() else { panic!("{:?}", done.nodes) };
    assert_eq!((*schema, version.as_str()), (level, env!("CARGO_PKG_VERSION")));

    // The new version joins beside them, before and while the old ones keep the last step waiting.
    let new = PostgresStore::open_knowing(&database.options(), &next_version()).await.unwrap();
    assert_eq!(new.head().await.unwrap(), nodes[0].store().head().await.unwrap());
    let again = run(&database, Reach::Contract).await;
    assert_eq!((again.applied.len(), again.nodes.len()), (0, 1), "the old ones live");
    // An old one starts again all the same.
    let third = node(&database).await;

    for old in nodes.into_iter().chain([third]) {
        old.finish().await;
    }
    a_minute_passes(&database);
    let done = run(&database, Reach::Contract).await;
    assert_eq!(
        done,
        Migrated { level: level + 3, applied: vec![contracting.clone()], ..Migrated::default() }
    );
    let refused = PostgresStore::open(&database.options()).await.err().expect("it is too old now");
    assert!(
        matches!(&refused, StoreError::Failed(why) if why.contains("too old") && why.contains(&contracting)),
        "{refused}"
    );
    assert_eq!(new.backlog().await.unwrap().jobs, 0, "the new one goes on");
    PostgresStore::open_knowing(&database.options(), &next_version()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_waits_for_a_table_lets_others_through_and_comes_back() {
    let database = Database::fresh().await;
    let url = database.server().url(SERVICE, SERVICE_PASSWORD, &database.name);
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT 1 FROM request").await.unwrap();
    let mut known = schema::known();
    let step = format!("V{}__waited", schema::newest(&known) + 1);
    known.push(Migration::unapplied(&step, "ALTER TABLE request ADD COLUMN waited text").unwrap());
    let owner = owner(&database);
    let others = async {
        while !database.server().log().contains("STATEMENT:  ALTER TABLE request ADD COLUMN waited text") {
            tokio::task::yield_now().await;
        }
        // It gave up once: whoever came behind it went on.
        client.batch_execute("COMMIT").await.unwrap();
    };
    let migrating = PostgresStore::migrate_knowing(&owner, &known, Reach::Contract);
    let both = async { tokio::join!(migrating, others) };
    let (done, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(done.unwrap().applied, [step]);
    driver.abort();
}

fn migrate(folder: &Path, args: &[&str]) -> Output {
    let config = folder.join("gatepass.toml");
    Command::new(SERVER).arg("migrate").arg("--config").arg(config).args(args).output().unwrap()
}

#[tokio::test]
async fn at_the_command_line_the_owner_brings_it_up_to_date() {
    let database = Database::fresh().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |lines: &str| {
        std::fs::write(folder.path().join("gatepass.toml"), format!("[server]\nname = \"x\"\n{lines}\n"))
            .unwrap();
    };
    write(&database_lines(&database.options(), folder.path()));
    let said =
        |done: &Output| String::from_utf8_lossy(&[&done.stdout[..], &done.stderr].concat()).into_owned();
    let done = migrate(folder.path(), &[]);
    assert!(done.status.success() && said(&done).contains("nothing is left to do"), "{}", said(&done));

    // Gone back a step: the nodes' role may not, the owner may.
    let level = schema::newest(&schema::known());
    database.psql(&format!(
        "DROP TABLE subtree;
         DELETE FROM refinery_schema_history WHERE version = {level}"
    ));
    let password = folder.path().join("database-password");
    let as_owner = ["--user", OWNER, "--password-file", password.to_str().unwrap()];
    let listed = migrate(folder.path(), &["--dry-run", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["level"], level - 1);
    assert_eq!(listed["waiting"][0], format!("V{level}__subtrees"));
    let refused = migrate(folder.path(), &[]);
    assert!(!refused.status.success() && said(&refused).contains("(42501)"), "{}", said(&refused));
    let done = migrate(folder.path(), &as_owner);
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains(&format!("V{level}__subtrees\n")), "{}", said(&done));
    assert_eq!(database.psql("SELECT max(version) FROM refinery_schema_history"), level.to_string());

    // SQLite needs nobody to do it.
    write("");
    let done = migrate(folder.path(), &[]);
    assert!(done.status.success() && said(&done).contains("by itself"), "{}", said(&done));
    assert!(folder.path().join("data/gatepass.db").exists());
}
