//! The key that hosts trust.

use crate::TargetError;
use rand::rngs::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// The authority of one target.
pub struct Authority(pub(super) PrivateKey);

impl Authority {
    /// Reads the key; makes nothing.
    pub fn read(file: &Path) -> Result<Self, TargetError> {
        let wrong = |why: String| TargetError::Configuration(format!("{}: {why}", file.display()));
        let text = std::fs::read_to_string(file).map(zeroize::Zeroizing::new).map_err(|e| match e.kind() {
            ErrorKind::NotFound => wrong(
                "the authority’s key is not there; the server makes it when it starts, and “gatepass-server ssh-ca” does"
                    .to_owned(),
            ),
            _ => wrong(format!("the authority’s key cannot be read: {e}")),
        })?;
        private(file).map_err(wrong)?;
        let key = PrivateKey::from_openssh(text.as_str())
            .map_err(|_| wrong("expected a private key as ssh-keygen writes it".to_owned()))?;
        if key.is_encrypted() {
            return Err(wrong("the key has a passphrase, expected one without".to_owned()));
        }
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(wrong(format!("the key is {}, expected ssh-ed25519", key.algorithm())));
        }
        Ok(Self(key))
    }

    /// The line for the file that `TrustedUserCAKeys` names.
    pub fn public_line(&self) -> Result<String, TargetError> {
        self.0.public_key().to_openssh().map_err(broken)
    }

    pub(super) fn public_bytes(&self) -> Result<Vec<u8>, TargetError> {
        self.0.public_key().to_bytes().map_err(broken)
    }
}

/// Makes the key when the file is not there. Of several processes that do so at once, one's stays.
pub fn ensure(file: &Path) -> Result<(), TargetError> {
    let wrong = |e: std::io::Error| {
        TargetError::Configuration(format!("{}: the authority’s key cannot be made: {e}", file.display()))
    };
    if file.try_exists().map_err(wrong)? {
        return Ok(());
    }
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(broken)?;
    key.set_comment("Gatepass");
    let text = key.to_openssh(LineEnding::LF).map_err(broken)?;
    let folder: PathBuf = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    std::fs::create_dir_all(&folder).map_err(wrong)?;
    // 0600 from its first moment, and whole before it has its name.
    let mut new = tempfile::NamedTempFile::new_in(&folder).map_err(wrong)?;
    new.write_all(text.as_bytes()).map_err(wrong)?;
    new.as_file().sync_all().map_err(wrong)?;
    match new.persist_noclobber(file) {
        Ok(_) => File::open(&folder).and_then(|f| f.sync_all()).map_err(wrong),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(wrong(error.error)),
    }
}

#[cfg(unix)]
fn private(file: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = file.metadata().map_err(|e| e.to_string())?.permissions().mode();
    if mode & 0o007 == 0 { Ok(()) } else { Err("everybody can read the key, expected mode 0600".to_owned()) }
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<(), String> {
    Ok(())
}

pub(super) fn broken(error: ssh_key::Error) -> TargetError {
    TargetError::Configuration(format!("the authority’s key does not work: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secrets/ssh-ca");
        assert!(
            matches!(Authority::read(&file), Err(TargetError::Configuration(_))),
            "reading makes nothing"
        );
        assert!(!file.exists());
        let makers: Vec<_> = (0..8)
            .map(|_| {
                let file = file.clone();
                std::thread::spawn(move || ensure(&file).unwrap())
            })
            .collect();
        for maker in makers {
            maker.join().unwrap();
        }
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let line = Authority::read(&file).unwrap().public_line().unwrap();
        ensure(&file).unwrap();
        assert_eq!(Authority::read(&file).unwrap().public_line().unwrap(), line);
        assert!(line.starts_with("ssh-ed25519 AAAA"), "{line}");
        let left = folder.path().join("secrets").read_dir().unwrap().count();
        assert_eq!(left, 1, "nothing of the others is left");
    }

    #[test]
    fn keys_that_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca");
        std::fs::write(&file, "what?").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let said = |e: Result<Authority, TargetError>| e.err().unwrap().to_string();
        assert!(said(Authority::read(&file)).contains("as ssh-keygen writes it"));
        std::fs::remove_file(&file).unwrap();
        ensure(&file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(said(Authority::read(&file)).contains("everybody can read"));
    }
}
