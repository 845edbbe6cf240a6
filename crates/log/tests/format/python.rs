//! The same by programs in Python that are not ours: the packages pymerkle and rfc8785, and a verifier of a hundred lines
//! that was written from docs/log-format.md alone. `./dev setup` installs what they need.

use crate::rng::Random;
use crate::{kinds, vectors};
use gatepass_log::canonical;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Python with the packages; `None` where setup could not install them, which is said.
fn python() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap();
    let tools = cache.join("gatepass/tools");
    if tools.join("python/installed").exists() {
        return Some(tools.join("python/bin/python3"));
    }
    assert!(tools.join("python.missing").exists(), "run ./dev setup: Python’s packages are not installed");
    eprintln!("SKIPPED: ./dev setup could not install Python’s packages, so nothing is checked by them");
    None
}

fn run(script: &str, arguments: &[&Path]) {
    let Some(python) = python() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format").join(script);
    let done = Command::new(python).arg("-B").arg(script).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    print!("{}", String::from_utf8_lossy(&done.stdout));
}

#[test]
fn pymerkle_makes_the_same_roots_and_proofs() {
    run("cross.py", &[Path::new("tree"), &vectors::folder().join("log.json")]);
}

#[test]
fn rfc8785_writes_every_kind_of_event_the_same_way() {
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut add = |value: &Value| {
        rows.push([value.to_string(), String::from_utf8(canonical(value).unwrap()).unwrap()]);
    };
    for event in kinds::every(1) {
        let value = serde_json::to_value(&event).unwrap();
        // What was read back is what was meant: nothing of an event is lost on the way.
        assert_eq!(serde_json::from_value::<gatepass_core::event::Event>(value.clone()).unwrap(), event);
        add(&value);
    }
    let mut random = Random(2);
    (0..2_000).for_each(|_| add(&any(&mut random, 4)));
    let folder = std::env::temp_dir().join(format!("gatepass-rfc8785-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("rows.json");
    std::fs::write(&file, serde_json::to_vec(&rows).unwrap()).unwrap();
    run("cross.py", &[Path::new("json"), &file]);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_verifier_written_from_the_document_agrees() {
    run("verify.py", &[Path::new("--vectors"), &vectors::folder()]);
}

/// Any JSON that an event could hold, strings of all planes and keys that sort differently by UTF-16 included.
fn any(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 4 } else { 6 }) {
        0 => json!(null),
        1 => json!(random.next() & 1 == 0),
        // Whole numbers below 2^53, of either sign.
        2 => json!((random.next() >> (11 + random.below(50))) as i64 * [1, -1][random.below(2)]),
        3 => json!(text(random)),
        4 => (0..random.below(5)).map(|_| any(random, depth - 1)).collect(),
        _ => {
            let rows = (0..random.below(6)).map(|_| (text(random), any(random, depth - 1)));
            Value::Object(rows.collect::<Map<_, _>>())
        }
    }
}

fn text(random: &mut Random) -> String {
    let one = |random: &mut Random| {
        let most = [0x20, 0x80, 0x800, 0x1_0000, 0x11_0000][random.below(5)];
        char::from_u32(random.below(most) as u32).unwrap_or('\u{fb01}')
    };
    (0..random.below(8)).map(|_| one(random)).collect()
}
