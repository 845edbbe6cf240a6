//! Whether a file is a whole backup: the log is recomputed, and what was made from it compared with it.

use super::{BackupError, beside};
use crate::verify::{Broken, Entry, verify};
use gatepass_core::drift::{self, Drift};
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::{DeviceId, DriftId, PersonId};
use gatepass_core::request::{Request, apply};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::Head;
use gatepass_log::{HEIGHT, Hash, Tree};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// Of the log.
    pub head: Head,
    pub requests: u64,
    pub people: u64,
    pub devices: u64,
    /// Of the file.
    pub bytes: u64,
}

/// Reads the whole of `file`, which nobody writes, and answers what it holds; or the first thing that is wrong.
pub fn check(file: &Path) -> Result<Contents, BackupError> {
    let db = open(file)?;
    let (head, tree) = recorded(&db).map_err(|e| unread(file, &e))?;
    let mut known = Known::default();
    log(&db, &head, &tree, &mut known).map_err(|broken| {
        // A page that can't be read is not the log's doing.
        BackupError::Broken { file: file.to_owned(), broken }
    })?;
    whole(&db, file)?;
    let differs = |what: String, seq| BackupError::Unlike { file: file.to_owned(), what, seq };
    let made = Made { db: &db, differs: &differs };
    let sql = |e: Wrong| match e {
        Wrong::Sql(e) => unread(file, &e),
        Wrong::Unlike(error) => error,
    };
    made.subtrees().map_err(sql)?;
    made.texts().map_err(sql)?;
    let people = made.people(&known).map_err(sql)?;
    let devices = made.devices(&known).map_err(sql)?;
    let requests = made.requests().map_err(sql)?;
    made.drift(&known).map_err(sql)?;
    let bytes = std::fs::metadata(file).map_err(super::failed(file, "read"))?.len();
    Ok(Contents { head, requests, people, devices, bytes })
}

/// Opens a file that nobody writes, and leaves nothing beside it.
pub(super) fn open(file: &Path) -> Result<Connection, BackupError> {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
    if !file.is_file() {
        return Err(super::failed(file, "read")("there is no such file"));
    }
    if beside(file, "-wal").metadata().is_ok_and(|m| m.len() > 0) {
        let why = "it has a “-wal” beside it, so it is a database in use; make one with “backup”".to_owned();
        return Err(BackupError::Foreign { file: file.to_owned(), why });
    }
    let absolute = std::path::absolute(file).map_err(super::failed(file, "read"))?;
    let uri = format!("file:{}?immutable=1", percent_encode(absolute.as_os_str().as_bytes(), KEPT));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags).map_err(super::failed(file, "read"))
}

fn unread(file: &Path, error: &rusqlite::Error) -> BackupError {
    let file = file.to_owned();
    let why = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "it is not an SQLite database".to_owned(),
        Some(ErrorCode::DatabaseCorrupt) => {
            return BackupError::Damaged { file, why: "SQLite can’t read all of it".to_owned() };
        }
        _ => error.to_string(),
    };
    BackupError::Foreign { file, why }
}

/// The head and the tree as they are kept.
pub(super) fn recorded(db: &Connection) -> rusqlite::Result<(Head, Tree)> {
    let found: Option<(i64, String, String)> = db
        .query_row("SELECT size, root, tree FROM head", [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
        .optional()?;
    let Some((size, root, tree)) = found else {
        return Ok((Tree::default().head(), Tree::default()));
    };
    let tree = serde_json::from_str(&tree).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(e))
    })?;
    Ok((Head { size: u64::try_from(size).unwrap_or(0), root: Digest(root) }, tree))
}

/// The last event about someone, with its position.
struct Seen {
    seq: u64,
    groups: Vec<String>,
    auditor: bool,
    admin: bool,
    details: Digest,
}

/// Who is who, by the log, and what targets show beside what was granted.
#[derive(Default)]
struct Known {
    drift: BTreeMap<DriftId, (u64, Drift)>,
    people: BTreeMap<PersonId, Seen>,
    devices: BTreeMap<DeviceId, (u64, PersonId, String, String)>,
    /// Where each was disabled.
    disabled: BTreeMap<DeviceId, u64>,
}

