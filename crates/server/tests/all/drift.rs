//! What a target shows beside what was granted: told, marked, and gone; and what of ours is nobody's, or missing.

use chrono::TimeDelta;
use gatepass_connectors::fake::{Fault, Verb};
use gatepass_connectors::{Access, Holder, TargetError};
use gatepass_core::catalogue::Session;
use gatepass_core::command::Command;
use gatepass_core::drift::BY_NAME;
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::{DriftId, GrantId, PersonId};
use gatepass_core::wire::{
    Accepted, DriftState, DriftView, EndCause, GrantState, GrantView, LogPage, Marked, Page, Submit,
};
use gatepass_server::testing::{Answer, PATIENCE, Setup, Someone, TestClock, TestServer, salted};
use std::sync::Arc;
use uuid::Uuid;

fn noon() -> Arc<TestClock> {
    TestClock::new("2026-11-17T12:00:00Z".parse().unwrap())
}

async fn at(clock: &Arc<TestClock>) -> TestServer {
    TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await
}

/// Lets the minute pass and waits until the target was looked at so often.
async fn looked(server: &TestServer, clock: &TestClock, times: u64) {
    let until = server.fake.calls(Verb::Strangers) + times;
    clock.advance(TimeDelta::minutes(1));
    let done = async {
        while server.fake.calls(Verb::Strangers) < until {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("the target is looked at");
}

async fn drift(someone: &Someone) -> Vec<DriftView> {
    someone.get("/v1/drift").await.get::<Page<DriftView>>().items
}

async fn mark(someone: &Someone, of: &DriftView, reason: &str) -> Answer {
    let reason = salted(reason);
    let command =
        Command::DriftKnown { drift: of.id, revision: of.revision, reason: reason.digest().unwrap() };
    someone.send(&format!("/v1/drift/{}/known", of.id), command, vec![reason]).await
}

async fn unmark(someone: &Someone, of: &DriftView) -> Answer {
    let reason = salted("nobody knows why any more");
    let command =
        Command::DriftUnknown { drift: of.id, revision: of.revision, reason: reason.digest().unwrap() };
    someone.send(&format!("/v1/drift/{}/unknown", of.id), command, vec![reason]).await
}

/// The facts about drift that `someone` reads in the log.
async fn read(someone: &Someone) -> Vec<Event> {
    let page: LogPage = someone.get("/v1/log/events").await.get();
    let events = page.entries.into_iter().filter_map(|e| e.event);
    events.filter(|e| e.fact.kind().starts_with("drift.")).collect()
}

#[tokio::test]
async fn told_marked_and_gone() {
    let clock = noon();
    let server = at(&clock).await;
    let ada = server.admin("ada").await;
    let dana = server.person("dana", &["dba"]).await;
    let audrey = server.auditor("audrey").await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.fake.give_to("metrics_ro", &["orders_writer", "something_else"]);
    looked(&server, &clock, 2).await;
    server.until("drift.found", 1).await;
    let list = dana.get("/v1/drift").await;
    crate::redacted(|| insta::assert_json_snapshot!("drift_seen_by_an_approver", list.body));
    for someone in [&ada, &audrey] {
        assert_eq!(drift(someone).await.len(), 1);
        assert_eq!(read(someone).await.len(), 1);
    }
    assert_eq!(read(&dana).await.len(), 1);
    assert!(drift(&tomas).await.is_empty(), "not theirs to see");
    assert!(read(&tomas).await.is_empty());
    assert!(!drift(&audrey).await[0].can_mark);

    // It is told once.
    looked(&server, &clock, 1).await;
    let open = drift(&dana).await.remove(0);
    assert_eq!((open.state, open.name.as_deref()), (DriftState::Open, Some("metrics_ro")));
    assert_eq!(mark(&tomas, &open, "mine").await.code(), "not_found");
    assert_eq!(mark(&audrey, &open, "mine").await.code(), "not_allowed");
    assert_eq!(mark(&dana, &open, "  ").await.code(), "reason_required");
    let stale = DriftView { revision: 7, ..open.clone() };
    assert_eq!(mark(&dana, &stale, "monitoring").await.code(), "stale_revision");
    let known: Marked = mark(&dana, &open, "monitoring").await.get();
    assert_eq!((known.drift.state, known.drift.revision), (DriftState::Known, 2));
    let said = known.drift.known.clone().unwrap();
    assert_eq!((said.by.handle.as_str(), said.reason.as_deref()), ("dana", Some("monitoring")));
    assert_eq!(mark(&ada, &known.drift, "monitoring").await.code(), "already_decided");
    // Quiet, and still listed.
    looked(&server, &clock, 1).await;
    assert_eq!(drift(&ada).await, [DriftView { can_mark: true, ..known.drift.clone() }]);
    let back: Marked = unmark(&ada, &known.drift).await.get();
    assert_eq!((back.drift.state, back.drift.known.is_none()), (DriftState::Open, true));
    let known: Marked = mark(&dana, &back.drift, "monitoring after all").await.get();

    // It holds more: open again.
    server.fake.give_to("metrics_ro", &["orders_writer", "orders_reader"]);
    looked(&server, &clock, 2).await;
    server.until("drift.found", 2).await;
    let again = drift(&dana).await.remove(0);
    assert_eq!((again.id, again.state), (known.drift.id, DriftState::Open));
    assert_eq!(again.grants, ["orders_reader", "orders_writer"]);

    server.fake.give_to("metrics_ro", &[]);
    looked(&server, &clock, 2).await;
    server.until("drift.gone", 1).await;
    assert!(drift(&dana).await.is_empty());
    let gone = dana.get("/v1/drift?gone=true").await.get::<Page<DriftView>>().items;
    assert_eq!((gone[0].state, gone[0].can_mark), (DriftState::Gone, false));
    assert_eq!(server.fake.calls(Verb::Remove), 0, "never touched");
    let kinds: Vec<_> = read(&dana).await.iter().map(|e| e.fact.kind()).collect();
    assert_eq!(
        kinds,
        ["drift.found", "drift.known", "drift.unknown", "drift.known", "drift.found", "drift.gone"]
    );
    server.finish().await;
}

#[tokio::test]
async fn marking_is_once_and_of_what_the_address_names() {
    let clock = noon();
    let server = at(&clock).await;
    let ada = server.admin("ada").await;
    server.fake.give_to("metrics_ro", &["orders_writer"]);
    looked(&server, &clock, 2).await;
    server.until("drift.found", 1).await;
    let open = drift(&ada).await.remove(0);
    let reason = salted("monitoring");
    let command =
        Command::DriftKnown { drift: open.id, revision: open.revision, reason: reason.digest().unwrap() };
    let submit = Submit { command: ada.sign(command), texts: vec![reason] };
    let path = format!("/v1/drift/{}/known", open.id);
    let first = ada.post(&path, &submit).await.get::<Marked>().drift;
    assert_eq!(ada.post(&path, &submit).await.get::<Marked>().drift, first, "the same write");
    assert_eq!(server.kinds().await.iter().filter(|k| **k == "drift.known").count(), 1);
    let elsewhere = format!("/v1/drift/{}/known", DriftId(Uuid::now_v7()));
    let other = unmark(&ada, &DriftView { id: DriftId(Uuid::now_v7()), ..first.clone() }).await;
    assert_eq!(other.code(), "not_found");
    let reason = salted("no");
    let command =
        Command::DriftKnown { drift: open.id, revision: open.revision, reason: reason.digest().unwrap() };
    assert_eq!(ada.send(&elsewhere, command, vec![reason]).await.code(), "malformed");
    assert_eq!(ada.get("/v1/drift?limit=0").await.code(), "malformed");
    assert_eq!(ada.get("/v1/drift?after=x").await.code(), "malformed");
    server.finish().await;
}

#[tokio::test]
async fn a_target_that_does_not_answer_or_contradicts_itself_is_no_drift() {
    let clock = noon();
    let server = at(&clock).await;
    let away = TargetError::Unreachable("connection refused".to_owned());
    server.fake.give_to("metrics_ro", &["orders_writer"]);
    looked(&server, &clock, 2).await;
    server.until("drift.found", 1).await;
    // It does not answer; and then only one look of two does.
    server.fake.next(Verb::Strangers, Fault::Before(away.clone()));
    looked(&server, &clock, 1).await;
    server.fake.give_to("metrics_ro", &[]);
    server.fake.at(Verb::Strangers, server.fake.calls(Verb::Strangers) + 2, Fault::Before(away));
    looked(&server, &clock, 2).await;
    // The next look that answers twice.
    looked(&server, &clock, 2).await;
    server.until("drift.gone", 1).await;
    let kinds = server.kinds().await;
    assert_eq!(kinds.iter().filter(|k| k.starts_with("drift.")).count(), 2);
    server.finish().await;
}

#[tokio::test]
async fn thousands_do_not_flood_the_log() {
    let clock = noon();
    let server = at(&clock).await;
    let ada = server.admin("ada").await;
    for n in 0..3_000 {
        server.fake.give_to(&format!("user{n:04}"), &["orders_reader"]);
    }
    looked(&server, &clock, 2).await;
    server.until("drift.found", BY_NAME + 1).await;
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let page: Page<DriftView> = ada.get(&format!("/v1/drift?limit=40{next}")).await.get();
        all.extend(page.items);
        match page.next {
            Some(after) => next = format!("&after={after}"),
            None => break,
        }
    }
    assert_eq!(all.len(), BY_NAME + 1);
    assert_eq!(all.iter().filter_map(|d| d.more).collect::<Vec<_>>(), [2_900]);
    looked(&server, &clock, 1).await;
    assert_eq!(server.kinds().await.iter().filter(|k| **k == "drift.found").count(), BY_NAME + 1);
    server.finish().await;
}

#[tokio::test]
async fn what_somebody_took_away_ends_and_is_not_made_again() {
    let clock = noon();
    let server = at(&clock).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let stolen = tomas.ask_because("read", 600, None, None).await.get::<Accepted>().grant.unwrap().id;
    tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    server.until("grant.active", 2).await;
    server.fake.steal(stolen);
    looked(&server, &clock, 1).await;
    server.until("grant.ended", 1).await;
    let over: GrantView = tomas.get(&format!("/v1/grants/{stolen}")).await.get();
    assert_eq!((over.state, over.end), (GrantState::Ended, Some(EndCause::Missing)));
    let other: GrantView = tomas.get("/v1/grants/R-2").await.get();
    assert_eq!(other.state, GrantState::Active);
    assert_eq!(server.fake.calls(Verb::Provision), 2);
    clock.advance(TimeDelta::minutes(10));
    server.until("grant.ended", 2).await;
    server.finish().await;
}

#[tokio::test]
async fn what_one_look_misses_or_ends_soon_anyway_is_not_missing() {
    let clock = noon();
    let server = at(&clock).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let grant = tomas.ask_because("read", 200, None, None).await.get::<Accepted>().grant.unwrap().id;
    server.until("grant.active", 1).await;
    // In its last minute the target may have been faster than the server.
    clock.advance(TimeDelta::seconds(90));
    looked(&server, &clock, 1).await;
    server.fake.steal(grant);
    server.fake.next(Verb::Remove, Fault::Before(TargetError::Unreachable("gone".to_owned())));
    looked(&server, &clock, 1).await;
    // Before that is written, time that passes is not waited for.
    server.until("grant.delayed", 1).await;
    clock.advance(TimeDelta::minutes(1));
    server.until("grant.ended", 1).await;
    let over: GrantView = tomas.get(&format!("/v1/grants/{grant}")).await.get();
    assert_eq!(over.end, Some(EndCause::Expired));
    server.finish().await;
}

#[tokio::test]
async fn what_carries_our_tag_and_is_nobodys_is_removed_and_told() {
    let clock = noon();
    let server = at(&clock).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    let held = tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    server.until("grant.active", 1).await;
    tomas.give_back(&held).await.get::<Accepted>();
    server.until("grant.ended", 1).await;
    let until = server.clock.now() + TimeDelta::days(30);
    let holder = Holder { person: PersonId(Uuid::now_v7()), handle: "nobody".to_owned(), ssh_key: None };
    let grants = vec!["orders_writer".to_owned()];
    let plant = |grant| Access {
        grant,
        holder: holder.clone(),
        grants: grants.clone(),
        session: Session::Cut,
        until,
    };
    let (ended, unknown) = (held.grant.unwrap().id, GrantId(Uuid::now_v7()));
    server.fake.plant(&plant(ended));
    server.fake.plant(&plant(unknown));
    looked(&server, &clock, 1).await;
    server.until("access.removed", 2).await;
    assert!(server.fake.accesses().is_empty());
    let told: Vec<_> =
        server.events().await.into_iter().filter(|(_, e)| e.fact.kind() == "access.removed").collect();
    let of = |grant| {
        told.iter().find(|(_, e)| matches!(&e.fact, Fact::AccessRemoved { grant: g, .. } if *g == grant))
    };
    assert_eq!(of(ended).unwrap().1.request, Some(held.request.id));
    assert_eq!(of(unknown).unwrap().1.request, None);
    // Who asked sees what became of theirs; who approves on this target what is nobody's.
    let sees = async |someone: &Someone| {
        let page: LogPage = someone.get("/v1/log/events").await.get();
        let kinds = page.entries.into_iter().filter_map(|e| e.event).map(|e| e.fact);
        kinds.filter(|f| matches!(f, Fact::AccessRemoved { .. })).count()
    };
    assert_eq!((sees(&tomas).await, sees(&dana).await), (1, 1));
    server.finish().await;
}
