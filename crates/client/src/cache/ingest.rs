//! Writes one checked page of the log, whole or not at all.

use super::check::{Breach, Checked};
use super::signed::{Behind, Signing, last_head, last_note};
use super::write::Writing;
use super::{Cache, clear_meta, expire, meta, nodes, set_meta};
use crate::profile::Witness;
use crate::ui::Failure;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_core::{Code, Time};
use gatepass_log::{LogVerifier, Tree};
use rusqlite::{Connection, TransactionBehavior};
use serde::{Deserialize, Serialize};

/// What became of a page.
pub(crate) enum Ingested {
    /// Everything, and what is to be told of the log's signatures.
    Done(Option<Behind>),
    /// Another process was faster; ask again from the new cursor.
    Raced,
    /// Nothing of it was kept.
    Breach(Breach),
}

/// Where the cache stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    /// Positions held.
    pub size: u64,
    /// Ask for what comes after this.
    pub cursor: u64,
    /// The last head whose root was equal to the one over the leaves held, and when.
    pub verified: Option<Verified>,
    /// The last that the log signed.
    pub signed: Option<Signed>,
    /// Everything is being pulled again.
    pub resyncing: bool,
    /// Anything changed: a request, an event, what may be seen.
    pub changes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verified {
    pub head: Head,
    pub at: Time,
}

/// The newest head the log signed that holds here, and when it came, in the server's time. Kept as `signed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Signed {
    pub note: String,
    pub head: Head,
    pub at: Time,
}

#[derive(Serialize, Deserialize)]
struct Resync {
    cursor: u64,
    scope: Option<Digest>,
}

impl Cache {
    pub fn position(&self) -> Result<Position, Failure> {
        let conn = self.reader();
        let size = tree(&conn)?.size();
        let resync: Option<Resync> = meta(&conn, "resync")?;
        Ok(Position {
            size,
            cursor: resync.as_ref().map_or(size, |r| r.cursor),
            verified: meta(&conn, "verified")?,
            signed: meta(&conn, "signed")?,
            resyncing: resync.is_some(),
            changes: meta(&conn, "changes")?.unwrap_or(0),
        })
    }

    /// Has everything pulled again: what may be seen or have been erased could have changed unseen. Leaves held
    /// stay and are compared.
    pub fn start_resync(&self) -> Result<(), Failure> {
        let mut conn = self.writer();
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if meta::<Resync>(&tx, "resync")?.is_none() && tree(&tx)?.size() > 0 {
            set_meta(&tx, "resync", &Resync { cursor: 0, scope: meta(&tx, "scope")? })?;
        }
        Ok(tx.commit()?)
    }

    /// Writes a page. `witness` is what was checked before this cache existed: it must come by again. Signed heads are
    /// looked at once the `log`'s key is known.
    pub fn ingest(
        &self,
        page: Checked,
        log: Option<&LogVerifier>,
        witness: Option<&Witness>,
        now: Time,
    ) -> Result<Ingested, Failure> {
        let mut conn = self.writer();
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut tree = tree(&tx)?;
        let held = tree.size();
        let resync: Option<Resync> = meta(&tx, "resync")?;
        if resync.as_ref().map_or(held, |r| r.cursor) != page.after {
            return Ok(Ingested::Raced);
        }
        let Some(documents) = self.documents_with(&tx)? else {
            return Err(Failure::new(Code::CacheBroken, "The catalogue is missing in the local cache."));
        };
        let Checked { after, rows, head, checkpoint, scope, retention, .. } = page;
        let told = |breach: Breach| -> Result<Ingested, Failure> {
            // Both sides as the log signed them.
            let seen_note = last_note(&tx, witness)?;
            Ok(Ingested::Breach(Breach { seen_note, got_note: checkpoint.clone(), ..breach }))
        };
        let last = after + rows.len() as u64;
        let full = rows.len();
        let mut writing = Writing::new(&tx, &documents, now)?;
        for row in &rows {
            if row.seq <= held {
                if let Some(breach) = writing.compare(row)? {
                    return told(breach);
                }
            } else {
                nodes::append(&tx, &mut tree, row.leaf)?;
                if let Some(seen) = witness.and_then(|w| w.contradicts(&tree)) {
                    return told(contradiction("fork", seen, tree.head()));
                }
                writing.append(row)?;
            }
        }
        let changed = writing.finish()?;
        if head.size == tree.size() {
            if head != tree.head() {
                // Not how what was checked goes on.
                let seen = last_head(&tx)?.unwrap_or_else(|| tree.head());
                return told(contradiction("root", seen, head));
            }
            set_meta(&tx, "verified", &Verified { head, at: now })?;
        } else if head.size < tree.size() {
            return told(contradiction("shrunk", tree.head(), head));
        }
        if tree.size() > held {
            set_meta(&tx, "tree", &tree)?;
        }
        let mut behind = None;
        if let Some(log) = log.filter(|_| last >= tree.size()) {
            match (Signing { conn: &tx, log, witness, now }).take(checkpoint.as_deref(), &tree)? {
                Ok(found) => behind = found,
                Err(breach) => return Ok(Ingested::Breach(breach)),
            }
        }
        progress(&tx, resync, last, held, full, &scope)?;
        expire::take(&tx, &retention)?;
        if changed || tree.size() > held {
            count(&tx, "changes")?;
        }
        if changed {
            count(&tx, "rewritten")?;
        }
        tx.commit()?;
        Ok(Ingested::Done(behind))
    }
}

