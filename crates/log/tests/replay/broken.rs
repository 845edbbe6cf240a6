//! For each rule a log that breaks it, made as somebody would who has the server and every leaf made again.

use crate::{found, replay, whole};
use chrono::TimeDelta;
use gatepass_core::command::{Command, Report};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, EventId, GrantId, Number, RequestId};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{EndCause, Head, Removal, Verdict};
use gatepass_log::Hash;
use gatepass_log::replay::rules::RULES;
use gatepass_log::replay::{Extent, Item};
use gatepass_log::testing::{History, person};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Asked, approved by two, set up, extended, expired and read back; the way an access goes.
fn life() -> History {
    let mut history = History::cast();
    let asked = history.ask(0, "orders-db", "write", 1200).unwrap();
    history.wait(10);
    history.approve(1, asked).unwrap();
    history.wait(10);
    history.decide(3, asked, Verdict::Approve, Some(600)).unwrap();
    history.set_up(asked).unwrap();
    history.wait(60);
    let more = history.extend(0, asked, 300).unwrap();
    history.approve(1, more).unwrap();
    history.approve(3, more).unwrap();
    history.wait(2000);
    history.report(asked, &Report::EndDue).unwrap();
    history.removed(asked).unwrap();
    history
}

/// A request that waits for its second approval.
fn half() -> (History, usize) {
    let mut history = History::cast();
    let asked = history.ask(0, "orders-db", "write", 1200).unwrap();
    history.wait(10);
    history.approve(1, asked).unwrap();
    (history, asked)
}

/// An access that is there.
fn active() -> (History, usize) {
    let mut history = History::cast();
    let asked = history.ask(0, "orders-db", "read", 1200).unwrap();
    history.set_up(asked).unwrap();
    history.wait(60);
    (history, asked)
}

fn edit(history: &mut History, kind: &str, change: impl Fn(&mut Event)) {
    let event = history.events.iter_mut().find(|e| e.fact.kind() == kind).expect(kind);
    change(event);
}

fn remove(history: &mut History, kind: &str) {
    let at = history.events.iter().position(|e| e.fact.kind() == kind).expect(kind);
    history.events.remove(at);
    history.texts.remove(at);
}

/// What `n` signs and the server says came of it, whatever the core thinks.
fn forge(history: &mut History, n: u128, request: Option<RequestId>, command: Command, fact: Fact) {
    let (by, _, signed) = history.sign(n, command).unwrap();
    history.put(by, request, fact, Some(signed), Vec::new());
}

fn say(history: &mut History, request: usize, fact: Fact) {
    let id = history.requests[request].id;
    history.put(By::Gatepass, Some(id), fact, None, Vec::new());
}

fn verdict(history: &History, request: usize, verdict: Verdict) -> Command {
    let of = &history.requests[request];
    Command::Decide { request: of.id, revision: 1, shown: of.shown(), verdict, duration_s: None, note: None }
}

fn approved(duration_s: u32) -> Fact {
    Fact::RequestApproved { duration_s, note: None }
}

fn forge_approval(history: &mut History, n: u128, request: usize) {
    let (id, duration_s) = (history.requests[request].id, history.requests[request].duration_s);
    let command = verdict(history, request, Verdict::Approve);
    forge(history, n, Some(id), command, approved(duration_s));
}

fn rule_of(event: &mut Event) -> &mut gatepass_core::event::Rule {
    match &mut event.fact {
        Fact::RequestCreated { rule, .. } => rule,
        _ => panic!("a request"),
    }
}

