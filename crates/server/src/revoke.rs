//! Ending everything of a person, by an admin's command or at the server's console: one decision about all there is,
//! in one transaction.

use crate::Time;
use crate::app::{App, fingerprint};
use crate::auth;
use crate::error::Problem;
use crate::flow;
use crate::people::Snapshot;
use crate::store::{Change, JobChange, JobKind, Recorded, Revoked, Row, RowChange, Store, StoreError};
use crate::views;
use gatepass_connectors::points::{Point, reached};
use gatepass_core::command::Command;
use gatepass_core::error::{Code, Refusal};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, EventId, GrantId, PersonId};
use gatepass_core::request::{Effect, Held, Request, Words, apply, effects, revoke_all};
use gatepass_core::text::{Digest, MAX_TEXT_BYTES, SaltedText, Texts, visible};
use gatepass_core::wire::{Head, PersonRef, RevokedView, SignedCommand, Submit};
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use uuid::Uuid;

/// How often it is decided again because something of theirs changed meanwhile.
const TRIES: usize = 64;

/// Who ends it, and why.
struct Order<'a> {
    person: PersonId,
    by: By,
    command: Option<&'a SignedCommand>,
    reason: &'a Digest,
    words: &'a Words,
}

/// What follows from `order` for all that is held.
fn change(order: &Order<'_>, rows: Vec<Row>, people: &Snapshot, now: Time) -> Result<Change, Refusal> {
    let person = order.person;
    let enabled = people.devices(person).filter(|d| !d.disabled).map(|d| d.id);
    let devices: Vec<DeviceId> = enabled.collect();
    let requests: Vec<&Request> = rows.iter().map(|row| &row.request).collect();
    let held = Held { person, requests: &requests, devices: &devices };
    let all = revoke_all(held, order.by.person(), order.reason, order.words, &people.directory)?;
    let mut change = Change::default();
    let mut moving: BTreeMap<_, Row> = rows.iter().map(|row| (row.request.id, row.clone())).collect();
    for (about, fact) in all.facts {
        let event = Event {
            id: EventId(Uuid::now_v7()),
            at: now,
            by: order.by,
            request: about,
            fact,
            command: order.command.cloned(),
        };
        if let Some(row) = about.and_then(|id| moving.get_mut(&id)) {
            if let Some(after) = apply(Some(row.request.clone()), &event) {
                row.request = after;
            }
            change.jobs.extend(jobs(&row.request, &event));
        }
        change.events.push(event);
    }
    let urge = |grant: GrantId| JobChange::Urge { kind: JobKind::End, subject: grant.0, due: now };
    change.jobs.extend(all.urgent.into_iter().map(urge));
    // Every row, also those that stay as they are: what was decided on is what is there.
    change.rows =
        moving.into_values().map(|row| RowChange { request: row.request, expected: row.version }).collect();
    change.revoked = Some(Revoked { person, devices });
    Ok(change)
}

fn jobs(request: &Request, event: &Event) -> Vec<JobChange> {
    let end = |effect| match effect {
        Effect::End { grant, due } => Some(JobChange::Put {
            kind: JobKind::End,
            subject: grant.0,
            request: request.id,
            target: request.rule.target.clone(),
            due,
        }),
        // Nothing else follows from an end, or from taking a request or an approval back.
        _ => None,
    };
    let lapse = matches!(event.fact, Fact::RequestWithdrawn)
        .then_some(JobChange::Cancel { kind: JobKind::Lapse, subject: request.id.0 });
    effects(event, request.extends).into_iter().filter_map(end).chain(lapse).collect()
}

