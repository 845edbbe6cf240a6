//! The searches a person keeps, encrypted as the cache is, in a file of their own: the cache can be made again from the
//! server, these can't.

use super::schema::connect;
use crate::ui::{Failure, SavedSearch};
use rusqlite::{Connection, params};
use std::path::Path;

pub(crate) struct SavedSearches(Connection);

impl SavedSearches {
    pub fn open(path: &Path, key: &[u8; 32]) -> Result<Self, Failure> {
        let conn = connect(path, key)?;
        conn.execute_batch(
            "PRAGMA synchronous = FULL;
             CREATE TABLE IF NOT EXISTS searches(name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;",
        )?;
        Ok(Self(conn))
    }

    /// By name, as people order them.
    pub fn all(&self) -> Result<Vec<SavedSearch>, Failure> {
        let mut statement = self.0.prepare("SELECT name, text FROM searches")?;
        let rows = statement.query_map([], |row| Ok(SavedSearch { name: row.get(0)?, text: row.get(1)? }))?;
        let mut found = rows.collect::<Result<Vec<_>, _>>()?;
        found.sort_by_cached_key(|s| (super::words::folded(&s.name), s.name.clone()));
        Ok(found)
    }

    pub fn put(&self, search: &SavedSearch) -> Result<(), Failure> {
        self.0.execute(
            "INSERT OR REPLACE INTO searches(name, text) VALUES(?1, ?2)",
            params![search.name, search.text],
        )?;
        Ok(())
    }

    /// Answers whether there was one.
    pub fn rename(&self, name: &str, to: &str) -> Result<bool, Failure> {
        Ok(self.0.execute("UPDATE searches SET name = ?2 WHERE name = ?1", [name, to])? > 0)
    }

    pub fn delete(&self, name: &str) -> Result<(), Failure> {
        self.0.execute("DELETE FROM searches WHERE name = ?1", [name])?;
        Ok(())
    }
}
