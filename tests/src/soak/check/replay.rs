//! The log replayed through the core: each event has to follow from the state before, as decided by the same rules.

use super::Evidence;
use gatepass_core::Refusal;
use gatepass_core::command::{Body, Command, Report};
use gatepass_core::directory::Directory;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{GrantId, Number, RequestId};
use gatepass_core::request::{Context, Request, Words, apply, decide, report};
use gatepass_core::text::Digest;
use gatepass_core::wire::{EndCause, GrantState, SignedCommand};
use std::collections::{BTreeMap, VecDeque};
use uuid::Uuid;

/// Stands for the id that a grant gets when it is decided.
const FRESH: GrantId = GrantId(Uuid::nil());

struct Replay<'a> {
    evidence: &'a Evidence,
    directory: &'a Directory,
    states: BTreeMap<RequestId, Request>,
    grants: BTreeMap<GrantId, RequestId>,
    /// What has to come next of each request, since it was decided together with what came.
    owed: BTreeMap<RequestId, VecDeque<Fact>>,
}

/// Answers the requests as the log makes them.
pub fn check(
    evidence: &Evidence,
    events: &[(u64, Event)],
    directory: &Directory,
    wrong: &mut Vec<String>,
) -> BTreeMap<RequestId, Request> {
    let mut replay = Replay {
        evidence,
        directory,
        states: BTreeMap::new(),
        grants: BTreeMap::new(),
        owed: BTreeMap::new(),
    };
    for (seq, event) in events {
        let Some(id) = event.request else { continue };
        if let Err(why) = replay.step(id, event) {
            wrong.push(format!("{} at {seq} does not follow from what was before: {why}", event.fact.kind()));
        }
        let state = apply(replay.states.remove(&id), event);
        if let Some(grant) = state.as_ref().and_then(|s| s.grant.as_ref()) {
            replay.grants.insert(grant.id, id);
        }
        replay.states.extend(state.map(|state| (id, state)));
    }
    for (id, owed) in replay.owed.iter().filter(|(_, owed)| !owed.is_empty()) {
        wrong.push(format!("of what was decided on {id} only a part is in the log; missing: {owed:?}"));
    }
    replay.states
}

