//! Where a configuration keeps its data, without a look at the rest: whoever copies the data needs neither targets
//! nor their passwords.

use super::ConfigError;
use super::place::{Places, expected};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct File {
    server: Section,
}

#[derive(Deserialize)]
struct Section {
    data: Option<String>,
    database: Option<String>,
}

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// SQLite, in this directory.
    Directory(PathBuf),
    /// A PostgreSQL database.
    Database,
}

impl Kept {
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = super::text(file)?;
        let read: File = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |s| s.start);
            ConfigError { lines: vec![Places::new(file, &text).line(at, &expected(error.message()))] }
        })?;
        let Section { data, database } = read.server;
        let folder = file.parent().unwrap_or(Path::new("."));
        Ok(match database {
            Some(_) => Self::Database,
            None => Self::Directory(folder.join(data.as_deref().unwrap_or(super::DATA))),
        })
    }
}
