//! Who is there and what may be asked for, and how what is decided is written down.

use crate::jobs::{Held, Kind, LeaseLost, Settled};
use crate::world::{Mutant, TICK_S, Target, World};
use chrono::DateTime;
use gatepass_core::Time;
use gatepass_core::catalogue::{Catalogue, Reason, Resource, Role, Slot};
use gatepass_core::command::{Command, Report};
use gatepass_core::directory::{Directory, Person};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::{Context, Effect, Request, Words, apply, decide, effects, report};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

pub const HOLDER: PersonId = PersonId(Uuid::from_u128(1));
pub const APPROVER: PersonId = PersonId(Uuid::from_u128(2));
pub const GRANT: GrantId = GrantId(Uuid::from_u128(3));
const REQUEST: RequestId = RequestId(Uuid::from_u128(4));
const EXTENSION: RequestId = RequestId(Uuid::from_u128(5));

pub struct Life {
    catalogue: Catalogue,
    directory: Directory,
    words: Words,
    pub mutant: Option<Mutant>,
}

/// Which of the two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    First,
    Extension,
}

/// Why a report was not written.
pub enum Not {
    Refused,
    Lost,
}

impl From<LeaseLost> for Not {
    fn from(_: LeaseLost) -> Self {
        Self::Lost
    }
}

impl Life {
    pub fn new(mutant: Option<Mutant>) -> Self {
        let role = Role {
            id: "write".into(),
            name: "Write".into(),
            grants: vec!["writer".into()],
            ask: vec!["backend".into()],
            approve: vec![Slot { from: vec!["dba".into()], count: 1 }],
            default_s: TICK_S,
            min_s: 1,
            max_s: 2 * TICK_S,
            lapse_s: 1_000 * TICK_S,
            reason: Reason::Optional,
            ticket: None,
            session: Default::default(),
        };
        let resource = Resource {
            id: "db".into(),
            name: "Database".into(),
            environment: "production".into(),
            target: "pg".into(),
            kind: "postgres".into(),
            roles: vec![role],
        };
        let person = |id, group: &str| Person {
            id,
            handle: group.into(),
            name: group.into(),
            groups: BTreeSet::from([group.to_owned()]),
            auditor: false,
            admin: false,
        };
        Self {
            catalogue: Catalogue { resources: vec![resource] },
            directory: Directory::new([person(HOLDER, "backend"), person(APPROVER, "dba")]),
            words: Words { reason: Some("because".into()), ..Words::default() },
            mutant,
        }
    }

    /// The request is made, and nothing else has happened.
    pub fn asked(&self) -> World {
        let mut world = World::new(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let ask = Command::Create {
            resource: "db".into(),
            role: "write".into(),
            duration_s: TICK_S,
            reason: None,
            ticket: None,
            ssh_key: None,
        };
        assert!(self.command(&mut world, Which::First, &ask, HOLDER));
        world
    }

    fn context<'a>(&'a self, now: Time, parent: Option<&'a Request>) -> Context<'a> {
        Context {
            catalogue: &self.catalogue,
            directory: &self.directory,
            now,
            words: &self.words,
            next_number: Number(1),
            fresh_grant: GRANT,
            parent,
        }
    }

    /// Whether it was carried out.
    pub fn command(&self, world: &mut World, which: Which, command: &Command, by: PersonId) -> bool {
        let state = world.request(which).clone();
        let parent = (which == Which::Extension).then(|| world.request.clone()).flatten();
        let context = self.context(world.now, parent.as_deref());
        let Ok(facts) = decide(state.as_deref(), command, by, &context) else { return false };
        let by = By::Person { person: by, device: DeviceId(Uuid::nil()) };
        self.written(world, which, by, facts, None)
    }

    /// Writes what follows from a report, and settles the job, in one transaction.
    pub fn report(&self, world: &mut World, said: &Report, held: &Held, how: Settled) -> Result<(), Not> {
        let request = world.request.as_ref().ok_or(Not::Refused)?;
        let facts = report(request, said, &self.context(world.now, None)).map_err(|_| Not::Refused)?;
        self.settle(world, held, how)?;
        let holds = (how == Settled::Hold).then_some(held.kind);
        self.written(world, Which::First, By::Gatepass, facts, holds);
        Ok(())
    }

    pub fn settle(&self, world: &mut World, held: &Held, how: Settled) -> Result<(), LeaseLost> {
        world.jobs.settle(held, how, self.mutant != Some(Mutant::FenceIgnored))
    }

    fn written(
        &self,
        world: &mut World,
        which: Which,
        by: By,
        facts: Vec<Fact>,
        holds: Option<Kind>,
    ) -> bool {
        let untouched = world.clone();
        for fact in facts {
            let event = Event {
                id: EventId(Uuid::nil()),
                at: world.now,
                by,
                request: Some(if which == Which::First { REQUEST } else { EXTENSION }),
                fact,
                command: None,
            };
            let before = world.request(which).take().map(Arc::unwrap_or_clone);
            let after = apply(before, &event).expect("a request");
            let owed = effects(&event, after.extends);
            *world.request(which) = Some(Arc::new(after));
            for effect in owed {
                if !self.owe(world, effect, &event, holds) {
                    // All of it or nothing.
                    *world = untouched;
                    return false;
                }
            }
        }
        world.was_over |= world.grant().is_some_and(|g| g.over());
        true
    }

    fn owe(&self, world: &mut World, effect: Effect, event: &Event, holds: Option<Kind>) -> bool {
        let mutant = self.mutant;
        match effect {
            Effect::Provision { .. } => world.jobs.put(Kind::Provision, world.now, holds),
            Effect::Guard { .. } => world.jobs.put(Kind::Guard, world.now, holds),
            Effect::End { due, .. } => match (&event.fact, mutant) {
                (Fact::RequestGranted { .. }, Some(Mutant::NoEndAtApproval)) => {}
                (Fact::GrantEnding { .. }, Some(Mutant::NoEndAtEnding)) => {}
                (Fact::GrantActive { .. }, Some(Mutant::LeftAtTheLatest)) => {}
                _ => world.jobs.put(Kind::End, due, holds),
            },
            Effect::Postpone { due, .. } => world.jobs.postpone(due),
            Effect::Forget { .. } => world.jobs.forget(),
            Effect::Extend { by, duration_s, .. } => {
                let said = Report::Extended { by, duration_s };
                let Some(request) = &world.request else { return false };
                let Ok(facts) = report(request, &said, &self.context(world.now, None)) else { return false };
                return self.written(world, Which::First, By::Gatepass, facts, None);
            }
            // It lapses long after all this.
            Effect::Lapse { .. } => {}
        }
        true
    }
}

impl Target {
    pub fn open(&self) -> bool {
        self.door || self.session
    }
}
