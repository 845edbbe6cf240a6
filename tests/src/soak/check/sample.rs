//! A true story, decided by the core itself, and what becomes of it when it is told wrong.

use super::{About, Answer, Evidence, Login, Placed, View, Write, check};
use chrono::TimeDelta;
use gatepass_client::Notice;
use gatepass_core::Time;
use gatepass_core::catalogue::{Catalogue, Reason, Resource, Role, Slot};
use gatepass_core::command::{Body, Command, Report};
use gatepass_core::directory::{Directory, Person};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{CommandId, DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::{Context, Request, Words, apply, decide, report};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::view::Lens;
use gatepass_core::wire::{RequestState, SignedCommand, Verdict};
use gatepass_log::{Hash, Key, Tree, canonical};
use uuid::Uuid;

const TOMAS: PersonId = PersonId(Uuid::from_u128(1));
const NOOR: PersonId = PersonId(Uuid::from_u128(2));
const GRANT: GrantId = GrantId(Uuid::from_u128(9));

/// Tomas asks twice: noor approves the one, which is set up and expires, and denies the other.
struct Story {
    evidence: Evidence,
    states: Vec<Request>,
    now: Time,
    ids: u128,
}

fn device(person: PersonId) -> (DeviceId, Key) {
    (DeviceId(Uuid::from_u128(person.0.as_u128() + 100)), Key::from_bytes(&[person.0.as_u128() as u8; 32]))
}

impl Story {
    fn told() -> Evidence {
        let person = |id, handle: &str, group: &str| Person {
            id,
            handle: handle.to_owned(),
            name: handle.to_owned(),
            groups: [group.to_owned()].into(),
            auditor: false,
            admin: false,
        };
        let people = vec![person(TOMAS, "tomas", "backend"), person(NOOR, "noor", "dba")];
        let evidence = Evidence { catalogue: catalogue(), people, ..Evidence::default() };
        let now = "2026-11-17T09:00:00Z".parse().unwrap();
        let mut story = Self { evidence, states: Vec::new(), now, ids: 1_000 };
        for person in [TOMAS, NOOR] {
            story.enroll(person);
        }
        let first = story.ask("first");
        story.decide(first, Verdict::Approve, "yes");
        for said in [Report::SetupStarted, Report::SetUp { since: story.now }] {
            story.report(first, &said);
        }
        let second = story.ask("second");
        story.decide(second, Verdict::Deny, "no");
        story.now += TimeDelta::seconds(2);
        story.report(first, &Report::EndDue);
        story.report(first, &Report::Removed { checked_at: story.now, sessions_ended: 0, attempts: 1 });
        story.looked_at()
    }

    fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn place(
        &mut self,
        request: Option<RequestId>,
        by: By,
        facts: Vec<Fact>,
        mut command: Option<SignedCommand>,
    ) {
        for (number, fact) in facts.into_iter().enumerate() {
            let by = if number == 0 { by } else { By::Gatepass };
            let event =
                Event { id: EventId(self.id()), at: self.now, by, request, fact, command: command.take() };
            if let Some(id) = request {
                let at = self.states.iter().position(|s| s.id == id);
                let state = apply(at.map(|at| self.states.remove(at)), &event).unwrap();
                self.states.insert(at.unwrap_or(self.states.len()), state);
            }
            let body = String::from_utf8(canonical(&event).unwrap()).unwrap();
            self.evidence.log.push(Placed { seq: 0, leaf: String::new(), body });
        }
    }

    fn enroll(&mut self, person: PersonId) {
        let (device, key) = device(person);
        let (signing_key, name) = (key.public(), Digest::of(b"laptop"));
        let fact = Fact::DeviceEnrolled { person, device, signing_key, seal_key: String::new(), name };
        self.place(None, By::Person { person, device }, vec![fact], None);
    }

    fn command(
        &mut self,
        person: PersonId,
        request: Option<RequestId>,
        command: Command,
        mark: &str,
    ) -> RequestId {
        let (device, key) = device(person);
        let id = CommandId(self.id());
        let body = Body { id, device, at: self.now, head: None, command };
        let words = Words { reason: Some(mark.to_owned()), ..Words::default() };
        let state = request.and_then(|id| self.states.iter().find(|s| s.id == id));
        let number = Number(self.states.len() as u64 + 1);
        let directory = Directory::new(self.evidence.people.clone());
        let context = context(&self.evidence.catalogue, &directory, self.now, &words, number);
        let facts = decide(state, &body.command, person, &context).unwrap();
        let signed = key.sign(body.command.kind(), &body).unwrap();
        let request = request.unwrap_or(id.into());
        self.place(Some(request), By::Person { person, device }, facts, Some(signed));
        let about = About::Mark(mark.to_owned());
        let kind = body.command.kind();
        self.evidence.writes.push(Write { device, kind, about, answer: Answer::Taken });
        request
    }

    fn text(&mut self, mark: &str) -> Digest {
        let digest = SaltedText::new([7; 16], mark).digest().unwrap();
        self.evidence.texts.insert(digest.clone(), mark.to_owned());
        digest
    }

    fn ask(&mut self, mark: &str) -> RequestId {
        let reason = Some(self.text(mark));
        let (resource, role) = ("orders-db".to_owned(), "fix".to_owned());
        self.command(
            TOMAS,
            None,
            Command::Create { resource, role, duration_s: 2, reason, ticket: None, ssh_key: None },
            mark,
        )
    }

    fn decide(&mut self, request: RequestId, verdict: Verdict, mark: &str) {
        let (note, shown) =
            (Some(self.text(mark)), self.states.iter().find(|s| s.id == request).unwrap().shown());
        let command = Command::Decide { request, revision: 1, shown, verdict, duration_s: None, note };
        self.command(NOOR, Some(request), command, mark);
    }

    fn report(&mut self, request: RequestId, said: &Report) {
        let directory = Directory::new(self.evidence.people.clone());
        let words = Words::default();
        let context = context(&self.evidence.catalogue, &directory, self.now, &words, Number(0));
        let state = self.states.iter().find(|s| s.id == request).unwrap();
        let facts = report(state, said, &context).unwrap();
        self.place(Some(request), By::Gatepass, facts, None);
    }

    /// With positions, rows, and what everybody sees.
    fn looked_at(self) -> Evidence {
        let mut evidence = self.evidence;
        evidence.rows = self.states;
        let directory = Directory::new(evidence.people.clone());
        for person in &evidence.people {
            let text = |digest: &Digest| evidence.texts.get(digest).cloned();
            let lens = Lens {
                catalogue: &evidence.catalogue,
                directory: &directory,
                text: &text,
                viewer: person.id,
                now: self.now,
            };
            let requests: Vec<_> = evidence.rows.iter().map(|row| lens.request(row)).collect();
            let grants: Vec<_> = evidence.rows.iter().filter_map(|row| lens.grant(row, None)).collect();
            let mut notices: Vec<Notice> =
                grants.iter().map(|grant| Notice::Ended { grant: grant.clone() }).collect();
            if person.id == TOMAS {
                let denied = requests.iter().filter(|r| r.state == RequestState::Denied);
                notices.extend(denied.map(|request| Notice::Denied { request: request.clone() }));
            }
            evidence.views.push(View {
                handle: person.handle.clone(),
                person: person.id,
                head: None,
                problem: None,
                server_requests: requests.clone(),
                server_grants: grants.clone(),
                requests,
                grants,
                notices,
                reopened: false,
            });
        }
        evidence.logins.push(Login { grant: GRANT, last: self.now, until: Some(self.now) });
        placed(evidence)
    }
}

/// Everything placed anew and seen by all, as a server would that lies consistently.
fn placed(mut evidence: Evidence) -> Evidence {
    let mut tree = Tree::default();
    for placed in &mut evidence.log {
        let leaf = Hash::leaf(placed.body.as_bytes());
        tree.append(leaf);
        (placed.seq, placed.leaf) = (tree.size(), leaf.digest().0);
    }
    evidence.head = Some(tree.head());
    for view in &mut evidence.views {
        view.head = Some(tree.head());
    }
    evidence
}

fn catalogue() -> Catalogue {
    let role = Role {
        id: "fix".into(),
        name: "Fix one row".into(),
        grants: vec!["orders_writer".into()],
        ask: vec!["backend".into()],
        approve: vec![Slot { from: vec!["dba".into()], count: 1 }],
        default_s: 2,
        min_s: 1,
        max_s: 10,
        lapse_s: 3,
        reason: Reason::Required,
        ticket: None,
        session: Default::default(),
    };
    let resource = Resource {
        id: "orders-db".into(),
        name: "Orders database".into(),
        environment: "production".into(),
        target: "orders-pg".into(),
        kind: "postgres".into(),
        roles: vec![role],
    };
    Catalogue { resources: vec![resource] }
}

fn context<'a>(
    catalogue: &'a Catalogue,
    directory: &'a Directory,
    now: Time,
    words: &'a Words,
    next_number: Number,
) -> Context<'a> {
    Context { catalogue, directory, now, words, next_number, fresh_grant: GRANT, parent: None }
}

