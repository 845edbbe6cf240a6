//! The device's secrets: its signing key, the key that opens sealed credentials, the cache's key. Kept
//! together as one entry of the system's keyring, or in a file where there is no keyring.

use crate::profile::{Profile, private_write};
use crate::ui::Failure;
use crypto_box::SecretKey;
use gatepass_core::Code;
use gatepass_log::Key;
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use std::io::ErrorKind;
use zeroize::Zeroizing;

const SERVICE: &str = "gatepass";

/// Where the secrets lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStore {
    /// The system's keyring.
    Keyring,
    /// `keys.json` in the profile's directory, mode 0600: as safe as the user's files are.
    File,
}

impl KeyStore {
    /// As `GATEPASS_KEYSTORE` says: `keyring` (also when unset) or `file`.
    pub fn from_env() -> Result<Self, Failure> {
        match std::env::var("GATEPASS_KEYSTORE").as_deref() {
            Err(_) | Ok("" | "keyring") => Ok(Self::Keyring),
            Ok("file") => Ok(Self::File),
            Ok(other) => {
                let message = format!("GATEPASS_KEYSTORE is “{other}”; expected keyring or file.");
                Err(Failure::new(Code::Malformed, message))
            }
        }
    }

    /// `keyring` or `file`
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::File => "file",
        }
    }

    pub(crate) fn save(self, profile: &Profile, secrets: &Secrets) -> Result<(), Failure> {
        let text = secrets.to_text();
        match self {
            Self::Keyring => keyring(profile, move |entry| entry.set_secret(text.as_bytes())),
            Self::File => {
                profile.ensure()?;
                private_write(&profile.file("keys.json"), text.as_bytes())
            }
        }
    }

    pub(crate) fn load(self, profile: &Profile) -> Result<Secrets, Failure> {
        let text = match self {
            Self::Keyring => Zeroizing::new(keyring(profile, keyring::Entry::get_secret)?),
            Self::File => match std::fs::read(profile.file("keys.json")) {
                Ok(bytes) => Zeroizing::new(bytes),
                Err(e) if e.kind() == ErrorKind::NotFound => return Err(missing("file")),
                Err(e) => return Err(Failure::local("The key file can’t be read", e)),
            },
        };
        Secrets::from_text(&text)
            .ok_or_else(|| Failure::new(Code::NoKeyring, "The stored key of this profile can’t be read."))
    }

    /// Deleting what is absent succeeds.
    pub(crate) fn delete(self, profile: &Profile) -> Result<(), Failure> {
        match self {
            Self::Keyring => keyring(profile, |entry| match entry.delete_credential() {
                Err(keyring::Error::NoEntry) => Ok(()),
                other => other,
            }),
            Self::File => match std::fs::remove_file(profile.file("keys.json")) {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    Err(Failure::local("The key file can’t be deleted", e))
                }
                _ => Ok(()),
            },
        }
    }
}

fn missing(place: &str) -> Failure {
    let other = if place == "file" { "keyring" } else { "file" };
    let message = format!(
        "The key of this profile is not in the {place}. It may have been made with GATEPASS_KEYSTORE={other}; \
         if it is lost, leave this profile and join again with a new invite."
    );
    Failure::new(Code::NoKeyring, message)
}

/// Runs `act` on this profile's entry, on a thread of its own: the keyring's client blocks and may not be
/// called where an async runtime drives the thread.
fn keyring<T: Send + 'static>(
    profile: &Profile,
    act: impl FnOnce(&keyring::Entry) -> keyring::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let user = format!("{}@{}", profile.name(), profile.home_id()?);
    let work = move || entry(&user).and_then(|entry| act(&entry));
    let done = std::thread::spawn(work).join().map_err(|_| Failure::from(Code::NoKeyring))?;
    done.map_err(|error| match error {
        keyring::Error::NoEntry => missing("keyring"),
        keyring::Error::NoStorageAccess(_) => {
            Failure::new(Code::KeyringLocked, "The keyring is locked. Unlock it and try again.")
        }
        keyring::Error::NoDefaultStore => Failure::new(
            Code::NoKeyring,
            "No keyring answers on this computer. Start one (such as gnome-keyring), or set \
             GATEPASS_KEYSTORE=file to keep the key in a file that only you can read.",
        ),
        other => Failure::new(Code::NoKeyring, format!("The keyring refused: {other}")),
    })
}

