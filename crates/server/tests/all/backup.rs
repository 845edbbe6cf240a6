use gatepass_core::command::Command as Wish;
use gatepass_core::id::GrantId;
use gatepass_core::wire::{Accepted, GrantState, GrantView};
use gatepass_log::{Tree, leaf_hash};
use gatepass_server::backup::{BackupError, Compared, backup, check, restore};
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::testing::{PATIENCE, Someone, TestServer};
use rusqlite::Connection;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SERVER: &str = env!("CARGO_BIN_EXE_gatepass-server");

/// A server with two requests in its log, one of them an access, and a backup of it.
async fn backed_up(folder: &Path) -> (TestServer, Someone, PathBuf) {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    tomas.ask("read", 60).await.get::<Accepted>();
    server.until("grant.active", 1).await;
    tomas.ask("write", 60).await.get::<Accepted>();
    let file = folder.join("copy.db");
    backup(&server.config.data, &file).unwrap();
    (server, tomas, file)
}

/// Ends what [`backed_up`] began, and the test.
async fn finish(server: TestServer, tomas: &Someone) {
    let held: GrantView = tomas.get("/v1/grants/R-1").await.get();
    end(tomas, held.id).await;
    let pending = tomas.request("R-2").await;
    tomas.withdraw(&pending).await.get::<Accepted>();
    server.until("grant.ended", 1).await;
    server.finish().await;
}

async fn end(tomas: &Someone, grant: GrantId) {
    let path = format!("/v1/grants/{grant}/return");
    tomas.send(&path, Wish::Return { grant }, Vec::new()).await.get::<Accepted>();
}

#[tokio::test]
async fn taken_while_it_writes_each_is_one_moment_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let to = folder.path().join("copy.db");
    let data = server.config.data.clone();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writing = async {
        while !*stopped.borrow() {
            let asked: Accepted = tomas.ask("write", 60).await.get();
            tomas.withdraw(&asked.request).await.get::<Accepted>();
        }
    };
    let copying = async {
        let mut heads = Vec::new();
        for _ in 0..6 {
            let (data, to) = (data.clone(), to.clone());
            let taken = tokio::task::spawn_blocking(move || backup(&data, &to)).await.unwrap().unwrap();
            assert_eq!(check(&folder.path().join("copy.db")).unwrap(), taken);
            heads.push(taken.head);
        }
        stop.send(true).unwrap();
        heads
    };
    let ((), heads) = tokio::join!(writing, copying);
    let events = server.events().await;
    assert!(heads[0].size < heads[5].size, "it wrote meanwhile: {heads:?}");
    let mut tree = Tree::default();
    let mut wanted = heads.iter();
    let mut next = wanted.next();
    for (_, event) in &events {
        tree.append(leaf_hash(event).unwrap());
        while next.is_some_and(|head| head.size == tree.size()) {
            assert_eq!(next, Some(&tree.head()));
            next = wanted.next();
        }
    }
    assert_eq!(next, None, "each is a moment of the log");
    let names: Vec<_> = folder.path().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["copy.db"], "nothing else is left");
    assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    server.finish().await;
}

/// Who was disabled is, also in the copy; and a copy that says otherwise is refused.
#[tokio::test]
async fn a_disabled_device_is_disabled_in_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start().await;
    let root = server.admin("root").await;
    let tomas = server.person("tomas", &["backend"]).await;
    assert_eq!(root.revoke_all(tomas.id).await.status, 200);
    let copy = folder.path().join("copy.db");
    let taken = backup(&server.config.data, &copy).unwrap();
    assert_eq!(check(&copy).unwrap(), taken);
    let db = Connection::open(&copy).unwrap();
    db.execute("UPDATE device SET disabled = 0", []).unwrap();
    drop(db);
    let refused = check(&copy).unwrap_err();
    let unlike =
        matches!(&refused, BackupError::Unlike { what, .. } if what.contains(&tomas.device.to_string()));
    assert!(unlike, "{refused}");
    server.finish().await;
}

