//! What this device keeps of the log: an encrypted SQLite file (SQLCipher). The desktop and the CLI of one
//! profile may use it at the same time: WAL, and every write checks the cursor within its transaction.

mod check;
mod detail;
mod documents;
mod drift;
mod erase;
mod expire;
mod export;
mod ingest;
mod list;
mod nodes;
mod place;
mod positions;
mod postings;
mod query;
mod read;
mod revoke;
mod saved;
mod schema;
mod signature;
mod signed;
mod terms;
mod verify;
mod words;
mod write;

pub(crate) use check::{Breach, Checked, check};
pub(crate) use documents::Documents;
pub(crate) use export::{Access, Chosen, Reading};
pub(crate) use ingest::{Ingested, Signed};
pub(crate) use saved::SavedSearches;
pub(crate) use verify::{Against, Progress, Running};

use crate::ui::Failure;
use gatepass_core::{Code, Time};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use zeroize::Zeroizing;

/// The open cache: one connection to write, one to read, so that reading never waits for a sync.
pub(crate) struct Cache {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    documents: RwLock<Option<Arc<Documents>>>,
    searches: query::Searches,
    days: Mutex<list::Days>,
    path: PathBuf,
    key: Zeroizing<[u8; 32]>,
}

/// What opening found.
pub(crate) struct Opened {
    pub cache: Cache,
    /// Where an unreadable cache was put.
    pub moved_aside: Option<PathBuf>,
}

impl Cache {
    /// Opens or makes the cache at `path`. A file that can't be read with `key` is moved aside, never deleted.
    pub fn open(path: &Path, key: &[u8; 32], now: Time) -> Result<Opened, Failure> {
        match Self::connect(path, key) {
            Ok(cache) => Ok(Opened { cache, moved_aside: None }),
            Err(error) if unreadable(&error) => {
                let aside = move_aside(path, now)?;
                let cache = Self::connect(path, key)?;
                Ok(Opened { cache, moved_aside: Some(aside) })
            }
            Err(rusqlite::Error::InvalidQuery) => {
                let message = "The local cache was written by a newer Gatepass. Update this one.";
                Err(Failure::new(Code::CacheBroken, message))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn connect(path: &Path, key: &[u8; 32]) -> rusqlite::Result<Self> {
        let writer = schema::connect(path, key)?;
        schema::prepare(&writer)?;
        let reader = schema::connect(path, key)?;
        Ok(Self {
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            documents: RwLock::new(None),
            searches: query::Searches::default(),
            days: Mutex::default(),
            path: path.to_owned(),
            key: Zeroizing::new(*key),
        })
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work` where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    cache: &Arc<Cache>,
    work: impl FnOnce(&Cache) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let cache = Arc::clone(cache);
    tokio::task::spawn_blocking(move || work(&cache))
        .await
        .map_err(|e| Failure::local("The cache’s thread ended", e))?
}

fn unreadable(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

fn move_aside(path: &Path, now: Time) -> Result<PathBuf, Failure> {
    let aside = path.with_file_name(format!("cache.broken-{}", now.format("%Y%m%dT%H%M%S")));
    std::fs::rename(path, &aside).map_err(|e| Failure::local("The broken cache can’t be moved aside", e))?;
    for tail in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(tail);
        match std::fs::remove_file(&name) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::local("The broken cache can’t be moved aside", e));
            }
            _ => {}
        }
    }
    Ok(aside)
}

/// A small value by name.
fn meta<T: DeserializeOwned>(conn: &Connection, name: &str) -> Result<Option<T>, Failure> {
    let text: Option<String> = conn
        .prepare_cached("SELECT value FROM meta WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    text.map(|t| serde_json::from_str(&t).map_err(|_| Failure::from(Code::CacheBroken))).transpose()
}

fn set_meta<T: Serialize>(conn: &Connection, name: &str, value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|e| Failure::local("A value can’t be kept", e))?;
    conn.prepare_cached(
        "INSERT INTO meta(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2",
    )?
    .execute([name, &text])?;
    Ok(())
}

fn clear_meta(conn: &Connection, name: &str) -> Result<(), Failure> {
    conn.prepare_cached("DELETE FROM meta WHERE name = ?1")?.execute([name])?;
    Ok(())
}

/// `PRAGMA key` for a raw 32-byte key: no key derivation.
fn pragma_key(key: &[u8; 32]) -> Zeroizing<String> {
    let hex = Zeroizing::new(hex::encode(key));
    Zeroizing::new(format!("PRAGMA key = \"x'{}'\"", *hex))
}
