//! The shared store: one PostgreSQL, any number of nodes. What a change does is made as a list of statements and sent
//! in one go; its events go to an outbox in the same transaction, and one sequencer at a time gives them their place.

mod clock;
mod command;
mod commit;
mod drift;
mod durability;
mod event;
pub mod facts;
mod follow;
mod job;
mod link;
mod note;
mod person;
mod request;
pub mod schema;
mod sealed;
mod sequencer;
mod step;
mod subtree;
mod text;

use super::{
    Backlog, Change, Claimed, Committed, Detail, Device, DriftFilter, DriftRow, Invite, Job, ListFilter,
    Loaded, Lookup, Room, Row, Sealed, Slice, Store, StoreError, Worded,
};
use crate::Time;
use crate::clock::Clock;
use async_trait::async_trait;
use clock::DatabaseClock;
use gatepass_connectors::postgres::Place;
use gatepass_core::directory::Person;
use gatepass_core::id::{CommandId, DriftId, GrantId, PersonId};
use gatepass_core::request::Request;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_log::Hash;
use link::Link;
use schema::{Migrated, Migration, Reach};
use secrecy::SecretString;
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use step::{Miss, Step};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

/// Where the database is.
#[derive(Clone, Debug)]
pub struct Options {
    /// `postgres://USER@HOST:PORT/DATABASE`, without the password; several hosts for a failover.
    pub url: String,
    pub password: SecretString,
    /// The database itself, when `url` leads to a pooler.
    pub direct: Option<String>,
    /// `url` leads to a pooler in transaction mode.
    pub pooler: bool,
    /// At most so many connections, beside the one that listens.
    pub connections: usize,
}

impl Options {
    fn place(&self, url: &str) -> Result<Place, StoreError> {
        Place::parse(url, &self.password).map_err(|e| StoreError::Failed(e.to_string()))
    }

    /// The way to the database itself, if one is known.
    fn itself(&self) -> Result<Option<Place>, StoreError> {
        match (&self.direct, self.pooler) {
            (Some(url), _) => self.place(url).map(Some),
            (None, false) => self.place(&self.url).map(Some),
            (None, true) => Ok(None),
        }
    }
}

