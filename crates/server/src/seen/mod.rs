//! What this node last saw of the log and of the time, in two files beside the database: the newest head that it signed
//! (`checkpoint`), and the time with heads that it knows otherwise (`seen.json`). A database that was put back to an
//! earlier state by hand does not have what was seen: then nothing is written until somebody who may says how it goes
//! on, for whatever is written now would be a second history.
//!
//! The files may be some seconds behind, and are never ahead of what is durable. Copied back together with the database
//! they know nothing; then devices, which sign what they saw, are the witnesses.

mod held;
mod note;

pub use held::{Held, WHAT};
pub use note::{keep_note, note, note_file};

use crate::Time;
use crate::app::App;
use crate::clock::uptime;
use crate::log::{Needed, goes_on, went_on};
use crate::store::{Change, Recorded, Store, StoreError};
use chrono::TimeDelta;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{CommandId, EventId};
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_log::{LogKey, Nodes, consistency, head_of};
use note::{give_up_note, keep_whole};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

const FILE: &str = "seen.json";
/// How far behind the file may be. One flush of the disk each time; a log that is lost is longer than that.
const EVERY: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// A head that was not signed here: of a node that signs nothing, one that devices saw, or of a version before heads
    /// were signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<Head>,
    at: Time,
    /// Which start of the machine, and how long ago that was then.
    boot: String,
    uptime_ms: u64,
    /// Somebody said that the log goes on from here without what came after, up to this head; the log does not say so yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovered: Option<Head>,
}

impl Seen {
    fn now(head: Option<Head>, at: Time) -> Self {
        let uptime_ms = u64::try_from(uptime().as_millis()).unwrap_or(0);
        Self { head, at, boot: boot(), uptime_ms, recovered: None }
    }

    /// How late it is at least, whatever clocks say.
    fn time(&self) -> Time {
        let up = uptime().checked_sub(Duration::from_millis(self.uptime_ms));
        let since = up.filter(|_| self.boot == boot() && !self.boot.is_empty());
        self.at + TimeDelta::from_std(since.unwrap_or_default()).unwrap_or_default()
    }
}

/// Empty where the system does not say.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
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

fn write(data: &Path, seen: &Seen) -> std::io::Result<()> {
    keep_whole(data, FILE, &serde_json::to_vec(seen)?)
}

/// How late it is at least, as this node knew it.
pub fn time(data: &Path) -> Option<Time> {
    read(data).map(|seen| seen.time())
}

/// The heads that are known here, the one that was signed first.
fn known(data: &Path) -> Vec<Head> {
    let note = note(data).unwrap_or_else(|error| {
        tracing::warn!(%error, data = %data.display(), "what was last signed of the log cannot be read");
        None
    });
    let signed = note.as_deref().and_then(head_of);
    signed.into_iter().chain(read(data).and_then(|seen| seen.head)).collect()
}

/// The newest head that was seen, if the log does not have it.
pub async fn lost(store: &dyn Store, data: &Path) -> Result<Option<Head>, StoreError> {
    let (known, mut lost) = (known(data), None::<Head>);
    if known.is_empty() {
        return Ok(None);
    }
    let head = store.head().await?;
    for seen in known {
        if !goes_on(store, &seen, &head).await? && lost.as_ref().is_none_or(|l| l.size < seen.size) {
            lost = Some(seen);
        }
    }
    Ok(lost)
}

/// What it takes to tell, of a log with this head.
pub fn needed(data: &Path, head: &Head) -> Vec<Needed> {
    let needed = |seen: Head| Needed::by(|nodes| consistency(nodes, seen.size, head.size)).ok();
    known(data).into_iter().filter_map(needed).collect()
}

/// The same as [`lost`], of a log at hand. An error says what of it is not there.
pub fn missing(data: &Path, head: &Head, nodes: &dyn Nodes) -> Result<Option<Head>, String> {
    let mut lost = None::<Head>;
    for seen in known(data) {
        if !went_on(nodes, &seen, head)? && lost.as_ref().is_none_or(|l| l.size < seen.size) {
            lost = Some(seen);
        }
    }
    Ok(lost)
}

/// Whether anything was ever seen here.
pub fn nothing(data: &Path) -> bool {
    known(data).is_empty()
}

/// For commands that write beside a server: an error that says what to do.
pub async fn check(store: &dyn Store, data: &Path) -> Result<(), StoreError> {
    if lost(store, data).await?.is_some() { Err(StoreError::Held) } else { Ok(()) }
}

/// The log goes on from where it is, without what was seen beyond; the next start tells it. Answers what is given up. Who
/// signs has the `key`.
pub async fn recover(
    store: &dyn Store,
    data: &Path,
    key: Option<&LogKey>,
) -> Result<Option<Head>, StoreError> {
    let Some(lost) = lost(store, data).await? else { return Ok(None) };
    let head = store.head().await?;
    let note = key.map(|key| key.sign(&head)).transpose().map_err(|e| StoreError::Failed(e.to_string()))?;
    let at = read(data).map(|seen| seen.at).unwrap_or_default();
    let seen = Seen { recovered: Some(lost.clone()), ..Seen::now(Some(head), at) };
    // What is to be told comes first: killed in between, it is lost as before.
    write(data, &seen)
        .and_then(|()| give_up_note(data))
        .and_then(|()| note.map_or(Ok(()), |note| keep_note(data, &note)))
        .map_err(|e| StoreError::Failed(format!("{} cannot be written: {e}", data.display())))?;
    Ok(Some(lost))
}

