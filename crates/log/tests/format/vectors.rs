//! The files in docs/log-format: made here, and compared with what is there. `UPDATE_VECTORS=1` writes them.

use crate::broken;
use crate::story::{self, Story};
use gatepass_core::text::SaltedText;
use gatepass_core::wire::Head;
use gatepass_log::bundle::{Bundle, BundleError, Entry};
use gatepass_log::{
    Hash, LogVerifier, Tree, check_consistency, check_inclusion, consistency, inclusion, leaf_hash,
    signed_bytes,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/log-format")
}

fn leaves(story: &Story) -> Vec<Hash> {
    story.contents().iter().map(|content| Hash::leaf(content)).collect()
}

fn heads(leaves: &[Hash]) -> Vec<Head> {
    let mut tree = Tree::default();
    let grown = leaves.iter().map(|leaf| {
        tree.append(*leaf);
        tree.head()
    });
    std::iter::once(Tree::default().head()).chain(grown.collect::<Vec<_>>()).collect()
}

fn hex_of(proof: &[Hash]) -> Vec<String> {
    proof.iter().map(|hash| hash.digest().0).collect()
}

/// The sizes whose proofs are written down: all that are special, and the last.
const SIZES: [u64; 7] = [1, 2, 3, 4, 7, 8, 16];

fn log() -> Value {
    let story = Story::told();
    let (contents, leaves) = (story.contents(), leaves(&story));
    let heads = heads(&leaves);
    let size = leaves.len() as u64;
    let sizes = || SIZES.into_iter().chain([size]);
    let included = sizes().flat_map(|size| {
        let leaves = &leaves;
        (1..=size).map(move |seq| {
            json!({ "seq": seq, "size": size, "proof": hex_of(&inclusion(leaves.as_slice(), seq, size).unwrap()) })
        })
    });
    let consistent = sizes().flat_map(|new| {
        let leaves = &leaves;
        sizes().filter(move |old| *old <= new).map(move |old| {
            json!({ "old": old, "new": new, "proof": hex_of(&consistency(leaves.as_slice(), old, new).unwrap()) })
        })
    });
    let texts = story.events.iter().zip(&story.texts).enumerate().flat_map(|(i, (event, texts))| {
        let named = event.fact.digests();
        let rows = texts.iter().map(move |text| {
            let digest = text.digest().unwrap();
            let field = named.iter().find(|(_, d)| **d == digest).unwrap().0;
            json!({ "seq": i + 1, "field": field, "digest": digest, "salt": text.salt, "text": text.text })
        });
        rows.collect::<Vec<_>>()
    });
    let events = contents.iter().enumerate().map(|(i, content)| {
        json!({
            "seq": i + 1,
            "content": std::str::from_utf8(content).unwrap(),
            "leaf": leaves[i].digest(),
            "root": heads[i + 1].root,
        })
    });
    let signatures = story.events.iter().enumerate().filter_map(|(i, event)| {
        let command = event.command.as_ref()?;
        let kind = command.body["kind"].as_str()?;
        Some(json!({
            "seq": i + 1,
            "signed": String::from_utf8(signed_bytes(kind, &command.body).unwrap()).unwrap(),
            "device": command.body["device"],
            "signature": command.signature,
        }))
    });
    let devices = [story::ADA, story::BEA, story::CEM].map(|who| {
        json!({
            "person": story::person(who),
            "device": story::device(who),
            "seed": hex::encode([who; 32]),
            "signing_key": story::device_key(who).public(),
        })
    });
    let key = story::log_key();
    let entries = contents.iter().flat_map(|content| {
        u16::try_from(content.len()).unwrap().to_be_bytes().into_iter().chain(content.iter().copied())
    });
    let checkpoints = [0, 7, size].map(|size| {
        let head = &heads[usize::try_from(size).unwrap()];
        json!({ "size": size, "note": key.sign(head).unwrap() })
    });
    json!({
        "origin": story::ORIGIN,
        "log_seed": hex::encode(story::LOG_SEED),
        "vkey": key.vkey(),
        "empty_root": heads[0].root,
        "devices": devices,
        "events": events.collect::<Vec<_>>(),
        "texts": texts.collect::<Vec<_>>(),
        "signatures": signatures.collect::<Vec<_>>(),
        "inclusion": included.collect::<Vec<_>>(),
        "consistency": consistent.collect::<Vec<_>>(),
        "checkpoints": checkpoints,
        "tiles": [
            {
                "path": format!("tile/0/000.p/{size}"),
                "body": encode(leaves.iter().flat_map(|leaf| leaf.0)),
            },
            { "path": format!("tile/entries/000.p/{size}"), "body": encode(entries) },
        ],
        "counted": counted(),
    })
}

/// Roots over the numbers from 0 on, each written in ASCII digits: where tiles end and begin.
fn counted() -> Vec<Value> {
    let mut tree = Tree::default();
    let mut rows = Vec::new();
    for n in 0..65_537u32 {
        tree.append(Hash::leaf(n.to_string().as_bytes()));
        if [1, 2, 3, 255, 256, 257, 1_000, 65_535, 65_536, 65_537].contains(&tree.size()) {
            rows.push(json!({ "size": tree.size(), "root": tree.root().digest() }));
        }
    }
    rows
}

