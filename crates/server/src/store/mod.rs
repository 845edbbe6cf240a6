//! The port to what the server keeps. `commit` is the one write: everything in a [`Change`] happens, or nothing.

mod beside;
pub mod postgres;
mod sight;
pub mod sqlite;

pub use beside::{Erased, NO_DEVICE_NAME, Position, Worded};
pub use sight::{LogEntry, LogSlice, Seen, Slice, Stored, slice};

use crate::Time;
use crate::clock::Clock;
use async_trait::async_trait;
use gatepass_core::directory::Person;
use gatepass_core::drift::Drift;
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::{CommandId, DeviceId, DriftId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::Request;
use gatepass_core::text::{Digest, Texts};
use gatepass_core::wire::Head;
use gatepass_log::Hash;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// A projection and how often it was written; a write names the version it was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub request: Request,
    pub version: u64,
}

/// How a request is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    Request(RequestId),
    Number(u64),
    Grant(GrantId),
    /// The id of a grant, or of its request.
    Either(Uuid),
}

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    pub id: CommandId,
    /// Of the canonical body and the signature.
    pub digest: Digest,
    /// The request it was about.
    pub request: Option<RequestId>,
}

/// What a decision needs, read together.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub recorded: Option<Recorded>,
    pub row: Option<Row>,
    /// The request whose grant `row` extends.
    pub parent: Option<Row>,
}

/// What a view needs beside the row.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    pub texts: BTreeMap<Digest, String>,
    /// The pending request to extend the row's grant.
    pub extension: Option<RequestId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobKind {
    End,
    Provision,
    Guard,
    Lapse,
}

impl JobKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Provision => "provision",
            Self::Guard => "guard",
            Self::Lapse => "lapse",
        }
    }
}

/// Durable work, leased to this worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub id: i64,
    pub kind: JobKind,
    /// The grant; for [`JobKind::Lapse`] the request.
    pub subject: Uuid,
    pub request: RequestId,
    /// Empty when no target is touched.
    pub target: String,
    pub due: Time,
    /// Failed tries so far.
    pub attempts: u32,
    pub fence: i64,
    pub puts: i64,
}

/// A change of the work to do. There is at most one job per kind and subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobChange {
    /// Writes the job, or moves it earlier; never later.
    Put {
        kind: JobKind,
        subject: Uuid,
        request: RequestId,
        target: String,
        due: Time,
    },
    /// Moves it to `due`, which may be later.
    Postpone {
        kind: JobKind,
        subject: Uuid,
        due: Time,
    },
    /// Moves it to `due`, if that is earlier, and before all jobs that are not urgent.
    Urge {
        kind: JobKind,
        subject: Uuid,
        due: Time,
    },
    Cancel {
        kind: JobKind,
        subject: Uuid,
    },
    /// Moves the ends of a target that failed before, and that nobody holds, to `due`, if that is earlier.
    Hasten {
        target: String,
        due: Time,
    },
    /// Deletes the grant's jobs and its sealed secret.
    Forget {
        grant: GrantId,
    },
}

/// What becomes of the job a worker holds; refused when the lease was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    pub job: Job,
    pub how: Settled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Still at it.
    Hold,
    /// Done; if the job was moved meanwhile, it stays to be done again.
    Done,
    /// Try again at `due`, unless the job was moved meanwhile.
    Again { due: Time, failed: bool },
}

/// One write of a projection: 0 is expected of one that must not exist yet.
#[derive(Clone, Debug)]
pub struct RowChange {
    pub request: Request,
    pub expected: u64,
}

/// One write of drift: the revision it was made from, 0 for what must not exist yet.
#[derive(Clone, Debug)]
pub struct DriftChange {
    pub drift: Drift,
    pub expected: u32,
}

/// Drift with its texts.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftRow {
    pub drift: Drift,
    pub texts: BTreeMap<Digest, String>,
}

/// Which drift to read, newest first.
#[derive(Clone, Debug, Default)]
pub struct DriftFilter {
    pub id: Option<DriftId>,
    pub target: Option<String>,
    /// Also what is gone.
    pub gone: bool,
    /// Ids below this one.
    pub before: Option<DriftId>,
    pub limit: usize,
}

/// A change of what a connector remembers of a grant on its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoteChange {
    Put { target: String, grant: GrantId, text: String },
    Delete { target: String, grant: GrantId },
}

/// A secret that only its device can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub grant: GrantId,
    pub device: DeviceId,
    /// libsodium sealed box, base64.
    pub sealed: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub id: DeviceId,
    pub person: PersonId,
    pub name: String,
    /// Ed25519, base64.
    pub signing_key: String,
    /// X25519, base64.
    pub seal_key: String,
    pub disabled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// SHA-256 of the code.
    pub code: Digest,
    pub person: PersonId,
    pub expires_at: Time,
    pub used_by: Option<DeviceId>,
}

