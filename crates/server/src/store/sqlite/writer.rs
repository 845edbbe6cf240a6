//! The one thread that writes. What waits when a transaction begins goes into it together, each step under its
//! own savepoint: one sync of the disk for many commits, and a refused step takes nothing else with it.

use super::{command, drift, event, fail, job, note, person, request, sealed, text};
use crate::Time;
use crate::log::Sequencer;
use crate::store::{Change, Claimed, Committed, Room, Row, StoreError};
use gatepass_core::event::Fact;
use gatepass_core::wire::Head;
use rusqlite::Connection;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// The most steps in one transaction.
const BATCH: usize = 256;
/// How often to look whether another process wrote.
const LOOK_AROUND: Duration = Duration::from_millis(250);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

enum Step {
    Commit(Box<Change>, Reply<Committed>),
    Claim { now: Time, until: Time, room: Room, reply: Reply<Claimed> },
    Renew { held: Vec<(i64, i64)>, until: Time, reply: Reply<Vec<i64>> },
    Reclaim(Reply<()>),
}

/// What becomes of a step once the transaction is durable. Also a refusal waits for that: it may be because of
/// another step of the same transaction, which is not there for anybody else before.
enum Held {
    Commit(Result<Vec<Row>, StoreError>, Reply<Committed>),
    Claim(Result<Claimed, StoreError>, Reply<Claimed>),
    Renew(Result<Vec<i64>, StoreError>, Reply<Vec<i64>>),
    Reclaim(Result<(), StoreError>, Reply<()>),
}

impl Held {
    fn error(&self) -> Option<&StoreError> {
        match self {
            Self::Commit(done, _) => done.as_ref().err(),
            Self::Claim(done, _) => done.as_ref().err(),
            Self::Renew(done, _) => done.as_ref().err(),
            Self::Reclaim(done, _) => done.as_ref().err(),
        }
    }

    fn answer(self, outcome: Result<&Head, &StoreError>) {
        // A reply that nobody waits for any more is no loss: the change holds.
        match self {
            Self::Commit(done, reply) => {
                let committed = |head: &Head| Ok(Committed { head: head.clone(), rows: done? });
                let _ = reply.send(outcome.map_err(Clone::clone).and_then(committed));
            }
            Self::Claim(done, reply) => {
                let _ = reply.send(outcome.map_err(Clone::clone).and(done));
            }
            Self::Renew(done, reply) => {
                let _ = reply.send(outcome.map_err(Clone::clone).and(done));
            }
            Self::Reclaim(done, reply) => {
                let _ = reply.send(outcome.map_err(Clone::clone).and(done));
            }
        }
    }
}

/// The handle; dropping it lets the thread finish what waits and end.
pub struct Writer {
    steps: mpsc::Sender<Step>,
    heads: watch::Receiver<u64>,
    outside: watch::Receiver<u64>,
}

impl Writer {
    pub fn start(db: Connection) -> Result<Self, StoreError> {
        let (steps, waiting) = mpsc::channel();
        let size = event::head(&db)?.size;
        let (heads_out, heads) = watch::channel(size);
        let (outside_out, outside) = watch::channel(0);
        let version = data_version(&db)?;
        let mut thread = Thread { db, waiting, heads: heads_out, outside: outside_out, version };
        std::thread::Builder::new()
            .name("gatepass-store".to_owned())
            .spawn(move || thread.run())
            .map_err(|e| StoreError::Failed(e.to_string()))?;
        Ok(Self { steps, heads, outside })
    }

    pub async fn commit(&self, change: Change) -> Result<Committed, StoreError> {
        let from = Instant::now();
        let done = self.send(|reply| Step::Commit(Box::new(change), reply)).await;
        match &done {
            Ok(_) => {
                metrics::counter!("gatepass_commits_total", "store" => "sqlite").increment(1);
                metrics::histogram!("gatepass_commit_seconds").record(from.elapsed().as_secs_f64());
            }
            Err(StoreError::Conflict) => metrics::counter!("gatepass_commit_conflicts_total").increment(1),
            Err(_) => {}
        }
        done
    }