impl Known {
    fn learn(&mut self, entry: &Entry) -> Result<(), Broken> {
        let unreadable =
            |e: serde_json::Error| Broken::Unreadable { after: entry.seq - 1, why: e.to_string() };
        let event: Event = serde_json::from_str(&entry.body).map_err(unreadable)?;
        if let Some(id) = drift::about(&event.fact) {
            let before = self.drift.remove(&id).map(|(_, drift)| drift);
            self.drift.extend(drift::apply(before, &event).map(|now| (id, (entry.seq, now))));
        }
        match event.fact {
            Fact::PersonRecorded { person, mut groups, auditor, admin, details } => {
                groups.sort();
                self.people.insert(person, Seen { seq: entry.seq, groups, auditor, admin, details });
            }
            Fact::DeviceDisabled { device, .. } => drop(self.disabled.insert(device, entry.seq)),
            Fact::DeviceEnrolled { person, device, signing_key, seal_key, .. } => {
                self.devices.insert(device, (entry.seq, person, signing_key, seal_key));
            }
            _ => {}
        }
        Ok(())
    }
}

fn log(db: &Connection, head: &Head, tree: &Tree, known: &mut Known) -> Result<(), Broken> {
    let unreadable = |e: rusqlite::Error| Broken::Unreadable { after: 0, why: e.to_string() };
    let mut query = db.prepare("SELECT seq, leaf, body FROM event ORDER BY seq").map_err(unreadable)?;
    let entries = query.query_map([], |row| {
        let seq: i64 = row.get(0)?;
        Ok(Entry { seq: u64::try_from(seq).unwrap_or(0), leaf: row.get(1)?, body: row.get(2)? })
    });
    verify(entries.map_err(unreadable)?, head, tree, |entry| known.learn(entry))
}

/// SQLite's own look at every page and index.
fn whole(db: &Connection, file: &Path) -> Result<(), BackupError> {
    let damaged = |why: String| BackupError::Damaged { file: file.to_owned(), why };
    let said: String = db
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|e| damaged(e.to_string()))?;
    if said == "ok" { Ok(()) } else { Err(damaged(said)) }
}

enum Wrong {
    Sql(rusqlite::Error),
    Unlike(BackupError),
}

impl From<rusqlite::Error> for Wrong {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// What is made from the log and kept beside it, each compared with it.
struct Made<'a> {
    db: &'a Connection,
    differs: &'a dyn Fn(String, Option<u64>) -> BackupError,
}

