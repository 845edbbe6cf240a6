//! From a command or a report to a [`Change`]: load the state, let the core decide, apply what happened, and turn
//! what the world owes to it into jobs. Nothing here asks the time or writes.

use crate::Time;
use crate::error::Problem;
use crate::store::{Change, Device, JobChange, JobKind, Row, RowChange};
use gatepass_core::catalogue::Catalogue;
use gatepass_core::command::{Command, Report};
use gatepass_core::directory::Directory;
use gatepass_core::error::{Code, Refusal};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{EventId, GrantId, Number, RequestId};
use gatepass_core::request::{Context, Effect, Request, Words, apply, decide, effects, report};
use gatepass_core::text::{Digest, MAX_TEXT_BYTES, SaltedText, Texts};
use gatepass_core::wire::SignedCommand;
use uuid::Uuid;

/// What decisions depend on, at one moment.
pub struct Moment<'a> {
    pub catalogue: &'a Catalogue,
    pub directory: &'a Directory,
    pub now: Time,
}

impl<'a> Moment<'a> {
    fn context(&self, words: &'a Words, parent: Option<&'a Request>) -> Context<'a> {
        Context {
            catalogue: self.catalogue,
            directory: self.directory,
            now: self.now,
            words,
            // The store gives the number, with the position in the log.
            next_number: Number(0),
            fresh_grant: GrantId(Uuid::now_v7()),
            parent,
        }
    }
}

/// The rows a change is made from; `parent` is the request whose grant `row` extends.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub row: Option<Row>,
    pub parent: Option<Row>,
}

/// What a person's command does.
pub fn on_command(
    state: &State,
    request: RequestId,
    command: &Command,
    signed: SignedCommand,
    device: &Device,
    words: &Words,
    moment: &Moment<'_>,
) -> Result<Change, Refusal> {
    let parent = state.parent.as_ref().map(|r| &r.request);
    let facts = decide(
        state.row.as_ref().map(|r| &r.request),
        command,
        device.person,
        &moment.context(words, parent),
    )?;
    let mut work = Work::new(state, moment);
    work.follow(request, facts, By::Person { person: device.person, device: device.id }, Some(signed))?;
    // What may be asked for depends on how the access stands: it is written as it is, so that nobody changes it
    // between reading and writing.
    work.parent.changed |= matches!(command, Command::Extend { .. });
    Ok(work.finish())
}

/// What the server's own work reports.
pub fn on_report(state: &State, said: &Report, moment: &Moment<'_>) -> Result<Change, Refusal> {
    let row = state.row.as_ref().ok_or(Code::NotFound)?;
    let words = Words::default();
    let parent = state.parent.as_ref().map(|r| &r.request);
    let facts = report(&row.request, said, &moment.context(&words, parent))?;
    let mut work = Work::new(state, moment);
    work.follow(row.request.id, facts, By::Gatepass, None)?;
    Ok(work.finish())
}

/// A projection on its way from one version to the next.
struct Moving {
    request: Option<Request>,
    expected: u64,
    changed: bool,
}

impl Moving {
    fn of(row: Option<&Row>) -> Self {
        Self {
            request: row.map(|r| r.request.clone()),
            expected: row.map_or(0, |r| r.version),
            changed: false,
        }
    }
}

struct Work<'a> {
    moment: &'a Moment<'a>,
    row: Moving,
    parent: Moving,
    change: Change,
}

impl<'a> Work<'a> {
    fn new(state: &State, moment: &'a Moment<'a>) -> Self {
        Self {
            moment,
            row: Moving::of(state.row.as_ref()),
            parent: Moving::of(state.parent.as_ref()),
            change: Change::default(),
        }
    }

    /// Makes events of `facts`, the first by `by` with its command, the rest by Gatepass, and does what follows.
    fn follow(
        &mut self,
        request: RequestId,
        facts: Vec<Fact>,
        by: By,
        mut command: Option<SignedCommand>,
    ) -> Result<(), Refusal> {
        for (i, fact) in facts.into_iter().enumerate() {
            let event = Event {
                id: EventId(Uuid::now_v7()),
                at: self.moment.now,
                by: if i == 0 { by } else { By::Gatepass },
                request: Some(request),
                fact,
                command: command.take(),
            };
            let extends = self.apply(request, &event);
            for effect in effects(&event, extends) {
                self.owe(request, effect)?;
            }
        }
        Ok(())
    }

    /// Answers the grant that the event's request extends.
    fn apply(&mut self, request: RequestId, event: &Event) -> Option<GrantId> {
        let parent = self.parent.request.as_ref().is_some_and(|p| p.id == request);
        let moving = if parent { &mut self.parent } else { &mut self.row };
        moving.request = apply(moving.request.take(), event);
        moving.changed = true;
        self.change.events.push(event.clone());
        moving.request.as_ref().and_then(|r| r.extends)
    }