    pub async fn claim(&self, now: Time, until: Time, room: Room) -> Result<Claimed, StoreError> {
        self.send(|reply| Step::Claim { now, until, room, reply }).await
    }

    pub async fn renew(&self, held: Vec<(i64, i64)>, until: Time) -> Result<Vec<i64>, StoreError> {
        self.send(|reply| Step::Renew { held, until, reply }).await
    }

    pub async fn reclaim(&self) -> Result<(), StoreError> {
        self.send(Step::Reclaim).await
    }

    async fn send<T>(&self, step: impl FnOnce(Reply<T>) -> Step) -> Result<T, StoreError> {
        let closed = || StoreError::Failed("the store is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        self.steps.send(step(reply)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    pub fn heads(&self) -> watch::Receiver<u64> {
        self.heads.clone()
    }

    pub fn outside(&self) -> watch::Receiver<u64> {
        self.outside.clone()
    }
}

struct Thread {
    db: Connection,
    waiting: mpsc::Receiver<Step>,
    heads: watch::Sender<u64>,
    outside: watch::Sender<u64>,
    version: i64,
}

impl Thread {
    fn run(&mut self) {
        loop {
            match self.waiting.recv_timeout(LOOK_AROUND) {
                Ok(first) => {
                    let mut batch = vec![first];
                    batch.extend(self.waiting.try_iter().take(BATCH - 1));
                    self.write(batch);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look_around();
        }
    }

    /// `data_version` changes exactly when another connection wrote; the readers of this process never do.
    fn look_around(&mut self) {
        match data_version(&self.db) {
            Ok(version) if version != self.version => {
                self.version = version;
                if let Ok(head) = event::head(&self.db) {
                    self.grown(head.size);
                }
                self.outside.send_modify(|count| *count += 1);
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "could not see whether another process wrote"),
        }
    }

    fn grown(&self, size: u64) {
        self.heads.send_if_modified(|known| std::mem::replace(known, size) != size);
    }

    fn write(&mut self, batch: Vec<Step>) {
        let mut held = Vec::with_capacity(batch.len());
        let outcome = self.transaction(batch, &mut held);
        if outcome.is_err() && !self.db.is_autocommit() {
            // Nothing of the transaction stays, whatever this answers.
            let _ = self.db.execute_batch("ROLLBACK");
        }
        if let Ok(head) = &outcome {
            self.grown(head.size);
        }
        for step in held {
            step.answer(outcome.as_ref());
        }
    }

    fn transaction(&mut self, batch: Vec<Step>, held: &mut Vec<Held>) -> Result<Head, StoreError> {
        let from = Instant::now();
        let db = &self.db;
        // Leases need not survive the machine: with it goes whoever held them, and the next start takes them back.
        let level = if batch.iter().any(|step| matches!(step, Step::Commit(..))) { "FULL" } else { "NORMAL" };
        let begun = db.pragma_update(None, "synchronous", level).map_err(fail);
        let begun = begun.and_then(|()| db.execute_batch("BEGIN IMMEDIATE").map_err(fail));
        let begun = begun.and_then(|()| event::sequencer(db));
        let mut sequencer = match begun {
            Ok(sequencer) => sequencer,
            Err(error) => {
                held.extend(batch.into_iter().map(|step| refused(step, &error)));
                return Err(error);
            }
        };
        let before = sequencer.head().size;
        let mut broken: Option<StoreError> = None;
        for step in batch {
            if let Some(error) = &broken {
                held.push(refused(step, error));
                continue;
            }
            let earlier = sequencer.clone();
            let saved = db.prepare_cached("SAVEPOINT step").and_then(|mut q| q.execute([]));
            if let Err(error) = saved.map_err(fail) {
                held.push(refused(step, &error));
                broken = Some(error);
                continue;
            }
            let done = run(db, &mut sequencer, step);
            let end = match done.error() {
                None => db.prepare_cached("RELEASE step").and_then(|mut q| q.execute([])).map(|_| ()),
                // A full disk may have ended the whole transaction.
                Some(error) if db.is_autocommit() => {
                    broken = Some(error.clone());
                    Ok(())
                }
                Some(_) => {
                    sequencer = earlier;
                    db.execute_batch("ROLLBACK TO step; RELEASE step")
                }
            };
            held.push(done);
            if let Err(error) = end {
                broken = Some(fail(error));
            }
        }
        if let Some(error) = broken {
            return Err(error);
        }
        let head = if sequencer.head().size == before {
            sequencer.head()
        } else {
            event::write_head(db, &sequencer)?
        };
        db.execute_batch("COMMIT").map_err(fail)?;
        if head.size > before {
            metrics::histogram!("gatepass_sequencer_batch_events").record((head.size - before) as f64);
            metrics::histogram!("gatepass_sequencer_seconds").record(from.elapsed().as_secs_f64());
        }
        Ok(head)
    }
}

fn data_version(db: &Connection) -> Result<i64, StoreError> {
    db.prepare_cached("PRAGMA data_version").and_then(|mut q| q.query_row([], |row| row.get(0))).map_err(fail)
}

fn refused(step: Step, error: &StoreError) -> Held {
    match step {
        Step::Commit(_, reply) => Held::Commit(Err(error.clone()), reply),
        Step::Claim { reply, .. } => Held::Claim(Err(error.clone()), reply),
        Step::Renew { reply, .. } => Held::Renew(Err(error.clone()), reply),
        Step::Reclaim(reply) => Held::Reclaim(Err(error.clone()), reply),
    }
}

/// One step. After an error its caller takes back what it did.
fn run(db: &Connection, sequencer: &mut Sequencer, step: Step) -> Held {
    match step {
        Step::Commit(change, reply) => Held::Commit(commit(db, sequencer, *change), reply),
        Step::Claim { now, until, room, reply } => Held::Claim(job::claim(db, now, until, room), reply),
        Step::Renew { held, until, reply } => Held::Renew(job::renew(db, &held, until), reply),
        Step::Reclaim(reply) => Held::Reclaim(job::reclaim(db), reply),
    }
}

fn commit(db: &Connection, sequencer: &mut Sequencer, mut change: Change) -> Result<Vec<Row>, StoreError> {
    if let Some(recorded) = &change.command {
        command::write(db, recorded)?;
    }
    if let Some(signer) = change.signer {
        person::check_signer(db, signer)?;
    }
    if let Some(revoked) = &change.revoked {
        person::revoke(db, revoked)?;
        request::check_held(db, revoked.person, &change.named())?;
    }
    if let Some(erased) = &change.erased {
        person::erase(db, erased)?;
        request::check_held(db, erased.person, &erased.voided)?;
    }
    for position in &change.forgotten {
        text::erase(db, position.seq)?;
    }
    if let Some(settle) = &change.settle {
        job::settle(db, settle)?;
    }
    number(db, &mut change)?;
    let mut rows = Vec::with_capacity(change.rows.len());
    for row in &change.rows {
        rows.push(request::write(db, row)?);
    }
    for found in &change.drift {
        drift::write(db, found)?;
    }
    for known in &change.people {
        person::write(db, known)?;
    }
    if let Some(invite) = &change.invite {
        person::write_invite(db, invite)?;
    }
    if let Some((device, invite)) = &change.device {
        person::join(db, device, invite)?;
    }
    for happened in &change.events {
        let placed = sequencer.place(happened).map_err(|e| StoreError::Failed(e.to_string()))?;
        event::write(db, happened, &placed)?;
        for (_, digest) in happened.fact.digests() {
            if let Some(words) = change.texts.get(digest) {
                text::write(db, placed.seq, digest, happened.request, words)?;
            }
        }
    }
    for work in &change.jobs {
        job::change(db, work, change.settle.as_ref())?;
    }
    if let Some(secret) = &change.sealed {
        sealed::write(db, secret)?;
    }
    for (key, value) in &change.settings {
        sealed::write_setting(db, key, value)?;
    }
    for remembered in &change.notes {
        note::change(db, remembered)?;
    }
    Ok(rows)
}

/// Gives a new request its short number, dense: in the transaction, like the position in the log.
fn number(db: &Connection, change: &mut Change) -> Result<(), StoreError> {
    if change.events.iter().any(|e| matches!(e.fact, Fact::RequestCreated { .. })) {
        change.give(request::next_number(db)?);
    }
    Ok(())
}
