//! The log's signed heads. A head is only signed when the one that was signed last is how its log began, and the note is
//! durable beside the database before anybody gets it: so a database that was put back is noticed, and no two heads that
//! contradict each other are ever signed.

mod key;

pub use key::{KeyError, read as read_key, renew};

use crate::app::App;
use crate::log;
use crate::seen;
use crate::store::{Store, StoreError};
use gatepass_core::wire::Head;
use gatepass_log::{LogKey, LogVerifier};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How old what is not signed may become.
const EVERY: Duration = Duration::from_secs(1);
/// What people decided is signed at once, and no more often than this: each time the disk is flushed.
const APART: Duration = Duration::from_millis(50);

/// A head and its note.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed {
    pub head: Head,
    /// A C2SP checkpoint.
    pub note: String,
}

pub struct Signing {
    key: LogKey,
    data: PathBuf,
    last: watch::Sender<Option<Arc<Signed>>>,
    /// The log's size after what was decided last.
    decided: watch::Sender<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(
        "{} is not a head that was signed with the log’s key: {why}. If you know why, move it away, and what is in the \
         database counts as the newest",
        file.display()
    )]
    Note { file: PathBuf, why: String },
}

impl From<StoreError> for SigningError {
    fn from(error: StoreError) -> Self {
        Self::Key(error.into())
    }
}

impl Signing {
    /// With the key at `key`, made if nothing was ever signed, and what was signed last, from beside the data.
    pub async fn of(store: &dyn Store, key: &Path, name: &str, data: &Path) -> Result<Self, SigningError> {
        let key = key::of(store, key, name).await?;
        let file = seen::note_file(data);
        let wrong = |why: String| SigningError::Note { file: file.clone(), why };
        let note = seen::note(data).map_err(|e| wrong(e.to_string()))?;
        let last = note.map(|note| signed(&key, note)).transpose().map_err(wrong)?;
        Ok(Self {
            key,
            data: data.to_owned(),
            last: watch::Sender::new(last.map(Arc::new)),
            decided: watch::Sender::new(0),
        })
    }

    /// The verifier key.
    pub fn vkey(&self) -> &str {
        self.key.vkey()
    }

    pub fn key(&self) -> &LogKey {
        &self.key
    }

    /// What was signed last.
    pub fn last(&self) -> Option<Arc<Signed>> {
        self.last.borrow().clone()
    }

    /// Each head as it is signed.
    pub fn heads(&self) -> watch::Receiver<Option<Arc<Signed>>> {
        self.last.subscribe()
    }

    /// Somebody decided something, after which the log has this size: it is signed at once.
    pub fn decided(&self, size: u64) {
        self.decided.send_if_modified(|known| std::mem::replace(known, size.max(*known)) < size);
    }

    /// Signs the head as it is now, if it goes on from what was signed last. If not, nothing is written any more.
    pub async fn sign(&self, app: &App) -> Result<(), StoreError> {
        if app.held.is() {
            return Ok(());
        }
        let head = app.store.head().await?;
        if let Some(last) = self.last() {
            if last.head == head {
                return Ok(());
            }
            if !log::goes_on(&*app.store, &last.head, &head).await? {
                app.held.lose(last.head.clone());
                return Ok(());
            }
        }
        let note = self.key.sign(&head).map_err(|e| StoreError::Failed(e.to_string()))?;
        let (data, kept) = (self.data.clone(), note.clone());
        let written = tokio::task::spawn_blocking(move || seen::keep_note(&data, &kept)).await;
        written
            .map_err(|e| StoreError::Failed(e.to_string()))?
            .map_err(|e| StoreError::Failed(format!("what was signed cannot be kept: {e}")))?;
        self.last.send_replace(Some(Arc::new(Signed { head, note })));
        Ok(())
    }
}

fn signed(key: &LogKey, note: String) -> Result<Signed, String> {
    let verifier = LogVerifier::new(key.vkey()).map_err(|e| e.to_string())?;
    let head = verifier.open(&note).map_err(|e| e.to_string())?;
    Ok(Signed { head, note })
}

/// In how long to sign: nothing while there is nothing new. `since` is how long ago it was tried last.
fn due(signed: u64, size: u64, decided: u64, since: Duration) -> Option<Duration> {
    let apart = match size {
        _ if decided > signed => APART,
        _ if size != signed => EVERY,
        _ => return None,
    };
    Some(apart.saturating_sub(since))
}

/// Signs until the server stops, and once more then.
pub async fn follow(app: App) {
    let Some(signing) = &app.signing else { return };
    let (mut heads, mut decided) = (app.store.heads(), signing.decided.subscribe());
    // What could not be signed is tried again no more often than what nobody waits for.
    let (mut tried, mut failed) = (Instant::now(), false);
    loop {
        let signed = signing.last().map_or(0, |last| last.head.size);
        let (size, at) = (*heads.borrow_and_update(), *decided.borrow_and_update());
        let wait = due(signed, size, if failed { 0 } else { at }, tried.elapsed());
        let stopping = tokio::select! {
            biased;
            () = app.stopped() => true,
            () = after(wait) => false,
            changed = heads.changed() => if changed.is_err() { return } else { continue },
            _ = decided.changed() => continue,
        };
        let outcome = signing.sign(&app).await;
        (tried, failed) = (Instant::now(), outcome.is_err());
        if let Err(error) = outcome {
            tracing::warn!(%error, "the newest part of the log is not signed yet");
        }
        if stopping {
            return;
        }
    }
}

async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_decided_is_signed_at_once_and_the_rest_within_a_second() {
        let long = Duration::from_secs(60);
        assert_eq!(due(7, 7, 0, long), None);
        assert_eq!(due(7, 7, 7, long), None, "it is signed already");
        assert_eq!(due(7, 9, 7, long), Some(Duration::ZERO), "the first in a while");
        assert_eq!(due(7, 9, 5, Duration::from_millis(300)), Some(Duration::from_millis(700)));
        assert_eq!(due(7, 9, 8, Duration::from_millis(300)), Some(Duration::ZERO));
        assert_eq!(due(7, 7, 8, long), Some(Duration::ZERO), "the store has not told of it yet");
        assert_eq!(due(7, 9, 9, Duration::ZERO), Some(APART), "many at once are signed together");
        assert_eq!(due(7, 5, 0, long), Some(Duration::ZERO), "the log went back: looked at, and not signed");
    }
}