#[tokio::test]
async fn restored_everything_reads_and_what_was_given_since_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut server, mut tomas, file) = backed_up(folder.path()).await;
    let before = server.events().await;
    let data = server.config.data.clone();

    // After the backup: the access is given back, and another one given.
    let held: GrantView = tomas.get("/v1/grants/R-1").await.get();
    let accepted: Accepted = tomas.ask("read", 120).await.get();
    server.until("grant.active", 2).await;
    assert_eq!(server.fake.accesses().len(), 2);

    let refused = restore(&data, &file, SystemClock.now()).unwrap_err();
    assert!(matches!(refused, BackupError::Running(_)), "{refused}");
    let lost = server.events().await.len() - before.len();
    server.down().await;
    let restored = restore(&data, &file, SystemClock.now()).unwrap();
    let was = restored.before.clone().unwrap();
    let size = before.len() as u64;
    assert_eq!(restored.contents.head.size, size);
    let compared = Compared { size: size + lost as u64, lost: lost as u64, differs: None };
    assert_eq!(was.compared, Some(compared));
    assert!(restored.to_string().contains(&format!("Lost: {lost} events, those after position {size}.")));
    // What was there is whole, too.
    assert_eq!(check(&was.kept).unwrap().head.size, compared.size);

    server.up().await;
    tomas.url = server.url.clone();
    tomas.sign_in().await;
    assert_eq!(server.events().await[..before.len()], before[..]);
    assert_eq!(tomas.get("/v1/grants/R-1").await.get::<GrantView>().state, GrantState::Active);
    assert_eq!(tomas.get(&format!("/v1/requests/{}", accepted.request.id)).await.code(), "not_found");
    // The access nobody knows any more is taken away; the one that is known stays.
    let removed = async {
        while server.fake.accesses().len() > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, removed).await.expect("the unknown access is removed");
    assert!(server.fake.accesses().contains_key(&held.id));

    // And on it goes.
    let pending = tomas.request("R-2").await;
    tomas.withdraw(&pending).await.get::<Accepted>();
    let again: Accepted = tomas.ask("write", 60).await.get();
    assert_eq!(again.request.number, "R-3");
    tomas.withdraw(&again.request).await.get::<Accepted>();
    end(&tomas, held.id).await;
    server.until("grant.ended", 1).await;
    server.finish().await;
}

#[tokio::test]
async fn what_was_edited_cut_or_is_no_backup_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (server, tomas, file) = backed_up(folder.path()).await;
    let size = check(&file).unwrap().head.size;
    let created = 1 + server.kinds().await.iter().position(|k| *k == "request.created").unwrap();
    let edits = [
        (
            format!("UPDATE event SET body = replace(body, 'orders-db', 'orders-dc') WHERE seq = {created}"),
            format!("the event at position {created} is not the one"),
        ),
        (
            format!("UPDATE event SET leaf = randomblob(32) WHERE seq = {created}"),
            format!("the event at position {created} is not the one"),
        ),
        (
            format!("DELETE FROM event WHERE seq = {created}"),
            format!("position {created} of the log is missing"),
        ),
        (format!("DELETE FROM event WHERE seq = {size}"), format!("position {size} is missing")),
        ("UPDATE head SET size = size - 1".to_owned(), "head does not hold".to_owned()),
        ("DELETE FROM head".to_owned(), "goes on after position 0".to_owned()),
        (
            "UPDATE request SET body = replace(body, '\"pending\"', '\"approved\"') WHERE state = 'pending'"
                .to_owned(),
            format!("is not what the log says at position {size}"),
        ),
        (
            "DELETE FROM request WHERE number = 1".to_owned(),
            format!("is not what the log says at position {created}"),
        ),
        ("UPDATE person SET admin = 1 WHERE handle = 'tomas'".to_owned(), "the person “tomas”".to_owned()),
        (
            "UPDATE person SET groups = '[\"dba\"]' WHERE handle = 'tomas'".to_owned(),
            "the person “tomas”".to_owned(),
        ),
        (
            "UPDATE person SET handle = 'noor' WHERE handle = 'tomas'".to_owned(),
            "the person “noor”".to_owned(),
        ),
        (
            "UPDATE device SET signing_key = seal_key WHERE name = 'laptop'".to_owned(),
            "the device".to_owned(),
        ),
        (
            "UPDATE text SET text = 'all is well' WHERE text = 'stuck orders'".to_owned(),
            "a text is not".to_owned(),
        ),
        ("DROP TABLE event".to_owned(), "no such table: event".to_owned()),
    ];
    let edited = folder.path().join("edited.db");
    let data = folder.path().join("data");
    for (sql, wanted) in &edits {
        std::fs::copy(&file, &edited).unwrap();
        let db = Connection::open(&edited).unwrap();
        assert!(db.execute(sql, []).unwrap() > 0 || sql.starts_with("DROP"), "{sql}");
        drop(db);
        let said = restore(&data, &edited, SystemClock.now()).unwrap_err().to_string();
        assert!(said.contains(wanted) && said.contains("edited.db"), "{sql}: {said}");
    }
    let whole = std::fs::read(&file).unwrap();
    let mut overwritten = whole.clone();
    overwritten[whole.len() / 2..][..4096].fill(0x55);
    let texts: [&[u8]; 5] = [
        &whole[..whole.len() / 2],
        &whole[..whole.len() - 4096],
        b"",
        b"[server]\nname = \"x\"\n",
        &overwritten,
    ];
    for bytes in texts {
        std::fs::write(&edited, bytes).unwrap();
        let said = restore(&data, &edited, SystemClock.now()).unwrap_err().to_string();
        assert!(
            said.contains("damaged") || said.contains("is not a backup"),
            "{} bytes: {said}",
            bytes.len()
        );
    }
    let left: Vec<_> = data.read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["serving.lock"], "nothing was put there");
    // Itself it still is one.
    restore(&data, &file, SystemClock.now()).unwrap();
    finish(server, &tomas).await;
}

