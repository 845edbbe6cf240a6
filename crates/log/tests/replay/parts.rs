//! A log of which not everything may be read.

use crate::{found, replay};
use gatepass_core::command::Report;
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::RequestId;
use gatepass_core::wire::Verdict;
use gatepass_log::replay::{Extent, Item};
use gatepass_log::testing::History;

/// Two requests, of which the first is extended and the second denied.
fn history() -> History {
    let mut history = History::cast();
    let asked = history.ask(0, "orders-db", "write", 1200).unwrap();
    let other = history.ask(0, "hosts", "login", 600).unwrap();
    history.approve(1, asked).unwrap();
    history.approve(3, asked).unwrap();
    history.set_up(asked).unwrap();
    history.decide(3, other, Verdict::Deny, None).unwrap();
    let more = history.extend(0, asked, 300).unwrap();
    history.approve(1, more).unwrap();
    history.approve(3, more).unwrap();
    history.found(None, &["orders_write"]);
    history.mark(1, 0, true).unwrap();
    history.wait(2000);
    history.report(asked, &Report::EndDue).unwrap();
    history.removed(asked).unwrap();
    history
}

fn read_by(history: &History, may: impl Fn(&Event) -> bool) -> Vec<Item> {
    let mut items = gatepass_log::testing::items(&history.events, &history.texts);
    for (item, event) in items.iter_mut().zip(&history.events) {
        if !may(event) {
            (item.content, item.texts) = (None, Vec::new());
        }
    }
    items
}

fn but(history: &History, request: usize) -> Vec<Item> {
    let hidden: RequestId = history.requests[request].id;
    read_by(history, |event| event.request != Some(hidden))
}

#[test]
fn what_may_not_be_read_is_not_held_against_what_may() {
    let history = history();
    for request in 0..3 {
        let items = but(&history, request);
        let events = items.iter().filter(|i| i.content.is_some()).count() as u64;
        let report = match replay(Extent::Whole, items) {
            Ok(report) => report,
            Err(finding) => panic!("without {request}: {finding:?}"),
        };
        assert_eq!((report.positions, report.events), (history.events.len() as u64, events));
    }
    let nothing = read_by(&history, |e| e.request.is_none() && e.fact.found().is_none());
    assert_eq!(found(replay(Extent::Whole, nothing)), None);
}

#[test]
fn a_request_that_began_here_is_held_to_every_rule_beside_others_that_may_not_be_read() {
    let history = history();
    let hidden = history.requests[1].id;
    let first = history.requests[0].id;
    let mut forged = self::history();
    for event in &mut forged.events {
        if let (Fact::GrantActive { ends_at, .. }, Some(id)) = (&mut event.fact, event.request)
            && id == first
        {
            *ends_at += chrono::TimeDelta::seconds(1);
        }
    }
    let items = read_by(&forged, |event| event.request != Some(hidden));
    assert_eq!(found(replay(Extent::Whole, items)).map(|(rule, _)| rule), Some("active"));
}

#[test]
fn parts_explain_themselves() {
    let history = history();
    let all = gatepass_log::testing::items(&history.events, &history.texts);
    let only = |keep: &dyn Fn(&Event) -> bool| {
        let kept = all.iter().zip(&history.events).filter(|(_, e)| keep(e)).map(|(i, _)| i.clone());
        found(replay(Extent::Parts, kept.collect())).map(|(rule, _)| rule)
    };
    let of = |n: usize| Some(history.requests[n].id);
    // One access with its extension, and who and what they need; the other request is left out.
    assert_eq!(only(&|e| e.request != of(1)), None);
    assert_eq!(only(&|e| e.request == of(0)), Some("device"));
    assert_eq!(only(&|e| e.fact.kind() != "person.recorded"), Some("person"));
    assert_eq!(only(&|e| e.fact.kind() != "request.created"), Some("context"));
    // The access was extended, and nothing of what allowed it is there.
    assert_eq!(only(&|e| e.request != of(2)), Some("extended"));
    // Without the catalogue, the rule can't be held against it, and that is said.
    let kept = all.iter().zip(&history.events).filter(|(_, e)| e.fact.kind() != "catalogue.published");
    let report = replay(Extent::Parts, kept.map(|(i, _)| i.clone()).collect()).unwrap();
    assert_eq!(report.without_catalogue.len(), 3);
}
