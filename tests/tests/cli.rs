//! The command line's contract, with the real programs and a real PostgreSQL.
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

    fn exit(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_whole_way_of_a_request() {
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

#[tokio::test]
async fn waiting_ends_as_the_request_does() {
    let world = World::headless();
    let World { tomas, noor, .. } = &world;
    let wait = |more: &[&str]| {
        let args = ["--json", "request", "orders-db/fix", "--for", "10m", "--reason", "r"];
        Running::start(tomas.command(&[&args, more].concat()))
    };
    let latest = async || {
        until("the request is there", PATIENCE, async || {
            let all = noor.json(&["requests", "--to-review"]);
            all.get(0).map(|r| text(r, "id").to_owned())
        })
        .await
    };
    let mut approved = wait(&["--wait", "60s"]);
    noor.json(&["approve", &latest().await]);
    let request = approved.json();
    assert_eq!((text(&request, "state"), approved.exit()), ("approved", 0));
    assert_eq!(text(&tomas.grant(text(&request, "id")).unwrap(), "state"), "active");
    assert_eq!(tomas.grant(text(&request, "id")).unwrap()["id"], request["grant"]);

    let mut denied = wait(&["--wait"]);
    noor.json(&["deny", &latest().await, "--reason", "not now"]);
    assert_eq!((text(&denied.json(), "state"), denied.exit()), ("denied", 3));

    let mut late = wait(&["--wait", "1s"]);
    assert_eq!((text(&late.json(), "state"), late.exit()), ("pending", 4));

    let mut withdrawn = wait(&["--wait"]);
    let id = until("a second one waits", PATIENCE, async || {
        let all = noor.json(&["requests", "--to-review"]);
        all.as_array().filter(|a| a.len() == 2).map(|a| text(&a[0], "id").to_owned())
    })
    .await;
    assert_eq!(text(&tomas.json(&["withdraw", &id]), "state"), "withdrawn");
    assert_eq!((text(&withdrawn.json(), "state"), withdrawn.exit()), ("withdrawn", 4));
}

#[tokio::test]
async fn refusals_have_their_codes() {
    let world = World::headless();
    let World { tomas, noor, mara, .. } = &world;
    let ask = |role: &str, length: &str, more: &[&str]| {
        let args = ["request", role, "--for", length];
        tomas.try_json(&[&args, more].concat()).map_err(|r| (r.exit, r.code))
    };
    let refusal = |exit: i32, code: &str| Err((exit, code.to_owned()));
    let full = ["--reason", "r", "--ticket", "INC-1"];
    assert_eq!(ask("orders-db/nope", "5m", &full), refusal(1, "unknown_role"));
    assert_eq!(ask("nope/write", "5m", &full), refusal(1, "unknown_resource"));
    assert_eq!(ask("orders-db/write", "3h", &full), refusal(1, "duration_too_long"));
    assert_eq!(ask("orders-db/write", "5m", &["--ticket", "INC-1"]), refusal(1, "reason_required"));
    assert_eq!(ask("orders-db/write", "5m", &["--reason", "r"]), refusal(1, "ticket_required"));
    assert_eq!(
        ask("orders-db/write", "5m", &["--reason", "r", "--ticket", "X"]),
        refusal(1, "ticket_mismatch")
    );
    assert_eq!(ask("orders-db/write", "soon", &full), refusal(2, "usage"));
    refused(noor, &["request", "orders-db/fix", "--for", "5m", "--reason", "r"], 6, "not_allowed_to_ask");
    let dry = ["request", "orders-db/fix", "--for", "5m", "--reason", "r", "--dry-run"];
    refused(noor, &dry, 6, "not_allowed_to_ask");

    let request =
        tomas.json(&["request", "orders-db/write", "--for", "5m", "--reason", "r", "--ticket", "INC-1"]);
    let id = text(&request, "id");
    noor.json(&["approve", id]);
    refused(noor, &["approve", id], 1, "decided_twice");
    refused(mara, &["withdraw", id], 6, "not_yours");
    refused(mara, &["approve", id, "--for", "1h"], 1, "duration_too_long");
    mara.json(&["deny", id, "--reason", "no"]);
    refused(mara, &["approve", id], 1, "already_decided");
    refused(tomas, &["credential", id], 1, "not_found");
    refused(tomas, &["approve", "R-999"], 1, "not_found");

    let link = world.server.invite("zoe", "Zoë", "backend", &[]);
    let env = [("GATEPASS_KEYSTORE".to_owned(), "file".to_owned())];
    let zoe = |handle: &str| Person::new(handle, "Zoë", "backend", tomas.home(), &env);
    let joined = zoe("zoe").json(&["join", &link]);
    assert_eq!(text(&joined["person"], "handle"), "zoe");
    refused(&zoe("zoe"), &["join", &link], 1, "already_joined");
    refused(&zoe("zoe-again"), &["join", &link], 1, "invite_used");
    refused(&zoe("nobody"), &["grants"], 1, "not_joined");
}

#[tokio::test]
async fn without_the_server_only_audit_answers() {
    let mut world = World::headless();
    ask(&world.tomas, "10m");
    world.tomas.json(&["audit", "list"]);
    world.server.stop();
    let tomas = &world.tomas;
    let ask = ["request", "orders-db/fix", "--for", "5m", "--reason", "r"];
    for args in
        [&["requests"][..], &["grants"], &["me"], &["catalogue"], &["watch"], &["approve", "R-1"], &ask]
    {
        refused(tomas, args, 5, "unreachable");
    }
    let output = tomas.run(&["--json", "audit", "search", "asked"]);
    assert_eq!(output.status.code(), Some(0));
    let events: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(events.as_array().unwrap().len(), 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("local copy"));
    world.server.serve();
    assert_eq!(world.tomas.json(&["requests"]).as_array().unwrap().len(), 1, "nothing was sent later");
}

#[tokio::test]
async fn lists_are_newest_first_and_as_long_as_asked() {
    let world = World::headless();
    let tomas = &world.tomas;
    for _ in 0..7 {
        ask(tomas, "10m");
    }
    let numbers = |args: &[&str]| -> Vec<String> {
        tomas.json(args).as_array().unwrap().iter().map(|r| text(r, "number").to_owned()).collect()
    };
    assert_eq!(numbers(&["requests", "--mine"]), ["R-7", "R-6", "R-5", "R-4", "R-3", "R-2", "R-1"]);
    assert_eq!(numbers(&["requests", "--all", "--limit", "2"]), ["R-7", "R-6"]);
    assert_eq!(world.noor.json(&["requests"]), Value::Array(vec![]));
}
