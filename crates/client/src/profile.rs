//! Where a profile keeps what it keeps: one directory, readable by its owner only.

use crate::cache::Signed;
use crate::evidence::Fork;
use crate::ui::{Failure, Settings};
use gatepass_core::id::DeviceId;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_core::{Code, Time};
use gatepass_log::Tree;
use rand::RngCore as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// The name a profile has unless told otherwise.
pub const DEFAULT: &str = "default";

/// One person's place on this computer.
#[derive(Clone, Debug)]
pub struct Profile {
    name: String,
    home: PathBuf,
}

/// What is known about this device without opening anything secret. Kept as `device.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Device {
    pub id: DeviceId,
    pub name: String,
    pub server_url: String,
    /// The server's name, as it said when joining.
    pub server: String,
    /// The server runs inside the desktop app.
    #[serde(default)]
    pub trial: bool,
    pub joined_at: Time,
    /// The key of the server's log, `<origin>+<id>+<key>`; kept from the first time it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_key: Option<String>,
}

/// Why this device no longer trusts its server's log. Kept as `mismatch.json` until the profile is left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mismatch {
    pub at: Time,
    /// A sentence for people.
    pub what: String,
    /// What kind of contradiction, as docs/cli.md lists them.
    #[serde(default)]
    pub rule: String,
    /// The first position that is known to differ; the leaf this device has there, and the one that came.
    #[serde(default)]
    pub seq: Option<u64>,
    #[serde(default)]
    pub kept_leaf: Option<Digest>,
    pub leaf: Option<Digest>,
    /// The last head that held.
    pub seen: Option<Head>,
    /// The head that contradicts it.
    pub got: Option<Head>,
    /// Both as signed notes, where they were signed.
    #[serde(default)]
    pub seen_note: Option<String>,
    #[serde(default)]
    pub got_note: Option<String>,
    /// The log's key, as this device keeps it.
    #[serde(default)]
    pub log_key: Option<String>,
    /// What the server's tiles showed of the other log.
    #[serde(default)]
    pub fork: Option<Fork>,
}

/// What this device has seen of the log, beside the cache. Kept as `witness.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Witness {
    /// The newest head that was checked.
    #[serde(flatten)]
    pub head: Head,
    /// The newest that the log signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signed: Option<Signed>,
}

impl Witness {
    /// The head that another log than this one had at its size.
    pub(crate) fn contradicts(&self, tree: &Tree) -> Option<Head> {
        let heads = [Some(&self.head), self.signed.as_ref().map(|s| &s.head)];
        heads.into_iter().flatten().find(|h| h.size == tree.size() && **h != tree.head()).cloned()
    }
}

