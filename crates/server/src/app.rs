//! What every route and worker shares, and the two ways to change something: a person's command and a report.

use crate::auth::{self, Auth};
use crate::clock::Clock;
use crate::config::Network;
use crate::connect::Targets;
use crate::error::Problem;
use crate::flow::{self, Moment, State};
use crate::jobs::{Away, TargetClocks};
use crate::limits::RateLimits;
use crate::people::{People, Snapshot};
use crate::reconcile::Suspects;
use crate::seen::Held;
use crate::signing::{Signed, Signing};
use crate::store::{
    Change, Committed, Job, Lookup, Recorded, Row, Sealed, Settle, Settled, Store, StoreError,
};
use crate::tail::Tail;
use crate::views;
use crate::witness::Witnesses;
use gatepass_connectors::points::{Point, reached};
use gatepass_core::catalogue::Catalogue;
use gatepass_core::command::{Body, Command, Report};
use gatepass_core::error::{Code, Refusal};
use gatepass_core::id::{DeviceId, RequestId};
use gatepass_core::retention::Retention;
use gatepass_core::text::Digest;
use gatepass_core::wire::{Accepted, SignedCommand, Submit};
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How often a change is decided again because someone else's came first. Each time someone else succeeded.
const TRIES: usize = 64;

pub struct Inner {
    pub name: String,
    pub catalogue: Catalogue,
    pub catalogue_hash: Digest,
    pub retention: Retention,
    pub store: Arc<dyn Store>,
    pub tail: Tail,
    pub clock: Arc<dyn Clock>,
    pub people: People,
    pub auth: Auth,
    /// Over how long devices come back when the server stops.
    pub spread: Duration,
    pub limits: RateLimits,
    pub trusted_proxies: Vec<Network>,
    pub targets: Targets,
    /// Rung after every change of the jobs.
    pub work: Notify,
    pub suspects: Suspects,
    pub away: Away,
    pub clocks: TargetClocks,
    pub held: Held,
    /// None on a node that serves nobody.
    pub signing: Option<Signing>,
    /// None where none are configured.
    pub witnesses: Option<Witnesses>,
    /// True once the server stops.
    pub stopping: watch::Receiver<bool>,
}

#[derive(Clone)]
pub struct App(pub Arc<Inner>);