fn encode(bytes: impl Iterator<Item = u8>) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes.collect::<Vec<_>>())
}

/// All of a log, or those positions of it that `chosen` names.
pub fn bundle(story: &Story, chosen: impl Fn(u64) -> bool) -> Bundle {
    bundle_of(&story.contents(), &story.texts, chosen)
}

/// The same of whatever the leaves are: the tree and its head are right, and signed by the log's key.
pub fn bundle_of(contents: &[Vec<u8>], texts: &[Vec<SaltedText>], chosen: impl Fn(u64) -> bool) -> Bundle {
    let (leaves, key) = (contents.iter().map(|c| Hash::leaf(c)).collect::<Vec<_>>(), story::log_key());
    let size = leaves.len() as u64;
    let events =
        contents.iter().zip(1..).filter(|(_, seq)| chosen(*seq)).map(|(content, seq)| {
            Entry::new(seq, content, &inclusion(leaves.as_slice(), seq, size).unwrap())
        });
    let texts = texts.iter().zip(1..).filter(|(_, seq)| chosen(*seq)).flat_map(|(t, _)| t.clone());
    Bundle {
        vkey: key.vkey().to_owned(),
        checkpoint: key.sign(heads(&leaves).last().unwrap()).unwrap(),
        events: events.collect(),
        texts: texts.collect(),
    }
}

/// `holds`, or what a checker answers of it.
pub fn verdict(bundle: &Bundle) -> String {
    match bundle.verify() {
        Ok(_) => "holds".to_owned(),
        Err(BundleError::Malformed(_)) => "malformed".to_owned(),
        Err(BundleError::Checkpoint(_)) => "checkpoint".to_owned(),
        Err(BundleError::Finding(finding)) => format!("{} at {}", finding.rule, finding.seq),
    }
}

fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[test]
fn what_is_written_down_is_what_is_made() {
    let mut files = vec![("log.json".to_owned(), pretty(&log()))];
    let mut expected = serde_json::Map::new();
    for (name, verdict, bundle) in broken::bundles() {
        let file = format!("bundle-{name}.json");
        expected.insert(file.clone(), verdict.into());
        files.push((file, serde_json::to_string(&bundle).unwrap() + "\n"));
    }
    files.push(("bundles.json".to_owned(), pretty(&expected)));
    let folder = folder();
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for entry in std::fs::read_dir(&folder).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        files.iter().for_each(|(name, text)| std::fs::write(folder.join(name), text).unwrap());
    }
    let there = std::fs::read_dir(&folder).expect("docs/log-format: UPDATE_VECTORS=1 makes it");
    let mut there: Vec<String> = there.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    there.sort();
    files.sort();
    assert_eq!(there, files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    for (name, text) in files {
        let kept = std::fs::read_to_string(folder.join(&name)).unwrap();
        assert!(kept == text, "docs/log-format/{name} is stale: UPDATE_VECTORS=1 writes it");
    }
}

/// Every bundle in the folder says what bundles.json says of it, read as anybody would read it.
#[test]
fn each_bundle_holds_or_is_found_out() {
    let expected = std::fs::read_to_string(folder().join("bundles.json")).unwrap();
    let expected: std::collections::BTreeMap<String, String> = serde_json::from_str(&expected).unwrap();
    assert!(expected.len() > 20);
    for (file, verdict) in expected {
        let bundle = Bundle::parse(&std::fs::read_to_string(folder().join(&file)).unwrap()).unwrap();
        assert_eq!(self::verdict(&bundle), verdict, "{file}: {:?}", bundle.verify());
    }
}

/// The vectors hold by the functions that check, not only by those that made them.
#[test]
fn the_vectors_check() {
    let log: Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join("log.json")).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let hash = |value: &Value| Hash::parse(&gatepass_core::text::Digest(text(value))).unwrap();
    let proof = |row: &Value| row["proof"].as_array().unwrap().iter().map(hash).collect::<Vec<_>>();
    let events = log["events"].as_array().unwrap();
    let head = |size: &Value| match size.as_u64().unwrap() {
        0 => Head { size: 0, root: gatepass_core::text::Digest(text(&log["empty_root"])) },
        size => Head { size, root: hash(&events[size as usize - 1]["root"]).digest() },
    };
    for event in events {
        let read: gatepass_core::event::Event = serde_json::from_str(&text(&event["content"])).unwrap();
        assert_eq!(leaf_hash(&read).unwrap(), hash(&event["leaf"]));
    }
    for row in log["inclusion"].as_array().unwrap() {
        let seq = row["seq"].as_u64().unwrap();
        let leaf = hash(&events[seq as usize - 1]["leaf"]);
        assert_eq!(check_inclusion(&proof(row), seq, leaf, &head(&row["size"])), Ok(()));
    }
    for row in log["consistency"].as_array().unwrap() {
        assert_eq!(check_consistency(&proof(row), &head(&row["old"]), &head(&row["new"])), Ok(()));
    }
    let verifier = LogVerifier::new(&text(&log["vkey"])).unwrap();
    for row in log["checkpoints"].as_array().unwrap() {
        assert_eq!(verifier.open(&text(&row["note"])), Ok(head(&row["size"])));
    }
}