/// Another key signs from here on: what it signs first goes on from what was signed before, unless that is lost.
pub async fn sign_anew(store: &dyn Store, data: &Path, key: &LogKey) -> Result<(), StoreError> {
    if lost(store, data).await?.is_some() {
        return Ok(());
    }
    let note = key.sign(&store.head().await?).map_err(|e| StoreError::Failed(e.to_string()))?;
    keep_note(data, &note)
        .map_err(|e| StoreError::Failed(format!("{} cannot be written: {e}", data.display())))
}

/// A backup, of which `nodes` are, was put in the place of the data by an admin, who was told what is lost.
pub fn restored(data: &Path, head: &Head, nodes: &dyn Nodes) -> std::io::Result<()> {
    let (before, seen) = (read(data), known(data));
    if before.is_none() && seen.is_empty() {
        return Ok(());
    }
    // What can't be told to be there is lost.
    let lost = seen.into_iter().filter(|seen| went_on(nodes, seen, head) != Ok(true)).max_by_key(|h| h.size);
    let at = before.as_ref().map(|b| b.at).unwrap_or_default();
    let gone = lost.is_some();
    let recovered = lost.or(before.and_then(|b| b.recovered));
    write(data, &Seen { recovered, ..Seen::now(Some(head.clone()), at) })?;
    if gone { give_up_note(data) } else { Ok(()) }
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
    let signed = app.signing.as_ref().and_then(|signing| signing.last());
    let head = if signed.is_some() { None } else { Some(app.store.head().await?) };
    write(&app.held.data, &Seen::now(head, app.clock.now()))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::note::GIVEN_UP;
    use super::*;
    use gatepass_log::{Hash, Tree};

    struct Leaves<'a>(&'a [Hash]);

    impl Nodes for Leaves<'_> {
        fn read(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, String> {
            self.0.read(height, index, count)
        }
    }

    /// A log of so many events, and every head that it ever had.
    fn log(of: &str, size: usize) -> (Vec<Hash>, Vec<Head>) {
        let (mut leaves, mut tree) = (Vec::new(), Tree::default());
        let mut heads = vec![tree.head()];
        for n in 0..size {
            leaves.push(Hash::leaf(format!("{of} {n}").as_bytes()));
            tree.append(leaves[n]);
            heads.push(tree.head());
        }
        (leaves, heads)
    }

    #[test]
    fn a_log_has_what_was_seen_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let ((leaves, heads), (others, other)) = (log("one", 9), log("another", 9));
        assert!(nothing(data));
        write(data, &Seen::now(Some(heads[7].clone()), Time::default())).unwrap();
        let lost = Ok(Some(heads[7].clone()));
        assert_eq!(missing(data, &heads[7], &Leaves(&leaves)), Ok(None));
        assert_eq!(missing(data, &heads[9], &Leaves(&leaves)), Ok(None));
        assert_eq!(missing(data, &heads[6], &Leaves(&leaves)), lost);
        assert_eq!(missing(data, &other[7], &Leaves(&others)), lost);
        assert_eq!(missing(data, &other[9], &Leaves(&others)), lost);
        // What was signed counts as well, and the newest is told.
        let key = LogKey::parse(&LogKey::generate("test/gatepass", &[1; 32])).unwrap();
        keep_note(data, &key.sign(&heads[8]).unwrap()).unwrap();
        assert_eq!(missing(data, &heads[7], &Leaves(&leaves)), Ok(Some(heads[8].clone())));
        assert_eq!(missing(data, &heads[9], &Leaves(&leaves)), Ok(None));
    }

    #[test]
    fn it_is_kept_whole_and_the_time_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        let then = "2026-11-17T12:00:00Z".parse::<Time>().unwrap();
        let mut seen = Seen::now(Some(log("one", 7).1[7].clone()), then);
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
        let data = folder.path();
        let (leaves, heads) = log("one", 9);
        let key = LogKey::parse(&LogKey::generate("test/gatepass", &[1; 32])).unwrap();
        restored(data, &heads[9], &Leaves(&leaves)).unwrap();
        assert!(nothing(data));
        let signed = key.sign(&heads[7]).unwrap();
        keep_note(data, &signed).unwrap();
        // Neither the same nor a newer one gives anything up.
        for size in [7, 9] {
            restored(data, &heads[size], &Leaves(&leaves)).unwrap();
            assert_eq!(read(data).unwrap().recovered, None);
            assert_eq!(note(data).unwrap().as_deref(), Some(&*signed));
        }
        write(data, &Seen::now(None, Time::default())).unwrap();
        restored(data, &heads[5], &Leaves(&leaves)).unwrap();
        let seen = read(data).unwrap();
        assert_eq!((seen.recovered, seen.head), (Some(heads[7].clone()), Some(heads[5].clone())));
        assert_eq!(note(data).unwrap(), None);
        assert_eq!(fs::read_to_string(data.join(GIVEN_UP)).unwrap(), signed);
        assert_eq!(missing(data, &heads[9], &Leaves(&leaves)), Ok(None));
    }

    #[test]
    fn what_a_version_before_left_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let (leaves, heads) = log("one", 9);
        let root = &heads[7].root.0;
        let left = format!(
            r#"{{"head":{{"size":7,"root":"{root}"}},"leaf":"{root}","at":"2026-11-17T12:00:00Z","boot":"b","uptime_ms":7}}"#
        );
        fs::write(folder.path().join(FILE), left).unwrap();
        assert_eq!(missing(folder.path(), &heads[9], &Leaves(&leaves)), Ok(None));
        assert_eq!(missing(folder.path(), &heads[5], &Leaves(&leaves)), Ok(Some(heads[7].clone())));
    }
}