#[tokio::test]
async fn over_data_that_is_broken_the_parts_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (server, tomas, file) = backed_up(folder.path()).await;
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for name in ["gatepass.db", "gatepass.db-wal", "gatepass.db-shm"] {
        std::fs::write(data.join(name), format!("not {name}")).unwrap();
    }
    let restored = restore(&data, &file, SystemClock.now()).unwrap();
    let kept = restored.before.unwrap();
    assert_eq!(kept.compared, None);
    assert_eq!(std::fs::read_to_string(&kept.kept).unwrap(), "not gatepass.db");
    let wal = PathBuf::from(format!("{}-wal", kept.kept.display()));
    assert_eq!(std::fs::read_to_string(wal).unwrap(), "not gatepass.db-wal");
    assert!(!data.join("gatepass.db-wal").exists(), "it would be played into the new file");
    assert_eq!(check(&data.join("gatepass.db")).unwrap(), restored.contents);

    finish(server, &tomas).await;
}

fn run(folder: &Path, args: &[&str]) -> Output {
    let config = folder.join("gatepass.toml");
    Command::new(SERVER).arg(args[0]).arg("--config").arg(config).args(&args[1..]).output().unwrap()
}

/// A configuration whose password file is not there: neither verb needs it.
fn configured(folder: &Path, more: &str) {
    let text = format!(
        "[server]\nname = \"test/gatepass\"\n{more}\n[[target]]\nid = \"pg\"\nkind = \"postgres\"\n\
         url = \"postgres://a@127.0.0.1:1/x\"\npassword_file = \"./missing\"\n"
    );
    std::fs::write(folder.join("gatepass.toml"), text).unwrap();
}

#[tokio::test]
async fn killed_meanwhile_it_leaves_nothing_that_passes_for_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let (server, tomas, good) = backed_up(folder.path()).await;
    configured(folder.path(), "");
    let to = folder.path().join("nightly.db");
    assert!(run(folder.path(), &["restore", "--from", good.to_str().unwrap()]).status.success());
    // Large enough to be caught at it.
    let db = Connection::open(folder.path().join("data/gatepass.db")).unwrap();
    db.execute_batch("CREATE TABLE filler (x BLOB); INSERT INTO filler VALUES (randomblob(80000000));")
        .unwrap();
    drop(db);
    let before = check(&good).unwrap();
    std::fs::copy(&good, &to).unwrap();

    let mut command = Command::new(SERVER);
    command.arg("backup").arg("--config").arg(folder.path().join("gatepass.toml")).arg("--to").arg(&to);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let unfinished = folder.path().join("nightly.db.unfinished");
    let begun = async {
        while unfinished.metadata().map_or(0, |m| m.len()) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.expect("it begins");
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it was killed before it was done");
    assert_eq!(check(&to).unwrap(), before, "the backup that was there stays");
    let refused = check(&unfinished).unwrap_err();
    assert!(matches!(refused, BackupError::Damaged { .. } | BackupError::Foreign { .. }), "{refused}");

    // The next one clears it away.
    let done = run(folder.path(), &["backup", "--to", to.to_str().unwrap()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(
        said.starts_with(&format!("{} events, 2 requests, 3 people, 3 devices, ", before.head.size)),
        "{said}"
    );
    assert!(said.contains(&before.head.root.0), "{said}");
    assert!(!unfinished.exists());
    assert_eq!(check(&to).unwrap().head, before.head);

    finish(server, &tomas).await;
}

#[test]
fn what_can_not_be_copied_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], wanted: &str| {
        let done = run(folder.path(), args);
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains(wanted), "{said}");
    };
    let to = folder.path().join("copy.db");
    let to = to.to_str().unwrap();
    configured(folder.path(), "database = \"postgres://gatepass@db/gatepass\"");
    refused(&["backup", "--to", to], "pg_dump");
    refused(&["restore", "--from", to], "pg_dump");
    configured(folder.path(), "");
    refused(&["backup", "--to", to], "there is nothing to back up");
    refused(&["restore", "--from", to], "copy.db can’t be read: there is no such file");
    assert!(!Path::new(to).exists());
    let data = folder.path().join("data");
    std::fs::write(data.join("gatepass.db"), "").unwrap();
    for name in ["gatepass.db", "gatepass.db-wal", "../data/gatepass.db", "serving.lock"] {
        refused(&["backup", "--to", data.join(name).to_str().unwrap()], "belongs to the server’s own data");
    }
    refused(&["backup", "--to", "/nowhere/at/all.db"], "/nowhere/at/all.db.unfinished can’t be written");
    std::fs::write(folder.path().join("gatepass.toml"), "[server\n").unwrap();
    refused(&["backup", "--to", to], "gatepass.toml:1:8: ");
}