    fn owe(&mut self, request: RequestId, effect: Effect) -> Result<(), Refusal> {
        let target = self.target(request);
        let put = |kind, subject, target, due| JobChange::Put { kind, subject, request, target, due };
        let now = self.moment.now;
        let job = match effect {
            Effect::Provision { grant } => put(JobKind::Provision, grant.0, target, now),
            Effect::End { grant, due } => put(JobKind::End, grant.0, target, due),
            Effect::Guard { grant } => put(JobKind::Guard, grant.0, target, now),
            Effect::Postpone { grant, due } => {
                JobChange::Postpone { kind: JobKind::End, subject: grant.0, due }
            }
            Effect::Lapse { request, due } => put(JobKind::Lapse, request.0, String::new(), due),
            Effect::Forget { grant } => JobChange::Forget { grant },
            Effect::Extend { by, duration_s, .. } => {
                let parent = self.parent.request.as_ref().ok_or(Code::NotFound)?;
                let words = Words::default();
                let said = Report::Extended { by, duration_s };
                let facts = report(parent, &said, &self.moment.context(&words, None))?;
                return self.follow(parent.id, facts, By::Gatepass, None);
            }
        };
        self.change.jobs.push(job);
        Ok(())
    }

    fn target(&self, request: RequestId) -> String {
        let mut of = [&self.row, &self.parent].into_iter().filter_map(|m| m.request.as_ref());
        of.find(|r| r.id == request).map(|r| r.rule.target.clone()).unwrap_or_default()
    }

    fn finish(mut self) -> Change {
        self.drop_lapse();
        for moving in [self.row, self.parent] {
            if let (Some(request), true) = (moving.request, moving.changed) {
                self.change.rows.push(RowChange { request, expected: moving.expected });
            }
        }
        self.change
    }

    /// A decided request has nothing left to lapse.
    fn drop_lapse(&mut self) {
        let decided = |fact: &Fact| {
            matches!(
                fact,
                Fact::RequestGranted { .. }
                    | Fact::RequestDenied { .. }
                    | Fact::RequestWithdrawn
                    | Fact::RequestLapsed
            )
        };
        let Some(request) = self.change.events.iter().find(|e| decided(&e.fact)).and_then(|e| e.request)
        else {
            return;
        };
        self.change.jobs.retain(|j| !matches!(j, JobChange::Put { kind: JobKind::Lapse, .. }));
        self.change.jobs.push(JobChange::Cancel { kind: JobKind::Lapse, subject: request.0 });
    }
}

/// The digests a command names, by field.
fn named(command: &Command) -> Vec<(&'static str, &Digest)> {
    match command {
        Command::Create { reason, ticket, .. } => {
            reason.iter().map(|d| ("reason", d)).chain(ticket.iter().map(|d| ("ticket", d))).collect()
        }
        Command::Extend { reason, .. } => reason.iter().map(|d| ("reason", d)).collect(),
        Command::Decide { note, .. } => note.iter().map(|d| ("note", d)).collect(),
        Command::Revoke { reason, .. }
        | Command::DriftKnown { reason, .. }
        | Command::DriftUnknown { reason, .. } => vec![("reason", reason)],
        Command::RevokeAll { reason, .. } => vec![("reason", reason)],
        Command::Withdraw { .. } | Command::Return { .. } => Vec::new(),
    }
}

/// The texts behind a command's digests: each must be there, match and not be too long. Others are dropped.
pub fn words(command: &Command, texts: &[SaltedText]) -> Result<(Words, Texts), Problem> {
    let mut words = Words::default();
    let mut kept = Texts::new();
    for (field, digest) in named(command) {
        let text = texts.iter().find(|t| t.digest().as_ref() == Some(digest)).ok_or_else(|| {
            let detail = format!("The {field} is missing, or is not the text that was signed.");
            Problem::new(Code::DigestMismatch, detail)
        })?;
        if text.text.len() > MAX_TEXT_BYTES {
            let detail = format!("The {field} is too long: at most {MAX_TEXT_BYTES} bytes.");
            return Err(Problem::new(Code::TextTooLong, detail));
        }
        if text.text.contains('\0') {
            // No database keeps it, and nobody types it.
            return Err(Problem::malformed(format!("The {field} has a NUL character in it.")));
        }
        let place = match field {
            "reason" => &mut words.reason,
            "ticket" => &mut words.ticket,
            _ => &mut words.note,
        };
        *place = Some(text.text.clone());
        kept.insert(digest.clone(), text.clone());
    }
    Ok((words, kept))
}
