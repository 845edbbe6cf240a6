//! docs/log-format.md names every rule and every kind of event with its fields, and nothing else.

use crate::kinds;
use gatepass_log::replay::rules::RULES;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/log-format.md")
}

#[test]
fn the_rules_are_those_that_are_checked() {
    let text = std::fs::read_to_string(file()).unwrap();
    let (before, rest) = text.split_once("UPDATE_VECTORS=1 writes it -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of rules -->").unwrap();
    let rows: String = RULES.iter().map(|(name, sentence)| format!("| `{name}` | {sentence} |\n")).collect();
    let made = format!("{before}UPDATE_VECTORS=1 writes it -->\n{rows}<!-- end of rules -->{after}");
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::write(file(), &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(file()).unwrap() == made,
        "the rules are stale: UPDATE_VECTORS=1 writes them"
    );
}

#[test]
fn every_kind_has_its_fields() {
    let text = std::fs::read_to_string(file()).unwrap();
    let (_, table) = text.split_once("| kind | fields |\n|---|---|\n").unwrap();
    let table = table.split("\n\n").next().unwrap();
    let rows: BTreeMap<&str, &str> = table
        .lines()
        .map(|row| row.trim_matches('|').split_once(" | ").unwrap_or((row.trim_matches('|'), "")))
        .map(|(kind, fields)| (kind.trim_matches([' ', '`', '|']), fields))
        .collect();
    let events = kinds::every(5);
    let kinds: BTreeSet<&str> = events.iter().map(|event| event.fact.kind()).collect();
    assert_eq!(rows.keys().copied().collect::<BTreeSet<_>>(), kinds);
    const OF_ALL: [&str; 6] = ["id", "at", "by", "request", "kind", "command"];
    const FOUND: [&str; 6] = ["target", "name", "more", "grants", "resources", "groups"];
    for event in events {
        let row = rows[event.fact.kind()];
        let value = serde_json::to_value(&event).unwrap();
        for field in value.as_object().unwrap().keys().map(String::as_str) {
            let found = row.contains("what was found") && FOUND.contains(&field);
            assert!(
                OF_ALL.contains(&field) || found || row.contains(&format!("`{field}`")),
                "{field} of {row}"
            );
        }
        for (field, _) in event.fact.digests() {
            let found = row.contains("what was found") && field == "name";
            assert!(found || row.contains(&format!("**`{field}`**")), "{field} of {row} is a digest");
        }
    }
}
