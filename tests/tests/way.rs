//! The whole way of a request at the command line, with the real programs and a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::world::World;
use gatepass_tests::{Person, until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn ask(person: &Person, length: &str) -> Value {
    person.json(&[
        "request",
        "orders-db/fix",
        "--for",
        length,
        "--reason",
        "stuck\u{202e} orders",
        "--ticket",
        "INC-1",
    ])
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(*key).is_some(), "{key} in {value}");
    }
}

fn refused(person: &Person, args: &[&str], exit: i32, code: &str) {
    match person.try_json(args) {
        Ok(value) => panic!("{args:?} went through: {value}"),
        Err(refused) => {
            assert_eq!((refused.exit, refused.code.as_str()), (exit, code), "{args:?}: {refused:?}")
        }
    }
}

async fn state(person: &Person, request: &str, wanted: &str) -> Value {
    until(&format!("the access is {wanted}"), PATIENCE, async || {
        person.grant(request).filter(|g| g["state"] == wanted)
    })
    .await
}

/// A command under way, its output read line by line.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("gatepass");
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    fn json(&mut self) -> Value {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("“{line}” is not JSON: {e}"))
    }

    /// Reads what it says to people until a line has `part`.
    fn says(&mut self, part: &str) {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert!(self.err.read_line(&mut line).unwrap() > 0, "it ended without saying “{part}”");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn ask_approve_use_extend_revoke_and_read_it_all_in_the_log() {
    let world = World::headless();
    let World { tomas, noor, mara, iris, .. } = &world;
    let mut watch = Running::start(iris.command(&["--json", "watch"]));
    watch.says("watching");

    let me = tomas.json(&["me"]);
    assert_eq!((text(&me["person"], "handle"), text(&me, "server")), ("tomas", "example.com/gatepass"));
    let catalogue = tomas.json(&["catalogue"]);
    assert_eq!(text(&catalogue[0], "id"), "orders-db");

    let args = ["request", "orders-db/fix", "--for", "10m", "--reason", "r", "--dry-run"];
    let preview = tomas.json(&args);
    assert_eq!(preview["allowed"], true);
    assert_eq!(tomas.json(&["requests"]), Value::Array(vec![]), "a dry run keeps nothing");

    let request = ask(tomas, "10m");
    keys(&request, &["id", "resource", "role", "state", "by", "reason", "ticket", "created_at"]);
    assert_eq!((text(&request, "state"), text(&request, "by")), ("pending", "tomas"));
    assert_eq!(text(&request, "reason"), "stuck\u{202e} orders", "JSON keeps the text as it is");
    assert!(text(&request, "created_at").ends_with('Z'));
    let (id, number) = (text(&request, "id"), text(&request, "number"));
    let shown = String::from_utf8(tomas.run(&["requests"]).stdout).unwrap();
    assert!(shown.contains("stuck⟨U+202E⟩ orders") && !shown.contains('\u{1b}'), "{shown}");

    let event = watch.json();
    keys(&event, &["seq", "id", "at", "kind", "by", "sentence"]);
    assert_eq!((text(&event, "kind"), text(&event, "by")), ("request.created", "tomas"));

    refused(tomas, &["approve", number], 6, "self_approval");
    assert_eq!(noor.json(&["requests", "--to-review"])[0]["id"], id);
    let approved = noor.json(&["approve", number, "--for", "5m", "--note", "go on"]);
    assert_eq!(text(&approved, "state"), "approved");
    refused(mara, &["approve", id], 1, "already_decided");

    let grant = state(tomas, id, "active").await;
    keys(&grant, &["id", "request", "resource", "role", "state", "starts_at", "ends_at"]);
    assert_eq!(grant["duration_s"], 300);
    let credential = tomas.json(&["credential", number]);
    assert_eq!(text(&credential, "kind"), "postgres");
    assert!(
        text(&credential, "url").starts_with("postgres://") && text(&credential, "expires_at").ends_with('Z')
    );
    assert_eq!(credential.as_object().unwrap().len(), 3);
    let psql =
        Command::new("psql").args([text(&credential, "url"), "-Atc", "SELECT 1"]).output().expect("psql");
    assert_eq!(
        String::from_utf8_lossy(&psql.stdout).trim(),
        "1",
        "{}",
        String::from_utf8_lossy(&psql.stderr)
    );
    refused(noor, &["credential", number], 6, "not_yours");

    let more = tomas.json(&["extend", number, "--for", "2m", "--reason", "not done"]);
    assert_eq!((text(&more, "state"), text(&more, "extends")), ("pending", text(&grant, "id")));
    noor.json(&["approve", text(&more, "id")]);
    let longer = tomas.grant(id).unwrap();
    assert!(text(&longer, "ends_at") > text(&grant, "ends_at"));

    refused(tomas, &["revoke", number, "--reason", "x"], 6, "may_not_revoke");
    assert_eq!(text(&noor.json(&["revoke", number, "--reason", "enough"]), "id"), text(&grant, "id"));
    let ended = state(tomas, id, "ended").await;
    assert_eq!((text(&ended, "end"), text(&ended, "end_reason")), ("revoked", "enough"));
    assert_eq!(world.logins(), 0);
    refused(tomas, &["return", number], 1, "grant_over");

    let mut kinds = vec!["request.created".to_owned()];
    while kinds.last().is_some_and(|k| k != "grant.ended") {
        kinds.push(text(&watch.json(), "kind").to_owned());
    }
    for kind in ["request.approved", "request.granted", "grant.active", "grant.extended", "grant.ending"] {
        assert!(kinds.iter().any(|k| k == kind), "{kind} in {kinds:?}");
    }

    let events = iris.json(&["audit", "search", "person:noor", "kind:approved"]);
    assert_eq!(events.as_array().unwrap().len(), 2);
    let detail = iris.json(&["audit", "show", &events[1]["seq"].to_string()]);
    keys(&detail, &["seq", "id", "at", "kind", "by", "sentence", "raw", "leaf"]);
    assert_eq!((&detail["signature"]["valid"], &detail["in_verified_tree"]), (&true.into(), &true.into()));
    let all = iris.json(&["audit", "list"]);
    let seqs: Vec<u64> = all.as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert!(seqs.len() > 10 && seqs.is_sorted_by(|a, b| a > b), "newest first: {seqs:?}");
    assert_eq!(iris.json(&["audit", "list", "--limit", "3"]).as_array().unwrap().len(), 3);
    // Whoever may read an event can check who signed it.
    let theirs = tomas.json(&["audit", "show", &events[1]["seq"].to_string()]);
    assert_eq!(theirs["signature"]["valid"], true);
}