/// As an admin's device ordered. `named` is the person in the address, by id or handle.
pub async fn by_command(
    app: &App,
    submit: Submit,
    named: &str,
    peer: IpAddr,
) -> Result<RevokedView, Problem> {
    let (body, mut people) = app.signed(&submit.command, "person.revoke_all", peer).await?;
    let Command::RevokeAll { person, reason } = &body.command else { return Err(Code::Malformed.into()) };
    let by = people.device(body.device).ok_or(Code::UnknownDevice)?.person;
    let digest = fingerprint(&submit.command)?;
    let known =
        people.person(*person).ok_or_else(|| Problem::new(Code::NotFound, "There is no such person."))?;
    if named != known.handle && named.parse() != Ok(*person) {
        return Err(Problem::malformed("The address names someone else than the signed command."));
    }
    if let Some(before) = app.store.load(Some(body.id), None).await?.recorded {
        return repeated(app, &before, &digest, *person, by).await;
    }
    auth::check_skew(body.at, app.clock.now())?;
    let (words, texts) = flow::words(&body.command, &submit.texts)?;
    for _ in 0..TRIES {
        let order = Order {
            person: *person,
            by: By::Person { person: by, device: body.device },
            command: Some(&submit.command),
            reason,
            words: &words,
        };
        let rows = app.store.held(*person).await?;
        let mut change = change(&order, rows, &people, app.clock.now())?;
        change.command = Some(Recorded { id: body.id, digest: digest.clone(), request: None });
        change.signer = Some(body.device);
        change.texts = texts.clone();
        reached(Point::CommandDecided);
        match app.commit(change).await {
            Ok(done) => {
                reached(Point::CommandWritten);
                app.people.reload(&*app.store).await?;
                tracing::warn!(%person, %by, "everything of a person ends");
                return view(app, *person, by, done.rows, done.head).await;
            }
            Err(StoreError::Conflict) => {
                app.people.reload(&*app.store).await?;
                people = app.people.now();
            }
            Err(StoreError::Repeated(before)) => return repeated(app, &before, &digest, *person, by).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Code::Unavailable.into())
}

async fn repeated(
    app: &App,
    before: &Recorded,
    digest: &Digest,
    person: PersonId,
    by: PersonId,
) -> Result<RevokedView, Problem> {
    if before.digest != *digest {
        return Err(Code::IdReused.into());
    }
    let head = app.store.head().await?;
    view(app, person, by, app.store.held(person).await?, head).await
}

async fn view(
    app: &App,
    person: PersonId,
    by: PersonId,
    held: Vec<Row>,
    head: Head,
) -> Result<RevokedView, Problem> {
    let people = app.people.now();
    let known = people.person(person).ok_or(Code::NotFound)?;
    let mut grants = Vec::new();
    for row in held.into_iter().filter(|row| row.request.by == person) {
        let detail = app.store.detail(&row.request).await?;
        grants.extend(views::grant(app, &row, &detail, by));
    }
    let disabled = people.devices(person).filter(|d| d.disabled).count();
    Ok(RevokedView {
        person: PersonRef { id: person, handle: known.handle.clone(), name: known.name.clone() },
        grants,
        devices: u32::try_from(disabled).unwrap_or(u32::MAX),
        head,
    })
}

/// What ended, as `revoke-all --json` prints it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// The handle.
    pub person: String,
    /// Accesses that end, or whose end comes first now.
    pub grants: usize,
    pub devices: usize,
    /// Undecided requests of theirs.
    pub requests: usize,
    /// Approvals of theirs of what is undecided.
    pub approvals: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    #[error("there is no person “{0}”, expected the id they were invited with")]
    Unknown(String),
    #[error("{0}")]
    Reason(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// At the server's console. Safe beside a running server, which notices; without one it is done at the next start.
pub async fn at_console(
    store: &dyn Store,
    handle: &str,
    reason: &str,
    now: Time,
) -> Result<Ended, RevokeError> {
    if reason.len() > MAX_TEXT_BYTES || reason.contains('\0') {
        let why = format!("a reason is text of at most {MAX_TEXT_BYTES} bytes");
        return Err(RevokeError::Reason(why));
    }
    let mut salt = [0; 16];
    OsRng.fill_bytes(&mut salt);
    let salted = SaltedText::new(salt, reason);
    let digest = salted.digest().unwrap_or_else(|| Digest::of(&[]));
    let words = Words { reason: Some(reason.to_owned()), ..Words::default() };
    let mut tries = 0;
    loop {
        let (people, devices) = store.people().await?;
        let people = Snapshot::new(people, devices);
        let known = people.directory.by_handle(handle).map(|p| p.id);
        let person = known.ok_or_else(|| RevokeError::Unknown(visible(handle)))?;
        let order = Order { person, by: By::Gatepass, command: None, reason: &digest, words: &words };
        let mut change = change(&order, store.held(person).await?, &people, now)?;
        change.texts = Texts::from([(digest.clone(), salted.clone())]);
        let ended = count(&change, handle);
        match store.commit(change).await {
            Ok(_) => return Ok(ended),
            Err(StoreError::Conflict) if tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn count(change: &Change, handle: &str) -> Ended {
    let facts = |is: fn(&Fact) -> bool| change.events.iter().filter(|e| is(&e.fact)).count();
    Ended {
        person: handle.to_owned(),
        grants: change.jobs.iter().filter(|j| matches!(j, JobChange::Urge { .. })).count(),
        devices: facts(|f| matches!(f, Fact::DeviceDisabled { .. })),
        requests: facts(|f| matches!(f, Fact::RequestWithdrawn)),
        approvals: facts(|f| matches!(f, Fact::ApprovalVoided { .. })),
    }
}
