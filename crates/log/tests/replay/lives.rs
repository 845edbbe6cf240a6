//! Whatever people, clock and workers do, what the core allows holds; and what is changed afterwards is found.

use crate::{found, whole};
use gatepass_core::command::Report;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::wire::{GrantState, Verdict};
use gatepass_log::testing::History;
use proptest::prelude::*;
use serde_json::Value;

#[derive(Clone, Debug)]
enum Step {
    Ask { by: u128, role: usize, duration_s: u32 },
    Decide { by: u128, request: usize, approve: bool, duration_s: Option<u32> },
    Withdraw { by: u128, request: usize },
    Return { by: u128, request: usize },
    Revoke { by: u128, request: usize },
    RevokeAll { by: Option<u128>, who: u128 },
    Extend { by: u128, request: usize, duration_s: u32 },
    Work { request: usize, what: usize },
    Join { who: u128, group: usize, leave: bool },
    Enroll { who: u128 },
    Drift { by: u128, which: usize, what: usize },
    Publish,
    Wait { seconds: i64 },
}

const ROLES: [(&str, &str); 4] =
    [("orders-db", "read"), ("orders-db", "write"), ("orders-db", "admin"), ("hosts", "login")];
const PEOPLE: u128 = 6;

fn step() -> impl Strategy<Value = Step> {
    let who = 0..PEOPLE;
    let request = 0usize..6;
    prop_oneof![
        4 => (prop_oneof![Just(0), Just(2)], 0usize..4, 1u32..5000)
            .prop_map(|(by, role, duration_s)| Step::Ask { by, role, duration_s }),
        8 => (who.clone(), request.clone(), prop::bool::weighted(0.9), prop::option::of(1u32..5000))
            .prop_map(|(by, request, approve, duration_s)| Step::Decide { by, request, approve, duration_s }),
        1 => (who.clone(), request.clone()).prop_map(|(by, request)| Step::Withdraw { by, request }),
        1 => (who.clone(), request.clone()).prop_map(|(by, request)| Step::Return { by, request }),
        1 => (who.clone(), request.clone()).prop_map(|(by, request)| Step::Revoke { by, request }),
        1 => (prop::option::of(Just(5)), who.clone()).prop_map(|(by, who)| Step::RevokeAll { by, who }),
        2 => (who.clone(), request.clone(), 10u32..3000)
            .prop_map(|(by, request, duration_s)| Step::Extend { by, request, duration_s }),
        10 => (request, 0usize..8).prop_map(|(request, what)| Step::Work { request, what }),
        1 => (who.clone(), 0usize..3, any::<bool>()).prop_map(|(who, group, leave)| Step::Join { who, group, leave }),
        2 => who.clone().prop_map(|who| Step::Enroll { who }),
        2 => (who, 0usize..3, 0usize..5).prop_map(|(by, which, what)| Step::Drift { by, which, what }),
        1 => Just(Step::Publish),
        3 => (1i64..4000).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// What is refused leaves nothing behind.
fn run(history: &mut History, step: Step) {
    let requests = history.requests.len();
    let pick = |i: usize| i % requests.max(1);
    let there = requests > 0;
    let _ = match step {
        Step::Ask { by, role: which, duration_s } => {
            let (resource, role) = ROLES[which];
            history.ask(by, resource, role, duration_s).map(|_| ())
        }
        Step::Decide { by, request, approve, duration_s } if there => {
            let verdict = if approve { Verdict::Approve } else { Verdict::Deny };
            history.decide(by, pick(request), verdict, duration_s).map(|_| ())
        }
        Step::Withdraw { by, request } if there => {
            let id = history.requests[pick(request)].id;
            let command = gatepass_core::command::Command::Withdraw { request: id };
            history.command(by, Some(pick(request)), command).map(|_| ())
        }
        Step::Return { by, request } if there => history.give_back(by, pick(request)).map(|_| ()),
        Step::Revoke { by, request } if there => history.revoke(by, pick(request)).map(|_| ()),
        Step::RevokeAll { by, who } => history.revoke_all(by, who),
        Step::Extend { by, request, duration_s } if there => {
            history.extend(by, pick(request), duration_s).map(|_| ())
        }
        Step::Work { request, what } if there => {
            let request = pick(request);
            let since = history.now;
            let said = match what {
                0 | 1 => {
                    let _ = history.set_up(request);
                    return;
                }
                2 => Report::LapseDue,
                3 => Report::EndDue,
                4 => Report::Missing,
                5 => Report::SetupFailed {
                    message: "refused".into(),
                    attempts: 3,
                    last: since.timestamp() % 2 == 0,
                },
                6 => Report::RemovalFailed { message: "refused".into(), attempts: 3 },
                _ => {
                    let _ = history.removed(request);
                    return;
                }
            };
            history.report(request, &said)
        }
        Step::Join { who, group, leave } => {
            let group = ["backend", "dba", "oncall"][group];
            let admin = who == 5;
            history.record(who, if leave { &[] } else { std::slice::from_ref(&group) }, admin);
            // So that nobody decides by what held before.
            history.wait(11);
            Ok(())
        }
        Step::Enroll { who } => {
            history.enroll(who);
            Ok(())
        }
        Step::Drift { by, which, what } => {
            let drift = history.drift.len();
            let index = which % drift.max(1);
            match what {
                0 => {
                    history.found(None, &["orders_write"]);
                    Ok(())
                }
                _ if drift == 0 || history.drift[index].gone_at.is_some() => Ok(()),
                1 => {
                    history.found(Some(index), &["orders_admin"]);
                    Ok(())
                }
                2 => {
                    history.gone(index);
                    Ok(())
                }
                what => history.mark(by, index, what == 3),
            }
        }
        Step::Publish => {
            let mut catalogue = history.catalogue.clone();
            for role in catalogue.resources.iter_mut().flat_map(|r| &mut r.roles) {
                role.lapse_s += 1;
            }
            history.publish(catalogue);
            history.wait(11);
            Ok(())
        }
        Step::Wait { seconds } => {
            history.wait(seconds);
            Ok(())
        }
        _ => Ok(()),
    };
}

fn history(steps: Vec<Step>, heads: bool) -> History {
    let mut history = History::with_heads(heads);
    let cast = History::cast();
    // The same people, with heads from the first event on.
    history.publish(cast.catalogue);
    let groups: [&[&str]; 6] =
        [&["backend"], &["dba"], &["dba", "backend"], &["oncall"], &["oncall", "dba"], &[]];
    for (n, groups) in (0..).zip(groups) {
        history.record(n, groups, n == 5);
        history.enroll(n);
    }
    steps.into_iter().for_each(|step| run(&mut history, step));
    history
}

/// One place in the event's JSON, and what it becomes.
fn change(event: &Event, place: &prop::sample::Index, other: &str) -> Option<Event> {
    let mut value = serde_json::to_value(event).unwrap();
    let mut paths = Vec::new();
    leaves(&value, String::new(), &mut paths);
    let at = value.pointer_mut(&paths[place.index(paths.len())])?;
    *at = match &*at {
        Value::String(text) if text.parse::<gatepass_core::Time>().is_ok() => {
            let time = text.parse::<gatepass_core::Time>().unwrap();
            serde_json::to_value(time + chrono::TimeDelta::hours(2)).unwrap()
        }
        Value::String(text) if text.len() == 36 => Value::from("00000000-0000-0000-0000-000000000fff"),
        Value::String(text) if text.len() == 64 => Value::from("0".repeat(64)),
        Value::String(_) => Value::from(other),
        Value::Number(n) => Value::from(n.as_u64().unwrap_or(0) + 1),
        Value::Bool(b) => Value::from(!b),
        other => other.clone(),
    };
    // What is no event any more is found as that, and tells nothing here.
    serde_json::from_value(value).ok().filter(|changed| changed != event)
}

fn leaves(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(k, v)| leaves(v, format!("{path}/{k}"), found)),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(n, v)| leaves(v, format!("{path}/{n}"), found));
        }
        _ => found.push(path),
    }
}

