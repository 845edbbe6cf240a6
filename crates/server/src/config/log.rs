//! `[log]`: what the log is signed with.

use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    key_file: Option<String>,
}

/// In the data directory, unless the configuration says where.
const KEY: &str = "log.key";

impl LogSection {
    /// Where the signing key is.
    pub fn key(&self, folder: &Path, data: &Path) -> PathBuf {
        self.key_file.as_ref().map_or_else(|| data.join(KEY), |file| folder.join(file))
    }
}
