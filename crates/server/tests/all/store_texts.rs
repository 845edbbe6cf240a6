//! Texts beside the log: which are there, and how they go, on every implementation.

use gatepass_core::Time;
use gatepass_core::directory::Person;
use gatepass_core::drift::{self, Found, Who};
use gatepass_core::event::{By, Event, Fact, Rule};
use gatepass_core::id::{DeviceId, DriftId, EventId, Number, PersonId, RequestId};
use gatepass_core::request::{Request, apply};
use gatepass_core::text::{Digest, SaltedText, Texts};
use gatepass_server::store::postgres::PostgresStore;
use gatepass_server::store::sqlite::{SqliteOptions, SqliteStore};
use gatepass_server::store::{
    Change, Device, DriftChange, Erased, Invite, Position, RowChange, Store, StoreError, Worded,
};
use gatepass_server::testing::database::Database;
use gatepass_server::testing::salted;
use uuid::Uuid;

fn noon() -> Time {
    "2026-11-17T12:00:00Z".parse().unwrap()
}

fn event(by: By, request: Option<RequestId>, fact: Fact) -> Event {
    Event { id: EventId(Uuid::now_v7()), at: noon(), by, request, fact, command: None }
}

fn texts(of: &[&SaltedText]) -> Texts {
    of.iter().map(|text| (text.digest().unwrap(), (*text).clone())).collect()
}

fn person() -> Person {
    let id = PersonId(Uuid::now_v7());
    let (handle, name) = (id.to_string(), "Somebody".to_owned());
    Person { id, handle, name, groups: Default::default(), auditor: false, admin: false }
}

fn by(person: &Person) -> By {
    By::Person { person: person.id, device: DeviceId(Uuid::now_v7()) }
}

async fn ask(store: &dyn Store, asker: &Person, reason: &str) -> (Request, Position) {
    let reason = salted(reason);
    let rule = Rule {
        catalogue: Digest::of(b"c"),
        target: "pg".to_owned(),
        kind: "postgres".to_owned(),
        grants: vec!["r".to_owned()],
        ask: vec!["backend".to_owned()],
        approve: Vec::new(),
        max_s: 60,
        session: Default::default(),
    };
    let fact = Fact::RequestCreated {
        number: Number(0),
        resource: "orders-db".to_owned(),
        role: "read".to_owned(),
        rule,
        duration_s: 60,
        lapses_at: noon(),
        reason: reason.digest(),
        ticket: None,
        extends: None,
        ssh_key: None,
    };
    let event = event(by(asker), Some(RequestId(Uuid::now_v7())), fact);
    let change = Change {
        rows: vec![RowChange { request: apply(None, &event).unwrap(), expected: 0 }],
        events: vec![event.clone()],
        texts: texts(&[&reason]),
        ..Change::default()
    };
    let done = store.commit(change).await.unwrap();
    (done.rows[0].request.clone(), Position { seq: done.head.size, event: event.id })
}

async fn deny(store: &dyn Store, request: &Request, note: &str) -> Position {
    let note = salted(note);
    let event = event(By::Gatepass, Some(request.id), Fact::RequestDenied { note: note.digest() });
    let change = Change {
        rows: vec![RowChange { request: apply(Some(request.clone()), &event).unwrap(), expected: 1 }],
        events: vec![event.clone()],
        texts: texts(&[&note]),
        ..Change::default()
    };
    Position { seq: store.commit(change).await.unwrap().head.size, event: event.id }
}

async fn worded(store: &dyn Store) -> Vec<(u64, String, bool)> {
    let found = store.worded(0, 100).await.unwrap();
    assert!(found.iter().all(|w| w.at == noon()));
    found.into_iter().map(|w| (w.position.seq, w.kind, w.over)).collect()
}