impl Made<'_> {
    fn unlike<T>(&self, what: impl Into<String>, seq: Option<u64>) -> Result<T, Wrong> {
        Err(Wrong::Unlike((self.differs)(what.into(), seq)))
    }

    /// What proofs are made of is what the log, which was recomputed before, makes of it. What is missing is made again; a
    /// backup of before there was any has no table of it.
    fn subtrees(&self) -> Result<(), Wrong> {
        if !self.db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'subtree'")?.exists([])? {
            return Ok(());
        }
        let mut kept = self.db.prepare("SELECT root FROM subtree WHERE height = ?1 AND number = ?2")?;
        let mut leaves = self.db.prepare("SELECT leaf FROM event ORDER BY seq")?;
        let (mut tree, mut right) = (Tree::default(), 0);
        let mut complete = Vec::new();
        for leaf in leaves.query_map([], |row| row.get(0).map(Hash))? {
            tree.append_with(leaf?, |height, index, root| {
                complete.extend((height % HEIGHT == 0).then_some((height, index, root)));
            });
            for (height, index, root) in complete.drain(..) {
                let found =
                    kept.query_row((height, index.cast_signed()), |row| row.get(0).map(Hash)).optional()?;
                if found.is_some_and(|found| found != root) {
                    return self.unlike("what proofs are made of", Some((index << height) + 1));
                }
                right += i64::from(found.is_some());
            }
        }
        let count: i64 = self.db.query_row("SELECT count(*) FROM subtree", [], |row| row.get(0))?;
        if count == right {
            Ok(())
        } else {
            self.unlike("the number of hashes that proofs are made of", None)
        }
    }

    /// Every text that is still there is the one whose digest the log has.
    fn texts(&self) -> Result<(), Wrong> {
        let mut query = self.db.prepare("SELECT seq, digest, salt, text FROM text ORDER BY seq")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let seq: i64 = row.get(0)?;
            let digest = Digest(row.get(1)?);
            if (SaltedText { salt: row.get(2)?, text: row.get(3)? }).digest() != Some(digest) {
                return self.unlike("a text", u64::try_from(seq).ok());
            }
        }
        Ok(())
    }

    fn people(&self, known: &Known) -> Result<u64, Wrong> {
        let mut query = self.db.prepare("SELECT id, handle, name, groups, auditor, admin FROM person")?;
        let mut rows = query.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let (id, handle): (String, String) = (row.get(0)?, row.get(1)?);
            let what = format!("the person “{handle}”");
            let Some(seen) = id.parse().ok().and_then(|id: PersonId| known.people.get(&id)) else {
                return self.unlike(what, None);
            };
            let mut groups: Vec<String> = serde_json::from_str(&row.get::<_, String>(3)?).unwrap_or_default();
            groups.sort();
            let same = groups == seen.groups
                && row.get::<_, bool>(4)? == seen.auditor
                && row.get::<_, bool>(5)? == seen.admin
                && self.named(seen, &handle, &row.get::<_, String>(2)?)?;
            if !same {
                return self.unlike(what, Some(seen.seq));
            }
            count += 1;
        }
        if count == known.people.len() as u64 { Ok(count) } else { self.unlike("the number of people", None) }
    }

    /// Handle and name are in a text, which may have been erased.
    fn named(&self, seen: &Seen, handle: &str, name: &str) -> rusqlite::Result<bool> {
        let text: Option<String> = self
            .db
            .prepare_cached("SELECT text FROM text WHERE seq = ?1 AND digest = ?2")?
            .query_row((seen.seq as i64, &seen.details.0), |row| row.get(0))
            .optional()?;
        let Some(text) = text else { return Ok(true) };
        let details: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(details["handle"] == handle && details["name"] == name)
    }

    fn devices(&self, known: &Known) -> Result<u64, Wrong> {
        let mut query =
            self.db.prepare("SELECT id, person_id, signing_key, seal_key, disabled FROM device")?;
        let mut rows = query.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let Some((seq, person, signing, seal)) =
                id.parse().ok().and_then(|id: DeviceId| known.devices.get(&id))
            else {
                return self.unlike(format!("the device {id}"), None);
            };
            let same = row.get::<_, String>(1)? == person.to_string()
                && row.get::<_, String>(2)? == *signing
                && row.get::<_, String>(3)? == *seal;
            let disabled = id.parse().ok().and_then(|id| known.disabled.get(&id));
            if !same || row.get::<_, bool>(4)? != disabled.is_some() {
                return self.unlike(format!("the device {id}"), Some(*disabled.unwrap_or(seq)));
            }
            count += 1;
        }
        if count == known.devices.len() as u64 {
            Ok(count)
        } else {
            self.unlike("the number of devices", None)
        }
    }

    /// A backup of before there was any has no table of it.
    fn drift(&self, known: &Known) -> Result<(), Wrong> {
        if !self.db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'drift'")?.exists([])? {
            return Ok(());
        }
        let mut query = self.db.prepare("SELECT id, state, body FROM drift")?;
        let mut rows = query.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let Some((seq, told)) = id.parse().ok().and_then(|id: DriftId| known.drift.get(&id)) else {
                return self.unlike(format!("the drift {id}"), None);
            };
            let kept: Option<Drift> = serde_json::from_str(&row.get::<_, String>(2)?).ok();
            let state = serde_json::to_value(told.state).unwrap_or_default();
            if kept.as_ref() != Some(told) || state != row.get::<_, String>(1)? {
                return self.unlike(format!("the drift {id}"), Some(*seq));
            }
            count += 1;
        }
        if count == known.drift.len() { Ok(()) } else { self.unlike("the number of drifts", None) }
    }

    /// Every request is what its events make of it. Both are read in the order of ids.
    fn requests(&self) -> Result<u64, Wrong> {
        let mut made = self.db.prepare("SELECT id, body FROM request ORDER BY id")?;
        let mut made = made.query([])?;
        let mut events = self.db.prepare(
            "SELECT request_id, seq, body FROM event WHERE request_id IS NOT NULL ORDER BY request_id, seq",
        )?;
        let mut events = events.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let mut next: Option<(String, i64, String)> = events.next().transpose()?;
        let mut count = 0;
        while let Some(row) = made.next()? {
            let (id, kept): (String, String) = (row.get(0)?, row.get(1)?);
            if let Some((missing, seq, _)) = next.as_ref().filter(|(of, ..)| *of < id) {
                return self.unlike(format!("the request {missing}"), u64::try_from(*seq).ok());
            }
            let (mut request, mut last): (Option<Request>, Option<i64>) = (None, None);
            while let Some((_, seq, body)) = next.take_if(|(of, ..)| *of == id) {
                let Ok(event) = serde_json::from_str(&body) else {
                    return self.unlike(format!("the request {id}"), u64::try_from(seq).ok());
                };
                request = apply(request, &event);
                last = Some(seq);
                next = events.next().transpose()?;
            }
            let kept: Option<Request> = serde_json::from_str(&kept).ok();
            if request.is_none() || kept != request {
                return self.unlike(format!("the request {id}"), last.and_then(|s| u64::try_from(s).ok()));
            }
            count += 1;
        }
        match next {
            None => Ok(count),
            Some((id, seq, _)) => self.unlike(format!("the request {id}"), u64::try_from(seq).ok()),
        }
    }
}