impl Deref for App {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// What the path of a write names; it has to be what the signed body names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    Anew,
    At(Lookup),
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReportError {
    /// It no longer applies.
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Inner {
    /// Answers once the server stops.
    pub async fn stopped(&self) {
        // When nobody can say so any more, it has stopped.
        let _ = self.stopping.clone().wait_for(|stopped| *stopped).await;
    }
}

impl App {
    /// What was signed last; nothing while the log is not the one that was signed.
    pub fn signed_head(&self) -> Option<Arc<Signed>> {
        self.signing.as_ref().filter(|_| !self.held.is()).and_then(Signing::last)
    }

    /// The same for who keeps it: with what external witnesses said of it, so maybe a little older.
    pub fn checkpoint(&self) -> Option<Arc<Signed>> {
        let newest = self.signed_head()?;
        Some(self.witnesses.as_ref().map_or_else(|| newest.clone(), |all| all.shown(newest.clone())))
    }

    /// The body of a command of this kind, which a device of the people answered signed. `peer` pays for signatures that
    /// don't hold.
    pub async fn signed(
        &self,
        command: &SignedCommand,
        kind: &str,
        peer: IpAddr,
    ) -> Result<(Body, Arc<Snapshot>), Problem> {
        let body: Body = auth::read(command)?;
        if body.command.kind() != kind {
            let detail = format!("This address takes {kind}, and the command is {}.", body.command.kind());
            return Err(Problem::malformed(detail));
        }
        if body.head.as_ref().is_some_and(|head| gatepass_log::Hash::parse(&head.root).is_none()) {
            return Err(Problem::malformed("The root of the head is not 64 hex digits."));
        }
        if self.people.now().device(body.device).is_none() {
            self.limits.peer(peer)?;
        }
        let people = self.people_with(body.device).await?;
        if let Err(problem) = auth::signer(&people, body.device, kind, command) {
            self.limits.peer(peer)?;
            return Err(problem);
        }
        self.limits.device(body.device)?;
        let person = people.device(body.device).ok_or(Code::UnknownDevice)?.person;
        if let Some(head) = &body.head
            && !self.held.claimed(&*self.store, person, head).await?
        {
            return Err(Code::LogHeld.into());
        }
        Ok((body, people))
    }

    /// Carries a signed command out, once. `peer` pays for signatures that don't hold.
    pub async fn carry_out(
        &self,
        submit: Submit,
        kind: &str,
        address: Address,
        peer: IpAddr,
    ) -> Result<Accepted, Problem> {
        let (body, people) = self.signed(&submit.command, kind, peer).await?;
        let device = people.device(body.device).ok_or(Code::UnknownDevice)?;
        let digest = fingerprint(&submit.command)?;
        let now = self.clock.now();
        let (words, texts) = match self.repeated(&body, &digest).await? {
            Some(accepted) => return Ok(accepted),
            None => {
                auth::check_skew(body.at, now)?;
                flow::words(&body.command, &submit.texts)?
            }
        };
        for _ in 0..TRIES {
            let (state, request) = self.state(&body, address).await?;
            let moment = self.moment(&people);
            let mut change = flow::on_command(
                &state,
                request,
                &body.command,
                submit.command.clone(),
                device,
                &words,
                &moment,
            )?;
            change.command = Some(Recorded { id: body.id, digest: digest.clone(), request: Some(request) });
            change.signer = Some(device.id);
            change.texts = texts.clone();
            reached(Point::CommandDecided);
            match self.commit(change).await {
                Ok(done) => {
                    reached(Point::CommandWritten);
                    let row = done.rows.into_iter().find(|r| r.request.id == request).or(state.row);
                    let row = row.ok_or(Code::Internal)?;
                    return views::accepted(self, &row, device.person, Some(done.head)).await;
                }
                Err(StoreError::Conflict) => {}
                Err(StoreError::Repeated(_)) => {
                    return self.repeated(&body, &digest).await?.ok_or_else(|| Code::IdReused.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Code::Unavailable.into())
    }

    /// A report of the server's own work, by the worker that holds `job`. Answers the row as it is then.
    pub async fn report(
        &self,
        job: &Job,
        how: Settled,
        said: &Report,
        sealed: Option<Sealed>,
    ) -> Result<Row, ReportError> {
        for _ in 0..TRIES {
            let loaded = self.store.load(None, Some(Lookup::Request(job.request))).await?;
            let state = State { row: loaded.row, parent: loaded.parent };
            let people = self.people.now();
            let mut change = flow::on_report(&state, said, &self.moment(&people))?;
            if change.events.is_empty() && matches!(said, Report::EndDue) {
                // Ending already, and nothing to write before the target is told.
                return state.row.ok_or_else(|| Refusal::from(Code::NotFound).into());
            }
            change.settle = Some(Settle { job: job.clone(), how });
            change.sealed = sealed.clone();
            match self.commit(change).await {
                Ok(done) => {
                    let row = done.rows.into_iter().find(|r| r.request.id == job.request).or(state.row);
                    return row.ok_or_else(|| Refusal::from(Code::NotFound).into());
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Settles a job without anything having happened.
    pub async fn settle(&self, job: &Job, how: Settled) -> Result<(), StoreError> {
        let settle = Some(Settle { job: job.clone(), how });
        self.commit(Change { settle, ..Change::default() }).await.map(|_| ())
    }

    pub async fn commit(&self, change: Change) -> Result<Committed, StoreError> {
        if !change.events.is_empty() && self.held.is() {
            return Err(StoreError::Held);
        }
        let jobs = !change.jobs.is_empty() || change.settle.is_some();
        let decided = change.events.iter().any(|event| event.command.is_some());
        let done = self.store.commit(change).await;
        if matches!(done, Err(StoreError::Disabled)) {
            // By another node, of which this one has not heard.
            self.people.reload(&*self.store).await?;
        }
        let done = done?;
        if jobs {
            self.work.notify_one();
        }
        if let Some(signing) = self.signing.as_ref().filter(|_| decided) {
            signing.decided(done.head.size);
        }
        Ok(done)
    }

    /// The people now; read again when the device is not among them: it may just have joined elsewhere.
    pub async fn people_with(&self, device: DeviceId) -> Result<Arc<Snapshot>, Problem> {
        let people = self.people.now();
        if people.device(device).is_none() {
            self.people.reload(&*self.store).await?;
            return Ok(self.people.now());
        }
        Ok(people)
    }

    fn moment<'a>(&'a self, people: &'a Snapshot) -> Moment<'a> {
        Moment { catalogue: &self.catalogue, directory: &people.directory, now: self.clock.now() }
    }

    /// The answer to a command that was carried out before; refused when its id came with other bytes.
    async fn repeated(&self, body: &Body, digest: &Digest) -> Result<Option<Accepted>, Problem> {
        let loaded = self.store.load(Some(body.id), None).await?;
        let Some(recorded) = loaded.recorded else { return Ok(None) };
        if recorded.digest != *digest {
            return Err(Code::IdReused.into());
        }
        let row = loaded.row.ok_or(Code::Internal)?;
        let people = self.people.now();
        let viewer = people.device(body.device).ok_or(Code::UnknownDevice)?.person;
        views::accepted(self, &row, viewer, None).await.map(Some)
    }

    /// The state a command is about, and the id of its request.
    async fn state(&self, body: &Body, address: Address) -> Result<(State, RequestId), Problem> {
        let about = match &body.command {
            Command::Create { .. } => return Ok((State::default(), body.id.into())),
            // About a person: `revoke.rs`.
            Command::RevokeAll { .. } => return Err(Code::NotFound.into()),
            Command::Extend { grant, .. } | Command::Return { grant } | Command::Revoke { grant, .. } => {
                Lookup::Grant(*grant)
            }
            Command::Decide { request, .. } | Command::Withdraw { request } => Lookup::Request(*request),
            Command::DriftKnown { .. } | Command::DriftUnknown { .. } => return Err(Code::NotFound.into()),
        };
        let loaded = self.store.load(None, Some(about)).await?;
        let row = loaded.row.ok_or(Code::NotFound)?;
        if !address.is(&row) {
            return Err(Problem::malformed("The address names something else than the signed command."));
        }
        let id = row.request.id;
        Ok(match &body.command {
            Command::Extend { .. } => (State { row: None, parent: Some(row) }, body.id.into()),
            _ => (State { row: Some(row), parent: loaded.parent }, id),
        })
    }
}

impl Address {
    fn is(self, row: &Row) -> bool {
        let request = &row.request;
        let grant = request.grant.as_ref().map(|g| g.id);
        match self {
            Self::Anew => false,
            Self::At(Lookup::Request(id)) => id == request.id,
            Self::At(Lookup::Number(number)) => number == request.number.0,
            Self::At(Lookup::Grant(id)) => Some(id) == grant,
            Self::At(Lookup::Either(id)) => id == request.id.0 || grant.is_some_and(|g| g.0 == id),
        }
    }
}

/// What makes two commands the same: the canonical body and the signature.
pub fn fingerprint(command: &SignedCommand) -> Result<Digest, Problem> {
    let mut bytes = gatepass_log::canonical(&command.body)
        .map_err(|e| Problem::malformed(format!("The body of the command can’t be read: {e}.")))?;
    bytes.push(b'\n');
    bytes.extend(command.signature.as_bytes());
    Ok(Digest::of(&bytes))
}