impl Replay<'_> {
    fn step(&mut self, id: RequestId, event: &Event) -> Result<(), String> {
        if let Fact::AccessRemoved { grant, .. } = &event.fact {
            return self.left_behind(*grant);
        }
        let owed = self.owed.get_mut(&id).and_then(VecDeque::pop_front);
        let facts = match (owed, &event.command) {
            (Some(fact), None) => vec![fact],
            (Some(fact), Some(_)) => return Err(format!("{} had to come first", fact.kind())),
            (None, Some(command)) => self.command(id, event, command)?,
            (None, None) => self.report(id, event).map_err(|refusal| refusal.to_string())?,
        };
        let mut facts = facts.into_iter();
        match facts.next() {
            Some(fact) if same(&fact, &event.fact) => {}
            other => return Err(format!("expected {other:?}, got {:?}", event.fact)),
        }
        self.owed.entry(id).or_default().extend(facts);
        self.extends(id, event)
    }

    /// What a look at the target found, and not what the request went on to: only ever of a grant that is over.
    fn left_behind(&self, grant: GrantId) -> Result<(), String> {
        match self.of_grant(grant).and_then(|request| request.grant.as_ref()) {
            Some(held) if !held.over() => Err(format!("the grant is {:?}", held.state)),
            _ => Ok(()),
        }
    }

    fn command(&self, id: RequestId, event: &Event, command: &SignedCommand) -> Result<Vec<Fact>, String> {
        let body: Body = serde_json::from_value(command.body.clone()).map_err(|e| e.to_string())?;
        let By::Person { person, device } = event.by else { return Err("nobody sent it".to_owned()) };
        if device != body.device {
            return Err("another device signed it".to_owned());
        }
        let (state, parent) = match &body.command {
            Command::Create { .. } | Command::Extend { .. } if RequestId::from(body.id) != id => {
                return Err("the request does not have its command’s id".to_owned());
            }
            Command::Create { .. } => (None, None),
            Command::Extend { grant, .. } => (None, self.of_grant(*grant)),
            _ => {
                let state = self.states.get(&id);
                (state, state.and_then(|s| s.extends).and_then(|grant| self.of_grant(grant)))
            }
        };
        let number = match &event.fact {
            Fact::RequestCreated { number, .. } => *number,
            _ => Number(0),
        };
        let words = self.words(event);
        let context = self.context(event, &words, number, parent);
        // One that exists already is decided on, and refused.
        let state = if state.is_none() { self.states.get(&id) } else { state };
        decide(state, &body.command, person, &context).map_err(|refusal| refusal.to_string())
    }

    /// What was reported is told by what came of it.
    fn report(&self, id: RequestId, event: &Event) -> Result<Vec<Fact>, Refusal> {
        let Some(state) = self.states.get(&id) else { return Err(gatepass_core::Code::NotFound.into()) };
        let held = state.grant.as_ref().map(|grant| grant.state);
        let said = match &event.fact {
            Fact::RequestLapsed => Report::LapseDue,
            Fact::GrantProvisioning { .. } => Report::SetupStarted,
            Fact::GrantActive { starts_at, .. } => Report::SetUp { since: *starts_at },
            Fact::GrantDelayed { attempts, message, .. } if held == Some(GrantState::Ending) => {
                Report::RemovalFailed { message: message.clone(), attempts: *attempts }
            }
            Fact::GrantDelayed { attempts, message, .. } => {
                Report::SetupFailed { message: message.clone(), attempts: *attempts, last: false }
            }
            Fact::GrantEnding { cause: EndCause::Expired | EndCause::Failed, .. } => Report::EndDue,
            Fact::GrantEnding { cause: EndCause::Missing, .. } => Report::Missing,
            Fact::GrantEnded { removal, .. } | Fact::GrantFailed { removal, .. } => Report::Removed {
                checked_at: removal.checked_at,
                sessions_ended: removal.sessions_ended,
                attempts: removal.attempts,
            },
            // Only ever together with something else, or by a person.
            _ => return Err(gatepass_core::Code::NotAllowed.into()),
        };
        report(state, &said, &self.context(event, &Words::default(), Number(0), None))
    }

    /// An extension that is granted moves the end of what it extends, in the same write.
    fn extends(&mut self, id: RequestId, event: &Event) -> Result<(), String> {
        let (Fact::RequestGranted { duration_s, .. }, Some(grant)) = (&event.fact, self.extended(id, event))
        else {
            return Ok(());
        };
        let parent = self.of_grant(grant).ok_or("what it extends is not in the log")?;
        let said = Report::Extended { by: id, duration_s: *duration_s };
        let facts = report(parent, &said, &self.context(event, &Words::default(), Number(0), None));
        let parent = parent.id;
        self.owed.entry(parent).or_default().extend(facts.map_err(|refusal| refusal.to_string())?);
        Ok(())
    }

    fn extended(&self, id: RequestId, event: &Event) -> Option<GrantId> {
        match &event.fact {
            Fact::RequestCreated { extends, .. } => *extends,
            _ => self.states.get(&id).and_then(|state| state.extends),
        }
    }

    fn of_grant(&self, grant: GrantId) -> Option<&Request> {
        self.grants.get(&grant).and_then(|id| self.states.get(id))
    }

    fn words(&self, event: &Event) -> Words {
        let mut words = Words::default();
        for (field, digest) in event.fact.digests() {
            let text = self.evidence.texts.get::<Digest>(digest).cloned();
            match field {
                "reason" => words.reason = text,
                "ticket" => words.ticket = text,
                _ => words.note = text,
            }
        }
        words
    }

    fn context<'a>(
        &'a self,
        event: &Event,
        words: &'a Words,
        next_number: Number,
        parent: Option<&'a Request>,
    ) -> Context<'a> {
        Context {
            catalogue: &self.evidence.catalogue,
            directory: self.directory,
            now: event.at,
            words,
            next_number,
            fresh_grant: FRESH,
            parent,
        }
    }
}

/// The same but for an id that is made when it is decided.
fn same(expected: &Fact, got: &Fact) -> bool {
    match (expected, got) {
        (
            Fact::RequestGranted { grant: FRESH, duration_s, latest_end },
            Fact::RequestGranted { duration_s: got_s, latest_end: got_end, .. },
        ) => duration_s == got_s && latest_end == got_end,
        _ => expected == got,
    }
}
