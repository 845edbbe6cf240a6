//! Somebody rewrites the history: who may write every file of the server, and then lets it run on. What they did is found
//! and named, by the server's own check and by a device that was offline in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_server::testing::forge::{Forge, Row};
use gatepass_tests::{World, bins, eventually};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// Two lives in the log of a server that stands still: iris has seen the first, and was offline since.
struct Story {
    world: World,
    /// Copies of what is there now: the server's data and everybody's devices.
    kept: TempDir,
    /// The last position that iris has seen.
    seen: u64,
}

impl Story {
    async fn new() -> Self {
        let mut world = World::headless();
        life(&world, "R-1").await;
        let events = world.iris.json(&["audit", "list", "--limit", "1"]);
        let seen = events[0]["seq"].as_u64().unwrap();
        life(&world, "R-2").await;
        world.server.stop();
        let kept = tempfile::tempdir().unwrap();
        copy(&data(&world), &kept.path().join("data"));
        copy(world.iris.home(), &kept.path().join("home"));
        Self { world, kept, seen }
    }

    /// All is as it was when it was told.
    fn again(&mut self) -> Forge {
        self.world.server.stop();
        for (of, to) in [("data", data(&self.world)), ("home", self.world.iris.home().to_owned())] {
            fs::remove_dir_all(&to).unwrap();
            copy(&self.kept.path().join(of), &to);
        }
        Forge::open(&data(&self.world))
    }

    /// What the server's own check says.
    fn on_the_server(&self) -> Checked {
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg("verify-log").arg("--config").arg(self.world.server.config()).arg("--json");
        Checked::of(&command.output().unwrap())
    }

    /// What iris's device says once it is back: of what the server gives it, or else when it checks all that it holds.
    fn on_a_device(&mut self) -> Checked {
        self.world.server.serve();
        let given = Checked::of(&self.world.iris.run(&["--json", "audit", "list", "--limit", "1"]));
        self.world.server.stop();
        let all = Checked::of(&self.world.iris.run(&["--json", "audit", "verify"]));
        Checked {
            exit: if given.said.contains("This is the local copy") { 1 } else { given.exit.max(all.exit) },
            said: given.said + &all.said,
        }
    }
}

fn data(world: &World) -> PathBuf {
    world.server.dir().join("data")
}

