//! What a node may not write.

use super::{Seen, read, write};
use crate::Time;
use crate::log::had;
use crate::store::{Store, StoreError};
use gatepass_core::id::PersonId;
use gatepass_core::wire::Head;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many devices’ heads are known without reading the store.
const KNOWN: usize = 64;

/// What a node may not write, and why.
#[derive(Default)]
pub struct Held {
    pub(super) data: PathBuf,
    lost: Mutex<Option<Head>>,
    claims: Mutex<BTreeMap<PersonId, Head>>,
    /// The heads that devices named last, and that the log had.
    known: Mutex<VecDeque<Head>>,
}

impl Held {
    pub fn new(data: &Path, lost: Option<Head>) -> Self {
        let held = Self { data: data.to_owned(), ..Self::default() };
        *locked(&held.lost) = lost;
        held.tell();
        held
    }

    /// Whether anything may be written to the log.
    pub fn is(&self) -> bool {
        locked(&self.lost).is_some()
    }

    /// The log does not have this any more.
    pub fn lose(&self, lost: Head) {
        *locked(&self.lost) = Some(lost);
        self.tell();
    }

    fn tell(&self) {
        let lost = locked(&self.lost).clone();
        metrics::gauge!("gatepass_log_held").set(if lost.is_some() { 1.0 } else { 0.0 });
        if let Some(lost) = lost {
            tracing::error!(seen = lost.size, root = lost.root.0, alarm = true, "{}", WHAT);
        }
    }

    /// A device signed that it saw this. Answers whether the log has it. One person's word holds nobody else up; the word
    /// of two does.
    pub async fn claimed(
        &self,
        store: &dyn Store,
        person: PersonId,
        head: &Head,
    ) -> Result<bool, StoreError> {
        // What another node wrote may not have been heard of here.
        if head.size <= *store.heads().borrow() || head.size <= store.head().await?.size {
            return self.had(store, person, head).await;
        }
        tracing::error!(%person, seen = head.size, alarm = true, "a device saw more of the log than there is");
        metrics::counter!("gatepass_log_missed_total").increment(1);
        let claimed = {
            let mut claims = locked(&self.claims);
            claims.insert(person, head.clone());
            if claims.len() < 2 { None } else { claims.values().max_by_key(|h| h.size).cloned() }
        };
        if let Some(lost) = claimed
            && !self.is()
        {
            // So that it is known after a restart as well.
            let at = read(&self.data).map_or(Time::default(), |s| s.at);
            if let Err(error) = write(&self.data, &Seen::now(Some(lost.clone()), at)) {
                tracing::error!(%error, "what devices saw could not be kept");
            }
            self.lose(lost);
        }
        Ok(false)
    }

    /// A head that the log never had is not written into it: whoever reads it later would find it there. What devices
    /// that saw what was given up say of it holds nobody up.
    async fn had(&self, store: &dyn Store, person: PersonId, head: &Head) -> Result<bool, StoreError> {
        if locked(&self.known).contains(head) {
            return Ok(true);
        }
        if !had(store, head).await? {
            tracing::error!(%person, seen = head.size, alarm = true, "a device saw another log than this");
            metrics::counter!("gatepass_log_missed_total").increment(1);
            return Ok(false);
        }
        let mut known = locked(&self.known);
        known.truncate(KNOWN - 1);
        known.push_front(head.clone());
        Ok(true)
    }
}

/// What to do, wherever it is said.
pub const WHAT: &str = "the log is shorter than it was, or another: an old copy of the database was put in its place. \
Nothing is written until this is settled; accesses end all the same. Put the newest copy back, or, if there is none, run \
“gatepass-server log recover” and start the server again";

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
