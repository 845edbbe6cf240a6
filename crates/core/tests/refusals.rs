//! Each way to be told no: the code is stable, and nothing happens.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use chrono::{DateTime, TimeDelta};
use gatepass_core::catalogue::{Catalogue, Reason, Resource, Role, Slot};
use gatepass_core::command::{Command, Report};
use gatepass_core::directory::{Directory, Person};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::{Context, Request, Words, apply, decide, report};
use gatepass_core::text::Digest;
use gatepass_core::view::{Lens, may_see};
use gatepass_core::wire::{GrantState, RequestState, Verdict};
use gatepass_core::{Code, Time};
use uuid::Uuid;

const TOMAS: u128 = 1;
const NOOR: u128 = 2;
const MARA: u128 = 3;
const IVO: u128 = 4;
const GRANT: GrantId = GrantId(Uuid::from_u128(77));

fn id(n: u128) -> PersonId {
    PersonId(Uuid::from_u128(n))
}

fn person(n: u128, groups: &[&str]) -> Person {
    Person {
        id: id(n),
        handle: format!("p{n}"),
        name: format!("Person {n}"),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        auditor: false,
        admin: false,
    }
}

struct Desk {
    catalogue: Catalogue,
    directory: Directory,
    now: Time,
    words: Words,
    parent: Option<Request>,
}

