//! The log's signed heads, held against what is here. One that holds is kept; one that does not is a contradiction; one
//! that is older than what is known is neither: it is not accepted as new, and told.

use super::check::Breach;
use super::ingest::{Signed, Verified, contradiction};
use super::nodes::Kept;
use super::{clear_meta, meta, set_meta};
use crate::profile::Witness;
use crate::ui::Failure;
use chrono::TimeDelta;
use gatepass_core::wire::Head;
use gatepass_core::{Code, Time};
use gatepass_log::{CheckpointError, LogVerifier, Tree};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// The server signs once a second; nodes hear of each other within two. What is older than this is no delay.
const HONEST: TimeDelta = TimeDelta::seconds(10);

/// The log's signatures do not keep up with what it says. No contradiction, but nobody can be held to it either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// An old head is shown again.
    Old { shown: u64, known: u64 },
    /// What came at that time is still not signed.
    Unsigned { since: Time, size: u64 },
}

impl Behind {
    pub fn failure(&self) -> Failure {
        let message = match self {
            Self::Old { shown, known } => format!(
                "The server shows an old signed head of its log, of {shown} events; this device has checked one of \
                 {known}. The old one is not accepted."
            ),
            Self::Unsigned { since, size } => {
                let since = since.format("%Y-%m-%d %H:%M:%S");
                format!("The server has not signed its log of {size} events, which it showed at {since} UTC.")
            }
        };
        Failure::new(Code::CheckpointOld, message)
    }
}

/// The first time that more was there than was signed.
#[derive(Serialize, Deserialize)]
struct Unsigned {
    size: u64,
    at: Time,
}

/// What is held a page's signed head against.
pub(super) struct Signing<'c> {
    pub conn: &'c Connection,
    pub log: &'c LogVerifier,
    pub witness: Option<&'c Witness>,
    pub now: Time,
}

impl Signing<'_> {
    /// The newest that held; after a cache was lost, the one beside it, once the log reaches so far again.
    fn known(&self, size: u64) -> Result<Option<Signed>, Failure> {
        let beside = self.witness.and_then(|w| w.signed.clone()).filter(|s| s.head.size <= size);
        let kept = meta::<Signed>(self.conn, "signed")?;
        Ok(match (kept, beside) {
            (Some(a), Some(b)) => Some(if a.head.size >= b.head.size { a } else { b }),
            (a, b) => a.or(b),
        })
    }

    /// Takes the signed head that came with a page, after the page's leaves. `tree` is over all that is held then.
    pub fn take(&self, note: Option<&str>, tree: &Tree) -> Result<Result<Option<Behind>, Breach>, Failure> {
        let mut known = self.known(tree.size())?;
        let mut back = None;
        if let Some(note) = note {
            let head = match self.log.open(note) {
                Ok(head) => head,
                Err(error) => return Ok(Err(not_theirs(&error, note, known))),
            };
            // One that is ahead of the page is looked at when the log reaches so far.
            if head.size <= tree.size() {
                let held = Kept(self.conn).head_at(head.size);
                let held = held.ok_or_else(|| Failure::from(Code::CacheBroken))?;
                if held != head {
                    let breach = contradiction("fork", held, head);
                    let (seen_note, got_note) = (known.map(|s| s.note), Some(note.to_owned()));
                    return Ok(Err(Breach { seen_note, got_note, ..breach }));
                }
                match &known {
                    Some(s) if head.size < s.head.size => {
                        let late = self.now - s.at > HONEST;
                        back = late.then_some(Behind::Old { shown: head.size, known: s.head.size });
                    }
                    _ => known = Some(Signed { note: note.to_owned(), head, at: self.now }),
                }
            }
        }
        if let Some(known) = &known {
            set_meta(self.conn, "signed", known)?;
        }
        let unsigned = self.unsigned(known.map_or(0, |s| s.head.size), tree.size())?;
        Ok(Ok(back.or(unsigned)))
    }

    /// Remembers since when something is not signed; told once that is long.
    fn unsigned(&self, signed: u64, size: u64) -> Result<Option<Behind>, Failure> {
        if signed >= size {
            clear_meta(self.conn, "unsigned")?;
            return Ok(None);
        }
        match meta::<Unsigned>(self.conn, "unsigned")?.filter(|u| signed < u.size) {
            Some(u) if self.now - u.at > HONEST => Ok(Some(Behind::Unsigned { since: u.at, size: u.size })),
            Some(_) => Ok(None),
            None => {
                set_meta(self.conn, "unsigned", &Unsigned { size, at: self.now })?;
                Ok(None)
            }
        }
    }
}

fn not_theirs(error: &CheckpointError, note: &str, known: Option<Signed>) -> Breach {
    let (rule, why) = match error {
        CheckpointError::Origin(origin) => ("checkpoint-origin", format!("it is of another log, “{origin}”")),
        CheckpointError::Signature => {
            ("checkpoint-key", "it is not signed by the key this device got when it joined".to_owned())
        }
        CheckpointError::Key | CheckpointError::Malformed => {
            ("checkpoint-form", "it is not a signed checkpoint".to_owned())
        }
    };
    let what = format!("The server’s signed head does not hold: {why}.");
    let (seen, seen_note) = known.map_or((None, None), |s| (Some(s.head), Some(s.note)));
    Breach { seen, seen_note, got_note: Some(note.to_owned()), ..Breach::new(rule, what) }
}

/// What a contradiction is told with: the newest head that held, as the log signed it.
pub(super) fn last_note(conn: &Connection, witness: Option<&Witness>) -> Result<Option<String>, Failure> {
    let kept = meta::<Signed>(conn, "signed")?.map(|s| s.note);
    Ok(kept.or_else(|| witness.and_then(|w| w.signed.as_ref()).map(|s| s.note.clone())))
}

/// The newest head that was checked.
pub(super) fn last_head(conn: &Connection) -> Result<Option<Head>, Failure> {
    Ok(meta::<Verified>(conn, "verified")?.map(|v| v.head))
}
