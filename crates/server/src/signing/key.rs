//! The log's key. A file that is never in the database, so that whoever has a copy of that can sign nothing; which key it
//! is stands in the database, so that no node signs with another.

use crate::store::{Change, Recorded, Store, StoreError};
use gatepass_core::id::CommandId;
use gatepass_core::text::Digest;
use gatepass_log::{LogKey, origin};
use rand::RngCore as _;
use rand::rngs::OsRng;
use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The setting with the verifier key.
const SETTING: &str = "log_key";

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "the log is signed with {vkey}, and its key is not at {}. Put your copy of it there (mode 0600), or copy it \
         from a machine where a node runs. If it is lost for good: “gatepass-server log recover --new-key”",
        file.display()
    )]
    Missing { file: PathBuf, vkey: String },
    #[error(
        "the log is signed with {vkey}, and the key at {} is another, {has}. Copy the right one from a machine where a \
         node runs, or name it as key_file in [log]",
        file.display()
    )]
    Other { file: PathBuf, has: String, vkey: String },
    #[error("everybody on this machine may read the log’s key {}: chmod 0600 it", .0.display())]
    Open(PathBuf),
    #[error("{} is no key of a log, expected what the first start wrote there: put your copy of it back", .0.display())]
    Foreign(PathBuf),
    #[error("the log’s key {} can’t be {verb}: {why}", file.display())]
    Failed { file: PathBuf, verb: &'static str, why: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn failed(file: &Path, verb: &'static str) -> impl Fn(std::io::Error) -> KeyError {
    move |error| KeyError::Failed { file: file.to_owned(), verb, why: error.to_string() }
}

/// The key, if the file is there.
pub fn read(file: &Path) -> Result<Option<LogKey>, KeyError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(file, "read")(error)),
    };
    let mode = fs::metadata(file).map_err(failed(file, "read"))?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err(KeyError::Open(file.to_owned()));
    }
    LogKey::parse(&text).map(Some).map_err(|_| KeyError::Foreign(file.to_owned()))
}

/// The key of the store's log. The first start of the first node makes it.
pub async fn of(store: &dyn Store, file: &Path, name: &str) -> Result<LogKey, KeyError> {
    let recorded = store.setting(SETTING).await?;
    let there = read(file)?;
    let key = match (there, &recorded) {
        (Some(key), _) => key,
        (None, Some(vkey)) => {
            return Err(KeyError::Missing { file: file.to_owned(), vkey: vkey.clone() });
        }
        (None, None) => make(file, name)?,
    };
    let vkey = match recorded {
        Some(vkey) => vkey,
        None => record(store, &key, FIRST).await?,
    };
    if vkey != key.vkey() {
        return Err(KeyError::Other { file: file.to_owned(), has: key.vkey().to_owned(), vkey });
    }
    if key.origin() != origin(name) {
        tracing::warn!(
            origin = key.origin(),
            name,
            "the server has another name than when its log began; the log keeps its origin, which devices know it by"
        );
    }
    Ok(key)
}

/// For a log whose key is lost: another one. Devices trust the one they joined with.
pub async fn renew(store: &dyn Store, file: &Path, name: &str) -> Result<LogKey, KeyError> {
    if read(file)?.is_some() {
        let why = "it is there; move it away if it is really to be replaced".to_owned();
        return Err(KeyError::Failed { file: file.to_owned(), verb: "replaced", why });
    }
    let before = store.setting(SETTING).await?.unwrap_or_default();
    let key = make(file, name)?;
    let now = record(store, &key, &before).await?;
    if now == key.vkey() {
        Ok(key)
    } else {
        Err(KeyError::Other { file: file.to_owned(), has: key.vkey().to_owned(), vkey: now })
    }
}

/// What the key came after, of the first.
const FIRST: &str = "";

/// Of several nodes that do so at once, one's stands. Answers which.
async fn record(store: &dyn Store, key: &LogKey, after: &str) -> Result<String, KeyError> {
    let digest = Digest::of(format!("log key after {after}").as_bytes());
    let id = CommandId(Uuid::from_u128(u128::from_str_radix(&digest.0[..32], 16).unwrap_or(0)));
    let change = Change {
        command: Some(Recorded { id, digest, request: None }),
        settings: vec![(SETTING, key.vkey().to_owned())],
        ..Change::default()
    };
    match store.commit(change).await {
        Ok(_) => Ok(key.vkey().to_owned()),
        Err(StoreError::Repeated(_)) => Ok(store.setting(SETTING).await?.unwrap_or_default()),
        Err(error) => Err(error.into()),
    }
}

/// Makes the key. Of several processes that do so at once, one's stays.
fn make(file: &Path, name: &str) -> Result<LogKey, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(seed.as_mut());
    let text = LogKey::generate(&origin(name), &seed);
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let fail = failed(file, "made");
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(&fail)?;
    // 0600 from its first moment, and whole before it has its name.
    let mut new = tempfile::NamedTempFile::new_in(folder).map_err(&fail)?;
    new.write_all(format!("{}\n", *text).as_bytes()).map_err(&fail)?;
    new.as_file().sync_all().map_err(&fail)?;
    match new.persist_noclobber(file) {
        Ok(_) => File::open(folder).and_then(|f| f.sync_all()).map_err(&fail)?,
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(fail(error.error)),
    }
    read(file)?.ok_or_else(|| fail(ErrorKind::NotFound.into()))
}
