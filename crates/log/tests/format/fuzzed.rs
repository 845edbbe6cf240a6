//! Everything that fuzzing found worth keeping, through what is fuzzed: `./dev fuzz` needs a nightly Rust, this does not.

#[path = "../../../../fuzz/checks.rs"]
mod checks;

use crate::story::{self, Story};
use crate::{broken, rng::Random};
use gatepass_log::{Hash, consistency, inclusion};
use std::path::Path;

#[test]
fn whatever_comes_is_taken_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, check) in checks::TARGETS {
        let files = std::fs::read_dir(corpus.join(name)).expect(name);
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 5, "{name} has no corpus");
        for file in files {
            println!("{}", file.display());
            check(&std::fs::read(file).unwrap());
        }
    }
}

/// The first of the corpus: what is well formed. `UPDATE_VECTORS=1` writes it.
#[test]
fn what_is_well_formed_is_taken() {
    for (name, data) in seeds() {
        let (target, _) = name.split_once('/').unwrap();
        checks::TARGETS.iter().find(|(name, _)| *name == target).unwrap().1(&data);
        if std::env::var_os("UPDATE_VECTORS").is_some() {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(&name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, data).unwrap();
        }
    }
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let story = Story::told();
    let contents = story.contents();
    let mut seeds = vec![("event/seed-log".to_owned(), contents.join(&b'\n'))];
    for event in crate::kinds::every(7) {
        let name = format!("event/seed-{}", event.fact.kind());
        seeds.push((name, gatepass_log::canonical(&event).unwrap()));
    }
    let key = story::log_key();
    let note = key.sign(&story.head()).unwrap();
    seeds.push(("note/seed-keyed".to_owned(), format!("{}\n{note}", key.vkey()).into_bytes()));
    let cosigned = format!(
        "{note}— witness.example/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    );
    seeds.push(("note/seed-cosigned".to_owned(), cosigned.into_bytes()));
    seeds.push(("note/seed".to_owned(), note.into_bytes()));
    seeds.push(("note/seed-empty".to_owned(), key.sign(&Story::default().head()).unwrap().into_bytes()));
    seeds.push(("note/seed-no-note".to_owned(), b"example.com/gatepass\n0\n\n".to_vec()));
    // One that holds, and some that go wrong at different depths.
    for (name, _, bundle) in broken::bundles().into_iter().step_by(5) {
        seeds.push((format!("bundle/seed-{name}"), serde_json::to_vec(&bundle).unwrap()));
    }
    for path in
        ["000", "067", "x001/x234/067", "x001/234.p/255", "000.p/1", "x18/x446/x744/x073/x709/551.p/2"]
    {
        seeds.push((format!("tile/seed-{}", path.replace('/', "-")), path.as_bytes().to_vec()));
    }
    for (n, text) in [
        r#"stuck person:tomas "in two words" resource:"orders db" INC:42 -outcome:denied"#,
        "after:2026-11-17 before:2026-11-17T01:00:00+01:00 env:production",
        " \" \" * : - -- person: role:",
        "kind:request -kind:grant.ended R-12",
        "Łódź person:Zoë \u{202e} \u{1f511}",
    ]
    .into_iter()
    .enumerate()
    {
        seeds.push((format!("query/seed-{n}"), text.as_bytes().to_vec()));
    }
    let mut random = Random(3);
    let leaves: Vec<Hash> = (0..1_000).map(|_| Hash::leaf(&random.bytes(8))).collect();
    for (a, b) in [(1u64, 1u64), (1, 2), (4, 7), (6, 7), (256, 257), (300, 1_000), (512, 1_000)] {
        let proofs =
            [inclusion(leaves.as_slice(), a, b).unwrap(), consistency(leaves.as_slice(), a, b).unwrap()];
        for (kind, proof) in ["in", "to"].into_iter().zip(proofs) {
            let hashes = std::iter::once(leaves[a as usize - 1]).chain(proof).flat_map(|hash| hash.0);
            let data = a.to_be_bytes().into_iter().chain(b.to_be_bytes()).chain(hashes).collect();
            seeds.push((format!("proof/seed-{a}-{kind}-{b}"), data));
        }
    }
    seeds
}
