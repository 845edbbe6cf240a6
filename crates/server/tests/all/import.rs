//! From SQLite into PostgreSQL, with everything that was alive.

use chrono::TimeDelta;
use gatepass_core::event::Event;
use gatepass_core::wire::{Accepted, GrantState, GrantView, LogPage, RequestView};
use gatepass_server::clock::{Clock, SystemClock};
use gatepass_server::import::{ImportError, Imported, import};
use gatepass_server::testing::database::{Database, OWNER, SERVICE_PASSWORD};
use gatepass_server::testing::{PATIENCE, Setup, Someone, TestClock, TestServer, database_lines};
use rusqlite::Connection;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

const SERVER: &str = env!("CARGO_BIN_EXE_gatepass-server");

struct Life {
    server: TestServer,
    tomas: Someone,
    dana: Someone,
    olga: Someone,
    iris: Someone,
}

/// Requests in every state, two live accesses, an open invite.
async fn life(clock: Arc<dyn Clock>) -> Life {
    let server = TestServer::with(Setup { clock, ..Setup::default() }).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    let olga = server.person("olga", &["oncall"]).await;
    let iris = server.auditor("iris").await;
    // R-1 is given back, R-2 ends later, R-3 is approved and lives, R-4 denied, R-5 withdrawn, R-6 half approved.
    let returned: Accepted = tomas.ask("read", 60).await.get();
    server.until("grant.active", 1).await;
    end(&tomas, "R-1").await;
    server.until("grant.ended", 1).await;
    tomas.ask("read", 3600).await.get::<Accepted>();
    server.until("grant.active", 2).await;
    let mut asked = Vec::new();
    for _ in 3..=6 {
        asked.push(tomas.ask("write", 600).await.get::<Accepted>().request);
    }
    dana.approve(&dana.request("R-3").await).await.get::<Accepted>();
    olga.approve(&olga.request("R-3").await).await.get::<Accepted>();
    server.until("grant.active", 3).await;
    dana.decide(&dana.request("R-4").await, gatepass_core::wire::Verdict::Deny, None).await.get::<Accepted>();
    tomas.withdraw(&asked[2]).await.get::<Accepted>();
    dana.approve(&dana.request("R-6").await).await.get::<Accepted>();
    assert_eq!(returned.request.number, "R-1");
    Life { server, tomas, dana, olga, iris }
}

async fn end(tomas: &Someone, request: &str) {
    let held: GrantView = tomas.get(&format!("/v1/grants/{request}")).await.get();
    let wish = gatepass_core::command::Command::Return { grant: held.id };
    tomas.send(&format!("/v1/grants/{}/return", held.id), wish, Vec::new()).await.get::<Accepted>();
}

/// Ends the test on whatever it runs.
async fn finish(server: TestServer, tomas: &Someone) {
    for held in ["R-2", "R-3"] {
        end(tomas, held).await;
    }
    let pending = tomas.request("R-6").await;
    tomas.withdraw(&pending).await.get::<Accepted>();
    server.until("grant.ended", 3).await;
    server.finish().await;
}

async fn taken(data: &Path, database: &Database) -> Result<Imported, ImportError> {
    import(data, &database.options(), &|_, _| {}).await
}

/// How many rows the database has of anything.
fn rows(database: &Database) -> String {
    database.psql(
        "SELECT (SELECT count(*) FROM event) + (SELECT count(*) FROM request) + (SELECT count(*) FROM person)
             + (SELECT count(*) FROM job) + (SELECT count(*) FROM setting) + (SELECT size FROM head)",
    )
}