/// What only Gatepass says and nothing else in the log tells: nobody’s entitlement, time or end depends on it.
fn harmless(before: &Event, after: &Event) -> bool {
    let mut same = after.clone();
    // Its own id, and when Gatepass says that it happened where nothing is due by it.
    same.id = before.id;
    let free = !matches!(before.fact, Fact::RequestCreated { .. } | Fact::RequestGranted { .. });
    if free && before.by == By::Gatepass {
        same.at = before.at;
    }
    match (&mut same.fact, &before.fact) {
        (
            Fact::GrantDelayed { message, attempts, .. },
            Fact::GrantDelayed { message: m, attempts: a, .. },
        ) => {
            (*message, *attempts) = (m.clone(), *a);
        }
        (Fact::GrantEnded { removal, .. }, Fact::GrantEnded { removal: r, .. })
        | (Fact::GrantFailed { removal, .. }, Fact::GrantFailed { removal: r, .. }) => {
            (removal.sessions_ended, removal.attempts) = (r.sessions_ended, r.attempts);
        }
        (Fact::RequestCreated { number, .. }, Fact::RequestCreated { number: n, .. }) => *number = *n,
        // Who is who is what Gatepass says; what they may do follows from it.
        (fact @ Fact::PersonRecorded { .. }, of @ Fact::PersonRecorded { .. }) => *fact = of.clone(),
        // What the target showed, and who is told.
        (fact @ Fact::DriftFound { .. }, of @ Fact::DriftFound { .. }) => *fact = of.clone(),
        // Without its document, nothing is held against the catalogue.
        (fact @ Fact::CataloguePublished { .. }, of @ Fact::CataloguePublished { .. }) => *fact = of.clone(),
        // The reason of an order at the console is Gatepass’s word.
        (fact @ Fact::PersonRevoked { .. }, of @ Fact::PersonRevoked { .. }) if before.by == By::Gatepass => {
            *fact = of.clone()
        }
        // A console’s.
        (Fact::GrantEnding { reason, .. }, Fact::GrantEnding { reason: r, .. })
            if before.by == By::Gatepass =>
        {
            reason.clone_from(r);
        }
        _ => {}
    }
    same == *before
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_the_core_allows_holds(steps in prop::collection::vec(step(), 1..120), heads: bool) {
        let history = history(steps, heads);
        let report = whole(&history.events, &history.texts);
        let report = match report {
            Ok(report) => report,
            Err(finding) => {
                let seq = usize::try_from(finding.seq).unwrap();
                return Err(TestCaseError::fail(format!("{finding:?}: {:#?}", history.events[seq - 1])));
            }
        };
        prop_assert_eq!(report.positions, history.events.len() as u64);
        prop_assert!(report.without_catalogue.is_empty());
        let active = |e: &&Event| matches!(e.fact, Fact::GrantActive { .. });
        prop_assert_eq!(report.grants, history.events.iter().filter(active).count() as u64);
        let newest = history.events.iter().map(|e| e.at).max().unwrap();
        let open = history.requests.iter().filter_map(|r| r.grant.as_ref());
        let open = open.filter(|g| !matches!(g.state, GrantState::Ended | GrantState::Failed));
        let overdue = open.filter(|g| g.ends_at.unwrap_or(g.latest_end) < newest).count();
        prop_assert_eq!(report.overdue.len(), overdue);
    }

    /// The leaves and the tree are made again, so that only what was said before and after can tell.
    #[test]
    fn what_is_changed_is_found_or_says_nothing(
        steps in prop::collection::vec(step(), 20..120), which: prop::sample::Index, place: prop::sample::Index,
    ) {
        let history = history(steps, false);
        let mut events = history.events.clone();
        let which = which.index(events.len());
        let Some(changed) = change(&events[which], &place, "other") else { return Ok(()) };
        let before = std::mem::replace(&mut events[which], changed);
        let outcome = found(whole(&events, &history.texts));
        prop_assert!(
            outcome.is_some() || harmless(&before, &events[which]),
            "{:#?} became {:#?}", before, events[which]
        );
        if let Some((_, seq)) = outcome {
            prop_assert!(seq > which as u64, "found before it, at {}", seq);
        }
    }

    /// With the heads that devices verified, every change before the last of them is found.
    #[test]
    fn no_change_before_a_signed_head_says_nothing(
        steps in prop::collection::vec(step(), 20..80), which: prop::sample::Index, place: prop::sample::Index,
    ) {
        let history = history(steps, true);
        let signed = |e: &Event| e.command.as_ref().is_some_and(|c| c.body.get("head").is_some());
        let Some(last) = history.events.iter().rposition(signed) else { return Ok(()) };
        if last == 0 { return Ok(()) }
        let mut events = history.events.clone();
        let which = which.index(last);
        let Some(changed) = change(&events[which], &place, "other") else { return Ok(()) };
        events[which] = changed;
        prop_assert!(found(whole(&events, &history.texts)).is_some());
    }
}
