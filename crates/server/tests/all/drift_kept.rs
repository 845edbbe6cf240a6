//! Drift in the store, on every implementation.

use gatepass_core::Time;
use gatepass_core::drift::{Drift, Found, Who, apply};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DriftId, EventId, GrantId};
use gatepass_core::text::{SaltedText, Texts};
use gatepass_core::wire::DriftState;
use gatepass_server::store::postgres::PostgresStore;
use gatepass_server::store::sqlite::{SqliteOptions, SqliteStore};
use gatepass_server::store::{
    Change, DriftChange, DriftFilter, DriftRow, JobChange, JobKind, Store, StoreError,
};
use gatepass_server::testing::database::Database;
use gatepass_server::testing::salted;
use uuid::Uuid;

fn noon() -> Time {
    "2026-11-17T12:00:00Z".parse().unwrap()
}

fn event(fact: Fact) -> Event {
    Event { id: EventId(Uuid::now_v7()), at: noon(), by: By::Gatepass, request: None, fact, command: None }
}

fn found(target: &str, name: &SaltedText) -> Found {
    Found {
        target: target.to_owned(),
        who: Who::Name(name.digest().unwrap()),
        grants: vec!["orders_writer".to_owned()],
        resources: vec!["orders-db".to_owned()],
        groups: vec!["dba".to_owned()],
    }
}

async fn tell(store: &dyn Store, target: &str, name: &str) -> Drift {
    let text = salted(name);
    let digest = text.digest().unwrap();
    let fact = Fact::DriftFound { drift: DriftId(Uuid::now_v7()), found: found(target, &text) };
    let event = event(fact);
    let drift = apply(None, &event).unwrap();
    let change = Change {
        events: vec![event],
        texts: Texts::from([(digest, text)]),
        drift: vec![DriftChange { drift: drift.clone(), expected: 0 }],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    drift
}

fn gone(drift: &Drift) -> (Drift, Change) {
    let event = event(Fact::DriftGone { drift: drift.id, found: drift.found.clone() });
    let next = apply(Some(drift.clone()), &event).unwrap();
    let drift = vec![DriftChange { drift: next.clone(), expected: drift.revision }];
    (next, Change { events: vec![event], drift, ..Change::default() })
}

async fn read(store: &dyn Store, filter: DriftFilter) -> Vec<Drift> {
    let limit = if filter.limit == 0 { usize::MAX } else { filter.limit };
    let rows = store.drift(DriftFilter { limit, ..filter }).await.unwrap();
    rows.into_iter().map(|row| row.drift).collect()
}

async fn check(store: &dyn Store) {
    let (a, b) = (tell(store, "pg", "metrics_ro").await, tell(store, "pg", "backup").await);
    let c = tell(store, "other", "metrics_ro").await;
    let all = DriftFilter::default();
    assert_eq!(read(store, all.clone()).await, [c.clone(), b.clone(), a.clone()]);
    let on = |target: &str| DriftFilter { target: Some(target.to_owned()), ..DriftFilter::default() };
    assert_eq!(read(store, on("pg")).await, [b.clone(), a.clone()]);
    let row: DriftRow =
        store.drift(DriftFilter { id: Some(a.id), limit: 1, ..all.clone() }).await.unwrap().remove(0);
    assert_eq!(row.texts.into_values().collect::<Vec<_>>(), ["metrics_ro"]);
    let page = DriftFilter { before: Some(c.id), limit: 1, ..all.clone() };
    assert_eq!(read(store, page).await, std::slice::from_ref(&b));

    let (next, change) = gone(&a);
    store.commit(change.clone()).await.unwrap();
    assert_eq!(next.state, DriftState::Gone);
    assert_eq!(read(store, on("pg")).await, std::slice::from_ref(&b));
    let too = DriftFilter { gone: true, ..all.clone() };
    assert_eq!(read(store, too.clone()).await, [c.clone(), b.clone(), next.clone()]);
    // From a revision that is over: nothing of it happens.
    let size = store.head().await.unwrap().size;
    let mut late = change;
    late.events[0].id = EventId(Uuid::now_v7());
    assert_eq!(store.commit(late).await.unwrap_err(), StoreError::Conflict);
    let again = Change { drift: vec![DriftChange { drift: b, expected: 0 }], ..Change::default() };
    assert_eq!(store.commit(again).await.unwrap_err(), StoreError::Conflict);
    assert_eq!(store.head().await.unwrap().size, size);
    assert_eq!(read(store, too).await.len(), 3);
}

/// A grant is unended as long as it has its end job.
async fn unended(store: &dyn Store) {
    let end = |n: u128, target: &str, seconds| JobChange::Put {
        kind: JobKind::End,
        subject: Uuid::from_u128(n),
        request: gatepass_core::id::RequestId(Uuid::from_u128(n)),
        target: target.to_owned(),
        due: noon() + chrono::TimeDelta::seconds(seconds),
    };
    let jobs = vec![end(1, "pg", 10), end(2, "pg", 100), end(3, "other", 100)];
    store.commit(Change { jobs, ..Change::default() }).await.unwrap();
    let grant = |n| GrantId(Uuid::from_u128(n));
    let mut all = store.unended("pg", noon()).await.unwrap();
    all.sort();
    assert_eq!(all, [grant(1), grant(2)]);
    let later = noon() + chrono::TimeDelta::seconds(10);
    assert_eq!(store.unended("pg", later).await.unwrap(), [grant(2)]);
}

#[tokio::test]
async fn sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
    check(&store).await;
    unended(&store).await;
}

#[tokio::test]
async fn postgres() {
    let database = Database::fresh().await;
    let store = PostgresStore::open(&database.options()).await.unwrap();
    check(&store).await;
    unended(&store).await;
}
