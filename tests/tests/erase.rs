//! What is known of a person is erased at the server's console, and goes from the server's files and from devices that
//! were away; texts that were kept for long enough go by themselves. The log verifies all the while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_testkit::Postgres;
use gatepass_tests::process::Process;
use gatepass_tests::{Person, Server, bins, eventually};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

const RETENTION: &str = "\n[retention]\n\"request.*\" = \"30d\"\n";

fn console(server: &Server, args: &[&str]) -> Output {
    let mut command = Command::new(bins::path("gatepass-server"));
    command.arg(args[0]).arg("--config").arg(server.config()).args(&args[1..]);
    command.output().expect("run gatepass-server")
}

/// What it printed; fails the test unless it succeeded.
fn done(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(output: Output) -> Value {
    serde_json::from_str(&done(output)).unwrap()
}

fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|w| w == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// The text of an event of this kind, by whom it is.
fn event<'e>(events: &'e Value, kind: &str, name: &str) -> &'e Value {
    let of = |e: &&Value| e["kind"] == kind && e["by_name"] == name;
    events.as_array().unwrap().iter().find(of).unwrap_or_else(|| panic!("no {kind} by {name} in {events}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_at_the_console_and_everywhere_and_what_is_old_goes_by_itself() {
    let home = tempfile::Builder::new().prefix("gatepass-home-").tempdir().unwrap();
    let later = tempfile::Builder::new().prefix("gatepass-home-").tempdir().unwrap();
    let env = [("GATEPASS_KEYSTORE".to_owned(), "file".to_owned())];
    let orders = Postgres::orders();
    let mut server = Server::start(&orders, RETENTION);
    let person = |handle, name, groups, at: &Path| Person::new(handle, name, groups, at, &env);
    let tomas = person("tomas", "Tomás Rivera", "backend", home.path());
    let ola = person("ola", "Ola Nowak", "backend", home.path());
    let ines = person("ines", "Ines Duarte", "", home.path()).auditor();
    server.invite("noor", "Noor Haddad", "dba", &[]);
    tomas.join(&server);
    ola.join(&server);
    ines.join(&server);
    let ask = ["request", "orders-db/fix", "--for", "5m", "--reason"];
    tomas.json(&[&ask[..], &["a quarrel with Zygmunt"]].concat());
    let kept = ola.json(&[&ask[..], &["stuck since Monday"]].concat());
    ola.json(&["withdraw", kept["id"].as_str().unwrap()]);
    let before = ines.json(&["audit", "list"]);
    let asked = event(&before, "request.created", "Tomás Rivera");
    assert_eq!(
        (asked["texts"]["reason"].as_str(), &asked["erased_at"]),
        (Some("a quarrel with Zygmunt"), &Value::Null)
    );
    let data = server.dir().join("data");
    assert!(!files_with(&data, "Zygmunt").is_empty(), "it is there to be found");

    // Not while there is something of theirs to end.
    let refused = console(&server, &["erase", "--person", "tomas"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1));
    assert!(why.contains("an undecided request") && why.contains("revoke-all"), "{why}");
    done(console(&server, &["revoke-all", "--reason", "left with a bang", "tomas"]));
    let told = json(console(&server, &["erase", "--person", "tomas", "--dry-run", "--json"]));
    assert_eq!(told, serde_json::json!({ "person": "tomas", "now": null, "texts": 4, "devices": 1 }));
    assert!(!files_with(&data, "Zygmunt").is_empty(), "nothing was done");

    let output = console(&server, &["erase", "--person", "tomas", "--json"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("Backups made before still hold it."));
    let gone = json(output);
    let handle = gone["now"].as_str().unwrap();
    assert!(handle.starts_with("erased-") && gone["texts"] == 4, "{gone}");
    for text in ["Zygmunt", "Rivera", "left with a bang", "\"tomas\""] {
        assert_eq!(files_with(&data, text), [""; 0], "{text}");
    }
    assert!(!files_with(&data, "stuck since Monday").is_empty(), "what others wrote stays");

    // A device that did not hear of it until now; and the log that it holds verifies.
    let after = eventually("the people are read again", async || {
        let events = ines.json(&["audit", "list"]);
        let named = events.as_array().unwrap().iter().any(|e| e["by_name"] == "Tomás Rivera");
        (!named).then_some(events)
    })
    .await;
    let asked = event(&after, "request.created", "Erased person");
    assert_eq!((asked["by"].as_str(), &asked["texts"]), (Some(handle), &serde_json::json!({})));
    let erased = after.as_array().unwrap().iter().find(|e| e["kind"] == "person.erased").unwrap();
    assert_eq!(asked["erased_at"], erased["at"]);
    let others = event(&after, "request.created", "Ola Nowak");
    assert_eq!(
        (others["texts"]["reason"].as_str(), &others["erased_at"]),
        (Some("stuck since Monday"), &Value::Null)
    );
    for word in ["Zygmunt", "Rivera"] {
        assert_eq!(ines.json(&["audit", "search", word]), serde_json::json!([]), "{word}");
    }
    ines.json(&["audit", "verify"]);
    assert_eq!(tomas.try_json(&["me"]).unwrap_err().code, "device_disabled");
    done(console(&server, &["backup", "--to", later.path().join("copy.db").to_str().unwrap()]));

    // The id is free for somebody else.
    person("tomas", "Tomás Other", "backend", later.path()).join(&server);

    // A month on, and nobody asked for it.
    server.stop();
    let mut command = Command::new(bins::path("gatepass-server"));
    command.arg("serve").arg("--config").arg(server.config()).env("FAKETIME", "+31d");
    command.env("LD_PRELOAD", FAKETIME).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    assert!(Path::new(FAKETIME).exists(), "faketime is missing: run ./dev setup");
    let (process, _) = Process::start_until_line("server-later", &command, server.dir());
    eventually("the server deletes it", async || {
        process.log().contains("deleted texts that were kept for long enough").then_some(())
    })
    .await;
    let events = ines.json(&["audit", "list"]);
    let expired = event(&events, "request.created", "Ola Nowak");
    assert_eq!((&expired["texts"], &expired["erased_at"]), (&serde_json::json!({}), &Value::Null));
    let at: chrono::DateTime<chrono::Utc> = expired["at"].as_str().unwrap().parse().unwrap();
    let until: chrono::DateTime<chrono::Utc> = expired["kept_until"].as_str().unwrap().parse().unwrap();
    assert_eq!(until - at, chrono::TimeDelta::days(30));
    assert_eq!(ines.json(&["audit", "search", "Monday"]), serde_json::json!([]));
    ines.json(&["audit", "verify"]);
}
