//! Putting a backup in the place of the data, with what was there kept aside.

use super::check::{check, open, recorded};
use super::{
    BUSY, BackupError, Contents, DATABASE, beside, claim, failed, folder, named, replace, sync_folder,
};
use crate::Time;
use crate::seen;
use crate::serve::{self, MOVED};
use crate::store::sqlite::Kept;
use gatepass_core::wire::Head;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::path::{Path, PathBuf};

/// What a restore did.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    pub contents: Contents,
    pub before: Option<Before>,
}

/// What was there before.
#[derive(Clone, Debug, PartialEq)]
pub struct Before {
    /// Where it is kept.
    pub kept: PathBuf,
    /// `None` when its log can't be read.
    pub compared: Option<Compared>,
}

/// How the log that was there compares with the backup's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    pub size: u64,
    /// How many of its events are not in the backup.
    pub lost: u64,
    /// The first position where both have an event, and not the same one.
    pub differs: Option<u64>,
}

/// Puts the backup `from` in the place of what is in the directory `data`, which is made if need be; refused while a
/// server runs there. After a crash either is there, whole.
pub fn restore(data: &Path, from: &Path, now: Time) -> Result<Restored, BackupError> {
    let place = data.join(DATABASE);
    // Copied first, so that what is checked is what will be there.
    let new = beside(&place, ".unfinished");
    make_directory(data)?;
    let lock = data.join("serving.lock");
    let _lock = serve::lock(data).map_err(|_| BackupError::Running(data.to_owned()))?;
    own(&lock, data)?;
    let mut file = claim(&new, &place)?;
    let done = open(from)
        .and_then(|_| File::open(from).map_err(failed(from, "read")))
        .and_then(|mut from_file| std::io::copy(&mut from_file, &mut file).map_err(failed(&new, "written")))
        .and_then(|_| file.sync_all().map_err(failed(&new, "written")))
        .and_then(|()| own(&new, data))
        .and_then(|()| check(&new))
        .and_then(|contents| stay(&new).map(|()| contents))
        .map_err(|error| named(error, &new, from))
        .and_then(|contents| exchange(&new, &place, contents, now))
        .and_then(|done| {
            let db = open(&place)?;
            seen::restored(data, &done.contents.head, &Kept(&db))
                .map_err(failed(data, "written"))
                .map(|()| done)
        });
    if done.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    done
}

/// Makes the directory (0700) unless it is there.
fn make_directory(data: &Path) -> Result<(), BackupError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed(data, "made"))
}

/// Gives a file that root makes here to whom the directory belongs to.
fn own(file: &Path, data: &Path) -> Result<(), BackupError> {
    let fail = failed(file, "given to the server’s user");
    let (file_is, data_is) = (file.metadata().map_err(&fail)?, data.metadata().map_err(&fail)?);
    if file_is.uid() == data_is.uid() {
        return Ok(());
    }
    chown(file, Some(data_is.uid()), Some(data_is.gid())).map_err(&fail)
}

/// A backup of data that were moved to another database afterwards says so: whoever restores it goes back to what is here.
fn stay(new: &Path) -> Result<(), BackupError> {
    let db = Connection::open(new).map_err(failed(new, "opened"))?;
    let moved = db.query_row("SELECT 1 FROM setting WHERE key = ?1", [MOVED], |_| Ok(())).optional();
    if moved.map_err(failed(new, "read"))?.is_some() {
        db.execute("DELETE FROM setting WHERE key = ?1", [MOVED]).map_err(failed(new, "written"))?;
        db.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0))
            .map_err(failed(new, "written"))?;
    }
    drop(db);
    File::open(new).and_then(|f| f.sync_all()).map_err(failed(new, "written"))
}

fn exchange(new: &Path, place: &Path, contents: Contents, now: Time) -> Result<Restored, BackupError> {
    if !place.exists() {
        discard_rest(place)?;
        replace(new, place)?;
        return Ok(Restored { contents, before: None });
    }
    let kept = name(place, now);
    settle(place, &kept)?;
    let compared = compare(place, new, &contents.head);
    link(place, &kept, "")?;
    sync_folder(place)?;
    discard_rest(place)?;
    replace(new, place)?;
    Ok(Restored { contents, before: Some(Before { kept, compared }) })
}

/// Moves what stands in the write-ahead log into the file itself, so that it is one file. What can't be read stays
/// as it is; its parts are then kept side by side.
fn settle(place: &Path, kept: &Path) -> Result<(), BackupError> {
    // First, since SQLite takes the log of an empty file for a leftover.
    link(place, kept, "-wal")?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let settled = Connection::open_with_flags(place, flags).and_then(|db| {
        db.busy_timeout(BUSY)?;
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        db.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0))
    });
    let busy = match &settled {
        Ok(mode) => mode == "wal",
        Err(error) => {
            let code = error.sqlite_error_code();
            matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
        }
    };
    let empty = place.metadata().map_or(0, |m| m.len()) < 512;
    if busy || (settled.is_ok() && !empty) {
        let spare = beside(kept, "-wal");
        if spare.exists() {
            std::fs::remove_file(&spare).map_err(failed(&spare, "removed"))?;
        }
    }
    if busy { Err(BackupError::Open(place.to_owned())) } else { Ok(()) }
}

/// A name for what is there, not yet taken.
fn name(place: &Path, now: Time) -> PathBuf {
    let name = format!(".before-{}", now.format("%Y%m%dT%H%M%SZ"));
    let mut kept = beside(place, &name);
    let mut n = 1;
    while kept.exists() {
        n += 1;
        kept = beside(place, &format!("{name}-{n}"));
    }
    kept
}

/// Gives a part of what is there a second name.
fn link(place: &Path, kept: &Path, end: &str) -> Result<(), BackupError> {
    let (part, kept) = (beside(place, end), beside(kept, end));
    if part.exists() {
        std::fs::hard_link(&part, &kept).map_err(failed(&kept, "written"))?;
    }
    Ok(())
}

/// A write-ahead log left here would be played into the new file.
fn discard_rest(place: &Path) -> Result<(), BackupError> {
    for end in ["-wal", "-shm", "-journal"] {
        let part = beside(place, end);
        if part.exists() {
            std::fs::remove_file(&part).map_err(failed(&part, "removed"))?;
        }
    }
    File::open(folder(place)).and_then(|f| f.sync_all()).map_err(failed(place, "written"))
}

fn compare(old: &Path, new: &Path, head: &Head) -> Option<Compared> {
    let (old, new) = (open(old).ok()?, open(new).ok()?);
    let (was, _) = recorded(&old).ok()?;
    let leaves = "SELECT leaf FROM event ORDER BY seq";
    let (mut old, mut new) = (old.prepare(leaves).ok()?, new.prepare(leaves).ok()?);
    let leaf = |row: &rusqlite::Row<'_>| row.get::<_, Vec<u8>>(0);
    let both = old.query_map([], leaf).ok()?.zip(new.query_map([], leaf).ok()?);
    let mut differs = None;
    for (seq, (old, new)) in (1..).zip(both) {
        if old.ok()? != new.ok()? {
            differs = Some(seq);
            break;
        }
    }
    let shared = differs.map_or(head.size, |seq: u64| seq - 1);
    Some(Compared { size: was.size, lost: was.size.saturating_sub(shared), differs })
}
