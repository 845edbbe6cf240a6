//! A pooler in transaction mode between the nodes and their database.

use gatepass_core::wire::Accepted;
use gatepass_server::store::postgres::Options;
use gatepass_server::testing::database::Database;
use gatepass_server::testing::{PATIENCE, Setup, TestServer, database_lines};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

async fn over(options: &Options) -> TestServer {
    TestServer::with(Setup { database: Some(options.clone()), ..Setup::default() }).await
}

fn listening(database: &Database) -> String {
    database.psql(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'gatepass-server listen'",
    )
}

#[tokio::test]
async fn an_access_from_asking_to_its_end() {
    for direct in [true, false] {
        let database = Database::fresh().await;
        let server = over(&database.behind_a_pooler(direct)).await;
        let tomas = server.person("tomas", &["backend"]).await;
        let dana = server.person("dana", &["dba"]).await;
        let olga = server.person("olga", &["oncall"]).await;
        let id = tomas.ask("write", 600).await.get::<Accepted>().request.id;
        dana.approve(&dana.request(id).await).await.get::<Accepted>();
        let given: Accepted = olga.approve(&olga.request(id).await).await.get();
        server.until("grant.active", 1).await;
        let listens = async {
            while direct && listening(&database) != "1" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.expect("it listens on the direct way");
        tomas.give_back(&given).await.get::<Accepted>();
        server.until("grant.ended", 1).await;
        if !direct {
            assert_eq!(listening(&database), "0");
        }
        server.finish().await;
    }
}

/// A look of every second is enough for hints.
#[tokio::test]
async fn without_notifications_the_other_nodes_streams_hint_within_two_seconds() {
    let database = Database::fresh().await;
    let options = database.behind_a_pooler(false);
    let (one, other) = (over(&options).await, over(&options).await);
    let tomas = one.person("tomas", &["backend"]).await;
    one.person("dana", &["dba"]).await;
    one.person("olga", &["oncall"]).await;
    // With the token of one node at the other.
    let request = tomas.http.get(format!("{}/v1/stream", other.url)).bearer_auth(&tomas.token);
    let mut stream = request.send().await.unwrap().error_for_status().unwrap();
    let mut said = String::new();
    let mut until = async |size: u64| {
        let hint = format!("data: {{\"size\":{size}}}\n\n");
        let heard = async {
            while !said.contains(&hint) {
                said.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("it goes on")));
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.unwrap_or_else(|_| panic!("no {hint} in {said}"));
    };
    until(one.store().head().await.unwrap().size).await;
    for _ in 0..3 {
        let asked: Accepted = tomas.ask("write", 60).await.get();
        let answered = Instant::now();
        until(one.store().head().await.unwrap().size).await;
        // What is looked for each second comes within two, and a busy machine takes its time beside.
        assert!(answered.elapsed() < Duration::from_secs(4), "{:?}", answered.elapsed());
        tomas.withdraw(&asked.request).await.get::<Accepted>();
    }
    assert_eq!(listening(&database), "0");
    one.finish().await;
    other.finish().await;
}

#[tokio::test]
async fn check_says_when_nothing_leads_around_the_pooler() {
    let database = Database::fresh().await;
    let directory = tempfile::tempdir().unwrap();
    for direct in [true, false] {
        let lines = database_lines(&database.behind_a_pooler(direct), directory.path());
        let file = directory.path().join("gatepass.toml");
        std::fs::write(&file, format!("[server]\nname = \"test/gatepass\"\n{lines}\n")).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_gatepass-server"));
        let done = check.arg("check").arg("--config").arg(file).stdin(Stdio::null()).output().await.unwrap();
        assert!(done.status.success());
        assert!(done.stdout.starts_with(b"ok: "));
        let noted = String::from_utf8(done.stderr).unwrap();
        assert_eq!(noted.starts_with("note: behind a pooler without “direct”"), !direct, "{noted}");
        assert_eq!(noted.is_empty(), direct, "{noted}");
    }
}