#[tokio::test]
async fn everything_goes_along_and_goes_on() {
    let clock = TestClock::new(SystemClock.now());
    let Life { mut server, mut tomas, mut dana, mut olga, mut iris } = life(clock.clone()).await;
    let data = server.config.data.clone();
    let database = Database::fresh().await;
    let running = taken(&data, &database).await.unwrap_err();
    assert!(matches!(running, ImportError::Running(_)), "{running}");

    let lists = async |who: [&Someone; 4]| {
        let mut all = Vec::new();
        for someone in who {
            for path in [
                "/v1/grants/R-2/credential",
                "/v1/requests",
                "/v1/requests?pending=true",
                "/v1/grants",
                "/v1/log?after=0",
            ] {
                all.push(someone.get(path).await.body);
            }
        }
        all
    };
    let before = lists([&tomas, &dana, &olga, &iris]).await;
    assert!(before[0]["sealed"].is_string(), "{}", before[0]);
    let events: Vec<(u64, Event)> = server.events().await;
    let token = tomas.token.clone();
    let invited = server.invite("newcomer", &["backend"], false, false).await;
    let head = server.store().head().await.unwrap();
    server.down().await;
    let file = data.join("gatepass.db");
    let bodies = |db: &Connection| -> Vec<String> {
        let mut query = db.prepare("SELECT hex(leaf) || body FROM event ORDER BY seq").unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let kept = bodies(&Connection::open(&file).unwrap());

    let done = taken(&data, &database).await.unwrap();
    assert_eq!(done.head, head);
    assert_eq!((done.requests, done.people, done.devices), (6, 5, 4));
    assert_eq!(done.jobs, 3, "two ends and a lapse");
    let written = database.psql("SELECT upper(encode(leaf, 'hex')) || body FROM event ORDER BY seq");
    assert_eq!(written.lines().collect::<Vec<_>>(), kept, "byte for byte");
    assert_eq!(bodies(&Connection::open(&file).unwrap()), kept, "and left where it was");

    // On the old data no server starts any more, nor does it invite.
    let refused = gatepass_server::start(server.config.clone(), Default::default()).await.err().unwrap();
    assert!(refused.to_string().contains("was moved to postgres://"), "{refused}");

    // The new one has the same for everybody, and what they held goes on: tokens, invites, accesses, pending decisions.
    let fake = server.fake.clone();
    assert_eq!(fake.accesses().len(), 2);
    let setup = Setup { database: Some(database.options()), fake, clock: clock.clone(), ..Setup::default() };
    let mut new = TestServer::with(setup).await;
    for someone in [&mut tomas, &mut dana, &mut olga, &mut iris] {
        someone.url = new.url.clone();
    }
    assert_eq!(new.events().await[..events.len()], events[..]);
    assert_eq!(tomas.get("/v1/me").await.status, 200, "a token of before is good");
    assert_eq!(tomas.token, token);
    let after = lists([&tomas, &dana, &olga, &iris]).await;
    for (before, after) in before.iter().zip(&after) {
        match before.get("entries") {
            // The log went on: the newcomer was invited.
            Some(entries) => {
                let was: LogPage = serde_json::from_value(before.clone()).unwrap();
                let now: LogPage = serde_json::from_value(after.clone()).unwrap();
                assert!(now.head.size > was.head.size);
                let many = entries.as_array().unwrap().len();
                assert_eq!(after["entries"].as_array().unwrap()[..many], entries.as_array().unwrap()[..]);
            }
            None => assert_eq!(before, after),
        }
    }
    let newcomer = new.join(&invited).await;
    assert_eq!(newcomer.ask("read", 60).await.get::<Accepted>().request.number, "R-7");
    olga.approve(&olga.request("R-6").await).await.get::<Accepted>();
    new.until("grant.active", 5).await;

    // The end that was on its way in SQLite comes from PostgreSQL, also after another start.
    new.down().await;
    clock.advance(TimeDelta::hours(2));
    new.up().await;
    new.until("grant.ended", 5).await;
    tomas.url = new.url.clone();
    tomas.sign_in().await;
    assert_eq!(tomas.get("/v1/grants/R-2").await.get::<GrantView>().state, GrantState::Ended);
    new.finish().await;
    // What a backup of the old directory restores may be served again.
    let copy = data.with_file_name("copy.db");
    gatepass_server::backup::backup(&data, &copy).unwrap();
    let now = server.clock.now();
    gatepass_server::backup::restore(&data, &copy, now).unwrap();
    server.up().await;
    tomas.url = server.url.clone();
    tomas.sign_in().await;
    let pending = tomas.request("R-6").await;
    tomas.withdraw(&pending).await.get::<Accepted>();
    server.until("grant.ended", 3).await;
    server.finish().await;
}

#[tokio::test]
async fn nothing_goes_into_a_database_that_is_used_nor_out_of_a_log_that_is_broken() {
    let Life { mut server, mut tomas, .. } = life(Arc::new(SystemClock)).await;
    let data = server.config.data.clone();
    server.down().await;
    let file = data.join("gatepass.db");

    // Somebody lives there.
    let used = Database::fresh().await;
    let other = TestServer::with(Setup { database: Some(used.options()), ..Setup::default() }).await;
    let refused = taken(&data, &used).await.unwrap_err();
    assert!(matches!(refused, ImportError::NotEmpty("it has a log")), "{refused}");
    assert_eq!(used.psql("SELECT count(*) FROM event"), "1");
    other.finish().await;

    // Broken in ways that only a look at all of it finds.
    let whole = std::fs::read(&file).unwrap();
    let empty = Database::fresh().await;
    let created = "SELECT min(seq) FROM event WHERE body LIKE '%request.created%'";
    let created: i64 = Connection::open(&file).unwrap().query_row(created, [], |row| row.get(0)).unwrap();
    for (sql, wanted) in [
        (
            format!("UPDATE event SET body = replace(body, 'orders-db', 'orders-dc') WHERE seq = {created}"),
            format!("at position {created}"),
        ),
        (
            format!("DELETE FROM event WHERE seq = {created}"),
            format!("position {created} of the log is missing"),
        ),
        (
            "UPDATE text SET text = 'all is well' WHERE text = 'stuck orders'".to_owned(),
            "a text is not".to_owned(),
        ),
        ("UPDATE person SET admin = 1 WHERE handle = 'tomas'".to_owned(), "tomas".to_owned()),
    ] {
        Connection::open(&file).unwrap().execute_batch(&sql).unwrap();
        let said = taken(&data, &empty).await.unwrap_err().to_string();
        assert!(said.contains(&wanted) && said.contains("Nothing was imported"), "{sql}: {said}");
        assert_eq!(rows(&empty), "0", "{sql}");
        std::fs::write(&file, &whole).unwrap();
    }
    // Of another database than it was moved to.
    taken(&data, &empty).await.unwrap();
    let second = Database::fresh().await;
    let said = taken(&data, &second).await.unwrap_err().to_string();
    assert!(said.contains(&empty.options().url), "{said}");
    assert!(matches!(taken(&data, &empty).await.unwrap_err(), ImportError::NotEmpty(_)));
    assert!(matches!(
        taken(&data.with_file_name("nowhere"), &second).await.unwrap_err(),
        ImportError::Nothing(_)
    ));

    std::fs::write(&file, &whole).unwrap();
    server.up().await;
    tomas.url = server.url.clone();
    finish(server, &tomas).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_leaves_nothing_and_can_be_done_again() {
    let Life { mut server, mut tomas, .. } = life(Arc::new(SystemClock)).await;
    let data = server.config.data.clone();
    server.down().await;
    let database = Database::fresh().await;
    let folder = tempfile::tempdir().unwrap();
    let lines = database_lines(&database.options(), folder.path());
    let config = folder.path().join("gatepass.toml");
    std::fs::write(&config, format!("[server]\nname = \"x\"\n{lines}\n")).unwrap();
    let command = || {
        let mut command = Command::new(SERVER);
        command.arg("import").arg("--config").arg(&config).arg("--from").arg(&data);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    // It writes as far as `sight`, where somebody holds it up.
    let url = database.server().url(OWNER, SERVICE_PASSWORD, &database.name);
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE sight IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut child = command().spawn().unwrap();
    let waits = async {
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE application_name = 'gatepass-server import' AND wait_event_type = 'Lock'";
        while database.psql(sql) == "0" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.expect("it waits in the middle");
    child.kill().unwrap();
    child.wait().unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    driver.abort();
    let gone = async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gatepass-server import'";
        while database.psql(sql) != "0" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("its connection ends");
    assert_eq!(rows(&database), "0");

    // As if it had been killed later: when the directory was marked, and the database not told to keep it.
    let mark = format!("INSERT INTO setting VALUES ('moved_to', '{}')", database.options().url);
    Connection::open(data.join("gatepass.db")).unwrap().execute_batch(&mark).unwrap();
    let done = command().output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.contains("marked as moved"), "{said}");
    let printed = String::from_utf8(done.stdout).unwrap();
    assert!(printed.contains("6 requests, 4 people, 4 devices, 3 jobs"), "{printed}");
    assert_eq!(database.psql("SELECT last_value FROM request_number"), "6");

    // Back to SQLite, for the end of this test.
    let mark = "DELETE FROM setting WHERE key = 'moved_to'";
    Connection::open(data.join("gatepass.db")).unwrap().execute_batch(mark).unwrap();
    server.up().await;
    tomas.url = server.url.clone();
    let view: RequestView = tomas.request("R-1").await;
    assert_eq!(view.number, "R-1");
    finish(server, &tomas).await;
}
