//! A part of the log that proves itself, as one JSON file: the log's key, a signed head, and events with inclusion proofs.
//! What it needs to be checked with no server and no cache is in it, or is a finding.

use crate::checkpoint::LogVerifier;
use crate::leaf::Hash;
use crate::proof::check_inclusion;
use crate::replay::{Extent, Finding, Item, Replay, Report};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::Head;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The file. Fields that are not known are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The log's verifier key, `<origin>+<id>+<key>`. Compare it with `gatepass-server log key`.
    pub vkey: String,
    /// The signed note.
    pub checkpoint: String,
    /// In the order of their positions.
    pub events: Vec<Entry>,
    /// The texts behind the digests, as far as whoever exported may read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<SaltedText>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1; the leaf's index in the tree is one less.
    pub seq: u64,
    /// The exact canonical bytes, base64.
    pub leaf: String,
    /// The hashes of the siblings from the leaf up, each base64.
    pub proof: Vec<String>,
}

/// What does not hold about a bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error("this is not an exported bundle: {0}")]
    Malformed(String),
    #[error("{0}")]
    Checkpoint(#[from] crate::checkpoint::CheckpointError),
    #[error("{0}")]
    Finding(#[from] Finding),
}

/// A bundle that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub head: Head,
    pub report: Report,
}

impl Entry {
    pub fn new(seq: u64, content: &[u8], proof: &[Hash]) -> Self {
        let proof = proof.iter().map(|h| BASE64.encode(h.0)).collect();
        Self { seq, leaf: BASE64.encode(content), proof }
    }
}

impl Bundle {
    pub fn parse(text: &str) -> Result<Self, BundleError> {
        serde_json::from_str(text).map_err(|e| BundleError::Malformed(e.to_string()))
    }

    /// Checks the signed head, that each event is in its tree, and all that [`Replay`] checks.
    pub fn verify(&self) -> Result<Held, BundleError> {
        let head = LogVerifier::new(&self.vkey)?.open(&self.checkpoint)?;
        let mut texts: BTreeMap<Digest, &SaltedText> = BTreeMap::new();
        for text in &self.texts {
            let digest = text.digest();
            let digest =
                digest.ok_or_else(|| BundleError::Malformed("a text has no salt of 16 bytes".to_owned()))?;
            texts.insert(digest, text);
        }
        let mut replay = Replay::new(Extent::Parts);
        for part in self.events.chunks(4_096) {
            let items = part.iter().map(|entry| entry.item(&head, &texts)).collect::<Result<_, _>>()?;
            replay.take(items)?;
        }
        Ok(Held { head, report: replay.finish()? })
    }
}

impl Entry {
    fn item(&self, head: &Head, texts: &BTreeMap<Digest, &SaltedText>) -> Result<Item, BundleError> {
        let malformed = |what: &str| BundleError::Malformed(format!("position {}: {what}", self.seq));
        let bytes = BASE64.decode(&self.leaf).map_err(|_| malformed("its leaf is not base64"))?;
        let leaf = Hash::leaf(&bytes);
        let mut proof = Vec::with_capacity(self.proof.len());
        for hash in &self.proof {
            let hash = BASE64.decode(hash).ok().and_then(|b| b.try_into().ok());
            proof.push(Hash(hash.ok_or_else(|| malformed("its proof is not of hashes"))?));
        }
        check_inclusion(&proof, self.seq, leaf, head).map_err(|_| Finding {
            seq: self.seq,
            rule: "inclusion",
            message: "the event is not in the tree of the signed head".to_owned(),
        })?;
        let content = String::from_utf8(bytes).map_err(|_| malformed("its leaf is not text"))?;
        // Only those that it names, so that a bundle of many events is not searched for each.
        let event: Option<gatepass_core::event::Event> = serde_json::from_str(&content).ok();
        let named = event.iter().flat_map(|e| e.fact.digests());
        let texts = named.filter_map(|(_, digest)| texts.get(digest).map(|t| (*t).clone())).collect();
        Ok(Item { seq: self.seq, leaf, content: Some(content), texts })
    }
}