/// Each breaks the rule it names; the last event is where unless it says otherwise.
#[allow(clippy::too_many_lines)]
fn breaks() -> Vec<(&'static str, History)> {
    let mut all: Vec<(&'static str, History)> = Vec::new();
    let mut add = |rule, history: History| all.push((rule, history));

    let mut history = life();
    let first = history.events[0].id;
    edit(&mut history, "grant.provisioning", |e| e.id = first);
    add("event-id", history);

    let mut history = life();
    edit(&mut history, "grant.ended", |e| {
        e.by = By::Person { person: person(0), device: DeviceId(Uuid::nil()) };
    });
    add("author", history);
    let mut history = life();
    edit(&mut history, "request.approved", |e| (e.by, e.command) = (By::Gatepass, None));
    add("author", history);

    let (mut history, asked) = half();
    let (by, _, signed) = {
        let command = verdict(&history, asked, Verdict::Approve);
        history.sign(3, command).unwrap()
    };
    let id = history.requests[asked].id;
    let By::Person { device, .. } = by else { panic!() };
    history.put(By::Person { person: person(4), device }, Some(id), approved(1200), Some(signed), Vec::new());
    add("device", history);

    // Signed by a device that was disabled, and is told as if it were not.
    let (mut history, asked) = half();
    let command = verdict(&history, asked, Verdict::Approve);
    let late = history.sign(3, command).unwrap();
    history.revoke_all(None, 3).unwrap();
    history.put(late.0, Some(history.requests[asked].id), approved(1200), Some(late.2), Vec::new());
    add("device", history);

    let mut history = life();
    edit(&mut history, "request.approved", |e| {
        let command = e.command.as_mut().unwrap();
        command.body["at"] = "2027-01-15T08:00:11Z".into();
    });
    add("signature", history);
    // Exchanged between two events of one device.
    let mut history = life();
    let of = |history: &History, n: usize| {
        let mut all = history.events.iter().filter(|e| e.fact.kind() == "request.approved");
        all.nth(n).unwrap().command.clone().unwrap().signature
    };
    let other = of(&history, 2);
    edit(&mut history, "request.approved", |e| e.command.as_mut().unwrap().signature.clone_from(&other));
    add("signature", history);

    let mut history = life();
    edit(&mut history, "request.approved", |e| {
        if let Fact::RequestApproved { note, .. } = &mut e.fact {
            *note = Some(Digest::of(b"another"));
        }
    });
    add("command", history);

    let (mut history, asked) = active();
    let reason = Digest::of(b"why");
    let grant = history.grant(asked);
    let again = history.sign(5, Command::Revoke { grant, reason: reason.clone() }).unwrap();
    let ending = Fact::GrantEnding { grant, cause: EndCause::Revoked, reason: Some(reason) };
    let id = Some(history.requests[asked].id);
    history.put(again.0, id, ending.clone(), Some(again.2.clone()), Vec::new());
    history.put(again.0, id, ending, Some(again.2), Vec::new());
    add("command-id", history);

    let mut history = life();
    for event in &mut history.events {
        event.at += TimeDelta::minutes(if event.fact.kind() == "request.created" { 6 } else { 0 });
        if let Fact::RequestCreated { lapses_at, .. } = &mut event.fact {
            *lapses_at += TimeDelta::minutes(6);
        }
    }
    add("time", history);

    let mut history = life();
    edit(&mut history, "grant.active", |e| e.at += TimeDelta::hours(2));
    add("time", history);

    let mut history = History::cast();
    history.ask(0, "orders-db", "read", 100).unwrap();
    let head = Head { size: 3, root: Digest::of(b"another log") };
    let position = history.events.iter().position(|e| e.fact.kind() == "request.created").unwrap();
    let command = history.events[position].command.clone().unwrap();
    let mut body = command.body;
    body["head"] = serde_json::to_value(&head).unwrap();
    history.events[position].command = Some(history.sign_body(0, "request.create", &body));
    add("head", history);

    let mut history = History::default();
    history.publish(gatepass_log::testing::catalogue());
    history.enroll(9);
    add("person", history);

    let mut history = History::cast();
    let again = history.events.iter().find(|e| e.fact.kind() == "device.enrolled").unwrap().clone();
    let mut body = again.command.as_ref().unwrap().body.clone();
    body["id"] = "00000000-0000-0000-0000-00000000004f".into();
    let command = history.sign_body(0, "device.enroll", &body);
    history.put(again.by, None, again.fact, Some(command), Vec::new());
    add("enrolment", history);

    let mut history = History::cast();
    let reason = Digest::of(b"left");
    let order = Command::RevokeAll { person: person(1), reason: reason.clone() };
    forge(&mut history, 0, None, order, Fact::PersonRevoked { person: person(1), reason });
    add("admin", history);

    let mut history = History::cast();
    let device = history.device(1).unwrap();
    let fact = Fact::DeviceDisabled { person: person(1), device };
    history.put(By::Gatepass, None, fact, None, Vec::new());
    add("revoke-all", history);
    // Somebody else’s request, under an order that is there.
    let (mut history, asked) = half();
    let reason = Digest::of(b"left");
    let order = Command::RevokeAll { person: person(1), reason: reason.clone() };
    let (by, _, signed) = history.sign(5, order).unwrap();
    let revoked = Fact::PersonRevoked { person: person(1), reason };
    history.put(by, None, revoked, Some(signed.clone()), Vec::new());
    history.put(by, Some(history.requests[asked].id), Fact::RequestWithdrawn, Some(signed), Vec::new());
    add("revoke-all", history);

    let mut history = life();
    let other = SaltedText::new([7; 16], "{\"resources\":[]}");
    history.texts[0] = vec![other.clone()];
    edit(&mut history, "catalogue.published", |e| {
        if let Fact::CataloguePublished { document, .. } = &mut e.fact {
            *document = other.digest();
        }
    });
    add("catalogue", history);

    let mut history = life();
    edit(&mut history, "request.created", |e| e.request = Some(RequestId(Uuid::from_u128(4))));
    add("request-id", history);
    let mut history = life();
    for event in &mut history.events {
        if let Fact::RequestCreated { number, .. } = &mut event.fact {
            *number = Number(1);
        }
    }
    add("request-id", history);

    let mut history = life();
    remove(&mut history, "request.created");
    add("context", history);

    // The rule without its approvers; the leaf and all that follows made again.
    let mut history = life();
    edit(&mut history, "request.created", |e| rule_of(e).approve.clear());
    add("rule", history);
    // Another catalogue, published before the request is made under the one that was in force.
    let mut history = life();
    let mut catalogue = history.catalogue.clone();
    catalogue.resources[0].roles[1].approve.clear();
    let (mut forged, hash) = (History::default(), catalogue.hash());
    forged.publish(catalogue);
    history.events[0] = forged.events[0].clone();
    history.texts[0] = forged.texts[0].clone();
    edit(&mut history, "request.created", |e| rule_of(e).catalogue = hash.clone());
    add("rule", history);

    let mut history = life();
    edit(&mut history, "person.recorded", |e| {
        if let Fact::PersonRecorded { groups, .. } = &mut e.fact {
            *groups = vec!["support".into()];
        }
    });
    add("asker", history);

    let mut history = History::cast();
    let mut catalogue = history.catalogue.clone();
    catalogue.resources[0].roles[0].max_s = 7200;
    history.catalogue = catalogue;
    history.ask(0, "orders-db", "read", 5000).unwrap();
    let (right, wrong) = (gatepass_log::testing::catalogue().hash(), 3600);
    edit(&mut history, "request.created", |e| {
        (rule_of(e).catalogue, rule_of(e).max_s) = (right.clone(), wrong);
    });
    add("duration", history);

    let (mut history, asked) = active();
    let (reason, grant) = (Digest::of(b"more"), history.grant(asked));
    let mut of = history.requests[asked].clone();
    let command = Command::Extend { grant, duration_s: 60, reason: Some(reason.clone()) };
    let (by, id, signed) = history.sign(2, command).unwrap();
    of.rule.catalogue = history.catalogue.hash();
    let fact = Fact::RequestCreated {
        number: Number(2),
        resource: of.resource,
        role: of.role,
        rule: of.rule,
        duration_s: 60,
        lapses_at: history.now + TimeDelta::seconds(60),
        reason: Some(reason),
        ticket: None,
        extends: Some(grant),
        ssh_key: None,
    };
    history.put(by, Some(id.into()), fact, Some(signed), Vec::new());
    add("extension", history);

    let mut history = life();
    edit(&mut history, "request.created", |e| {
        if let Fact::RequestCreated { lapses_at, .. } = &mut e.fact {
            *lapses_at += TimeDelta::seconds(1);
        }
    });
    add("lapse", history);
    let (mut history, asked) = half();
    say(&mut history, asked, Fact::RequestLapsed);
    add("lapse", history);
    let (mut history, asked) = half();
    history.wait(3000);
    forge_approval(&mut history, 3, asked);
    add("lapse", history);

    let (mut history, asked) = half();
    history.decide(4, asked, Verdict::Deny, None).unwrap();
    forge_approval(&mut history, 3, asked);
    add("pending", history);

    let (mut history, asked) = half();
    let id = history.requests[asked].id;
    let command = Command::Decide {
        request: id,
        revision: 1,
        shown: Digest::of(b"something else"),
        verdict: Verdict::Approve,
        duration_s: None,
        note: None,
    };
    forge(&mut history, 3, Some(id), command, approved(1200));
    add("shown", history);

    let mut history = History::cast();
    let asked = history.ask(2, "orders-db", "write", 1200).unwrap();
    forge_approval(&mut history, 2, asked);
    add("self", history);

    let (mut history, asked) = half();
    forge_approval(&mut history, 5, asked);
    add("approver", history);

    let (mut history, asked) = half();
    forge_approval(&mut history, 1, asked);
    add("twice", history);

    let (mut history, asked) = half();
    forge_approval(&mut history, 2, asked);
    add("needed", history);

    let (mut history, asked) = half();
    let id = history.requests[asked].id;
    let command = Command::Decide {
        request: id,
        revision: 1,
        shown: history.requests[asked].shown(),
        verdict: Verdict::Approve,
        duration_s: Some(1300),
        note: None,
    };
    forge(&mut history, 3, Some(id), command, approved(1300));
    add("allowed", history);

    let (mut history, asked) = half();
    let (grant, now) = (GrantId(Uuid::from_u128(77)), history.now);
    let latest_end = now + TimeDelta::seconds(900 + 1200);
    say(&mut history, asked, Fact::RequestGranted { grant, duration_s: 1200, latest_end });
    add("quorum", history);
    // The second approval is left out.
    let mut history = life();
    let second = history
        .events
        .iter()
        .rposition(|e| e.fact.kind() == "request.approved" && e.request == Some(history.requests[0].id));
    history.events.remove(second.unwrap());
    history.texts.remove(second.unwrap());
    add("quorum", history);

    let mut history = life();
    edit(&mut history, "request.granted", |e| {
        if let Fact::RequestGranted { duration_s, latest_end, .. } = &mut e.fact {
            (*duration_s, *latest_end) = (1200, *latest_end + TimeDelta::seconds(600));
        }
    });
    add("granted", history);

    let (mut history, asked) = half();
    let id = history.requests[asked].id;
    forge(&mut history, 1, Some(id), Command::Withdraw { request: id }, Fact::RequestWithdrawn);
    add("withdrawn", history);

    let (mut history, asked) = half();
    history.revoke_all(None, 3).unwrap();
    say(&mut history, asked, Fact::ApprovalVoided { person: person(3) });
    add("voided", history);

    let mut history = life();
    edit(&mut history, "grant.active", |e| {
        if let Fact::GrantActive { grant, .. } = &mut e.fact {
            *grant = GrantId(Uuid::nil());
        }
    });
    add("grant", history);

    let mut history = life();
    let grant = history.grant(0);
    say(&mut history, 0, Fact::GrantProvisioning { grant });
    add("grant-state", history);
    let mut history = life();
    remove(&mut history, "grant.ending");
    add("grant-state", history);

    let mut history = life();
    edit(&mut history, "grant.active", |e| {
        if let Fact::GrantActive { ends_at, .. } = &mut e.fact {
            *ends_at += TimeDelta::seconds(1);
        }
    });
    add("active", history);

    let mut history = life();
    edit(&mut history, "grant.extended", |e| {
        if let Fact::GrantExtended { ends_at, .. } = &mut e.fact {
            *ends_at += TimeDelta::seconds(60);
        }
    });
    add("extended", history);
    let mut history = life();
    let mut again = history.events.iter().find(|e| e.fact.kind() == "grant.extended").unwrap().clone();
    let at = history.events.iter().position(|e| e.fact.kind() == "grant.ending").unwrap();
    again.id = EventId(Uuid::from_u128(78));
    history.events.insert(at, again);
    history.texts.insert(at, Vec::new());
    add("extended", history);

    let (mut history, asked) = active();
    let (id, grant) = (history.requests[asked].id, history.grant(asked));
    let ending = Fact::GrantEnding { grant, cause: EndCause::Returned, reason: None };
    forge(&mut history, 1, Some(id), Command::Return { grant }, ending);
    add("returned", history);

    let (mut history, asked) = active();
    let (id, grant, reason) = (history.requests[asked].id, history.grant(asked), Digest::of(b"why"));
    let ending = Fact::GrantEnding { grant, cause: EndCause::Revoked, reason: Some(reason.clone()) };
    forge(&mut history, 1, Some(id), Command::Revoke { grant, reason }, ending);
    add("revoked", history);

    let (mut history, asked) = active();
    let grant = history.grant(asked);
    say(&mut history, asked, Fact::GrantEnding { grant, cause: EndCause::Expired, reason: None });
    add("expired", history);

    let (mut history, asked) = active();
    let grant = history.grant(asked);
    say(&mut history, asked, Fact::GrantEnding { grant, cause: EndCause::Failed, reason: None });
    add("cause", history);
    let mut history = life();
    edit(&mut history, "grant.ended", |e| {
        if let Fact::GrantEnded { cause, .. } = &mut e.fact {
            *cause = EndCause::Returned;
        }
    });
    add("cause", history);

    let mut history = life();
    edit(&mut history, "grant.ended", |e| {
        if let Fact::GrantEnded { removal, .. } = &mut e.fact {
            removal.checked_at -= TimeDelta::seconds(60);
        }
    });
    add("removal", history);

    let (mut history, asked) = active();
    let removal = Removal { checked_at: history.now, sessions_ended: 0, attempts: 1 };
    let grant = history.grant(asked);
    let target = "orders-db-target".to_owned();
    say(&mut history, asked, Fact::AccessRemoved { target, grant, removal, groups: vec!["dba".into()] });
    add("unexplained", history);

    let mut history = History::cast();
    let drift = history.found(None, &["orders_write"]);
    history.gone(drift);
    history.gone(drift);
    add("drift", history);

    let mut history = History::cast();
    let drift = history.found(None, &["orders_write"]);
    let (id, reason) = (history.drift[drift].id, Digest::of(b"ours"));
    let found = history.drift[drift].found.clone();
    let command = Command::DriftKnown { drift: id, revision: 1, reason: reason.clone() };
    forge(&mut history, 0, None, command, Fact::DriftKnown { drift: id, reason, found });
    add("marked", history);
    let mut history = History::cast();
    let drift = history.found(None, &["orders_write"]);
    history.found(Some(drift), &["orders_admin"]);
    let (id, reason) = (history.drift[drift].id, Digest::of(b"ours"));
    let found = history.drift[drift].found.clone();
    let command = Command::DriftKnown { drift: id, revision: 1, reason: reason.clone() };
    forge(&mut history, 1, None, command, Fact::DriftKnown { drift: id, reason, found });
    add("marked", history);
    all
}

#[test]
fn each_rule_is_broken_by_something_and_named() {
    for history in [life(), half().0, active().0] {
        assert_eq!(found(whole(&history.events, &history.texts)), None);
    }
    let mut named = BTreeSet::new();
    for (n, (rule, history)) in breaks().into_iter().enumerate() {
        let outcome = whole(&history.events, &history.texts);
        let message = outcome.as_ref().err().map(|f| f.message.clone());
        assert_eq!(found(outcome).map(|(rule, _)| rule), Some(rule), "{n}: {message:?}");
        named.insert(rule);
    }
    // Those of the log itself are below, the one of bundles where these are.
    let elsewhere = ["dense", "order", "leaf", "event", "text", "root", "checkpoint", "inclusion"];
    let missing: Vec<&str> = RULES
        .iter()
        .map(|(rule, _)| *rule)
        .filter(|r| !named.contains(r) && !elsewhere.contains(r))
        .collect();
    assert!(missing.is_empty(), "nothing breaks {missing:?}");
}

#[test]
fn positions_and_leaves_are_those_of_the_log() {
    let all = life().items();
    let broken = |extent, change: &dyn Fn(&mut Vec<Item>)| {
        let mut items = all.clone();
        change(&mut items);
        found(replay(extent, items))
    };
    let last = all.len() as u64;
    let (whole, parts) = (Extent::Whole, Extent::Parts);
    assert_eq!(broken(whole, &|_| {}), None);
    assert_eq!(broken(parts, &|_| {}), None);
    assert_eq!(broken(whole, &|i| drop(i.remove(4))), Some(("dense", 5)));
    assert_eq!(broken(whole, &|i| i.insert(4, i[4].clone())), Some(("dense", 6)));
    assert_eq!(broken(whole, &|i| i.swap(2, 3)), Some(("dense", 3)));
    assert_eq!(broken(parts, &|i| i.swap(2, 3)), Some(("order", 3)));
    assert_eq!(broken(whole, &|i| i[6].leaf = Hash([0; 32])), Some(("leaf", 7)));
    let content = |i: &mut Vec<Item>, at: usize, text: String| {
        i[at].leaf = Hash::leaf(text.as_bytes());
        i[at].content = Some(text);
    };
    for (from, to) in [("{", "{ "), ("\"kind\":\"", "\"kind\":\"other."), ("\"at\":", "\"At\":")] {
        let change = |i: &mut Vec<Item>| {
            let text = i[6].content.as_ref().unwrap().replacen(from, to, 1);
            content(i, 6, text);
        };
        assert_eq!(broken(whole, &change), Some(("event", 7)), "{to}");
    }
    let absurd = |i: &mut Vec<Item>| {
        let text = i[0].content.as_ref().unwrap().replacen("\"at\":\"2027", "\"at\":\"+262000", 1);
        content(i, 0, text);
    };
    assert_eq!(broken(whole, &absurd), Some(("event", 1)));
    // Of two things that are wrong, the first is told.
    let both = |i: &mut Vec<Item>| {
        i[9].leaf = Hash([0; 32]);
        i.truncate(last as usize - 1);
        i.remove(3);
    };
    assert_eq!(broken(whole, &both), Some(("dense", 4)));
}

/// What is decided by what held a moment ago, as a node that has not yet heard of the change does it.
#[test]
fn a_change_of_groups_is_heard_of_within_seconds() {
    for (later, expected) in [(9, None), (11, Some("approver"))] {
        let (mut history, asked) = half();
        history.record(3, &[], false);
        history.wait(later);
        forge_approval(&mut history, 3, asked);
        assert_eq!(found(whole(&history.events, &history.texts)).map(|(rule, _)| rule), expected);
    }
}