/// What is not over is told apart, pages follow each other, and what is forgotten is not there any more.
async fn texts_are_found_and_forgotten(store: &dyn Store) {
    let tomas = person();
    let (first, asked) = ask(store, &tomas, "orders are stuck").await;
    let (second, _) = ask(store, &tomas, "another quarrel").await;
    let name = salted("intruder");
    let found = Found {
        target: "pg".to_owned(),
        who: Who::Name(name.digest().unwrap()),
        grants: Vec::new(),
        resources: Vec::new(),
        groups: Vec::new(),
    };
    let there = DriftId(Uuid::now_v7());
    let told = event(By::Gatepass, None, Fact::DriftFound { drift: there, found: found.clone() });
    let drift = drift::apply(None, &told).unwrap();
    let change = Change {
        events: vec![told],
        texts: texts(&[&name]),
        drift: vec![DriftChange { drift: drift.clone(), expected: 0 }],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    let kind = |kind: &str| kind.to_owned();
    let open = [
        (1, kind("request.created"), false),
        (2, kind("request.created"), false),
        (3, kind("drift.found"), false),
    ];
    assert_eq!(worded(store).await, open);

    let denied = deny(store, &first, "not now").await;
    let gone = event(By::Gatepass, None, Fact::DriftGone { drift: there, found });
    let after = drift::apply(Some(drift.clone()), &gone).unwrap();
    let change = Change {
        events: vec![gone],
        drift: vec![DriftChange { drift: after, expected: drift.revision }],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    let over = [(1, true), (2, false), (3, true), (4, true)];
    assert_eq!(worded(store).await.into_iter().map(|(seq, _, over)| (seq, over)).collect::<Vec<_>>(), over);
    let page: Vec<Worded> = store.worded(1, 2).await.unwrap();
    assert_eq!(page.iter().map(|w| w.position.seq).collect::<Vec<_>>(), [2, 3]);

    let before = store.head().await.unwrap();
    // Also what has none, and what never was.
    let nowhere = Position { seq: 99, event: EventId(Uuid::now_v7()) };
    let forgotten = vec![asked, denied, nowhere];
    store.commit(Change { forgotten: forgotten.clone(), ..Change::default() }).await.unwrap();
    store.commit(Change { forgotten, ..Change::default() }).await.unwrap();
    assert_eq!(worded(store).await.into_iter().map(|(seq, ..)| seq).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(store.head().await.unwrap(), before);
    let slice = store.entries(0, 100).await.unwrap();
    assert_eq!(slice.entries.iter().map(|e| e.texts.len()).collect::<Vec<_>>(), [0, 1, 1, 0, 0]);
    assert!(store.detail(&first).await.unwrap().texts.is_empty());
    assert_eq!(store.detail(&second).await.unwrap().texts.len(), 1);
}

/// Nobody is erased who holds something or whose texts were not all read.
async fn a_person_is_erased_whole_or_not_at_all(store: &dyn Store) {
    let (tomas, noor) = (person(), person());
    let code = Digest::of(b"code");
    let invite = |person: &Person, code: &Digest| {
        Some(Invite { code: code.clone(), person: person.id, expires_at: noon(), used_by: None })
    };
    let invited = Change {
        people: vec![tomas.clone(), noor.clone()],
        invite: invite(&tomas, &code),
        ..Change::default()
    };
    store.commit(invited).await.unwrap();
    let device = Device {
        id: DeviceId(Uuid::now_v7()),
        person: tomas.id,
        name: "tomas-laptop".to_owned(),
        signing_key: "k".to_owned(),
        seal_key: "k".to_owned(),
        disabled: false,
    };
    store.commit(Change { device: Some((device.clone(), code)), ..Change::default() }).await.unwrap();
    let other = Digest::of(b"another code");
    store.commit(Change { invite: invite(&tomas, &other), ..Change::default() }).await.unwrap();
    let (request, asked) = ask(store, &tomas, "orders are stuck").await;
    let erase = |seen, known: &Person| Change {
        erased: Some(Erased { person: known.id, seen, voided: Vec::new() }),
        forgotten: vec![asked],
        people: vec![Person { handle: "erased-7f3k".to_owned(), ..known.clone() }],
        ..Change::default()
    };
    let refused = async |seen| {
        assert_eq!(store.commit(erase(seen, &tomas)).await.unwrap_err(), StoreError::Conflict);
        assert_eq!(store.entries(0, 1).await.unwrap().entries[0].texts.len(), 1);
        assert!(store.invite(&other).await.unwrap().is_some());
        let (people, devices) = store.people().await.unwrap();
        assert!(people.contains(&tomas) && devices[0].name == "tomas-laptop");
    };
    refused(1).await;
    let disable = gatepass_server::store::Revoked { person: tomas.id, devices: vec![device.id] };
    let rows = vec![RowChange { request: request.clone(), expected: 1 }];
    store.commit(Change { revoked: Some(disable), rows, ..Change::default() }).await.unwrap();
    // The request still waits.
    refused(1).await;
    let withdrawn = event(by(&tomas), Some(request.id), Fact::RequestWithdrawn);
    let after = apply(Some(request), &withdrawn).unwrap();
    let rows = vec![RowChange { request: after, expected: 2 }];
    let head =
        store.commit(Change { rows, events: vec![withdrawn], ..Change::default() }).await.unwrap().head;
    // Something was written since the log was read.
    refused(1).await;
    store.commit(erase(head.size, &tomas)).await.unwrap();
    assert!(store.entries(0, 1).await.unwrap().entries[0].texts.is_empty());
    assert!(store.invite(&other).await.unwrap().is_none());
    let (people, devices) = store.people().await.unwrap();
    assert!(people.iter().any(|p| p.id == tomas.id && p.handle == "erased-7f3k") && people.contains(&noor));
    assert_eq!(devices[0].name, gatepass_server::store::NO_DEVICE_NAME);
    // The handle is taken.
    assert_eq!(store.commit(erase(head.size, &noor)).await.unwrap_err(), StoreError::Conflict);
    store.scrub().await.unwrap();
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let data = directory.path().join("data");
                super::$name(&super::SqliteStore::open(&data, super::SqliteOptions::default()).unwrap()).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                let database = super::Database::fresh().await;
                super::$name(&super::PostgresStore::open(&database.options()).await.unwrap()).await;
            })*
        }
        mod on_postgres_behind_a_pooler {
            $(#[tokio::test]
            async fn $name() {
                let options = super::Database::fresh().await.behind_a_pooler(false);
                super::$name(&super::PostgresStore::open(&options).await.unwrap()).await;
            })*
        }
    };
}

conformance!(texts_are_found_and_forgotten, a_person_is_erased_whole_or_not_at_all);