impl Profile {
    /// The profile `name` under `GATEPASS_HOME`, or else under the user's data directory.
    pub fn named(name: &str) -> Result<Self, Failure> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = set("GATEPASS_HOME")
            .or_else(|| set("XDG_DATA_HOME").map(|d| d.join("gatepass")))
            .or_else(|| set("HOME").map(|d| d.join(".local/share/gatepass")))
            .ok_or_else(|| Failure::new(Code::Internal, "Neither GATEPASS_HOME nor HOME is set."))?;
        Self::within(home, name)
    }

    /// The profile `name` under `home`.
    pub fn within(home: impl Into<PathBuf>, name: &str) -> Result<Self, Failure> {
        let fine = !name.is_empty()
            && name.len() <= 32
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !fine {
            let message =
                format!("“{name}” is not a profile name; expected 1 to 32 letters, digits, “-”, “_” or “.”");
            return Err(Failure::new(Code::Malformed, message));
        }
        Ok(Self { name: name.to_owned(), home: home.into() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The profile's own directory, `HOME/profiles/NAME`.
    pub fn dir(&self) -> PathBuf {
        self.home.join("profiles").join(&self.name)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Makes the directory, for its owner only.
    pub fn ensure(&self) -> Result<(), Failure> {
        let dir = self.dir();
        private_dirs(&dir).map_err(|e| Failure::local(&format!("{} can’t be made", dir.display()), e))
    }

    /// Tells apart two homes of one user in one keyring. Made at first use.
    pub(crate) fn home_id(&self) -> Result<String, Failure> {
        let path = self.home.join("home-id");
        let failed = |e| Failure::local(&format!("{} can’t be used", path.display()), e);
        let mut random = [0; 8];
        rand::rngs::OsRng.fill_bytes(&mut random);
        private_dirs(&self.home).map_err(failed)?;
        match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                let id = hex::encode(random);
                file.write_all(id.as_bytes()).map_err(failed)?;
                Ok(id)
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Ok(fs::read_to_string(&path).map_err(failed)?.trim().to_owned())
            }
            Err(e) => Err(failed(e)),
        }
    }

    /// Absent until a server was joined.
    pub fn device(&self) -> Result<Option<Device>, Failure> {
        self.read("device.json")
    }

    pub(crate) fn set_device(&self, device: &Device) -> Result<(), Failure> {
        self.write("device.json", device)
    }

    pub fn settings(&self) -> Result<Settings, Failure> {
        Ok(self.read("settings.json")?.unwrap_or_default())
    }

    pub(crate) fn set_settings(&self, settings: &Settings) -> Result<(), Failure> {
        self.write("settings.json", settings)
    }

    /// Beside the cache, so that it outlives it.
    pub(crate) fn witness(&self) -> Result<Option<Witness>, Failure> {
        self.read("witness.json")
    }

    pub(crate) fn set_witness(&self, witness: &Witness) -> Result<(), Failure> {
        self.write("witness.json", witness)
    }

    pub(crate) fn mismatch(&self) -> Result<Option<Mismatch>, Failure> {
        self.read("mismatch.json")
    }

    /// The first contradiction is the one that counts: never overwritten.
    pub(crate) fn set_mismatch(&self, mismatch: &Mismatch) -> Result<(), Failure> {
        if self.file("mismatch.json").exists() {
            return Ok(());
        }
        self.write("mismatch.json", mismatch)
    }

    /// Adds what could be gathered later, once.
    pub(crate) fn add_fork(&self, fork: Fork) -> Result<(), Failure> {
        match self.mismatch()? {
            Some(mismatch) if mismatch.fork.is_none() => {
                self.write("mismatch.json", &Mismatch { fork: Some(fork), ..mismatch })
            }
            _ => Ok(()),
        }
    }

    /// Deletes everything of this profile but the settings.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        let entries = match fs::read_dir(self.dir()) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Failure::local("The profile can’t be read", e)),
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let ours = name.to_string_lossy();
            let ours = ours.starts_with("cache.")
                || ours.starts_with("searches.db")
                || ["device.json", "witness.json", "mismatch.json"].contains(&ours.as_ref());
            if ours {
                fs::remove_file(entry.path())
                    .map_err(|e| Failure::local("The profile can’t be cleared", e))?;
            }
        }
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let path = self.file(name);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| Failure::local(&format!("{} can’t be read", path.display()), e)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Failure::local(&format!("{} can’t be read", path.display()), e)),
        }
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Failure> {
        self.ensure()?;
        let bytes =
            serde_json::to_vec_pretty(value).map_err(|e| Failure::local("A value can’t be written", e))?;
        private_write(&self.file(name), &bytes)
    }
}

#[cfg(unix)]
pub(crate) fn private_dirs(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(not(unix))]
pub(crate) fn private_dirs(dir: &Path) -> std::io::Result<()> {
    fs::create_dir_all(dir)
}

/// Writes a file that only its owner reads, whole or not at all.
pub(crate) fn private_write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |e| Failure::local(&format!("{} can’t be written", path.display()), e);
    // Each writer its own, since the CLI and the desktop share the directory.
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{:016x}.new", rand::random::<u64>()));
    let new = path.with_file_name(name);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&new).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&new, path).map_err(failed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn names_stay_inside_the_home() {
        for wrong in ["", "..", ".hidden", "a/b", "a b", &"x".repeat(33)] {
            assert!(Profile::within("/tmp", wrong).is_err(), "{wrong}");
        }
        let profile = Profile::within("/h", "maya").unwrap();
        assert_eq!(profile.dir(), Path::new("/h/profiles/maya"));
    }

    #[test]
    fn what_is_written_reads_back_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let profile = Profile::within(home.path().join("deep"), "maya").unwrap();
        assert_eq!(profile.settings().unwrap(), Settings::default());
        let settings = Settings { theme: "dark".into(), ..Settings::default() };
        profile.set_settings(&settings).unwrap();
        assert_eq!(profile.settings().unwrap(), settings);
        assert_eq!(profile.home_id().unwrap(), profile.home_id().unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&profile.dir()), 0o700);
            assert_eq!(mode(&profile.file("settings.json")), 0o600);
        }
    }

    #[test]
    fn the_first_mismatch_stays() {
        let home = tempfile::tempdir().unwrap();
        let profile = Profile::within(home.path(), "maya").unwrap();
        let first = serde_json::json!({"at": Time::default(), "what": "first", "seen": null, "got": null, "leaf": null});
        let first: Mismatch = serde_json::from_value(first).unwrap();
        profile.set_mismatch(&first).unwrap();
        profile.set_mismatch(&Mismatch { what: "second".into(), ..first.clone() }).unwrap();
        assert_eq!(profile.mismatch().unwrap(), Some(first));
    }
}
