//! What this node last saw of the log and of the time, in a file beside the database. A database that was put back to an
//! earlier state by hand does not have what was seen: then nothing is written until somebody who may says how it goes
//! on, for whatever is written now would be a second history.
//!
//! The file may be some seconds behind, and is never ahead of what is durable. Copied back together with the database it
//! knows nothing; then devices, which sign what they saw, are the witnesses.

use crate::Time;
use crate::app::App;
use crate::clock::uptime;
use crate::store::{Change, Recorded, Store, StoreError};
use chrono::TimeDelta;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{CommandId, EventId, PersonId};
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

const FILE: &str = "seen.json";
/// How far behind the file may be. One flush of the disk each time; a log that is lost is longer than that.
const EVERY: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    pub head: Head,
    /// Of the newest event: by it a longer log is known to go on from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leaf: Option<Digest>,
    at: Time,
    /// Which start of the machine, and how long ago that was then.
    boot: String,
    uptime_ms: u64,
    /// Somebody said that the log goes on from here without what came after, up to this head; the log does not say so yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovered: Option<Head>,
}

/// What a node may not write, and why.
#[derive(Default)]
pub struct Held {
    data: PathBuf,
    lost: Mutex<Option<Head>>,
    claims: Mutex<BTreeMap<PersonId, Head>>,
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
            return Ok(true);
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
            let seen = Seen::now(lost.clone(), None, read(&self.data).map_or(Time::default(), |s| s.at));
            if let Err(error) = write(&self.data, &seen) {
                tracing::error!(%error, "what devices saw could not be kept");
            }
            *locked(&self.lost) = Some(lost);
            self.tell();
        }
        Ok(false)
    }
}

/// What to do, wherever it is said.
pub const WHAT: &str = "the log is shorter than it was, or another: an old copy of the database was put in its place. \
Nothing is written until this is settled; accesses end all the same. Put the newest copy back, or, if there is none, run \
“gatepass-server recover” and start the server again";

impl Seen {
    fn now(head: Head, leaf: Option<Digest>, at: Time) -> Self {
        let uptime_ms = u64::try_from(uptime().as_millis()).unwrap_or(0);
        Self { head, leaf, at, boot: boot(), uptime_ms, recovered: None }
    }

    /// How late it is at least, whatever clocks say.
    fn time(&self) -> Time {
        let up = uptime().checked_sub(Duration::from_millis(self.uptime_ms));
        let since = up.filter(|_| self.boot == boot() && !self.boot.is_empty());
        self.at + TimeDelta::from_std(since.unwrap_or_default()).unwrap_or_default()
    }

    /// What was seen, if a log with this head does not have it. `there` is its leaf at the size that was seen, where it is
    /// longer and the leaf is known.
    pub fn missing(&self, head: &Head, there: Option<&Digest>) -> Option<Head> {
        let gone = match head.size.cmp(&self.head.size) {
            Ordering::Less => true,
            Ordering::Equal => head.root != self.head.root,
            Ordering::Greater => self.leaf.as_ref().zip(there).is_some_and(|(seen, there)| seen != there),
        };
        gone.then(|| self.head.clone())
    }

    async fn of(store: &dyn Store, at: Time) -> Result<Self, StoreError> {
        let head = store.head().await?;
        let leaf = leaf(store, head.size).await?;
        Ok(Self::now(head, leaf, at))
    }
}

/// Empty where the system does not say.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

async fn leaf(store: &dyn Store, size: u64) -> Result<Option<Digest>, StoreError> {
    let Some(before) = size.checked_sub(1) else { return Ok(None) };
    Ok(store.entries(before, 1).await?.entries.first().map(|e| e.leaf.clone()))
}

/// What was seen last; none on the first start. A file that can't be read is none, and said.
pub fn read(data: &Path) -> Option<Seen> {
    let path = data.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "what was last seen of the log cannot be read");
            return None;
        }
    };
    let seen = serde_json::from_str(&text);
    seen.inspect_err(|error| tracing::warn!(%error, path = %path.display(), "this is not what was written"))
        .ok()
}