impl Desk {
    fn new() -> Self {
        let need = |from: &str| Slot { from: vec![from.into()], count: 1 };
        let role = Role {
            id: "write".into(),
            name: "Write".into(),
            grants: vec!["writer".into()],
            ask: vec!["backend".into()],
            approve: vec![need("dba"), need("oncall")],
            default_s: 600,
            min_s: 60,
            max_s: 3600,
            lapse_s: 3000,
            reason: Reason::Required,
            ticket: Some("^INC-[0-9]+$".into()),
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
        Self {
            catalogue: Catalogue { resources: vec![resource] },
            directory: Directory::new([
                person(TOMAS, &["backend", "dba"]),
                person(NOOR, &["dba"]),
                person(MARA, &["oncall", "dba"]),
                person(IVO, &["support"]),
            ]),
            now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            words: Words { reason: Some("stuck".into()), ticket: Some("INC-1".into()), note: None },
            parent: None,
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            catalogue: &self.catalogue,
            directory: &self.directory,
            now: self.now,
            words: &self.words,
            next_number: Number(1),
            fresh_grant: GRANT,
            parent: self.parent.as_ref(),
        }
    }

    fn create(&self, resource: &str, role: &str, duration_s: u32) -> Command {
        let digest = |text: &Option<String>| text.as_ref().map(|t| Digest::of(t.as_bytes()));
        Command::Create {
            resource: resource.into(),
            role: role.into(),
            duration_s,
            reason: digest(&self.words.reason),
            ticket: digest(&self.words.ticket),
            ssh_key: None,
        }
    }

    fn run(&self, state: Option<Request>, command: &Command, by: u128) -> Result<Request, Code> {
        let facts = decide(state.as_ref(), command, id(by), &self.context()).map_err(|r| r.code)?;
        let by = By::Person { person: id(by), device: DeviceId(Uuid::nil()) };
        Ok(self.apply(state, by, facts))
    }

    fn report(&self, state: Request, what: &Report) -> Result<Request, Code> {
        let facts = report(&state, what, &self.context()).map_err(|r| r.code)?;
        Ok(self.apply(Some(state), By::Gatepass, facts))
    }

    fn apply(&self, state: Option<Request>, by: By, facts: Vec<Fact>) -> Request {
        let request = state.as_ref().map_or(RequestId(Uuid::from_u128(9)), |r| r.id);
        facts
            .into_iter()
            .fold(state, |state, fact| {
                let (id, at) = (EventId(Uuid::nil()), self.now);
                apply(state, &Event { id, at, by, request: Some(request), fact, command: None })
            })
            .expect("a request")
    }

    fn asked(&self) -> Request {
        self.run(None, &self.create("db", "write", 1200), TOMAS).expect("accepted")
    }

    fn approve(&self, request: &Request, by: u128, duration_s: Option<u32>) -> Result<Request, Code> {
        self.run(Some(request.clone()), &verdict(request, Verdict::Approve, duration_s), by)
    }

    /// Approved by both, set up, active.
    fn active(&self) -> Request {
        let one = self.approve(&self.asked(), NOOR, None).expect("first");
        let two = self.approve(&one, MARA, Some(900)).expect("second");
        let started = self.report(two, &Report::SetupStarted).expect("started");
        self.report(started, &Report::SetUp { since: self.now }).expect("active")
    }
}

fn verdict(request: &Request, verdict: Verdict, duration_s: Option<u32>) -> Command {
    let (revision, shown) = (request.revision, request.shown());
    Command::Decide { request: request.id, revision, shown, verdict, duration_s, note: None }
}

#[test]
fn asking_for_what_the_catalogue_does_not_allow() {
    let desk = Desk::new();
    let codes = |resource: &str, role: &str, length: u32, by: u128| {
        desk.run(None, &desk.create(resource, role, length), by).map(|_| ()).unwrap_err()
    };
    assert_eq!(codes("nope", "write", 600, TOMAS), Code::UnknownResource);
    assert_eq!(codes("db", "nope", 600, TOMAS), Code::UnknownRole);
    assert_eq!(codes("db", "write", 3601, TOMAS), Code::DurationTooLong);
    assert_eq!(codes("db", "write", 59, TOMAS), Code::DurationTooShort);
    assert_eq!(codes("db", "write", 600, IVO), Code::NotAllowedToAsk);
    for (reason, ticket, code) in [
        (None, Some("INC-1"), Code::ReasonRequired),
        (Some("  "), Some("INC-1"), Code::ReasonRequired),
        (Some("why"), None, Code::TicketRequired),
        (Some("why"), Some("INC-x"), Code::TicketMismatch),
    ] {
        let words = Words { reason: reason.map(Into::into), ticket: ticket.map(Into::into), note: None };
        let desk = Desk { words, ..Desk::new() };
        assert_eq!(desk.run(None, &desk.create("db", "write", 600), TOMAS).unwrap_err(), code);
    }
}

#[test]
fn a_rule_that_nobody_could_satisfy_is_said_at_once() {
    let directory = Directory::new([person(TOMAS, &["backend", "dba"]), person(MARA, &["oncall"])]);
    let desk = Desk { directory, ..Desk::new() };
    assert_eq!(desk.run(None, &desk.create("db", "write", 600), TOMAS).unwrap_err(), Code::NoApprovers);
}

#[test]
fn deciding() {
    let mut desk = Desk::new();
    let asked = desk.asked();
    assert_eq!(desk.approve(&asked, TOMAS, None).unwrap_err(), Code::SelfApproval);
    assert_eq!(desk.approve(&asked, IVO, None).unwrap_err(), Code::NotAnApprover);
    assert_eq!(desk.approve(&asked, NOOR, Some(1201)).unwrap_err(), Code::DurationTooLong);
    let Command::Decide { request, revision, verdict: v, .. } = verdict(&asked, Verdict::Approve, None)
    else {
        panic!("a decision")
    };
    let other = Digest::of(b"something else was shown");
    let stale = Command::Decide { request, revision, shown: other, verdict: v, duration_s: None, note: None };
    assert_eq!(desk.run(Some(asked.clone()), &stale, NOOR).unwrap_err(), Code::StaleRevision);

    let once = desk.approve(&asked, NOOR, None).expect("approved");
    assert_eq!(once.state, RequestState::Pending);
    assert_eq!(desk.approve(&once, NOOR, None).unwrap_err(), Code::DecidedTwice);
    let deny = verdict(&once, Verdict::Deny, None);
    assert_eq!(desk.run(Some(once.clone()), &deny, NOOR).unwrap_err(), Code::DecidedTwice);

    let denied = desk.run(Some(once.clone()), &deny, MARA).expect("denied");
    assert_eq!(denied.state, RequestState::Denied);
    assert_eq!(desk.approve(&denied, MARA, None).unwrap_err(), Code::AlreadyDecided);

    desk.now += TimeDelta::seconds(3000);
    assert_eq!(desk.approve(&once, MARA, None).unwrap_err(), Code::Lapsed);
    let lapsed = desk.report(once.clone(), &Report::LapseDue).expect("lapses");
    assert_eq!(lapsed.state, RequestState::Lapsed);
}

#[test]
fn an_approval_that_is_not_needed_is_said_to_be_so() {
    let directory = Directory::new([
        person(TOMAS, &["backend"]),
        person(NOOR, &["dba"]),
        person(IVO, &["dba"]),
        person(MARA, &["oncall"]),
    ]);
    let desk = Desk { directory, ..Desk::new() };
    let once = desk.approve(&desk.asked(), NOOR, None).expect("approved");
    assert_eq!(desk.approve(&once, IVO, None).unwrap_err(), Code::NotNeeded);
}

#[test]
fn membership_is_checked_again_at_the_decision_and_at_setting_up() {
    let desk = Desk::new();
    let once = desk.approve(&desk.asked(), NOOR, None).expect("first");
    let without = |n: u128| {
        let people = desk.directory.people().filter(|p| p.id != id(n)).cloned();
        Desk { directory: Directory::new(people), ..Desk::new() }
    };
    // The holder left before the last approval.
    assert_eq!(without(TOMAS).approve(&once, MARA, None).unwrap_err(), Code::NotAllowedToAsk);
    // An approver left: what they gave no longer counts.
    let twice = without(NOOR).approve(&once, MARA, None).expect("counts for one need");
    assert_eq!(twice.state, RequestState::Pending);
    // The holder left between approval and setting up.
    let granted = desk.approve(&once, MARA, None).expect("granted");
    let failed = without(TOMAS).report(granted, &Report::SetupStarted).expect("ends");
    assert_eq!(failed.grant.expect("grant").state, GrantState::Ending);
}

#[test]
fn the_shortest_allowed_time_counts() {
    let active = Desk::new().active();
    let grant = active.grant.expect("grant");
    assert_eq!(grant.duration_s, 900);
    assert_eq!((grant.ends_at.unwrap() - grant.starts_at.unwrap()).num_seconds(), 900);
}

#[test]
fn ending() {
    let desk = Desk::new();
    let active = desk.active();
    let give_back = Command::Return { grant: GRANT };
    let revoke = Command::Revoke { grant: GRANT, reason: Digest::of(b"stuck") };
    assert_eq!(desk.run(Some(active.clone()), &give_back, NOOR).unwrap_err(), Code::NotYours);
    assert_eq!(desk.run(Some(active.clone()), &revoke, IVO).unwrap_err(), Code::MayNotRevoke);
    assert_eq!(desk.report(active.clone(), &Report::EndDue).unwrap_err(), Code::GrantNotActive);
    let ending = desk.run(Some(active), &revoke, NOOR).expect("ending");
    assert_eq!(desk.run(Some(ending.clone()), &give_back, TOMAS).unwrap_err(), Code::GrantOver);
    let tried =
        desk.report(ending, &Report::RemovalFailed { message: "down".into(), attempts: 1 }).expect("delayed");
    let gone = Report::Removed { checked_at: desk.now, sessions_ended: 1, attempts: 2 };
    let ended = desk.report(tried, &gone).expect("ended");
    assert_eq!(ended.grant.as_ref().unwrap().removal.as_ref().unwrap().attempts, 2);
    assert_eq!(desk.report(ended, &gone).unwrap_err(), Code::GrantOver);
}

#[test]
fn what_was_set_up_after_a_revoke_does_not_become_active() {
    let desk = Desk::new();
    let one = desk.approve(&desk.asked(), NOOR, None).expect("first");
    let two = desk.approve(&one, MARA, None).expect("second");
    let started = desk.report(two, &Report::SetupStarted).expect("started");
    let returned = desk.run(Some(started), &Command::Return { grant: GRANT }, TOMAS).expect("ending");
    assert_eq!(desk.report(returned, &Report::SetUp { since: desk.now }).unwrap_err(), Code::GrantNotActive);
}

#[test]
fn extending_is_a_decision_of_its_own_within_what_the_role_allows() {
    let mut desk = Desk::new();
    let active = desk.active();
    desk.parent = Some(active.clone());
    let extend =
        |duration_s| Command::Extend { grant: GRANT, duration_s, reason: Some(Digest::of(b"stuck")) };
    assert_eq!(desk.run(None, &extend(600), NOOR).unwrap_err(), Code::NotYours);
    assert_eq!(desk.run(None, &extend(2701), TOMAS).unwrap_err(), Code::DurationTooLong);
    let extension = desk.run(None, &extend(600), TOMAS).expect("asked");
    assert_eq!(extension.extends, Some(GRANT));
    assert_eq!(extension.lapses_at, active.grant.as_ref().unwrap().ends_at.unwrap());
    let once = desk.approve(&extension, NOOR, None).expect("first");
    // Given back meanwhile: there is nothing to extend.
    let returned = desk.run(Some(active), &Command::Return { grant: GRANT }, TOMAS).expect("ending");
    let late = Desk { parent: Some(returned), ..Desk::new() };
    assert_eq!(late.approve(&once, MARA, None).unwrap_err(), Code::GrantOver);
    let granted = desk.approve(&once, MARA, None).expect("granted");
    assert!(granted.grant.is_none(), "an extension gives no access of its own");
}

/// Two requests for more time may each fit when they are made; together they must not.
#[test]
fn an_access_is_extended_to_its_longest_and_no_further() {
    let mut desk = Desk::new();
    let mut active = desk.active();
    desk.parent = Some(active.clone());
    let extend = Command::Extend { grant: GRANT, duration_s: 2700, reason: Some(Digest::of(b"stuck")) };
    let other = desk.run(None, &extend, TOMAS).expect("asked while it fits");
    let once = desk.approve(&other, NOOR, None).expect("first");
    desk.approve(&once, MARA, None).expect("it fits");
    // Meanwhile another one was granted.
    active = desk.report(active, &Report::Extended { by: other.id, duration_s: 2400 }).expect("extended");
    desk.parent = Some(active);
    let refused = desk.approve(&once, MARA, None).unwrap_err();
    assert_eq!(refused, Code::DurationTooLong);
    desk.approve(&once, MARA, Some(300)).expect("what is left");
}

#[test]
fn views_show_who_may_do_what() {
    let desk = Desk::new();
    let once = desk.approve(&desk.asked(), NOOR, None).expect("first");
    let text = |_: &Digest| Some("text".to_owned());
    let lens = |viewer: u128| Lens {
        catalogue: &desk.catalogue,
        directory: &desk.directory,
        text: &text,
        viewer: id(viewer),
        now: desk.now,
    };
    let mara = lens(MARA).request(&once);
    assert!(mara.can_decide && mara.last_approval && mara.needs[1].yours && !mara.needs[0].yours);
    assert_eq!(mara.needs[0].given[0].by.handle, "p2");
    assert!(!lens(NOOR).request(&once).can_decide);
    assert!(!lens(TOMAS).request(&once).can_decide);
    let see = |n: u128| may_see(desk.directory.get(id(n)).unwrap(), &once);
    assert!(see(TOMAS) && see(NOOR) && see(MARA) && !see(IVO));
}
