//! `[server.tls]`: the certificate that the server itself shows.

use super::fault;
use crate::tls;
use gatepass_core::catalogue::Fault;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    certificate_file: Spanned<String>,
    key_file: Spanned<String>,
}

/// Where certificate and key stand, both PEM; the certificate's file goes on with those above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TlsSection {
    /// Files that do not fit are found by `check`, not by the first client.
    pub fn check(self, folder: &Path, faults: &mut Vec<Fault>) -> TlsFiles {
        let certificate = folder.join(self.certificate_file.get_ref());
        let files = TlsFiles { certificate, key: folder.join(self.key_file.get_ref()) };
        if let Err(error) = tls::check(&files) {
            let key = error.path().is_some_and(|p| p == files.key);
            faults.push(fault(if key { &self.key_file } else { &self.certificate_file }, error.to_string()));
        }
        files
    }
}