/// Tomás asks, Mara approves, he gives it back.
async fn life(world: &World, number: &str) {
    let ask = ["request", "orders-db/fix", "--for", "10m", "--reason", "Wrong totals"];
    let request = world.tomas.json(&ask);
    world.mara.json(&["approve", number, "--note", "Go ahead"]);
    let id = request["id"].as_str().unwrap();
    let is = async |state: &str| {
        eventually("the access is there, or over", async || {
            world.tomas.grant(id).filter(|g| g["state"] == state).map(drop)
        })
        .await;
    };
    is("active").await;
    world.tomas.json(&["return", number]);
    is("ended").await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

/// What a check answered.
#[derive(Debug)]
struct Checked {
    exit: i32,
    said: String,
}

impl Checked {
    fn of(output: &Output) -> Self {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Self { exit: output.status.code().unwrap_or(-1), said: format!("{out}{err}") }
    }

    #[track_caller]
    fn holds(&self) {
        assert_eq!(self.exit, 0, "{self:?}");
    }

    /// It failed and said so, with the position and the words.
    #[track_caller]
    fn names(&self, what: &str, words: &[&str]) {
        assert_eq!(self.exit, 1, "{what} is not found: {}", self.said);
        for word in words {
            assert!(self.said.contains(word), "{what}: no “{word}” in {}", self.said);
        }
    }
}

fn place(rows: &[Row], kind: &str, nth: usize) -> usize {
    let found = rows.iter().enumerate().filter(|(_, r)| r.kind() == kind).nth(nth);
    found.unwrap_or_else(|| panic!("no {kind}")).0
}

#[tokio::test]
async fn what_is_done_to_the_store_is_found_and_named() {
    let mut story = Story::new().await;
    story.on_the_server().holds();
    story.on_a_device().holds();
    let seen = story.seen;

    // Single rows, and nothing made to fit.
    let forge = story.again();
    let row = forge.rows().into_iter().find(|r| r.seq > seen && r.kind() == "request.approved").unwrap();
    forge.sql(&format!(
        r#"UPDATE event SET body = replace(body, '"duration_s":600', '"duration_s":599') WHERE seq = {}"#,
        row.seq
    ));
    drop(forge);
    let at = row.seq.to_string();
    story.on_the_server().names("a changed row", &[&at, "leaf"]);
    story.on_a_device().names("a changed row", &[&at]);

    let forge = story.again();
    forge.sql(&format!("DELETE FROM event WHERE seq = {}", row.seq));
    drop(forge);
    story.on_the_server().names("a missing row", &[&at, "dense"]);
    story.on_a_device().names("a missing row", &[&at]);

    let forge = story.again();
    let last = forge.rows().len() as u64;
    forge.sql(&format!("DELETE FROM event WHERE seq > {}", last - 2));
    drop(forge);
    story.on_the_server().names("a shortened log", &[&(last - 1).to_string()]);
    story.on_a_device().names("a shortened log", &[]);

    let forge = story.again();
    let (a, b) = (row.seq, row.seq + 1);
    forge.sql(&format!(
        "UPDATE event SET seq = -1 WHERE seq = {a}; UPDATE event SET seq = {a} WHERE seq = {b};
         UPDATE event SET seq = {b} WHERE seq = -1"
    ));
    drop(forge);
    story.on_the_server().names("two rows exchanged", &[&at]);
    // Which two it cannot know: the hashes that it got make another log than the one that was signed.
    story.on_a_device().names("two rows exchanged", &["not the one this device has seen"]);

    let forge = story.again();
    forge.sql(&format!(
        "INSERT INTO event SELECT {}, 'made up', request_id, person_id, leaf, body FROM event WHERE seq = {}",
        last + 1,
        row.seq
    ));
    drop(forge);
    story.on_the_server().names("a row too many", &[&(last + 1).to_string()]);
}

/// Every hash, the tree and the signature on its head are made to fit: what remains is what devices signed and saw.
#[tokio::test]
async fn a_history_that_fits_is_found_by_what_was_signed() {
    let mut story = Story::new().await;
    type Tamper = fn(&mut Vec<Row>) -> usize;
    let cases: &[(&str, Tamper)] = &[
        ("an approval that is left out", |rows| {
            let at = place(rows, "request.approved", 1);
            rows.remove(at);
            at
        }),
        ("an approval for longer", |rows| {
            let at = place(rows, "request.approved", 1);
            change(&mut rows[at], |event| event["duration_s"] = json!(300));
            at
        }),
        ("another person’s approval", |rows| {
            let at = place(rows, "request.approved", 1);
            let asker = rows[place(rows, "request.created", 1)].json()["by"].clone();
            change(&mut rows[at], |event| event["by"] = asker);
            at
        }),
        ("two signatures exchanged", |rows| {
            let (a, b) = (place(rows, "request.created", 1), place(rows, "request.approved", 1));
            let (one, two) = (rows[a].json(), rows[b].json());
            change(&mut rows[a], |event| event["command"]["signature"] = two["command"]["signature"].clone());
            change(&mut rows[b], |event| event["command"]["signature"] = one["command"]["signature"].clone());
            a
        }),
        ("an access that nobody asked for", |rows| {
            let at = place(rows, "request.created", 1);
            rows.remove(at);
            at
        }),
        ("an end that was not read back", |rows| {
            let at = place(rows, "grant.ended", 1);
            change(&mut rows[at], |event| event["removal"]["checked_at"] = json!("2020-01-01T00:00:00Z"));
            at
        }),
    ];
    for (what, tamper) in cases {
        let forge = story.again();
        let mut rows = forge.rows();
        let at = tamper(&mut rows);
        assert!(at as u64 >= story.seen, "{what}: not seen yet");
        forge.rewrite(&rows);
        let position = (at + 1).to_string();
        story.on_the_server().names(what, &[&position]);
        story.on_a_device().names(what, &[&position]);
    }
}

fn change(row: &mut Row, how: impl FnOnce(&mut Value)) {
    let mut event = row.json();
    how(&mut event);
    row.say(&event);
}

/// What a device has seen is contradicted by whatever the server shows instead, and the device keeps both sides.
#[tokio::test]
async fn a_device_that_saw_another_history_says_so_and_signs_nothing_more() {
    let mut story = Story::new().await;
    let seen = story.seen as usize;
    type Tamper = fn(&mut Vec<Row>, usize);
    let cases: &[(&str, Tamper)] = &[
        ("a past that is rewritten", |rows, _| {
            let at = place(rows, "request.created", 0);
            change(&mut rows[at], |event| event["duration_s"] = json!(601));
        }),
        ("another catalogue under a decision", |rows, _| {
            let at = place(rows, "catalogue.published", 0);
            change(&mut rows[at], |event| event["catalogue"] = json!("0".repeat(64)));
        }),
        ("a person who was another", |rows, _| {
            let at = place(rows, "person.recorded", 0);
            change(&mut rows[at], |event| event["admin"] = json!(true));
        }),
        ("a history that is shorter than what was seen", |rows, seen| rows.truncate(seen - 2)),
        ("an event put in between", |rows, _| {
            let mut row = rows[0].clone();
            row.id = "01a20000-0000-7000-8000-000000000001".to_owned();
            change(&mut row, |event| event["id"] = json!("01a20000-0000-7000-8000-000000000001"));
            rows.insert(1, row);
        }),
    ];
    for (what, tamper) in cases {
        let forge = story.again();
        let mut rows = forge.rows();
        tamper(&mut rows, seen);
        forge.rewrite(&rows);
        contradicted(&mut story, what);
    }

    // Two histories, each of which is sound: one is shown to iris, the other to whoever comes later.
    let forge = story.again();
    let rows = forge.rows();
    drop(forge);
    story.world.server.serve();
    story.world.server.invite("lena", "Lena Vogt", "backend", &[]);
    story.world.iris.json(&["audit", "list", "--limit", "1"]);
    story.world.server.stop();
    Forge::open(&data(&story.world)).rewrite(&rows);
    story.world.server.serve();
    story.world.server.invite("paul", "Paul Weber", "backend", &[]);
    story.world.server.stop();
    contradicted(&mut story, "a fork");
    let evidence = story.world.iris.json(&["audit", "evidence"]);
    let signed = |note: &Value| note.as_str().is_some_and(|n| n.starts_with("example.com/gatepass\n"));
    assert!(signed(&evidence["seen_note"]) && signed(&evidence["got_note"]), "both signed heads: {evidence}");
    assert_ne!(evidence["seen"]["root"], evidence["got"]["root"]);

    // The log's key is exchanged: what it signs is not what was agreed on when this device joined.
    drop(story.again());
    fs::remove_file(data(&story.world).join("log.key")).unwrap();
    let mut renewed = Command::new(bins::path("gatepass-server"));
    renewed.args(["log", "recover", "--new-key", "--config"]).arg(story.world.server.config());
    let renewed = renewed.output().unwrap();
    assert!(renewed.status.success(), "{renewed:?}");
    contradicted(&mut story, "another key");
}

/// The server runs on; iris's device, and that of somebody who decides, say that it contradicts what they saw. That stays.
#[track_caller]
fn contradicted(story: &mut Story, what: &str) {
    story.world.server.serve();
    let given = Checked::of(&story.world.iris.run(&["--json", "audit", "list", "--limit", "1"]));
    assert!(given.said.contains("This is the local copy"), "{what}: {}", given.said);
    let refused = story.world.iris.try_json(&["revoke", "R-1", "--reason", "Signs something"]).unwrap_err();
    assert_eq!(refused.code, "not_verified", "{what}: {refused:?}");
    story.world.server.stop();
    let evidence = story.world.iris.json(&["audit", "evidence"]);
    assert!(evidence.as_object().is_some_and(|e| !e.is_empty()), "{what}: {evidence}");
}
