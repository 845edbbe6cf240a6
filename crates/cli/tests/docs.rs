//! docs/cli.md says what the program takes, and the program takes what docs/cli.md says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

fn gatepass(args: &[&str]) -> Output {
    let home = std::env::temp_dir().join("gatepass-docs-test");
    Command::new(env!("CARGO_BIN_EXE_gatepass"))
        .args(args)
        .env("GATEPASS_HOME", home)
        .env("GATEPASS_KEYSTORE", "file")
        .output()
        .expect("run gatepass")
}

fn help(command: &[&str]) -> String {
    let output = gatepass(&[command, &["--help"]].concat());
    assert_eq!(output.status.code(), Some(0), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn doc() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    std::fs::read_to_string(path).expect("docs/cli.md")
}

/// The first column of the table under `## Commands`, as `command words` and the rest of the line.
fn documented() -> Vec<(Vec<String>, String)> {
    let doc = doc();
    let section = doc.split("## Commands").nth(1).unwrap().split("## Exit codes").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")).filter(|row| !row.contains(':'));
    rows.map(|row| {
        let usage = row.split("` |").next().unwrap().replace("\\|", "|");
        let plain = |w: &str| w.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !w.starts_with('-');
        let words = usage.split_whitespace().take_while(|w| plain(w));
        (words.map(str::to_owned).collect(), usage)
    })
    .collect()
}

/// `--option`s in a text.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    let found = words.filter(|w| w.len() > 2 && w.starts_with("--"));
    found.filter(|w| !["--help", "--version", "--profile", "--json"].contains(w)).map(str::to_owned).collect()
}

/// The subcommands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let section = help.split("Commands:\n").nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.is_empty());
    lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[test]
fn every_command_and_option_is_documented_and_there() {
    let documented = documented();
    let mut there = Vec::new();
    for command in listed(&help(&[])) {
        let said = help(&[&command]);
        // One that is good for something by itself, also when there are commands below it.
        let alone = said.lines().any(|line| line.starts_with("Usage: ") && !line.contains("<COMMAND>"));
        if alone {
            there.push(vec![command.clone()]);
        }
        there.extend(listed(&said).into_iter().map(|below| vec![command.clone(), below]));
    }
    let names: Vec<_> = documented.iter().map(|(words, _)| words.clone()).collect();
    assert_eq!(names, there);
    for (words, usage) in &documented {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let help = help(&words);
        let of_help = options(help.split("Options:").nth(1).unwrap());
        let of_help: BTreeSet<_> = of_help.into_iter().collect();
        assert_eq!(options(usage), of_help, "{words:?}");
    }
}

#[test]
fn usage_is_refused_with_2_in_words_or_json() {
    for args in [
        &["frobnicate"][..],
        &["request", "orders-db", "--for", "5m"],
        &["request", "orders-db/write", "--for", "0s"],
        &["approve", "R-x"],
        &["audit", "show", "three"],
        &["join", "https://example.com"],
        &["--profile", "../x", "me"],
        &[],
    ] {
        let output = gatepass(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
        let output = gatepass(&[args, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
        let last = String::from_utf8(output.stderr).unwrap();
        let error: serde_json::Value = serde_json::from_str(last.lines().last().unwrap()).expect("JSON");
        assert_eq!(error["error"]["code"], "usage", "{args:?}");
        assert!(error["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{args:?}");
    }
}

#[test]
fn a_profile_that_joined_nothing_says_so() {
    let output = gatepass(&["--json", "requests"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).expect("one JSON document");
    assert_eq!(error["error"]["code"], "not_joined");
}

#[test]
fn every_exit_code_is_documented() {
    let doc = doc();
    let section = doc.split("## Exit codes").nth(1).unwrap().split("## JSON").next().unwrap();
    for code in 0..=6 {
        assert!(section.contains(&format!("| {code} |")), "{code}");
    }
}