/// Whole or not at all.
fn write(data: &Path, seen: &Seen) -> std::io::Result<()> {
    let (path, new) = (data.join(FILE), data.join("seen.json.unfinished"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let mut file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(seen)?)?;
    file.sync_all()?;
    fs::rename(new, path)
}

/// How late it is at least, as this node knew it.
pub fn time(data: &Path) -> Option<Time> {
    read(data).map(|seen| seen.time())
}

/// The head that was seen, if the log does not have it.
pub async fn lost(store: &dyn Store, data: &Path) -> Result<Option<Head>, StoreError> {
    let Some(seen) = read(data) else { return Ok(None) };
    let head = store.head().await?;
    let there = if head.size > seen.head.size { leaf(store, seen.head.size).await? } else { None };
    Ok(seen.missing(&head, there.as_ref()))
}

/// For commands that write beside a server: an error that says what to do.
pub async fn check(store: &dyn Store, data: &Path) -> Result<(), StoreError> {
    if lost(store, data).await?.is_some() { Err(StoreError::Held) } else { Ok(()) }
}

/// The log goes on from where it is, without what was seen beyond; the next start tells it. Answers what is given up.
pub async fn recover(store: &dyn Store, data: &Path) -> Result<Option<Head>, StoreError> {
    let Some(lost) = lost(store, data).await? else { return Ok(None) };
    let at = read(data).map(|seen| seen.at).unwrap_or_default();
    let seen = Seen { recovered: Some(lost.clone()), ..Seen::of(store, at).await? };
    write(data, &seen)
        .map_err(|e| StoreError::Failed(format!("{} cannot be written: {e}", data.display())))?;
    Ok(Some(lost))
}

/// A backup was put in the place of the data by an admin, who was told what is lost.
pub fn restored(data: &Path, head: &Head) -> std::io::Result<()> {
    let Some(before) = read(data) else { return Ok(()) };
    let lost = Some(before.head.clone()).filter(|lost| lost.size > head.size || lost.root != head.root);
    let lost = lost.or(before.recovered);
    write(data, &Seen { recovered: lost, ..Seen::now(head.clone(), None, before.at) })
}

/// Tells in the log what was given up, once, and begins to keep what is seen.
pub async fn begin(app: &App) -> Result<(), StoreError> {
    if app.held.is() {
        return Ok(());
    }
    if let Some(lost) = read(&app.held.data).and_then(|seen| seen.recovered) {
        let digest = Digest::of(format!("recovered {} {}", lost.size, lost.root.0).as_bytes());
        // Of several nodes, each of which saw it, one tells it.
        let id = CommandId(Uuid::from_u128(u128::from_str_radix(&digest.0[..32], 16).unwrap_or(0)));
        let event = Event {
            id: EventId(Uuid::now_v7()),
            at: app.clock.now(),
            by: By::Gatepass,
            request: None,
            fact: Fact::LogRecovered { lost },
            command: None,
        };
        let command = Some(Recorded { id, digest, request: None });
        match app.commit(Change { command, events: vec![event], ..Change::default() }).await {
            Ok(_) | Err(StoreError::Repeated(_)) => {}
            Err(error) => return Err(error),
        }
    }
    keep(app).await
}

async fn keep(app: &App) -> Result<(), StoreError> {
    let seen = Seen::of(&*app.store, app.clock.now()).await?;
    write(&app.held.data, &seen)
        .map_err(|e| StoreError::Failed(format!("what was seen of the log cannot be kept: {e}")))
}

/// Keeps what is seen until the server stops.
pub async fn follow(app: App) {
    loop {
        let stopping = tokio::select! {
            () = tokio::time::sleep(EVERY) => false,
            () = app.stopped() => true,
        };
        if !app.held.is()
            && let Err(error) = keep(&app).await
        {
            tracing::warn!(%error, "this node would not notice an old copy of its database");
        }
        if stopping {
            return;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn head(size: u64, of: &str) -> Head {
        Head { size, root: Digest::of(of.as_bytes()) }
    }

    #[test]
    fn a_log_has_what_was_seen_or_not() {
        let leaf = Digest::of(b"leaf");
        let seen = Seen::now(head(7, "seven"), Some(leaf.clone()), Time::default());
        let lost = Some(seen.head.clone());
        assert_eq!(seen.missing(&head(7, "seven"), None), None);
        assert_eq!(seen.missing(&head(9, "nine"), Some(&leaf)), None);
        assert_eq!(seen.missing(&head(6, "six"), None), lost);
        assert_eq!(seen.missing(&head(7, "another seven"), None), lost);
        assert_eq!(seen.missing(&head(9, "another nine"), Some(&Digest::of(b"other"))), lost);
    }

    #[test]
    fn it_is_kept_whole_and_the_time_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        let then = "2026-11-17T12:00:00Z".parse::<Time>().unwrap();
        let mut seen = Seen::now(head(7, "seven"), None, then);
        seen.uptime_ms = seen.uptime_ms.saturating_sub(3_600_000);
        let hour = uptime().as_millis() > 3_600_000;
        write(folder.path(), &seen).unwrap();
        assert_eq!(read(folder.path()), Some(seen.clone()));
        let known = time(folder.path()).unwrap();
        assert!(!hour || (known - then).num_minutes() == 60, "{known}");
        write(folder.path(), &Seen { boot: "another".to_owned(), ..seen }).unwrap();
        assert_eq!(time(folder.path()), Some(then), "of another start nothing is known");
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(read(folder.path()), None);
    }

    #[test]
    fn what_a_restore_gives_up_is_to_be_told() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &Seen::now(head(7, "seven"), None, Time::default())).unwrap();
        restored(folder.path(), &head(7, "seven")).unwrap();
        assert_eq!(read(folder.path()).unwrap().recovered, None);
        restored(folder.path(), &head(5, "five")).unwrap();
        let seen = read(folder.path()).unwrap();
        assert_eq!((seen.recovered, seen.head), (Some(head(7, "seven")), head(5, "five")));
    }
}
