//! Dependencies point one way, as docs/architecture.md says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate, and the Gatepass crates it may know. Tests, benchmarks and their kit may know everything.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("gatepass-core", &[]),
    ("gatepass-log", &["gatepass-core"]),
    ("gatepass-connectors", &["gatepass-core"]),
    ("gatepass-server", &["gatepass-core", "gatepass-log", "gatepass-connectors"]),
    ("gatepass-client", &["gatepass-core", "gatepass-log"]),
    ("gatepass-cli", &["gatepass-core", "gatepass-client"]),
    ("gatepass-desktop", &["gatepass-core", "gatepass-client", "gatepass-server"]),
    ("gatepass-testkit", &[]),
];

/// Libraries that belong to some crates only.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("tauri", &["gatepass-desktop"]),
    ("notify-rust", &["gatepass-desktop"]),
    ("axum", &["gatepass-server"]),
    ("tokio-postgres", &["gatepass-server", "gatepass-connectors"]),
    ("rusqlite", &["gatepass-server", "gatepass-client"]),
    // The server asks the log's witnesses.
    ("reqwest", &["gatepass-client", "gatepass-connectors", "gatepass-server"]),
    ("keyring", &["gatepass-client"]),
];

/// What `core` and `log` must not have, directly or through anything: they are pure.
const NOT_IN_PURE: &[&str] = &["tokio", "async-std", "reqwest", "rusqlite", "hyper", "tauri", "axum"];

/// Crates that only tests and measurements use.
const FOR_TESTS: &[&str] = &["gatepass-tests", "gatepass-bench"];

fn metadata() -> Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    // Only this platform: the crates of others are not downloaded.
    let args = ["metadata", "--format-version=1", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let output = Command::new(cargo).args(args).current_dir(gatepass_tests::bins::root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The direct dependencies of each crate of the workspace, without those for its tests: a feature that is off
/// unless asked for, such as `testing`, counts as such; the connectors' kinds are features too, and on.
fn direct(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let packages = metadata["packages"].as_array().unwrap();
    let ours = packages.iter().filter(|p| members.contains(p["id"].as_str().unwrap()));
    ours.map(|package| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let kept = dependencies
            .filter(|d| d["kind"] != "dev" && d["optional"] != true)
            .map(|d| d["name"].as_str().unwrap().to_owned());
        (package["name"].as_str().unwrap().to_owned(), kept.collect())
    })
    .collect()
}

#[test]
fn dependencies_point_one_way() {
    let crates = direct(&metadata());
    let mut wrong = Vec::new();
    for (name, known) in crates.iter().filter(|(name, _)| !FOR_TESTS.contains(&name.as_str())) {
        let Some((_, may)) = MAY_KNOW.iter().find(|(known, _)| known == name) else {
            wrong.push(format!("{name} is new: say in this test what it may know"));
            continue;
        };
        for other in
            known.iter().filter(|other| other.starts_with("gatepass-") && !may.contains(&other.as_str()))
        {
            wrong.push(format!("{name} must not know {other}"));
        }
        for (library, only) in ONLY_IN.iter().filter(|(library, _)| known.contains(*library)) {
            if !only.contains(&name.as_str()) {
                wrong.push(format!("{name} must not use {library}; only {only:?} do"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn core_and_log_are_pure() {
    let metadata = metadata();
    let ids: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["id"].as_str().unwrap(), p["name"].as_str().unwrap()))
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node))
        .collect();
    for root in ["gatepass-core", "gatepass-log"] {
        let start = *ids.iter().find(|(_, name)| **name == root).unwrap().0;
        let (mut reached, mut queue) = (BTreeSet::from([start]), vec![start]);
        while let Some(id) = queue.pop() {
            for dependency in nodes[id]["deps"].as_array().unwrap() {
                let normal =
                    dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
                let id = dependency["pkg"].as_str().unwrap();
                if normal && reached.insert(id) {
                    queue.push(id);
                }
            }
        }
        for id in reached {
            assert!(!NOT_IN_PURE.contains(&ids[id]), "{root} is pure, and yet reaches {}", ids[id]);
        }
    }
}

/// Where a test can end or stop the server: asked for by the tests of the whole only, and on by default nowhere.
#[test]
fn nothing_that_is_shipped_has_points() {
    let metadata = metadata();
    let members: Vec<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let (mut wrong, mut known) = (Vec::new(), 0);
    for package in metadata["packages"].as_array().unwrap() {
        if !members.contains(&package["id"].as_str().unwrap()) {
            continue;
        }
        let name = package["name"].as_str().unwrap();
        let has = |features: &Value| features.as_array().is_some_and(|f| f.iter().any(|f| f == "points"));
        known += usize::from(package["features"]["points"].is_array());
        if has(&package["features"]["default"]) || has(&package["features"]["testing"]) {
            wrong.push(format!("{name} has them unless told otherwise"));
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            if has(&dependency["features"]) && name != "gatepass-tests" {
                wrong.push(format!("{name} asks for them of {}", dependency["name"]));
            }
        }
    }
    assert_eq!(known, 2, "the connectors and the server know them");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What docs/security.md names as shown by a test is a test.
#[test]
fn every_promise_is_shown_by_a_test_that_is_there() {
    let docs = gatepass_tests::bins::root().join("docs");
    let text = std::fs::read_to_string(docs.join("security.md")).unwrap();
    let named: Vec<(&str, &str)> = text
        .split("[`")
        .skip(1)
        .filter_map(|rest| {
            let (name, rest) = rest.split_once("`](")?;
            Some((name, rest.split_once(')')?.0))
        })
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for (name, file) in named {
        let code = std::fs::read_to_string(docs.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let there = code.lines().zip(code.lines().skip(1)).any(|(above, line)| {
            line.contains(&format!("fn {name}()")) && (above.contains("test") || above.contains("ignore"))
        });
        assert!(there, "{file} has no test {name}");
    }
}