/// What ends of a person beside the change's rows, which are all that [`Store::held`] answered: these devices, their
/// sealed secrets, and invites that were not used. When there is more of theirs by now, it is a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    pub person: PersonId,
    pub devices: Vec<DeviceId>,
}

/// Everything that happens together.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub command: Option<Recorded>,
    /// The device that signed the command. Disabled meanwhile, it changes nothing.
    pub signer: Option<DeviceId>,
    pub revoked: Option<Revoked>,
    pub erased: Option<Erased>,
    /// Events whose texts are deleted. Those that have none any more do no harm.
    pub forgotten: Vec<Position>,
    pub settle: Option<Settle>,
    pub rows: Vec<RowChange>,
    /// In order. The store gives each its position, and a `request.created` (and its row) its number.
    pub events: Vec<Event>,
    /// Only those that an event names are kept.
    pub texts: Texts,
    pub jobs: Vec<JobChange>,
    pub sealed: Option<Sealed>,
    pub people: Vec<Person>,
    pub invite: Option<Invite>,
    /// A device that joins, and the invite it uses up.
    pub device: Option<(Device, Digest)>,
    pub settings: Vec<(&'static str, String)>,
    pub notes: Vec<NoteChange>,
    pub drift: Vec<DriftChange>,
}

impl Change {
    /// The requests that it writes.
    pub(crate) fn named(&self) -> Vec<RequestId> {
        self.rows.iter().map(|row| row.request.id).collect()
    }

    /// Gives the request that it makes its number.
    pub(crate) fn give(&mut self, given: Number) {
        for happened in &mut self.events {
            let Fact::RequestCreated { number, .. } = &mut happened.fact else { continue };
            *number = given;
            for row in self.rows.iter_mut().filter(|r| Some(r.request.id) == happened.request) {
                row.request.number = given;
            }
        }
    }
}

/// What was committed.
#[derive(Clone, Debug)]
pub struct Committed {
    pub head: Head,
    /// The rows as written, in the order of the change.
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A row was written by someone else since it was read: read again and decide again.
    #[error("a row changed meanwhile")]
    Conflict,
    /// The command's id is taken, with these bytes.
    #[error("the command was already carried out")]
    Repeated(Recorded),
    /// The invite was used meanwhile, or the device's id is taken.
    #[error("the invite was used meanwhile, or the device is known already")]
    AlreadyJoined,
    /// The device that signed was disabled meanwhile.
    #[error("the device was disabled meanwhile")]
    Disabled,
    /// Another worker holds the job now, or it is gone.
    #[error("the lease of the job was lost")]
    LeaseLost,
    /// The log is not the one that was seen before.
    #[error("{}", crate::seen::WHAT)]
    Held,
    /// An event would be too large for the log.
    #[error("an event would have {0} bytes, and the log takes events of fewer than 65536")]
    TooLarge(usize),
    #[error("the disk is full")]
    Full,
    /// The database does not answer, or takes no more connections. Whether a write happened is not known.
    #[error("the database cannot be reached: {0}")]
    Away(String),
    #[error("{0}")]
    Failed(String),
}

/// Which requests to list, newest first.
#[derive(Clone, Debug)]
pub struct ListFilter {
    /// Only what this person may see.
    pub viewer: Person,
    pub mine: bool,
    pub pending: bool,
    pub with_grant: bool,
    /// Numbers below this one.
    pub before: Option<u64>,
    pub limit: usize,
}

/// What a claim found.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    pub jobs: Vec<Job>,
    /// When the next job is due that was neither claimed nor is leased; maybe past, when a target is at its bound.
    pub next: Option<Time>,
}

/// How many jobs may be claimed per target; targets not named have `otherwise`.
#[derive(Clone, Debug, Default)]
pub struct Room {
    pub otherwise: usize,
    pub by_target: BTreeMap<String, usize>,
    /// So many of each target's places are kept for urgent jobs.
    pub kept: usize,
    /// How many may run on one target over all nodes.
    pub at_most: usize,
}

impl Room {
    pub fn left(&self, target: &str, urgent: bool) -> usize {
        let left = self.by_target.get(target).copied().unwrap_or(self.otherwise);
        if urgent { left } else { left.saturating_sub(self.kept) }
    }

    pub fn take(&mut self, target: &str) {
        let left = self.left(target, true).saturating_sub(1);
        self.by_target.insert(target.to_owned(), left);
    }
}

/// What there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub jobs: u64,
    /// Of them, those that a worker holds.
    pub leased: u64,
    /// When the next of the others is due.
    pub next: Option<Time>,
    /// Ends that failed three times or more.
    pub alarms: u64,
    /// When the longest due end was due, held by a worker or not, and however often it was tried since; ahead of now
    /// when none is.
    pub oldest_end: Option<Time>,
}