/// That the story, told in this way, is found out with these words.
fn found(how: impl FnOnce(&mut Evidence), anew: bool, words: &str) {
    let mut evidence = Story::told();
    how(&mut evidence);
    let wrong = check(&if anew { placed(evidence) } else { evidence }).wrong;
    assert!(wrong.iter().any(|said| said.contains(words)), "“{words}” is not in {wrong:#?}");
}

fn place_of(evidence: &Evidence, kind: &str) -> usize {
    evidence.log.iter().position(|placed| placed.body.contains(&format!("\"kind\":\"{kind}\""))).unwrap()
}

#[test]
fn a_true_story_holds() {
    let verdict = check(&Story::told());
    assert_eq!(verdict.wrong, Vec::<String>::new());
    assert_eq!(verdict.latest, TimeDelta::zero());
}

#[test]
fn a_gap_a_doubled_event_and_a_changed_one_are_found() {
    found(|e| drop(e.log.remove(4)), false, "position 5 of the log is missing");
    found(|e| e.log.insert(5, e.log[4].clone()), true, "is in the log twice");
    let other = |e: &mut Evidence| e.log[3].body = e.log[3].body.replace("\"approve\"", "\"deny\"");
    found(other, false, "is not of its event");
    found(other, true, "is not signed by its device");
    found(|e| e.head.as_mut().unwrap().size += 1, false, "the head is");
}

