//! The command line's contract with other programs, against the real server and a real PostgreSQL: exit codes, what
//! `--json` prints, and where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::{Person, World, eventually};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const ASK: &[&str] = &["request", "orders-db/fix", "--for", "10m", "--reason", "Wrong totals"];

fn refused(person: &Person, args: &[&str]) -> (i32, String) {
    let refused = person.try_json(args).expect_err("it is refused");
    assert!(!refused.message.is_empty(), "{args:?} says why");
    let said = person.run(&[&["--json"], args].concat());
    assert!(said.stdout.is_empty(), "{args:?}: an error is not on stdout");
    (refused.exit, refused.code)
}

fn has(document: &Value, fields: &[&str]) {
    for field in fields {
        assert!(document.get(field).is_some(), "no {field} in {document}");
    }
}

fn is_time(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is a time"));
    assert!(
        text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z'),
        "{text} is RFC 3339 in UTC"
    );
}

#[tokio::test]
async fn the_documents_have_what_they_promise() {
    let world = World::headless();
    let me = world.tomas.json(&["me"]);
    assert!(me.to_string().contains("tomas"));
    assert!(world.tomas.json(&["catalogue"]).as_array().is_some_and(|list| !list.is_empty()));

    let request = world.tomas.json(ASK);
    has(&request, &["id", "resource", "role", "state", "by", "reason", "ticket", "created_at"]);
    assert_eq!((&request["state"], &request["by"]), (&"pending".into(), &"tomas".into()));
    assert_eq!((&request["resource"], &request["role"]), (&"orders-db".into(), &"fix".into()));
    assert_eq!((&request["reason"], &request["ticket"]), (&"Wrong totals".into(), &Value::Null));
    is_time(&request["created_at"]);
    let id = request["id"].as_str().unwrap().to_owned();

    let list = world.mara.json(&["requests", "--to-review"]);
    assert_eq!(list[0]["id"], request["id"]);
    assert_eq!(world.tomas.json(&["requests", "--to-review"]), Value::Array(Vec::new()));
    assert_eq!(world.iris.json(&["requests", "--all"]).as_array().unwrap().len(), 1, "an auditor sees all");

    // The short number is as good as the id.
    let decided = world.mara.json(&["approve", "R-1", "--for", "5m", "--note", "Go ahead"]);
    assert_eq!((&decided["id"], &decided["state"]), (&request["id"], &"approved".into()));
    let grant =
        eventually("it is active", async || world.tomas.grant(&id).filter(|g| g["state"] == "active")).await;
    has(&grant, &["id", "request", "resource", "role", "state", "starts_at", "ends_at"]);
    is_time(&grant["starts_at"]);
    is_time(&grant["ends_at"]);

    let credential = world.tomas.json(&["credential", "R-1"]);
    assert_eq!(credential["kind"], "postgres");
    is_time(&credential["expires_at"]);
    let url = credential["url"].as_str().unwrap();
    assert_eq!(world.orders.psql_at(url, "SELECT count(*) FROM orders").as_deref(), Ok("100"));
    assert!(world.orders.psql_at(url, "DROP TABLE orders").is_err());

    world.tomas.json(&["return", "R-1"]);
    eventually("it has ended", async || world.tomas.grant(&id).filter(|g| g["state"] == "ended")).await;
    assert_eq!(world.logins(), 0);

    let events = world.iris.json(&["audit", "list"]);
    let events = events.as_array().unwrap();
    for event in events {
        has(event, &["seq", "id", "at", "kind", "by", "sentence"]);
        is_time(&event["at"]);
    }
    let seqs: Vec<u64> = events.iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    let newest = seqs[0];
    assert_eq!(seqs, (1..=newest).rev().collect::<Vec<_>>(), "dense, newest first, whole");
    assert_eq!(world.iris.json(&["audit", "list", "--limit", "2"]).as_array().unwrap().len(), 2);
    let found = world.iris.json(&["audit", "search", "Wrong totals"]);
    assert!(found.as_array().is_some_and(|list| !list.is_empty()), "{found}");
    world.iris.json(&["audit", "show", "1"]);
    assert_eq!(world.noor.json(&["audit", "search", "kind:grant.ended"]).as_array().map(Vec::len), Some(1));

    // Whatever each of them may read of it.
    for person in [&world.iris, &world.tomas, &world.mara, &world.noor] {
        // A head is signed within a second.
        let verdict = eventually("the newest head is signed", async || {
            person.json(&["audit", "list"]);
            let verdict = person.json(&["audit", "verify"]);
            (verdict["signed_size"] == verdict["size"]).then_some(verdict)
        })
        .await;
        assert_eq!((&verdict["holds"], &verdict["full"]), (&true.into(), &true.into()), "{verdict}");
        assert_eq!(
            (&verdict["size"], &verdict["signed_size"]),
            (&newest.into(), &newest.into()),
            "{verdict}"
        );
    }
    let approved = world.iris.json(&["audit", "search", "kind:request.approved"]);
    let approved = world.iris.json(&["audit", "show", &approved[0]["seq"].to_string()]);
    has(&approved, &["proof", "checkpoint", "log_key", "rule", "story"]);
    assert_eq!(
        (&approved["proof_holds"], &approved["signature"]["shown_matches"]),
        (&true.into(), &true.into())
    );
    assert_eq!(approved["signature"]["head_holds"], true, "{}", approved["signature"]);
    assert_eq!(approved["rule"]["published_seq"], 1, "{}", approved["rule"]);
    assert!(
        approved["rule"]["source"].as_str().is_some_and(|source| source.contains("\"fix\"")),
        "{}",
        approved["rule"]
    );
}

