//! The dashboard and the alert rules name only what a real server offers, and Prometheus' own tool reads them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::{World, bins, eventually};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, iter};

fn file(name: &str) -> PathBuf {
    bins::root().join("docs/monitoring").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(file(name)).unwrap()
}

/// Runs promtool; panics with what it says when it is not content.
fn promtool(args: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("promtool: {e}; run ./dev setup"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool {args:?}: {}", String::from_utf8_lossy(&said));
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Every query of the dashboard, with its variables as Grafana may fill them in.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let filled = |target: &Value| {
        let text = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
        text.replace("$job", "gatepass").replace("$instance", ".*")
    };
    targets.map(filled).collect()
}

/// The metrics named in a text, without what a histogram's parts are called by.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("gatepass_") || word.starts_with("process_"));
    ours.map(|word| {
        let parts = ["_bucket", "_sum", "_count"];
        parts.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word).to_owned()
    })
    .collect()
}

/// The blocks of a YAML list, each from its `- alert:` on.
fn rules(alerts: &str) -> Vec<(&str, &str)> {
    let blocks = alerts.split("- alert: ").skip(1);
    blocks.map(|block| (block.split_whitespace().next().unwrap(), block)).collect()
}

/// A whole answer of a server, without its head.
fn get(url: &str, path: &str) -> Option<String> {
    let mut socket = TcpStream::connect(url.strip_prefix("http://").unwrap()).ok()?;
    write!(socket, "GET {path} HTTP/1.0\r\nHost: gatepass\r\n\r\n").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
}

#[test]
fn prometheus_reads_the_rules_and_they_fire_when_they_should() {
    promtool(&["check", "rules", path(&file("alerts.yaml"))], "");
    promtool(&["test", "rules", path(&file("alerts.test.yaml"))], "");
}

#[test]
fn every_rule_says_what_to_do_and_is_tested_both_ways() {
    let (alerts, tests) = (read("alerts.yaml"), read("alerts.test.yaml"));
    let rules = rules(&alerts);
    assert!(!rules.is_empty());
    for (name, block) in rules {
        for key in ["severity: ", "summary: ", "description: >-"] {
            assert!(block.contains(key), "{name} has no {key}");
        }
        // One that fires has what it says below it, one that does not has an empty list.
        let fires = format!("alertname: {name}\n");
        let quiet = format!("alertname: {name}, exp_alerts: [] }}");
        assert!(tests.contains(&fires), "no case in which {name} fires");
        assert!(tests.contains(&quiet), "no case in which {name} does not fire");
    }
}

#[test]
fn prometheus_reads_the_dashboards_queries_and_its_panels_have_room() {
    let dashboard: Value = serde_json::from_str(&read("gatepass-dashboard.json")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("queries.yaml");
    let mut text = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (n, query) in queries(&dashboard).iter().enumerate() {
        text +=
            &format!("      - record: query:{n}\n        expr: {}\n", serde_json::to_string(query).unwrap());
    }
    fs::write(&rules, text).unwrap();
    promtool(&["check", "rules", path(&rules)], "");

    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id {}", panel["id"]);
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for (x, y) in
            (at("x")..at("x") + at("w")).flat_map(|x| iter::repeat(x).zip(at("y")..at("y") + at("h")))
        {
            assert!(x < 24 && y < 24, "{} is not on the one screen", panel["title"]);
            assert!(taken.insert((x, y)), "{} lies over another panel", panel["title"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_watched_is_there_from_the_first_look() {
    let world = World::headless();
    let metrics = get(&world.server.url(), "/metrics").expect("the metrics");
    // Requests are counted by route, so those are there once there was one: people have joined.
    let typed: BTreeSet<String> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned))
        .collect();
    let watched = named(&(read("gatepass-dashboard.json") + &read("alerts.yaml")));
    assert!(watched.len() > 20, "{watched:?}");
    let missing: Vec<_> = watched.difference(&typed).collect();
    assert!(missing.is_empty(), "{missing:?} are watched, and the server offers only:\n{metrics}");
    for name in &typed {
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name} does not say what it is");
    }
    // Names, units and help as Prometheus wants them.
    promtool(&["check", "metrics"], &metrics);
    let value = |name: &str| -> f64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        line.parse().unwrap()
    };
    assert!(value("gatepass_disk_free_bytes") > 0.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert_eq!(value("gatepass_database_up"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_can_not_be_done_is_seen_to_be_overdue() {
    let mut world = World::headless();
    let args = ["request", "orders-db/read", "--for", "1h", "--reason", "See the orders"];
    let request = world.tomas.json(&args)["id"].as_str().unwrap().to_owned();
    eventually("the access is there", async || (world.logins() == 1).then_some(())).await;
    world.orders.stop();
    world.tomas.json(&["return", &request]);
    let url = world.server.url();
    eventually("the end is overdue", async || {
        let metrics = get(&url, "/metrics")?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("gatepass_jobs_overdue_seconds "))?;
        (line.parse::<f64>().ok()? > 0.0).then_some(())
    })
    .await;
}
