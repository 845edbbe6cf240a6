//! PostgreSQL answers, and says no: too many connections, no room.

use crate::days::{BOUND, Database, Days};
use gatepass_server::testing::database::SERVICE;
use gatepass_testkit::Postgres;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_left() {
    let days = Days::two(Database::Own(Postgres::start())).await;
    let load = days.load(4);
    load.more(10).await;
    let end =
        format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{SERVICE}'");
    days.psql(&format!("ALTER ROLE {SERVICE} CONNECTION LIMIT 0"));
    days.psql(&end);
    let tomas = days.at(0, &days.tomas);
    let answer = tomas.ask("fix", 60).await;
    assert_eq!((answer.status, answer.code()), (503, "unavailable"));
    let ready = days.http.get(format!("{}/readyz", days.nodes[0].url)).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    // Fewer than the nodes would like.
    days.psql(&format!("ALTER ROLE {SERVICE} CONNECTION LIMIT 5"));
    load.more(30).await;
    let access = days.access(1, 2).await;
    days.psql(&format!("ALTER ROLE {SERVICE} CONNECTION LIMIT -1"));
    let outcome = load.stop().await;
    days.nothing_left(access.ends_at.unwrap(), BOUND).await;
    days.well(&outcome).await;
}

/// A small file system of its own, if this user may mount one.
struct Small(tempfile::TempDir);

impl Small {
    fn new(size: &str) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("gatepass-small-").tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            println!("no tmpfs can be mounted here: a trigger says that the disk is full instead");
        }
        mounted.then(|| Self(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

const FULL: &str = "
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'could not extend file: no space left on device' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER no_room BEFORE INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION no_room();";

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_full() {
    let small = Small::new("48m");
    let mut days = Days::two(Database::Own(Postgres::start())).await;
    if let Some(small) = &small {
        days.database().hand_over(small.0.path());
        // The data there, the log of writes where there is room, as one would set it up.
        let (name, at) = (days.name.clone(), small.0.path().display().to_string());
        let server = days.database();
        server.psql("postgres", &format!("CREATE TABLESPACE small LOCATION '{at}'"));
        server.psql("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
        let end =
            format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'");
        server.psql("postgres", &end);
        server.psql("postgres", &format!("ALTER DATABASE {name} SET TABLESPACE small"));
        server.psql("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    }
    let access = {
        gatepass_tests::eventually("the nodes are back", async || {
            (days.at(0, &days.tomas).ask("fix", 60).await.status == 201).then_some(())
        })
        .await;
        days.access(0, 6).await
    };
    let load = days.load(4);
    let filler = |small: &Small| small.0.path().join("filler");
    match &small {
        Some(small) => fill(&filler(small)),
        None => drop(days.psql(FULL)),
    }
    let refused = gatepass_tests::until("a write is refused", Duration::from_secs(40), async || {
        let answer = days.at(1, &days.tomas).ask("fix", 60).await;
        (answer.status == 507).then(|| answer.code().to_owned())
    })
    .await;
    assert_eq!(refused, "disk_full");
    for node in 0..2 {
        let tomas = days.at(node, &days.tomas);
        assert_eq!(tomas.get("/v1/requests?limit=5").await.status, 200);
        assert_eq!(tomas.get("/v1/log/events?after=0").await.status, 200);
    }
    // The end comes all the same.
    days.nothing_left(access.ends_at.unwrap(), BOUND).await;
    match &small {
        Some(small) => std::fs::remove_file(filler(small)).unwrap(),
        None => drop(days.psql("DROP TRIGGER no_room ON outbox")),
    }
    load.more(20).await;
    let outcome = load.stop().await;
    days.well(&outcome).await;
    let gone = "SELECT count(*) FROM request WHERE grant_state NOT IN ('ended', 'failed')";
    gatepass_tests::eventually("the end is written down", async || (days.psql(gone) == "0").then_some(()))
        .await;
}

/// Takes all room there is.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    let mut bytes = vec![0u8; 1 << 20];
    while !bytes.is_empty() {
        match file.write(&bytes) {
            Ok(1..) => {}
            // What is left is smaller than that.
            Ok(0) | Err(_) => bytes.truncate(bytes.len() / 2),
        }
    }
}