#[tokio::test]
async fn refusals_have_their_exit_codes() {
    let world = World::headless();
    let World { tomas, mara, noor, .. } = &world;
    let ask = |more: &[&str]| refused(tomas, &[&["request"], more].concat());

    let no = |exit: i32, code: &str| (exit, code.to_owned());

    assert_eq!(ask(&["orders-db/nothing", "--for", "10m", "--reason", "x"]), no(1, "unknown_role"));
    assert_eq!(ask(&["nothing/fix", "--for", "10m", "--reason", "x"]), no(1, "unknown_resource"));
    assert_eq!(ask(&["orders-db/fix", "--for", "9h", "--reason", "x"]), no(1, "duration_too_long"));
    assert_eq!(ask(&["orders-db/fix", "--for", "10m"]), no(1, "reason_required"));
    let ticket = ["orders-db/write", "--for", "10m", "--reason", "x", "--ticket", "JIRA-1"];
    assert_eq!(ask(&ticket), no(1, "ticket_mismatch"));
    // A dry run says what would happen, and ends as it would.
    let dry = tomas.run(&["--json", "request", "orders-db/fix", "--for", "9h", "--reason", "x", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(1));
    let preview: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!((&preview["allowed"], &preview["problems"][0]["field"]), (&false.into(), &"duration".into()));
    assert_eq!(ask(&["orders-db/fix", "--for", "soon", "--reason", "x"]), no(2, "usage"));
    assert_eq!(refused(mara, &["approve"]), no(2, "usage"));
    let args = ["request", "orders-db/fix", "--for", "10m", "--reason", "x"];
    assert_eq!(refused(mara, &args), no(6, "not_allowed_to_ask"));

    tomas.json(&[ASK, &["--dry-run"]].concat());
    assert_eq!(tomas.json(&["requests"]), Value::Array(Vec::new()), "a dry run keeps nothing");

    tomas.json(ASK);
    assert_eq!(refused(tomas, &["approve", "R-1"]), no(6, "self_approval"));
    assert_eq!(refused(tomas, &["credential", "R-1"]).0, 1);
    mara.json(&["deny", "R-1", "--reason", "Not now"]);
    assert_eq!(refused(noor, &["approve", "R-1"]), no(1, "already_decided"));
    assert_eq!(refused(mara, &["approve", "R-1"]).0, 1, "a second decision by the same person");
    assert_eq!(tomas.json(&["requests"])[0]["state"], "denied");

    let waited = tomas.run(&[ASK, &["--wait", "1s"]].concat());
    assert_eq!(waited.status.code(), Some(4), "nobody decided within a second");
    tomas.json(&["withdraw", "R-2"]);
    assert_eq!(refused(mara, &["approve", "R-2"]), no(1, "already_decided"));

    let keys = [("GATEPASS_KEYSTORE".to_owned(), "file".to_owned())];
    let link = noor.invite(&world.server);
    let [second, third] = ["second", "third"].map(|profile| Person::new(profile, "", "", noor.home(), &keys));
    second.json(&["join", &link]);
    assert_eq!(refused(&third, &["join", &link]), no(1, "invite_used"));
    assert_eq!(refused(&third, &["me"]), no(1, "not_joined"));
}

#[tokio::test]
async fn waiting_ends_with_the_decision() {
    let world = World::headless();
    let wait = |args: &[&str]| {
        let mut command = world.tomas.command(&[&["--json"], ASK, &["--wait"], args].concat());
        command.stdout(Stdio::piped()).spawn().expect("run gatepass")
    };
    let waiting = wait(&[]);
    eventually("the first request", async || world.mara.json(&["requests", "--to-review"]).get(0).cloned())
        .await;
    world.mara.json(&["approve", "R-1"]);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let request: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(request["state"], "approved");
    let grant = world.tomas.grant(request["id"].as_str().unwrap()).unwrap();
    assert_eq!(grant["state"], "active", "it waited for the access too");

    let waiting = wait(&[]);
    eventually("the second request", async || world.mara.json(&["requests", "--to-review"]).get(0).cloned())
        .await;
    world.mara.json(&["deny", "R-2", "--reason", "Not now"]);
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(3));
}

#[tokio::test]
async fn without_the_server_it_says_so_and_the_log_is_read_from_the_copy() {
    let mut world = World::headless();
    world.tomas.json(ASK);
    let before = world.mara.json(&["audit", "list"]);
    world.server.stop();
    assert_eq!(refused(&world.mara, &["approve", "R-1"]).0, 5);
    assert_eq!(refused(&world.tomas, ASK).0, 5);
    assert_eq!(world.mara.json(&["audit", "list"]), before);
    assert_eq!(world.mara.json(&["audit", "verify"])["holds"], true);
    assert_eq!(world.mara.json(&["audit", "evidence"]), serde_json::json!({"evidence": null}));
    let none = world.mara.home().join("no-bundle.json");
    std::fs::write(&none, "{}").unwrap();
    let said = world.mara.run(&["audit", "verify", none.to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("Does not hold: "), "{said:?}");
    world.server.serve();
    assert_eq!(
        world.tomas.json(&["requests"]).as_array().unwrap().len(),
        1,
        "nothing was kept to be sent later"
    );
}

#[tokio::test]
async fn watching_prints_a_line_an_event() {
    let world = World::headless();
    let mut watch = world.mara.command(&["--json", "watch"]);
    let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
    let (tell, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let out = watch.stdout.take().unwrap();
    std::thread::spawn(move || {
        BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    // It says what happens from its start on, which is not told: ask until it has seen one.
    let line = eventually("an event", async || {
        world.tomas.json(ASK);
        lines.try_recv().ok()
    })
    .await;
    let event: Value = serde_json::from_str(&line).unwrap();
    has(&event, &["seq", "id", "at", "kind", "by", "sentence"]);
    watch.kill().unwrap();
    watch.wait().unwrap();
}
