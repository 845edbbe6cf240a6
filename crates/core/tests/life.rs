//! Random lives of requests and grants: whatever people, clock and workers do, the invariants hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::{DateTime, TimeDelta};
use gatepass_core::Time;
use gatepass_core::catalogue::{Catalogue, Reason, Resource, Role, Slot};
use gatepass_core::command::{Command, Report};
use gatepass_core::directory::{Directory, Person};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::{
    Context, Effect, Held, Request, Words, apply, decide, effects, report, revoke_all,
};
use gatepass_core::text::Digest;
use gatepass_core::wire::{GrantState, RequestState, Verdict};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const PEOPLE: u128 = 5;
const GROUPS: [&str; 3] = ["backend", "dba", "oncall"];

#[derive(Clone, Debug)]
enum Step {
    Ask { by: u128, role: usize, duration_s: u32 },
    Decide { by: u128, request: usize, approve: bool, duration_s: Option<u32> },
    Withdraw { by: u128, request: usize },
    Return { by: u128, request: usize },
    Revoke { by: u128, request: usize },
    RevokeAll { who: u128 },
    Extend { by: u128, request: usize, duration_s: u32 },
    Work { request: usize, what: usize },
    Join { who: u128, group: usize, leave: bool },
    Wait { seconds: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..PEOPLE;
    let request = 0usize..6;
    prop_oneof![
        3 => (who.clone(), 0usize..3, 1u32..5000).prop_map(|(by, role, duration_s)| Step::Ask { by, role, duration_s }),
        6 => (who.clone(), request.clone(), prop::bool::weighted(0.85), prop::option::of(1u32..5000))
            .prop_map(|(by, request, approve, duration_s)| Step::Decide { by, request, approve, duration_s }),
        1 => (who.clone(), request.clone()).prop_map(|(by, request)| Step::Withdraw { by, request }),
        1 => (who.clone(), request.clone()).prop_map(|(by, request)| Step::Return { by, request }),
        1 => (who.clone(), request.clone()).prop_map(|(by, request)| Step::Revoke { by, request }),
        1 => who.clone().prop_map(|who| Step::RevokeAll { who }),
        2 => (who.clone(), request.clone(), 1u32..3000)
            .prop_map(|(by, request, duration_s)| Step::Extend { by, request, duration_s }),
        8 => (request, 0usize..9).prop_map(|(request, what)| Step::Work { request, what }),
        1 => (who, 0usize..3, any::<bool>()).prop_map(|(who, group, leave)| Step::Join { who, group, leave }),
        3 => (1i64..4000).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

fn person(n: u128) -> PersonId {
    PersonId(Uuid::from_u128(n))
}

fn catalogue() -> Catalogue {
    let role = |id: &str, approve: Vec<Slot>| Role {
        id: id.into(),
        name: id.into(),
        grants: vec![id.into()],
        ask: vec!["backend".into()],
        approve,
        default_s: 60,
        min_s: 1,
        max_s: 3600,
        lapse_s: 3000,
        reason: Reason::Optional,
        ticket: None,
        session: Default::default(),
    };
    let need = |from: &str, count| Slot { from: vec![from.into()], count };
    Catalogue {
        resources: vec![Resource {
            id: "db".into(),
            name: "Database".into(),
            environment: "production".into(),
            target: "pg".into(),
            kind: "postgres".into(),
            roles: vec![
                role("read", vec![]),
                role("write", vec![need("dba", 1), need("oncall", 1)]),
                role("admin", vec![need("dba", 2)]),
            ],
        }],
    }
}

const ROLES: [&str; 3] = ["read", "write", "admin"];

struct World {
    catalogue: Catalogue,
    groups: BTreeMap<PersonId, BTreeSet<String>>,
    now: Time,
    ids: u128,
    requests: Vec<Request>,
    log: Vec<Event>,
    /// Due time of the end job of each grant; the world's jobs table.
    ends: BTreeMap<GrantId, Time>,
}

impl World {
    fn new() -> Self {
        let mut groups: BTreeMap<PersonId, BTreeSet<String>> = BTreeMap::new();
        for n in 0..PEOPLE {
            let mine =
                GROUPS.iter().enumerate().filter(|(i, _)| (n as usize + i).is_multiple_of(2) || n == 4);
            groups.insert(person(n), mine.map(|(_, g)| (*g).to_owned()).collect());
        }
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        Self {
            catalogue: catalogue(),
            groups,
            now,
            ids: 1000,
            requests: vec![],
            log: vec![],
            ends: BTreeMap::new(),
        }
    }

    fn fresh(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn directory(&self) -> Directory {
        Directory::new(self.groups.iter().map(|(id, groups)| Person {
            id: *id,
            handle: id.to_string(),
            name: id.to_string(),
            groups: groups.clone(),
            auditor: false,
            admin: false,
        }))
    }

    fn parent(&self, grant: Option<GrantId>) -> Option<Request> {
        let grant = grant?;
        self.requests.iter().find(|r| r.grant.as_ref().is_some_and(|g| g.id == grant)).cloned()
    }

    fn command(&mut self, about: Option<usize>, command: Command, by: PersonId) {
        let state = about.map(|i| self.requests[i].clone());
        let id = state.as_ref().map_or_else(|| RequestId(self.fresh()), |r| r.id);
        let parent = self.parent(match &command {
            Command::Extend { grant, .. } => Some(*grant),
            _ => state.as_ref().and_then(|r| r.extends),
        });
        let (directory, fresh) = (self.directory(), GrantId(self.fresh()));
        let words = Words { reason: Some("because".into()), ..Words::default() };
        let context = Context {
            catalogue: &self.catalogue,
            directory: &directory,
            now: self.now,
            words: &words,
            next_number: Number(self.requests.len() as u64 + 1),
            fresh_grant: fresh,
            parent: parent.as_ref(),
        };
        if let Ok(facts) = decide(state.as_ref(), &command, by, &context) {
            let by = By::Person { person: by, device: DeviceId(Uuid::from_u128(1)) };
            self.record(about, id, by, facts);
        }
    }

    fn report(&mut self, about: usize, what: &Report) {
        let directory = self.directory();
        let context = Context {
            catalogue: &self.catalogue,
            directory: &directory,
            now: self.now,
            words: &Words::default(),
            next_number: Number(0),
            fresh_grant: GrantId(Uuid::nil()),
            parent: None,
        };
        if let Ok(facts) = report(&self.requests[about], what, &context) {
            let id = self.requests[about].id;
            self.record(Some(about), id, By::Gatepass, facts);
        }
    }

    /// From the server's console. Whatever there was of the person, nothing is left that gives access.
    fn revoke_all(&mut self, who: PersonId) {
        let (requests, directory) = (self.requests.clone(), self.directory());
        let all: Vec<&Request> = requests.iter().collect();
        let words = Words { reason: Some("left".into()), ..Words::default() };
        let held = Held { person: who, requests: &all, devices: &[] };
        let done = revoke_all(held, None, &Digest::of(b"left"), &words, &directory).expect("the console may");
        for (about, fact) in done.facts {
            let Some(id) = about else { continue };
            let index = self.requests.iter().position(|r| r.id == id);
            self.record(index, id, By::Gatepass, vec![fact]);
        }
        for request in &self.requests {
            let pending = request.state == RequestState::Pending;
            assert!(!pending || request.by != who, "nothing of theirs waits");
            assert!(!pending || !request.approvers().contains(&who), "no approval of theirs counts");
            let Some(grant) = request.grant.as_ref().filter(|g| request.by == who && !g.over()) else {
                continue;
            };
            assert_eq!(grant.state, GrantState::Ending, "every access of theirs ends");
            assert!(done.urgent.contains(&grant.id), "and before all others");
            assert!(self.ends[&grant.id] <= self.now, "now");
        }
        assert!(done.urgent.iter().all(|g| self.ends.contains_key(g)), "what is urgent has its end queued");
    }

    /// What the edge does with facts, and the checks on each step.
    fn record(&mut self, about: Option<usize>, request: RequestId, by: By, facts: Vec<Fact>) {
        let mut index = about;
        for fact in facts {
            let event = Event {
                id: EventId(self.fresh()),
                at: self.now,
                by,
                request: Some(request),
                fact,
                command: None,
            };
            let before = index.map(|i| self.requests[i].clone());
            let after = apply(before.clone(), &event).expect("a request");
            check_step(before.as_ref(), &after, &event);
            match index {
                Some(i) => self.requests[i] = after.clone(),
                None => {
                    self.requests.push(after.clone());
                    index = Some(self.requests.len() - 1);
                }
            }
            self.log.push(event.clone());
            for effect in effects(&event, after.extends) {
                self.effect(effect, &event);
            }
            for request in &self.requests {
                let Some(grant) = &request.grant else { continue };
                let queued = self.ends.get(&grant.id);
                assert!(grant.over() || queued.is_some(), "no grant without its end queued: {grant:?}");
                if let (Some(ends_at), Some(queued)) = (grant.ends_at, queued) {
                    assert!(*queued <= ends_at, "the end is queued no later than the end");
                }
            }
        }
    }

    fn effect(&mut self, effect: Effect, event: &Event) {
        match effect {
            Effect::End { grant, due } => {
                let queued = self.ends.entry(grant).or_insert(due);
                *queued = due.min(*queued);
            }
            Effect::Postpone { grant, due } => {
                assert!(
                    matches!(event.fact, Fact::GrantExtended { .. }),
                    "only a new decision moves an end later"
                );
                self.ends.insert(grant, due);
            }
            Effect::Forget { grant } => {
                self.ends.remove(&grant);
            }
            Effect::Extend { grant, by, duration_s } => {
                let parent =
                    self.requests.iter().position(|r| r.grant.as_ref().is_some_and(|g| g.id == grant));
                self.report(parent.expect("the extended grant"), &Report::Extended { by, duration_s });
            }
            Effect::Provision { .. } | Effect::Guard { .. } | Effect::Lapse { .. } => {}
        }
    }

    fn run(&mut self, step: Step) {
        let pick = |i: usize, w: &Self| (!w.requests.is_empty()).then(|| i % w.requests.len());
        let digest = || Digest::of(b"text");
        match step {
            Step::Ask { by, role, duration_s } => {
                let (resource, role) = ("db".to_owned(), ROLES[role].to_owned());
                let ask =
                    Command::Create { resource, role, duration_s, reason: None, ticket: None, ssh_key: None };
                self.command(None, ask, person(by));
            }
            Step::Decide { by, request, approve, duration_s } => {
                let Some(i) = pick(request, self) else { return };
                let r = &self.requests[i];
                let verdict = if approve { Verdict::Approve } else { Verdict::Deny };
                let command = Command::Decide {
                    request: r.id,
                    revision: r.revision,
                    shown: r.shown(),
                    verdict,
                    duration_s,
                    note: None,
                };
                self.command(Some(i), command, person(by));
            }
            Step::Withdraw { by, request } => {
                let Some(i) = pick(request, self) else { return };
                self.command(Some(i), Command::Withdraw { request: self.requests[i].id }, person(by));
            }
            Step::Return { by, request } => {
                let Some(i) = pick(request, self) else { return };
                let Some(grant) = self.requests[i].grant.as_ref().map(|g| g.id) else { return };
                self.command(Some(i), Command::Return { grant }, person(by));
            }
            Step::Revoke { by, request } => {
                let Some(i) = pick(request, self) else { return };
                let Some(grant) = self.requests[i].grant.as_ref().map(|g| g.id) else { return };
                self.command(Some(i), Command::Revoke { grant, reason: digest() }, person(by));
            }
            Step::RevokeAll { who } => self.revoke_all(person(who)),
            Step::Extend { by, request, duration_s } => {
                let Some(i) = pick(request, self) else { return };
                let Some(grant) = self.requests[i].grant.as_ref().map(|g| g.id) else { return };
                self.command(None, Command::Extend { grant, duration_s, reason: None }, person(by));
            }
            Step::Work { request, what } => {
                let Some(i) = pick(request, self) else { return };
                let message = || "no answer".to_owned();
                let what = match what {
                    0 => Report::LapseDue,
                    1 | 2 => Report::SetupStarted,
                    3 => Report::SetUp { since: self.now },
                    4 => Report::SetupFailed {
                        message: message(),
                        attempts: 1,
                        last: self.now.timestamp() % 2 == 0,
                    },
                    5 => Report::EndDue,
                    6 => Report::RemovalFailed { message: message(), attempts: 1 },
                    7 => Report::Missing,
                    _ => Report::Removed { checked_at: self.now, sessions_ended: 1, attempts: 1 },
                };
                self.report(i, &what);
            }
            Step::Join { who, group, leave } => {
                let groups = self.groups.get_mut(&person(who)).unwrap();
                if leave {
                    groups.remove(GROUPS[group]);
                } else {
                    groups.insert(GROUPS[group].to_owned());
                }
            }
            Step::Wait { seconds } => self.now += TimeDelta::seconds(seconds),
        }
    }
}

fn check_step(before: Option<&Request>, after: &Request, event: &Event) {
    if let Fact::RequestApproved { .. } | Fact::RequestDenied { .. } = &event.fact {
        assert_ne!(event.by.person(), Some(after.by), "nobody decides on their own request");
    }
    let people: BTreeSet<PersonId> = after.approvers().into_iter().collect();
    assert_eq!(people.len(), after.approvals.len(), "a quorum counts distinct people");
    if after.state == RequestState::Approved {
        let seats: u32 = after.rule.approve.iter().map(|n| n.count).sum();
        assert!(people.len() >= seats as usize, "approved by enough people");
    }
    if let Fact::RequestGranted { duration_s, .. } = event.fact {
        assert!(duration_s <= after.allowed_s(), "never longer than asked for and than any approver allowed");
    }
    let Some(before) = before else { return };
    if before.state != RequestState::Pending {
        assert_eq!(before.state, after.state, "a decision is final");
        assert_eq!(before.approvals, after.approvals, "nothing is added after the decision");
    }
    if let (Some(b), Some(a)) = (&before.grant, &after.grant) {
        assert_eq!(b.id, a.id);
        if b.over() {
            assert_eq!(b, a, "an ended grant never comes back");
        }
        let order = |s: GrantState| match s {
            GrantState::Scheduled => 0,
            GrantState::Provisioning => 1,
            GrantState::Active => 2,
            GrantState::Ending => 3,
            GrantState::Ended | GrantState::Failed => 4,
        };
        assert!(order(a.state) >= order(b.state), "a grant only moves on: {:?} -> {:?}", b.state, a.state);
        if b.ends_at.is_some() && !matches!(event.fact, Fact::GrantExtended { .. }) {
            assert_eq!(a.ends_at, b.ends_at, "the end is fixed");
        }
        if let (Some(start), Some(end)) = (a.starts_at, a.ends_at) {
            assert!(
                (end - start).num_seconds() <= i64::from(after.rule.max_s),
                "never longer than the role allows"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
        }
        // The log alone gives the same state.
        for request in &world.requests {
            let replayed = world.log.iter().fold(None, |state, event| match state {
                None if event.request != Some(request.id) => None,
                state => apply(state, event),
            });
            prop_assert_eq!(replayed.as_ref(), Some(request));
        }
    }
}
