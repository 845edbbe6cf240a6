//! The SQLite side: read while nobody writes.

use super::ImportError;
use crate::serve::MOVED;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another process may be writing.
const BUSY: Duration = Duration::from_secs(10);

/// The file, with nobody else writing to it until it is dropped or marked.
pub struct Source {
    file: PathBuf,
    pub db: Connection,
}

impl Source {
    pub fn open(file: &Path) -> Result<Self, ImportError> {
        let open = || -> rusqlite::Result<Connection> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(file, flags)?;
            db.busy_timeout(BUSY)?;
            db.pragma_update(None, "synchronous", "FULL")?;
            // What a server that was killed left beside the file goes into it.
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            db.execute_batch("BEGIN IMMEDIATE")?;
            Ok(db)
        };
        match open() {
            Ok(db) => Ok(Self { file: file.to_owned(), db }),
            Err(error) => Err(failed(file, &error)),
        }
    }

    pub fn setting(&self, key: &str) -> Result<Option<String>, ImportError> {
        let found = self.db.query_row("SELECT value FROM setting WHERE key = ?1", [key], |row| row.get(0));
        found.optional().map_err(|e| self.failed(&e))
    }

    /// Notes where all of it was moved to, or that it was not, durably.
    pub fn mark(&self, to: Option<&str>) -> Result<(), ImportError> {
        let changed = match to {
            Some(to) => {
                self.db.execute("INSERT OR REPLACE INTO setting (key, value) VALUES (?1, ?2)", [MOVED, to])
            }
            None => self.db.execute("DELETE FROM setting WHERE key = ?1", [MOVED]),
        };
        let ended = if self.db.is_autocommit() { Ok(()) } else { self.db.execute_batch("COMMIT") };
        changed.and(ended).map_err(|e| self.failed(&e))
    }

    pub fn failed(&self, error: &dyn std::fmt::Display) -> ImportError {
        failed(&self.file, error)
    }
}

fn failed(file: &Path, error: &dyn std::fmt::Display) -> ImportError {
    ImportError::Read { file: file.to_owned(), why: error.to_string() }
}