/// Says that what was there before is shown otherwise.
pub(super) fn rewritten(tx: &Connection) -> Result<(), Failure> {
    count(tx, "changes")?;
    count(tx, "rewritten")
}

fn count(tx: &Connection, name: &str) -> Result<(), Failure> {
    set_meta(tx, name, &(meta::<u64>(tx, name)?.unwrap_or(0) + 1))
}

/// Moves the cursor of a resync on, and starts one when what this person may see has changed.
fn progress(
    tx: &Connection,
    resync: Option<Resync>,
    last: u64,
    held: u64,
    rows: usize,
    scope: &Digest,
) -> Result<(), Failure> {
    match resync {
        Some(r) if r.scope.as_ref().is_some_and(|s| s != scope) => {
            set_meta(tx, "resync", &Resync { cursor: 0, scope: Some(scope.clone()) })
        }
        Some(_) if last >= held || rows == 0 => {
            clear_meta(tx, "resync")?;
            expire::again(tx)?;
            set_meta(tx, "scope", scope)
        }
        Some(_) => set_meta(tx, "resync", &Resync { cursor: last, scope: Some(scope.clone()) }),
        None => match meta::<Digest>(tx, "scope")? {
            None => set_meta(tx, "scope", scope),
            Some(known) if known == *scope => Ok(()),
            Some(_) if held == 0 => set_meta(tx, "scope", scope),
            Some(_) => set_meta(tx, "resync", &Resync { cursor: 0, scope: Some(scope.clone()) }),
        },
    }
}

pub(super) fn contradiction(rule: &str, seen: Head, got: Head) -> Breach {
    let what = format!(
        "The server’s log is not the one this device has seen: at {} events the root is {}…, the server now has {}… \
         at {}.",
        seen.size,
        seen.root.0.get(..12).unwrap_or_default(),
        got.root.0.get(..12).unwrap_or_default(),
        got.size
    );
    Breach { seen: Some(seen), got: Some(got), ..Breach::new(rule, what) }
}

pub(super) fn tree(conn: &Connection) -> Result<Tree, Failure> {
    Ok(meta(conn, "tree")?.unwrap_or_default())
}

impl Cache {
    /// The last position that was told to the person in notifications.
    pub fn notified(&self) -> Result<Option<u64>, Failure> {
        meta(&self.reader(), "notified")
    }

    pub fn set_notified(&self, seq: u64) -> Result<(), Failure> {
        let mut conn = self.writer();
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if meta::<u64>(&tx, "notified")?.is_none_or(|known| known < seq) {
            set_meta(&tx, "notified", &seq)?;
        }
        Ok(tx.commit()?)
    }

    /// A small value that outlives the process.
    pub fn remember<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Failure> {
        set_meta(&self.writer(), name, value)
    }

    pub fn recall<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        meta(&self.reader(), name)
    }
}