/// The library looks for a keyring once in a process; one that was started later is found here.
fn entry(user: &str) -> keyring::Result<keyring::Entry> {
    match keyring::Entry::new(SERVICE, user) {
        #[cfg(target_os = "linux")]
        Err(keyring::Error::NoDefaultStore) => {
            use keyring_core::api::CredentialStoreApi;
            let store = zbus_secret_service_keyring_store::Store::new()
                .map_err(|_| keyring::Error::NoDefaultStore)?;
            Ok(keyring::Entry { inner: store.build(SERVICE, user, None)? })
        }
        found => found,
    }
}

/// Wiped from memory when dropped.
pub(crate) struct Secrets {
    signing: Zeroizing<[u8; 32]>,
    seal: Zeroizing<[u8; 32]>,
    cache: Zeroizing<[u8; 32]>,
}

impl Secrets {
    pub fn generate() -> Self {
        let random = || {
            let mut bytes = Zeroizing::new([0; 32]);
            rand::rngs::OsRng.fill_bytes(bytes.as_mut());
            bytes
        };
        Self { signing: random(), seal: random(), cache: random() }
    }

    /// Ed25519.
    pub fn signing(&self) -> Key {
        Key::from_bytes(&self.signing)
    }

    /// X25519.
    pub fn seal(&self) -> SecretKey {
        SecretKey::from(*self.seal)
    }

    /// Ed25519's seed, for SSH; made from the others, so that a device that joined before it was needed has one, too.
    pub fn ssh(&self) -> Zeroizing<[u8; 32]> {
        let mut digest = Sha256::new();
        digest.update(b"gatepass/v1 ssh\n");
        digest.update(*self.seal);
        Zeroizing::new(digest.finalize().into())
    }

    pub fn cache(&self) -> &[u8; 32] {
        &self.cache
    }

    fn to_text(&self) -> Zeroizing<String> {
        let hex = |bytes: &[u8; 32]| Zeroizing::new(hex::encode(bytes));
        Zeroizing::new(format!(
            r#"{{"v":1,"signing":"{}","seal":"{}","cache":"{}"}}"#,
            *hex(&self.signing),
            *hex(&self.seal),
            *hex(&self.cache)
        ))
    }

    fn from_text(text: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Stored<'t> {
            signing: &'t str,
            seal: &'t str,
            cache: &'t str,
        }
        let stored: Stored<'_> = serde_json::from_slice(text).ok()?;
        let read = |hex: &str| {
            let mut bytes = Zeroizing::new([0; 32]);
            hex::decode_to_slice(hex, bytes.as_mut()).ok()?;
            Some(bytes)
        };
        Some(Self { signing: read(stored.signing)?, seal: read(stored.seal)?, cache: read(stored.cache)? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_file_keeps_the_keys_for_their_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let profile = Profile::within(home.path(), "maya").unwrap();
        let secrets = Secrets::generate();
        KeyStore::File.save(&profile, &secrets).unwrap();
        let again = KeyStore::File.load(&profile).unwrap();
        assert_eq!(again.signing().public(), secrets.signing().public());
        assert_eq!(again.cache(), secrets.cache());
        assert_eq!(again.seal().public_key(), secrets.seal().public_key());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(profile.file("keys.json")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        KeyStore::File.delete(&profile).unwrap();
        KeyStore::File.delete(&profile).unwrap();
        let Err(failure) = KeyStore::File.load(&profile) else { panic!("still there") };
        assert_eq!(failure.code, Code::NoKeyring);
    }
}