/// Durable state.
///
/// - Durability: when a write returns `Ok`, it survives a crash of the process and of the machine.
/// - Concurrency: writes may come from many tasks and, for people and invites, from other processes; they take
///   effect one after another. A read sees every write that returned before it began, whole; of a store that
///   several nodes share, so does a read on another node.
/// - Retry: after an error nothing of the write happened, except after [`StoreError::Away`], where it may have;
///   ids make repeating harmless.
#[async_trait]
pub trait Store: Send + Sync {
    async fn commit(&self, change: Change) -> Result<Committed, StoreError>;

    /// Leases due jobs, the urgent first, then the longest due: none whose subject has a leased job, and not more per
    /// target than `room` says.
    async fn claim(&self, now: Time, until: Time, room: Room) -> Result<Claimed, StoreError>;

    /// The end jobs that are due and not leased, unchanged. For when nothing can be written.
    async fn due_ends(&self, now: Time) -> Result<Vec<Job>, StoreError>;

    /// Moves the leases that are still held to `until`; answers the ids of those jobs. The others were lost.
    async fn renew(&self, jobs: &[Job], until: Time) -> Result<Vec<i64>, StoreError>;

    /// Called at the start of a node, before its first claim: the leases of a store with one node are over, since
    /// whoever held them is gone. A shared store leaves the others' alone; they end by themselves.
    async fn reclaim(&self) -> Result<(), StoreError>;

    /// Takes the turn at something that one node at a time does, such as `reconcile`, until `until`: `None`. When
    /// another node has it: when that ends, or ended.
    async fn turn(&self, at: &'static str, now: Time, until: Time) -> Result<Option<Time>, StoreError>;

    /// The command, the request it is about, and the one that extends.
    async fn load(&self, command: Option<CommandId>, request: Option<Lookup>) -> Result<Loaded, StoreError>;
    async fn detail(&self, request: &Request) -> Result<Detail, StoreError>;
    /// What there is to end of a person: undecided requests that they made or decided on, and accesses of theirs that
    /// are not over.
    async fn held(&self, person: PersonId) -> Result<Vec<Row>, StoreError>;
    async fn list(&self, filter: ListFilter) -> Result<Vec<(Row, Detail)>, StoreError>;
    /// The log after a position, whole, with what it takes to tell who may see it.
    async fn entries(&self, after: u64, limit: usize) -> Result<Slice, StoreError>;
    async fn head(&self) -> Result<Head, StoreError>;
    /// The roots of `count` complete subtrees of the log from the one with `index` on, each over `1 << height` events;
    /// `height` is a multiple of 8, and at 0 they are the leaves. Never fewer: to ask for one that is not complete is an
    /// error.
    async fn nodes(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, StoreError>;

    /// Events after a position that have texts, the first `limit`.
    async fn worded(&self, after: u64, limit: usize) -> Result<Vec<Worded>, StoreError>;
    /// Makes what was deleted go from the disk as well, as far as the store can. Answers, in a sentence, what it can't.
    async fn scrub(&self) -> Result<Option<&'static str>, StoreError>;

    async fn people(&self) -> Result<(Vec<Person>, Vec<Device>), StoreError>;
    async fn invite(&self, code: &Digest) -> Result<Option<Invite>, StoreError>;
    async fn sealed(&self, grant: GrantId) -> Result<Option<Sealed>, StoreError>;
    /// What the connector of a target remembers of a grant.
    async fn note(&self, target: &str, grant: GrantId) -> Result<Option<String>, StoreError>;
    /// All that it remembers, by the grant's id.
    async fn notes(&self, target: &str) -> Result<Vec<(GrantId, String)>, StoreError>;
    async fn setting(&self, key: &'static str) -> Result<Option<String>, StoreError>;
    /// Of these grants, those that are neither ended nor failed.
    async fn live(&self, grants: &[GrantId]) -> Result<Vec<GrantId>, StoreError>;
    /// Of the grants of a target that are not over, those whose end is due after `after`.
    async fn unended(&self, target: &str, after: Time) -> Result<Vec<GrantId>, StoreError>;
    async fn drift(&self, filter: DriftFilter) -> Result<Vec<DriftRow>, StoreError>;
    async fn backlog(&self) -> Result<Backlog, StoreError>;

    /// The log's size, whoever writes.
    fn heads(&self) -> watch::Receiver<u64>;
    /// Counts writes by other processes.
    fn outside(&self) -> watch::Receiver<u64>;
    /// The time that all nodes of a shared store go by; none where the machine's is the only one.
    fn clock(&self) -> Option<Arc<dyn Clock>> {
        None
    }
    /// Whether other nodes may work on it.
    fn shared(&self) -> bool {
        self.clock().is_some()
    }
}
