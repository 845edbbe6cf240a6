//! The catalogue, the people and who this device is, as of the last sync.

use super::Cache;
use crate::ui::Failure;
use gatepass_core::Code;
use gatepass_core::catalogue::Catalogue;
use gatepass_core::directory::{Directory, Person};
use gatepass_core::text::Digest;
use gatepass_core::wire::Me;
use rusqlite::{Connection, OptionalExtension as _};
use serde::Serialize;
use std::sync::{Arc, PoisonError};

/// Everything a view needs beside projections and texts.
#[derive(Debug)]
pub(crate) struct Documents {
    pub me: Me,
    pub catalogue: Catalogue,
    pub directory: Directory,
    /// The hashes the server gave them in the log's pages.
    catalogue_hash: String,
    directory_hash: String,
}

impl Documents {
    /// Differs when the catalogue or the directory do.
    pub fn version(&self) -> String {
        format!("{} {}", self.catalogue_hash, self.directory_hash)
    }

    /// Whether this is the catalogue in force.
    pub fn catalogue_is(&self, hash: &Digest) -> bool {
        self.catalogue_hash == hash.0
    }

    /// Whether these are the ones a page of the log speaks of.
    pub fn are(&self, catalogue: &Digest, directory: &Digest) -> (bool, bool) {
        (self.catalogue_hash == catalogue.0, self.directory_hash == directory.0)
    }
}

impl Cache {
    /// Absent until the first sync.
    pub fn documents(&self) -> Result<Option<Arc<Documents>>, Failure> {
        self.documents_with(&self.reader())
    }

    pub(super) fn documents_with(&self, conn: &Connection) -> Result<Option<Arc<Documents>>, Failure> {
        let hash = |name: &str| -> Result<Option<String>, Failure> {
            Ok(conn
                .prepare_cached("SELECT hash FROM documents WHERE name = ?1")?
                .query_row([name], |row| row.get(0))
                .optional()?)
        };
        let (Some(catalogue_hash), Some(directory_hash)) = (hash("catalogue")?, hash("people")?) else {
            return Ok(None);
        };
        let held = self.documents.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(held) =
            held.filter(|d| d.catalogue_hash == catalogue_hash && d.directory_hash == directory_hash)
        {
            return Ok(Some(held));
        }
        let people: Vec<Person> = document(conn, "people")?.unwrap_or_default();
        let Some(me) = document(conn, "me")? else { return Ok(None) };
        let documents = Arc::new(Documents {
            me,
            catalogue: document(conn, "catalogue")?.unwrap_or_default(),
            directory: Directory::new(people),
            catalogue_hash,
            directory_hash,
        });
        *self.documents.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&documents));
        Ok(Some(documents))
    }

    /// Who this device is, also before the first sync.
    pub fn me(&self) -> Result<Option<Me>, Failure> {
        document(&self.reader(), "me")
    }

    pub fn set_me(&self, me: &Me) -> Result<(), Failure> {
        put(&self.writer(), "me", &Digest(String::new()), me)
    }

    pub fn set_catalogue(&self, hash: &Digest, catalogue: &Catalogue) -> Result<(), Failure> {
        put(&self.writer(), "catalogue", hash, catalogue)
    }

    /// Whoever knows the directory changed also knows that this person may have.
    pub fn set_people(&self, hash: &Digest, people: &[Person], me: &Me) -> Result<(), Failure> {
        let mut writer = self.writer();
        let tx = writer.transaction()?;
        put(&tx, "me", &Digest(String::new()), me)?;
        put(&tx, "people", hash, &people)?;
        Ok(tx.commit()?)
    }
}

fn document<T: serde::de::DeserializeOwned>(conn: &Connection, name: &str) -> Result<Option<T>, Failure> {
    let json: Option<String> = conn
        .prepare_cached("SELECT json FROM documents WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    json.map(|j| serde_json::from_str(&j).map_err(|_| Failure::from(Code::CacheBroken))).transpose()
}

fn put<T: Serialize>(conn: &Connection, name: &str, hash: &Digest, value: &T) -> Result<(), Failure> {
    let json = serde_json::to_string(value).map_err(|e| Failure::local("A document can’t be kept", e))?;
    conn.prepare_cached("INSERT OR REPLACE INTO documents(name, hash, json) VALUES(?1, ?2, ?3)")?
        .execute([name, &hash.0, &json])?;
    Ok(())
}