#[test]
fn a_lost_write_and_one_that_was_refused_are_found() {
    let lost = |e: &mut Evidence| {
        let denied = place_of(e, "request.denied");
        e.log.remove(denied);
    };
    found(lost, true, "was acknowledged, and is not in the log");
    found(lost, true, "the row is");
    found(|e| e.writes[0].answer = Answer::Refused(gatepass_core::Code::Lapsed), false, "was refused");
    let mut evidence = Story::told();
    evidence.writes[0].answer = Answer::Lost(gatepass_core::Code::Unreachable);
    assert_eq!(check(&evidence).wrong, Vec::<String>::new(), "what nobody heard may be there");
}

#[test]
fn a_fork_is_found() {
    found(|e| e.views[1].head.as_mut().unwrap().root = Digest::of(b"another"), false, "a fork");
    found(|e| e.views[1].head = Some(Tree::default().head()), false, "a fork");
}

#[test]
fn what_does_not_follow_is_found() {
    let swapped = |a: &'static str, b: &'static str| {
        move |e: &mut Evidence| {
            let (a, b) = (place_of(e, a), place_of(e, b));
            e.log.swap(a, b);
        }
    };
    found(swapped("grant.active", "grant.provisioning"), true, "does not follow");
    found(swapped("request.denied", "grant.ended"), true, "does not follow");
    let without_its_rest = |e: &mut Evidence| {
        let granted = place_of(e, "request.granted");
        e.log.remove(granted);
    };
    found(without_its_rest, true, "does not follow");
    found(|e| drop(e.rows.pop()), false, "that the server has lost");
}

#[test]
fn a_device_that_shows_something_else_is_found() {
    found(|e| e.views[0].requests[0].revision += 1, false, "shows other requests");
    found(|e| drop(e.views[0].grants.pop()), false, "shows 0 accesses, and the server 1");
    found(|e| e.views[0].problem = Some("another history".into()), false, "device says");
    found(|e| e.views[0].notices.extend_from_within(..1), false, "2 times, of 1");
    found(|e| e.views[0].notices.clear(), false, "was never told “denied”");
}

#[test]
fn an_access_that_stays_is_found() {
    found(|e| e.left.push("gp_9".into()), false, "left on the target");
    found(|e| e.logins[0].last += TimeDelta::seconds(16), false, "16000 ms after its end");
    found(|e| e.logins[0].until = Some(e.logins[0].last + TimeDelta::seconds(1)), false, "would have let");
    found(|e| e.logins[0].grant = GrantId(Uuid::nil()), false, "the log does not speak");
}
