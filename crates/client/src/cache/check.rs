//! Checks a page of the log before anything of it is kept: positions are dense, every readable event hashes to
//! its leaf. Pure, and spread over two threads, since it is half the work of a sync.

use crate::api::{RawEntry, RawPage};
use crate::ui::Failure;
use gatepass_core::Code;
use gatepass_core::event::Event;
use gatepass_core::retention::Retention;
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::Head;
use gatepass_log::{Hash, canonical};

/// The log contradicts itself or what was seen before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Breach {
    /// What kind of contradiction, as docs/cli.md lists them; or the rule of docs/log-format.md that does not hold.
    pub rule: String,
    /// A sentence for people.
    pub what: String,
    /// The first position that is known to differ.
    pub seq: Option<u64>,
    /// What this device has there, and what came.
    pub kept_leaf: Option<Digest>,
    pub leaf: Option<Digest>,
    /// The head that held, and the one that contradicts it; as the log signed them, where it did.
    pub seen: Option<Head>,
    pub got: Option<Head>,
    pub seen_note: Option<String>,
    pub got_note: Option<String>,
}

impl Breach {
    pub fn new(rule: &str, what: impl Into<String>) -> Self {
        Self {
            rule: rule.to_owned(),
            what: what.into(),
            seq: None,
            kept_leaf: None,
            leaf: None,
            seen: None,
            got: None,
            seen_note: None,
            got_note: None,
        }
    }
}

/// A page whose events are what their leaves say.
pub(crate) struct Checked {
    /// The cursor it was asked with.
    pub after: u64,
    pub rows: Vec<Row>,
    pub head: Head,
    /// The newest signed head, not looked at yet.
    pub checkpoint: Option<String>,
    pub scope: Digest,
    pub catalogue: Digest,
    pub directory: Digest,
    pub retention: Retention,
}

pub(crate) struct Row {
    pub seq: u64,
    pub leaf: Hash,
    pub event: Option<Readable>,
    pub texts: Vec<(Digest, SaltedText)>,
}

pub(crate) struct Readable {
    pub event: Event,
    /// Canonical JSON: the leaf's content.
    pub json: String,
}

/// The outer error is ours (the page can't be understood), the inner the log's.
pub(crate) fn check(after: u64, page: RawPage) -> Result<Result<Checked, Breach>, Failure> {
    let signed = page.checkpoint.clone();
    Ok(checked(after, page)?.map_err(|breach| Breach { got_note: signed, ..breach }))
}

fn checked(after: u64, page: RawPage) -> Result<Result<Checked, Breach>, Failure> {
    let RawPage { entries, head, checkpoint, scope, catalogue, directory, retention, .. } = page;
    for (expected, entry) in (after + 1..).zip(&entries) {
        if entry.seq != expected {
            let what = format!("The server’s log has position {} where {expected} belongs.", entry.seq);
            return Ok(Err(Breach { seq: Some(expected), ..Breach::new("dense", what) }));
        }
    }
    let last = after + entries.len() as u64;
    if head.size < last {
        let what = format!("The server’s log ends at {}, before what it holds.", head.size);
        return Ok(Err(Breach { got: Some(head), ..Breach::new("shrunk", what) }));
    }
    let half = entries.len() / 2;
    let mut first = entries;
    let second = first.split_off(half);
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(move || rows(second));
        (rows(first), other.join())
    });
    let second = second.map_err(|_| Failure::new(Code::Internal, "Checking the log failed."))?;
    let rows = match (first?, second?) {
        (Ok(mut rows), Ok(more)) => {
            rows.extend(more);
            rows
        }
        (Err(breach), _) | (_, Err(breach)) => return Ok(Err(breach)),
    };
    Ok(Ok(Checked { after, rows, head, checkpoint, scope, catalogue, directory, retention }))
}

fn rows(entries: Vec<RawEntry>) -> Result<Result<Vec<Row>, Breach>, Failure> {
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        let seq = entry.seq;
        let Some(leaf) = Hash::parse(&entry.leaf) else {
            let what = format!("Position {seq} has no leaf hash.");
            return Ok(Err(Breach { seq: Some(seq), ..Breach::new("leaf", what) }));
        };
        let event = match &entry.event {
            None => None,
            Some(raw) => {
                // The server sends events as they stand in the log; only what does not hash is put in order first.
                let as_sent = Hash::leaf(raw.get().as_bytes()) == leaf;
                let json = if as_sent { raw.get().to_owned() } else { canonical_text(raw.get())? };
                if !as_sent && Hash::leaf(json.as_bytes()) != leaf {
                    let what = format!("The event at position {seq} is not the one in the log.");
                    let given = Hash::leaf(json.as_bytes()).digest();
                    return Ok(Err(Breach {
                        seq: Some(seq),
                        kept_leaf: Some(entry.leaf),
                        leaf: Some(given),
                        ..Breach::new("leaf", what)
                    }));
                }
                let event = serde_json::from_str(&json).map_err(|e| {
                    let message = format!("Position {seq} can’t be read; the server may be newer ({e}).");
                    Failure::new(Code::Malformed, message)
                })?;
                Some(Readable { event, json })
            }
        };
        // A text under another digest is not the text that was signed: it is not kept.
        let texts = entry.texts.into_iter().filter_map(|t| Some((t.digest()?, t))).collect();
        rows.push(Row { seq, leaf, event, texts });
    }
    Ok(Ok(rows))
}

fn canonical_text(raw: &str) -> Result<String, Failure> {
    let value: serde_json::Value = serde_json::from_str(raw)
        .map_err(|e| Failure::new(Code::Malformed, format!("An event can’t be read: {e}")))?;
    let bytes = canonical(&value).map_err(|e| Failure::local("An event can’t be hashed", e))?;
    String::from_utf8(bytes).map_err(|e| Failure::local("An event can’t be hashed", e))
}
