//! A copy of the data while the server runs, and the way back. A copy is only called one after everything in it was
//! read, the log recomputed, and the rest compared with the log.

mod check;
mod restore;
mod say;

pub use check::{Contents, check};
pub use restore::{Before, Compared, Restored, restore};

use crate::verify::Broken;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file in the data directory that holds everything.
pub(crate) const DATABASE: &str = "gatepass.db";
/// How long to wait for another process.
const BUSY: Duration = Duration::from_secs(10);

/// For those whose data is not in a file.
pub const ELSEWHERE: &str = "\
The configuration keeps its data in PostgreSQL, which has its own way: pg_dump for a copy, continuous archiving for any \
moment. docs/operations.md has the commands.";

#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is nothing to back up: {0} is not there. Has the server run with this configuration?")]
    Nothing(PathBuf),
    #[error("{0} belongs to the server’s own data. Name a file somewhere else.")]
    Own(PathBuf),
    #[error("another backup to {0} is under way. Wait for it, or name another file.")]
    UnderWay(PathBuf),
    #[error("a server runs on {0}. Stop it and try again.")]
    Running(PathBuf),
    #[error("another program has {0} open. End it and try again.")]
    Open(PathBuf),
    #[error("{file} is not a backup of Gatepass: {why}.")]
    Foreign { file: PathBuf, why: String },
    /// Of SQLite: a file that was cut or overwritten.
    #[error("{file} is damaged or not whole: {why}. Take another backup.")]
    Damaged { file: PathBuf, why: String },
    #[error("{file} was changed or is damaged: {broken}. Take another backup.")]
    Broken { file: PathBuf, broken: Broken },
    /// The log holds, and something made from it is not what the log says.
    #[error("{file} was changed: {what} is not what the log says{}. Take another backup.", at(*seq))]
    Unlike { file: PathBuf, what: String, seq: Option<u64> },
    #[error("{path} can’t be {verb}: {why}")]
    Failed { path: PathBuf, verb: &'static str, why: String },
}

fn at(seq: Option<u64>) -> String {
    seq.map_or_else(String::new, |seq| format!(" at position {seq}"))
}

fn failed<E: std::fmt::Display>(path: &Path, verb: &'static str) -> impl Fn(E) -> BackupError {
    move |error| BackupError::Failed { path: path.to_owned(), verb, why: error.to_string() }
}

/// Copies what is in the directory `data` at one moment into the file `to`, which it replaces when all is done. The
/// server may run and write meanwhile. Until then only `to` with `.unfinished` at its end is written.
pub fn backup(data: &Path, to: &Path) -> Result<Contents, BackupError> {
    let from = data.join(DATABASE);
    if !from.is_file() {
        return Err(BackupError::Nothing(from));
    }
    if belongs(data, to) {
        return Err(BackupError::Own(to.to_owned()));
    }
    let unfinished = beside(to, ".unfinished");
    let file = claim(&unfinished, to)?;
    let done = copy(&from, &unfinished)
        .and_then(|()| file.sync_all().map_err(failed(&unfinished, "written")))
        .and_then(|()| check(&unfinished))
        .map_err(|error| named(error, &unfinished, to))
        .and_then(|contents| replace(&unfinished, to).map(|()| contents));
    if done.is_err() {
        let _ = std::fs::remove_file(&unfinished);
    }
    done
}

/// One snapshot, without what was deleted: neither secrets of accesses that ended nor erased texts go along.
fn copy(from: &Path, to: &Path) -> Result<(), BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(from, flags).map_err(failed(from, "opened"))?;
    db.busy_timeout(BUSY).map_err(failed(from, "opened"))?;
    let name = to.to_str().ok_or("its name is not UTF-8").map_err(failed(to, "written"))?;
    db.execute("VACUUM INTO ?1", [name]).map_err(failed(to, "written"))?;
    Ok(())
}

/// The file, empty and ours alone (0600): what a backup that was killed left is written over.
fn claim(unfinished: &Path, to: &Path) -> Result<File, BackupError> {
    let fail = |error: std::io::Error| failed(unfinished, "written")(error);
    let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(unfinished);
    let file = file.map_err(fail)?;
    let under_way = || BackupError::UnderWay(to.to_owned());
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(under_way()),
        Err(std::fs::TryLockError::Error(error)) => return Err(fail(error)),
    }
    // Another backup may have finished between opening and locking: then this file is its result.
    let same = std::fs::metadata(unfinished).is_ok_and(|now| {
        file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (now.dev(), now.ino()))
    });
    if !same {
        return Err(under_way());
    }
    file.set_len(0).map_err(fail)?;
    file.set_permissions(Permissions::from_mode(0o600)).map_err(fail)?;
    let _ = std::fs::remove_file(beside(unfinished, "-journal"));
    Ok(file)
}

/// Puts `new` in the place of `old`; after a crash one of both is there, whole.
fn replace(new: &Path, old: &Path) -> Result<(), BackupError> {
    std::fs::rename(new, old).map_err(failed(old, "written"))?;
    sync_folder(old)
}

/// Makes a change of names in the folder of `path` durable.
fn sync_folder(path: &Path) -> Result<(), BackupError> {
    let folder = folder(path);
    File::open(folder).and_then(|f| f.sync_all()).map_err(failed(folder, "written"))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether `path` is one of the files that a server keeps in `data`.
fn belongs(data: &Path, path: &Path) -> bool {
    let there = folder(path).canonicalize().ok();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let own = [DATABASE, "gatepass.db-wal", "gatepass.db-shm", "gatepass.db-journal", "serving.lock"];
    there.is_some() && there == data.canonicalize().ok() && own.contains(&&*name)
}

/// The path with `end` at the end of its name.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// The error, about the file that people know.
fn named(error: BackupError, inner: &Path, outer: &Path) -> BackupError {
    let name = |file: PathBuf| if file == inner { outer.to_owned() } else { file };
    match error {
        BackupError::Foreign { file, why } => BackupError::Foreign { file: name(file), why },
        BackupError::Damaged { file, why } => BackupError::Damaged { file: name(file), why },
        BackupError::Broken { file, broken } => BackupError::Broken { file: name(file), broken },
        BackupError::Unlike { file, what, seq } => BackupError::Unlike { file: name(file), what, seq },
        other => other,
    }
}
