//! `[log]`: what the log is signed with, and who else looks at it.

use super::fault;
use gatepass_core::catalogue::Fault;
use gatepass_log::witness::Witness;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    key_file: Option<String>,
    quorum: Option<Spanned<u32>>,
    #[serde(default)]
    witness: Vec<WitnessSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessSection {
    vkey: Spanned<String>,
    url: Spanned<String>,
}

/// External witnesses, and how many of them have to be heard.
#[derive(Clone, Debug, Default)]
pub struct Witnesses {
    pub each: Vec<WitnessAt>,
    /// 0: none has to.
    pub quorum: usize,
}

#[derive(Clone, Debug)]
pub struct WitnessAt {
    pub witness: Witness,
    /// Its submission prefix, without a slash at the end.
    pub url: String,
}

/// In the data directory, unless the configuration says where.
const KEY: &str = "log.key";

impl LogSection {
    /// Where the signing key is.
    pub fn key(&self, folder: &Path, data: &Path) -> PathBuf {
        self.key_file.as_ref().map_or_else(|| data.join(KEY), |file| folder.join(file))
    }

    pub(super) fn witnesses(&self, faults: &mut Vec<Fault>) -> Witnesses {
        let mut each: Vec<WitnessAt> = Vec::new();
        for section in &self.witness {
            let url = section.url.get_ref();
            let host = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
            if host.is_none_or(|host| host.is_empty() || host.contains(['?', '#', ' '])) {
                faults.push(fault(&section.url, format!("“{url}” is not a URL, expected https://HOST")));
            }
            match Witness::new(section.vkey.get_ref()) {
                Ok(witness) if each.iter().any(|other| other.witness.name() == witness.name()) => {
                    let message =
                        format!("the witness “{}” is there twice, expected another", witness.name());
                    faults.push(fault(&section.vkey, message));
                }
                Ok(witness) => each.push(WitnessAt { witness, url: url.trim_end_matches('/').to_owned() }),
                Err(_) => {
                    let message = "this is not the key of a witness, expected NAME+ID+KEY as its operator publishes it \
                                   (Ed25519, cosignature/v1)";
                    faults.push(fault(&section.vkey, message));
                }
            }
        }
        let quorum = self.quorum.as_ref().map_or(0, |quorum| {
            let wanted = usize::try_from(*quorum.get_ref()).unwrap_or(usize::MAX);
            if wanted > self.witness.len() {
                let message =
                    format!("{wanted} are more than there are, expected at most {}", self.witness.len());
                faults.push(fault(quorum, message));
            }
            wanted
        });
        Witnesses { each, quorum }
    }
}