pub struct PostgresStore {
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

/// What the store's own tasks share with it.
struct Shared {
    link: Link,
    /// Counts what asks for events to be placed.
    wanted: watch::Sender<u64>,
    /// The last count that was served, and the head then.
    placed: watch::Sender<(u64, Head)>,
    heads: watch::Sender<u64>,
    outside: watch::Sender<u64>,
    highest: Mutex<Head>,
    looked: Mutex<Instant>,
    /// Rung to look at once.
    bell: Notify,
    listening: AtomicBool,
    clock: Arc<DatabaseClock>,
    node: Uuid,
    name: String,
    /// The newest step of the schema that it knows.
    knows: i32,
}

impl Shared {
    fn want(&self) -> u64 {
        let mut count = 0;
        self.wanted.send_modify(|n| {
            *n += 1;
            count = *n;
        });
        count
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PostgresStore {
    /// Connects, brings the schema up to date if it has to be and this role may, and begins to keep up.
    pub async fn open(options: &Options) -> Result<Self, StoreError> {
        Self::open_knowing(options, &schema::known()).await
    }

    /// As [`open`](Self::open), for a version that knows these steps of the schema.
    pub async fn open_knowing(options: &Options, known: &[Migration]) -> Result<Self, StoreError> {
        let link = Link::new(&options.place(&options.url)?, options.pooler, options.connections)?;
        let itself = options.itself()?;
        prepare(&link, itself.as_ref(), known).await?;
        let head = event::read_head(&link.read(event::head()).await?)?;
        let shared = Arc::new(Shared {
            link,
            wanted: watch::Sender::new(1),
            placed: watch::Sender::new((0, head.clone())),
            heads: watch::Sender::new(head.size),
            outside: watch::Sender::new(0),
            highest: Mutex::new(head),
            looked: Mutex::new(Instant::now()),
            bell: Notify::new(),
            listening: AtomicBool::new(false),
            clock: Arc::new(DatabaseClock::new()),
            node: Uuid::now_v7(),
            name: machine(),
            knows: schema::newest(known),
        });
        follow::measure(&shared).await?;
        match durability::risks(&shared.link).await {
            Ok(risks) => risks.iter().for_each(|risk| tracing::warn!("{risk}")),
            Err(error) => tracing::warn!(%error, "could not ask what the database can lose"),
        }
        let mut tasks = vec![
            tokio::spawn(follow::sequence(shared.clone())).abort_handle(),
            tokio::spawn(follow::look(shared.clone())).abort_handle(),
            tokio::spawn(subtree::fill_at_start(shared.clone())).abort_handle(),
        ];
        metrics::gauge!("gatepass_listen_up").set(0.0);
        if let Some(place) = itself {
            tasks.push(tokio::spawn(follow::listen(shared.clone(), place)).abort_handle());
        }
        Ok(Self { shared, tasks })
    }

    /// What the database, as it is set up, can lose although it confirmed it: a sentence for each.
    pub async fn risks(&self) -> Result<Vec<String>, StoreError> {
        durability::risks(&self.shared.link).await
    }

    /// Brings the schema up to date, as the role that owns it.
    pub async fn migrate(options: &Options) -> Result<Migrated, StoreError> {
        Self::migrate_knowing(options, &schema::known(), Reach::Contract).await
    }

    /// As [`migrate`](Self::migrate), of a version that knows these steps, as far as `reach` says.
    pub async fn migrate_knowing(
        options: &Options,
        known: &[Migration],
        reach: Reach,
    ) -> Result<Migrated, StoreError> {
        let place = options.itself()?.ok_or_else(|| {
            StoreError::Failed("a pooler is in front: set “direct” to the database itself".to_owned())
        })?;
        schema::migrate(&place, known, reach).await
    }

    async fn one<T>(
        &self,
        step: Step,
        read: impl FnOnce(&tokio_postgres::Row) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.shared.link.read(step).await?.first().map(read).transpose()
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Sees to it that the schema is one with which a version that knows `known` can work.
async fn prepare(link: &Link, itself: Option<&Place>, known: &[Migration]) -> Result<(), StoreError> {
    let applied = schema::applied(link).await?;
    if let Some((version, name)) = schema::too_new(&applied, known) {
        return Err(StoreError::Failed(format!(
            "this version is too old for the database: a newer one took away what it needs (V{version}__{name}). \
             Run the newer version"
        )));
    }
    let needed = schema::needed(known);
    if applied.last().is_some_and(|(version, _)| *version >= needed) {
        return Ok(());
    }
    let older = |why: &str| {
        StoreError::Failed(format!(
            "the database’s schema is older than this version needs, and could not be brought up to date ({why}): run \
             “gatepass-server migrate” with a role that owns it"
        ))
    };
    let Some(place) = itself else { return Err(older("a pooler is in front, and “direct” is not set")) };
    match schema::migrate(place, known, Reach::Expand).await {
        Ok(done) if done.level < needed => {
            Err(older(&format!("{} has to be run first", done.waiting.first().map_or("", String::as_str))))
        }
        Ok(_) => Ok(()),
        Err(StoreError::Failed(why)) => Err(older(&why)),
        Err(other) => Err(other),
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn commit(&self, change: Change) -> Result<Committed, StoreError> {
        let done = tokio::spawn(commit::commit(self.shared.clone(), change)).await;
        let done = done.map_err(|e| StoreError::Failed(e.to_string()))?;
        match &done {
            Ok(_) => metrics::counter!("gatepass_commits_total", "store" => "postgres").increment(1),
            Err(StoreError::Conflict) => metrics::counter!("gatepass_commit_conflicts_total").increment(1),
            Err(_) => {}
        }
        done
    }

    async fn claim(&self, now: Time, until: Time, room: Room) -> Result<Claimed, StoreError> {
        let link = &self.shared.link;
        let outlook = link.read(job::outlook(now)).await?;
        let Some(row) = outlook.first() else { return Ok(Claimed::default()) };
        let next: Option<Time> = get(row, 1)?;
        if !get::<bool>(row, 0)? {
            return Ok(Claimed { jobs: Vec::new(), next });
        }
        let (transaction, begun) = link.begin(&[job::one_claim(), job::claimable(now, &room)]).await?;
        let answers = begun.map_err(Miss::error)?;
        let mut subjects = HashSet::new();
        let mut jobs = Vec::new();
        for row in answers.last().into_iter().flatten() {
            jobs.extend(job::read(row)?.filter(|j| subjects.insert(j.subject)));
        }
        if jobs.is_empty() {
            transaction.roll_back().await?;
            return Ok(Claimed { jobs, next });
        }
        transaction.run(&[job::lease(&jobs, until)]).await?;
        transaction.commit().await?;
        for job in &mut jobs {
            job.fence += 1;
        }
        Ok(Claimed { jobs, next })
    }

    async fn due_ends(&self, now: Time) -> Result<Vec<Job>, StoreError> {
        let rows = self.shared.link.read(job::due_ends(now)).await?;
        rows.iter().filter_map(|row| job::read(row).transpose()).collect()
    }

    async fn renew(&self, jobs: &[Job], until: Time) -> Result<Vec<i64>, StoreError> {
        match self.shared.link.write(&[job::renew(jobs, until)]).await? {
            Ok(rows) => rows.iter().flatten().map(|row| get(row, 0)).collect(),
            Err(miss) => Err(miss.error()),
        }
    }

    async fn reclaim(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn turn(&self, at: &'static str, now: Time, until: Time) -> Result<Option<Time>, StoreError> {
        if self.shared.link.write(&[sealed::turn(at, now, until)]).await?.is_ok() {
            return Ok(None);
        }
        let taken = self.one(sealed::setting(at), |row| sealed::read_turn(get(row, 0)?)).await?;
        Ok(Some(taken.unwrap_or(now)))
    }

    async fn load(&self, command: Option<CommandId>, lookup: Option<Lookup>) -> Result<Loaded, StoreError> {
        let recorded = match command {
            Some(id) => self.one(command::find(id), |row| command::read(id, row)).await?,
            None => None,
        };
        // What was carried out is answered from the request it was about.
        let about = recorded.as_ref().and_then(|r| r.request).map(Lookup::Request).or(lookup);
        let loaded = match about {
            Some(lookup) => self.one(request::load(lookup), request::read_loaded).await?.unwrap_or_default(),
            None => Loaded::default(),
        };
        Ok(Loaded { recorded, ..loaded })
    }

    async fn detail(&self, request: &Request) -> Result<Detail, StoreError> {
        let grants: Vec<GrantId> = request.grant.iter().map(|g| g.id).collect();
        let read = vec![text::of_requests(&[request.id]), request::extensions(grants)];
        let answers = self.shared.link.read_all(read).await?;
        let [texts, extensions] = answers.as_slice() else { return Ok(Detail::default()) };
        Ok(Detail {
            texts: text::read(texts)?.remove(&request.id).unwrap_or_default(),
            extension: request::read_extensions(extensions)?.into_values().next(),
        })
    }

    async fn held(&self, person: PersonId) -> Result<Vec<Row>, StoreError> {
        self.shared.link.read(request::held(person)).await?.iter().map(request::read).collect()
    }

    async fn list(&self, filter: ListFilter) -> Result<Vec<(Row, Detail)>, StoreError> {
        let rows = self.shared.link.read(request::list(&filter)).await?;
        let rows = rows.iter().map(request::read).collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<_> = rows.iter().map(|r| r.request.id).collect();
        let grants: Vec<GrantId> =
            rows.iter().filter_map(|r| r.request.grant.as_ref().map(|g| g.id)).collect();
        let beside =
            self.shared.link.read_all(vec![text::of_requests(&ids), request::extensions(grants)]).await?;
        let [texts, extensions] = beside.as_slice() else { return Ok(Vec::new()) };
        let (mut texts, mut extensions) = (text::read(texts)?, request::read_extensions(extensions)?);
        Ok(rows
            .into_iter()
            .map(|row| {
                let extension = row.request.grant.as_ref().and_then(|g| extensions.remove(&g.id));
                let texts = texts.remove(&row.request.id).unwrap_or_default();
                (row, Detail { texts, extension })
            })
            .collect())
    }

    async fn entries(&self, after: u64, limit: usize) -> Result<Slice, StoreError> {
        event::read_entries(&self.shared.link.read_all(event::entries(after, limit)).await?)
    }

    async fn head(&self) -> Result<Head, StoreError> {
        event::read_head(&self.shared.link.read(event::head()).await?)
    }

    async fn nodes(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, StoreError> {
        subtree::whole(&self.shared.link, height, index, count).await
    }

    async fn worded(&self, after: u64, limit: usize) -> Result<Vec<Worded>, StoreError> {
        let found = text::read_worded(&self.shared.link.read(text::worded(after, limit)).await?)?;
        let drift: Vec<DriftId> = found.iter().filter_map(|(_, drift)| *drift).collect();
        let mut there = HashSet::new();
        if !drift.is_empty() {
            for row in &self.shared.link.read(text::there(&drift)).await? {
                there.insert(DriftId(id(row, 0)?));
            }
        }
        let over = |(mut worded, drift): (Worded, Option<DriftId>)| {
            worded.over &= drift.is_none_or(|d| !there.contains(&d));
            worded
        };
        Ok(found.into_iter().map(over).collect())
    }

    async fn scrub(&self) -> Result<Option<&'static str>, StoreError> {
        Ok(Some(
            "PostgreSQL overwrites what was deleted when it needs the room, after a vacuum; “VACUUM FULL text, person, \
             device, invite” writes it anew. Replicas follow; archived write-ahead logs and base backups keep it.",
        ))
    }

    async fn people(&self) -> Result<(Vec<Person>, Vec<Device>), StoreError> {
        let answers = self.shared.link.read_all(vec![person::people(), person::devices()]).await?;
        let [people, devices] = answers.as_slice() else { return Ok(Default::default()) };
        let people = people.iter().map(person::read).collect::<Result<_, _>>()?;
        Ok((people, devices.iter().map(person::read_device).collect::<Result<_, _>>()?))
    }

    async fn invite(&self, code: &Digest) -> Result<Option<Invite>, StoreError> {
        self.one(person::invite(code), |row| person::read_invite(code, row)).await
    }

    async fn sealed(&self, grant: GrantId) -> Result<Option<Sealed>, StoreError> {
        self.one(sealed::find(grant), |row| sealed::read(grant, row)).await
    }

    async fn note(&self, target: &str, grant: GrantId) -> Result<Option<String>, StoreError> {
        self.one(note::find(target, grant), |row| get(row, 0)).await
    }

    async fn notes(&self, target: &str) -> Result<Vec<(GrantId, String)>, StoreError> {
        self.shared.link.read(note::of(target)).await?.iter().map(note::read).collect()
    }

    async fn setting(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        self.one(sealed::setting(key), |row| get(row, 0)).await
    }

    async fn live(&self, grants: &[GrantId]) -> Result<Vec<GrantId>, StoreError> {
        let rows = self.shared.link.read(request::live(grants)).await?;
        rows.iter().map(|row| id(row, 0).map(GrantId)).collect()
    }

    async fn unended(&self, target: &str, after: Time) -> Result<Vec<GrantId>, StoreError> {
        let rows = self.shared.link.read(drift::unended(target, after)).await?;
        rows.iter().map(|row| id(row, 0).map(GrantId)).collect()
    }

    async fn drift(&self, filter: DriftFilter) -> Result<Vec<DriftRow>, StoreError> {
        let rows = self.shared.link.read(drift::list(&filter)).await?;
        let found = rows.iter().map(drift::read).collect::<Result<Vec<_>, _>>()?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let texts = self.shared.link.read(drift::texts(&found)).await?;
        drift::beside(found, &texts)
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        Ok(self.one(job::backlog(), job::read_backlog).await?.unwrap_or_default())
    }

    fn heads(&self) -> watch::Receiver<u64> {
        self.shared.heads.subscribe()
    }

    fn outside(&self) -> watch::Receiver<u64> {
        self.shared.outside.subscribe()
    }

    fn clock(&self) -> Option<Arc<dyn Clock>> {
        Some(self.shared.clock.clone())
    }
}

fn get<'a, T: FromSql<'a>>(row: &'a tokio_postgres::Row, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(|e| StoreError::Failed(e.to_string()))
}

fn id(row: &tokio_postgres::Row, column: usize) -> Result<Uuid, StoreError> {
    get(row, column)
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Failed(e.to_string()))
}

/// What operators call this machine.
fn machine() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map(|n| n.trim().to_owned()).unwrap_or_default()
}
