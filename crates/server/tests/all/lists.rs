//! Lists, on every store: who sees which requests, in which order, page by page, through each filter.

use gatepass_core::Time;
use gatepass_core::catalogue::Slot;
use gatepass_core::directory::Person;
use gatepass_core::event::{By, Event, Fact, Rule};
use gatepass_core::id::{DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::{Request, apply};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::view::may_see;
use gatepass_core::wire::RequestState;
use gatepass_server::store::postgres::PostgresStore;
use gatepass_server::store::sqlite::{SqliteOptions, SqliteStore};
use gatepass_server::store::{Change, Detail, ListFilter, Row, RowChange, Store};
use gatepass_server::testing::database::Database;
use gatepass_server::testing::salted;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::path::Path;
use uuid::Uuid;

mod migrations {
    refinery::embed_migrations!("migrations/sqlite");
}

const GROUPS: [&str; 4] = ["dba", "oncall", "backend", "p:dba"];

fn noon() -> Time {
    "2026-11-17T12:00:00Z".parse().unwrap()
}

/// People who go by few groups, so that their sights overlap.
fn people(random: &mut StdRng) -> Vec<Person> {
    let person = |number: u128, random: &mut StdRng| Person {
        id: PersonId(Uuid::from_u128(number)),
        handle: format!("person-{number}"),
        name: format!("Person {number}"),
        groups: GROUPS.iter().filter(|_| random.gen_bool(0.3)).map(|g| (*g).to_owned()).collect(),
        auditor: number == 1,
        admin: number == 2,
    };
    (1..=9).map(|number| person(number, random)).collect()
}

/// What the store was told, newest last.
struct Known {
    rows: Vec<Row>,
    details: BTreeMap<RequestId, Detail>,
}

fn event(request: RequestId, by: By, fact: Fact) -> Event {
    Event { id: EventId(Uuid::now_v7()), at: noon(), by, request: Some(request), fact, command: None }
}

fn by(person: &Person) -> By {
    By::Person { person: person.id, device: DeviceId(person.id.0) }
}

fn asked(asker: &Person, extends: Option<GrantId>, random: &mut StdRng) -> (Request, Event, SaltedText) {
    let from = |random: &mut StdRng| {
        let count = random.gen_range(1..=2);
        GROUPS.choose_multiple(random, count).map(|g| (*g).to_owned()).collect()
    };
    let approve = (0..random.gen_range(0..=2)).map(|_| Slot { from: from(random), count: 1 }).collect();
    let reason = salted(&format!("reason {}", random.r#gen::<u32>()));
    let rule = Rule {
        catalogue: Digest::of(b"c"),
        target: "pg".to_owned(),
        kind: "postgres".to_owned(),
        grants: vec!["r".to_owned()],
        ask: vec!["backend".to_owned()],
        approve,
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
        extends,
        ssh_key: None,
    };
    let event = event(RequestId(Uuid::now_v7()), by(asker), fact);
    (apply(None, &event).unwrap(), event, reason)
}

/// Fills the store with so many requests that were asked, decided and granted or not, by whomever.
async fn fill(store: &dyn Store, people: &[Person], count: usize, random: &mut StdRng) -> Known {
    let mut known = Known { rows: Vec::new(), details: BTreeMap::new() };
    for _ in 0..count {
        let asker = people.choose(random).unwrap();
        let grants: Vec<GrantId> =
            known.rows.iter().filter_map(|r| r.request.grant.as_ref().map(|g| g.id)).collect();
        let extends = if random.gen_bool(0.15) { grants.choose(random).copied() } else { None };
        let (request, created, reason) = asked(asker, extends, random);
        let digest = reason.digest().unwrap();
        let texts = BTreeMap::from([(digest.clone(), reason.text.clone())]);
        let change = Change {
            rows: vec![RowChange { request, expected: 0 }],
            events: vec![created],
            texts: [(digest, reason)].into(),
            ..Change::default()
        };
        let mut row = store.commit(change).await.unwrap().rows.remove(0);
        known.details.insert(row.request.id, Detail { texts, extension: None });
        let decider = people.choose(random).unwrap();
        let fact = match random.gen_range(0..6) {
            0 | 1 => None,
            2 => Some((by(decider), Fact::RequestDenied { note: None })),
            3 => Some((by(asker), Fact::RequestWithdrawn)),
            _ => Some((by(decider), Fact::RequestApproved { duration_s: 60, note: None })),
        };
        let mut more: Vec<(By, Fact)> = fact.into_iter().collect();
        if matches!(more.first(), Some((_, Fact::RequestApproved { .. }))) && random.gen_bool(0.7) {
            let grant = GrantId(Uuid::now_v7());
            let granted = Fact::RequestGranted { grant, duration_s: 60, latest_end: noon() };
            more.push((By::Gatepass, granted));
        }
        if !more.is_empty() {
            let events: Vec<Event> =
                more.into_iter().map(|(by, fact)| event(row.request.id, by, fact)).collect();
            let request = events.iter().fold(Some(row.request.clone()), apply).unwrap();
            let rows = vec![RowChange { request, expected: row.version }];
            row = store.commit(Change { rows, events, ..Change::default() }).await.unwrap().rows.remove(0);
        }
        known.rows.push(row);
    }
    known
}

impl Known {
    /// What a list has to be, by `core::view::may_see`.
    fn expected(&self, filter: &ListFilter) -> Vec<(Row, Detail)> {
        let mut rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| {
                let r = &row.request;
                may_see(&filter.viewer, r)
                    && (!filter.mine || r.by == filter.viewer.id)
                    && (!filter.pending || r.state == RequestState::Pending)
                    && (!filter.with_grant || r.grant.is_some())
                    && filter.before.is_none_or(|n| r.number.0 < n)
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.request.number.0));
        rows.into_iter().take(filter.limit).map(|row| (row.clone(), self.detail(&row.request))).collect()
    }

    fn detail(&self, request: &Request) -> Detail {
        let extending = |r: &&Row| {
            r.request.state == RequestState::Pending
                && request.grant.as_ref().is_some_and(|g| r.request.extends == Some(g.id))
        };
        let extension = self.rows.iter().find(extending).map(|r| r.request.id);
        Detail { extension, ..self.details[&request.id].clone() }
    }
}

/// Everybody's lists, through each filter, a page at a time, are what the core says.
async fn lists_are_what_the_core_says(store: &dyn Store) {
    let seed: u64 = rand::random();
    let random = &mut StdRng::seed_from_u64(seed);
    let people = people(random);
    let known = fill(store, &people, 90, random).await;
    for viewer in &people {
        for (mine, pending, with_grant) in
            (0..8).map(|bits: u8| (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0))
        {
            let limit = random.gen_range(1..=20);
            let mut filter =
                ListFilter { viewer: viewer.clone(), mine, pending, with_grant, before: None, limit };
            loop {
                let page = store.list(filter.clone()).await.unwrap();
                let wanted = known.expected(&filter);
                assert_eq!(page.len(), wanted.len(), "seed {seed}: {filter:?}");
                for ((row, detail), (wanted, beside)) in page.iter().zip(&wanted) {
                    assert_eq!(row, wanted, "seed {seed}: {filter:?}");
                    assert_eq!(detail.texts, beside.texts, "seed {seed}: {filter:?}");
                    // Several may extend the same access here; in life there is one.
                    assert_eq!(detail.extension.is_some(), beside.extension.is_some(), "seed {seed}");
                }
                match page.last() {
                    Some((row, _)) => filter.before = Some(row.request.number.0),
                    None => break,
                }
            }
        }
    }
}

/// Someone in a group sees what the group decides on from the moment they are in it, and no longer.
async fn membership_counts_when_listing(store: &dyn Store) {
    let random = &mut StdRng::seed_from_u64(1);
    let mut people = people(random);
    let known = fill(store, &people, 30, random).await;
    let viewer = people.last_mut().unwrap();
    for groups in [&GROUPS[..0], &GROUPS[..1], &GROUPS[1..3], &GROUPS[..]] {
        viewer.groups = groups.iter().map(|g| (*g).to_owned()).collect();
        let filter = ListFilter {
            viewer: viewer.clone(),
            mine: false,
            pending: false,
            with_grant: false,
            before: None,
            limit: 100,
        };
        let found: Vec<u64> =
            store.list(filter.clone()).await.unwrap().iter().map(|(r, _)| r.request.number.0).collect();
        let wanted: Vec<u64> = known.expected(&filter).iter().map(|(r, _)| r.request.number.0).collect();
        assert_eq!(found, wanted);
    }
}

fn sqlite(directory: &Path) -> SqliteStore {
    SqliteStore::open(directory, SqliteOptions::default()).unwrap()
}

async fn postgres(database: &Database) -> PostgresStore {
    PostgresStore::open(&database.options()).await.unwrap()
}

#[tokio::test]
async fn on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    lists_are_what_the_core_says(&sqlite(&directory.path().join("a"))).await;
    membership_counts_when_listing(&sqlite(&directory.path().join("b"))).await;
}

#[tokio::test]
async fn on_postgres() {
    lists_are_what_the_core_says(&postgres(&Database::fresh().await).await).await;
    membership_counts_when_listing(&postgres(&Database::fresh().await).await).await;
}

/// A file of the first version, with data, is brought up to date: nobody sees more or less than before.
#[tokio::test]
async fn an_older_file_keeps_its_sights() {
    let directory = tempfile::tempdir().unwrap();
    let random = &mut StdRng::seed_from_u64(7);
    let people = people(random);
    let source = sqlite(&directory.path().join("new"));
    let known = fill(&source, &people, 40, random).await;
    drop(source);
    let old = directory.path().join("old");
    std::fs::create_dir(&old).unwrap();
    {
        let mut db = rusqlite::Connection::open(old.join("gatepass.db")).unwrap();
        let first = refinery::Target::Version(1);
        migrations::migrations::runner().set_target(first).run(&mut db).unwrap();
        let from = directory.path().join("new/gatepass.db");
        db.execute("ATTACH ?1 AS new", [from.to_str().unwrap()]).unwrap();
        for table in ["event", "head", "text", "request"] {
            db.execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM new.{table}")).unwrap();
        }
    }
    let store = sqlite(&old);
    for viewer in &people {
        for (pending, with_grant) in [(false, false), (true, false), (false, true)] {
            let viewer = viewer.clone();
            let filter = ListFilter { viewer, mine: false, pending, with_grant, before: None, limit: 100 };
            let found: Vec<Row> =
                store.list(filter.clone()).await.unwrap().into_iter().map(|(r, _)| r).collect();
            let wanted: Vec<Row> = known.expected(&filter).into_iter().map(|(r, _)| r).collect();
            assert_eq!(found, wanted);
        }
    }
}
