//! The conformance suite of the store's port, run on every implementation.

use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::event::{By, Event, Fact, Rule};
use gatepass_core::id::{CommandId, DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::{Request, apply};
use gatepass_core::text::Digest;
use gatepass_server::store::postgres::PostgresStore;
use gatepass_server::store::sqlite::{SqliteOptions, SqliteStore};
use gatepass_server::store::{
    Change, Job, JobChange, JobKind, Lookup, NoteChange, Recorded, Room, Row, RowChange, Sealed, Settle,
    Settled, Store, StoreError,
};
use gatepass_server::testing::database::Database;
use gatepass_server::testing::salted;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

fn noon() -> Time {
    "2026-11-17T12:00:00Z".parse().unwrap()
}

fn sqlite(directory: &tempfile::TempDir) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(&directory.path().join("data"), SqliteOptions::default()).unwrap())
}

async fn postgres(database: &Database) -> Arc<dyn Store> {
    Arc::new(PostgresStore::open(&database.options()).await.unwrap())
}

fn created() -> (Request, Event) {
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
    let event = Event {
        id: EventId(Uuid::now_v7()),
        at: noon(),
        by: By::Person { person: PersonId(Uuid::now_v7()), device: DeviceId(Uuid::now_v7()) },
        request: Some(RequestId(Uuid::now_v7())),
        fact: Fact::RequestCreated {
            number: Number(0),
            resource: "orders-db".to_owned(),
            role: "read".to_owned(),
            rule,
            duration_s: 60,
            lapses_at: noon(),
            reason: None,
            ticket: None,
            extends: None,
            ssh_key: None,
        },
        command: None,
    };
    (apply(None, &event).unwrap(), event)
}

fn asking() -> (Request, Change) {
    let (request, event) = created();
    let rows = vec![RowChange { request: request.clone(), expected: 0 }];
    (request, Change { rows, events: vec![event], ..Change::default() })
}

async fn row(store: &Arc<dyn Store>, id: RequestId) -> Option<Row> {
    store.load(None, Some(Lookup::Request(id))).await.unwrap().row
}

fn put(kind: JobKind, subject: Uuid, due: Time) -> JobChange {
    JobChange::Put { kind, subject, request: RequestId(subject), target: "pg".to_owned(), due }
}

fn jobs(jobs: Vec<JobChange>) -> Change {
    Change { jobs, ..Change::default() }
}

fn settle(job: &Job, how: Settled) -> Change {
    Change { settle: Some(Settle { job: job.clone(), how }), ..Change::default() }
}

fn room() -> Room {
    Room { otherwise: 8, by_target: BTreeMap::new(), kept: 0, at_most: 8 }
}

async fn claim(store: &Arc<dyn Store>, now: Time) -> Vec<Job> {
    store.claim(now, now + TimeDelta::minutes(10), room()).await.unwrap().jobs
}

async fn writes_and_versions(store: Arc<dyn Store>) {
    let (request, change) = asking();
    let done = store.commit(change.clone()).await.unwrap();
    assert_eq!((done.head.size, done.rows[0].version, done.rows[0].request.number), (1, 1, Number(1)));
    let found = row(&store, request.id).await.unwrap();
    assert_eq!(found, done.rows[0]);
    assert_eq!(store.load(None, Some(Lookup::Number(1))).await.unwrap().row, Some(found.clone()));
    // It exists already; and a version that is not the current one.
    let mut again = change;
    again.events[0].id = EventId(Uuid::now_v7());
    assert_eq!(store.commit(again).await.unwrap_err(), StoreError::Conflict);
    let update = |expected| Change {
        rows: vec![RowChange { request: found.request.clone(), expected }],
        ..Change::default()
    };
    store.commit(update(1)).await.unwrap();
    assert_eq!(store.commit(update(1)).await.unwrap_err(), StoreError::Conflict);
    assert_eq!(row(&store, request.id).await.unwrap().version, 2);
    assert_eq!(store.head().await.unwrap().size, 1);
}

/// A refused change leaves nothing, also when others were written in the same batch.
async fn all_or_nothing(store: Arc<dyn Store>) {
    let recorded = |n: u8| Recorded {
        id: CommandId(Uuid::from_u128(n.into())),
        digest: Digest::of(&[n]),
        request: None,
    };
    store.commit(Change { command: Some(recorded(1)), ..Change::default() }).await.unwrap();
    let mut waits = Vec::new();
    for n in 0..40u8 {
        let (request, mut change) = asking();
        // Every fourth comes with a command that was carried out before.
        change.command = Some(if n % 4 == 0 { recorded(1) } else { recorded(n + 10) });
        change.jobs = vec![put(JobKind::Lapse, request.id.0, noon())];
        let store = store.clone();
        waits.push(tokio::spawn(async move { (n, request.id, store.commit(change).await) }));
    }
    let mut numbers = Vec::new();
    for wait in waits {
        let (n, id, outcome) = wait.await.unwrap();
        let found = row(&store, id).await;
        if n % 4 == 0 {
            assert_eq!(outcome.unwrap_err(), StoreError::Repeated(recorded(1)));
            assert_eq!(found, None);
        } else {
            assert_eq!(found.as_ref(), outcome.unwrap().rows.first());
            numbers.push(found.unwrap().request.number.0);
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 30, "a short number is given once");
    assert_eq!(store.head().await.unwrap().size, 30);
    assert_eq!(store.backlog().await.unwrap().jobs, 30);
    assert_eq!(*store.heads().borrow(), 30);
}

/// Whoever is told that a command was carried out finds what it did.
async fn repeated_at_the_same_moment(store: Arc<dyn Store>) {
    for n in 0..50u128 {
        let (request, mut change) = asking();
        let id = CommandId(Uuid::from_u128(n));
        change.command = Some(Recorded { id, digest: Digest::of(b"same"), request: Some(request.id) });
        let commits = (0..4).map(|_| {
            let (store, change) = (store.clone(), change.clone());
            tokio::spawn(async move {
                let outcome = store.commit(change).await;
                (outcome, store.load(Some(id), None).await.unwrap().recorded)
            })
        });
        let mut carried_out = 0;
        for done in futures_util::future::join_all(commits).await {
            let (outcome, recorded) = done.unwrap();
            assert!(recorded.is_some());
            match outcome {
                Ok(_) => carried_out += 1,
                Err(error) => assert_eq!(error, StoreError::Repeated(recorded.unwrap())),
            }
        }
        assert_eq!(carried_out, 1);
    }
}

async fn texts_are_kept_only_when_named(store: Arc<dyn Store>) {
    let (request, mut event) = created();
    let (named, other) = (salted("stuck orders"), salted("never named"));
    if let Fact::RequestCreated { reason, .. } = &mut event.fact {
        *reason = named.digest();
    }
    let texts = [&named, &other].into_iter().map(|t| (t.digest().unwrap(), t.clone())).collect();
    let rows = vec![RowChange { request: request.clone(), expected: 0 }];
    store.commit(Change { rows, events: vec![event], texts, ..Change::default() }).await.unwrap();
    let kept = store.detail(&request).await.unwrap().texts;
    assert_eq!(kept, BTreeMap::from([(named.digest().unwrap(), "stuck orders".to_owned())]));
}

async fn jobs_are_claimed_when_due_and_one_per_subject(store: Arc<dyn Store>) {
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let later = noon() + TimeDelta::seconds(5);
    let all =
        vec![put(JobKind::Provision, a, noon()), put(JobKind::End, a, noon()), put(JobKind::End, b, later)];
    store.commit(jobs(all)).await.unwrap();
    let claimed = store.claim(noon(), noon() + TimeDelta::minutes(10), room()).await.unwrap();
    assert_eq!(claimed.jobs.iter().map(|j| j.subject).collect::<Vec<_>>(), [a]);
    assert_eq!(claimed.next, Some(later));
    // Only reading, for when nothing can be written: those that are not leased.
    let due = store.due_ends(later).await.unwrap();
    assert!(due.iter().any(|j| j.subject == b) && due.iter().all(|j| j.id != claimed.jobs[0].id));
    // Its other job waits for this one.
    assert!(claim(&store, noon()).await.is_empty());
    store.commit(settle(&claimed.jobs[0], Settled::Done)).await.unwrap();
    let second = claim(&store, noon()).await;
    assert_eq!((second.len(), second[0].subject), (1, a));
    assert_ne!(second[0].kind, claimed.jobs[0].kind);
    // Nobody else's: done already, or leased again.
    assert_eq!(
        store.commit(settle(&claimed.jobs[0], Settled::Done)).await.unwrap_err(),
        StoreError::LeaseLost
    );
    let over = noon() + TimeDelta::minutes(11);
    let third = claim(&store, over).await;
    assert_eq!(third.len(), 2, "a lease that ended is claimed again");
    assert_eq!(store.commit(settle(&second[0], Settled::Hold)).await.unwrap_err(), StoreError::LeaseLost);
}

async fn a_target_has_room_for_so_many(store: Arc<dyn Store>) {
    let all = (1..=5).map(|n| put(JobKind::End, Uuid::from_u128(n), noon())).collect();
    store.commit(jobs(all)).await.unwrap();
    let by_target = BTreeMap::from([("pg".to_owned(), 2)]);
    let room = Room { otherwise: 8, by_target, kept: 0, at_most: 8 };
    let claimed = store.claim(noon(), noon() + TimeDelta::minutes(10), room).await.unwrap();
    assert_eq!(claimed.jobs.len(), 2);
    assert_eq!(claim(&store, noon()).await.len(), 3);
}

async fn an_end_is_moved_earlier_only(store: Arc<dyn Store>) {
    let grant = Uuid::from_u128(1);
    let (soon, late) = (noon() + TimeDelta::seconds(1), noon() + TimeDelta::seconds(9));
    store.commit(jobs(vec![put(JobKind::End, grant, late), put(JobKind::End, grant, soon)])).await.unwrap();
    store.commit(jobs(vec![put(JobKind::End, grant, late)])).await.unwrap();
    assert_eq!(store.claim(noon(), noon(), room()).await.unwrap().next, Some(soon));
    let postpone = JobChange::Postpone { kind: JobKind::End, subject: grant, due: late };
    store.commit(jobs(vec![postpone])).await.unwrap();
    assert_eq!(store.claim(noon(), noon(), room()).await.unwrap().next, Some(late));

    // A worker that puts the job off does not undo what moved it meanwhile.
    let held = claim(&store, late).await;
    store.commit(jobs(vec![put(JobKind::End, grant, noon())])).await.unwrap();
    let again = Settled::Again { due: late + TimeDelta::hours(1), failed: true };
    store.commit(settle(&held[0], again)).await.unwrap();
    let once_more = claim(&store, noon()).await;
    assert_eq!((once_more[0].due, once_more[0].attempts), (noon(), 1));
    store.commit(settle(&once_more[0], again)).await.unwrap();
    assert!(claim(&store, late).await.is_empty());
}

/// However often it failed: what is overdue is so since it was due, not since its next try.
async fn an_end_that_fails_is_due_since_it_was(store: Arc<dyn Store>) {
    let oldest = async || store.backlog().await.unwrap().oldest_end;
    let (early, late) = (noon(), noon() + TimeDelta::hours(1));
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    store.commit(jobs(vec![put(JobKind::End, a, early), put(JobKind::End, b, late)])).await.unwrap();
    assert_eq!(oldest().await, Some(early));
    for tries in 1..=3 {
        let next = late + TimeDelta::minutes(tries);
        let held = claim(&store, late - TimeDelta::minutes(1)).await;
        let held = if held.is_empty() { claim(&store, next).await } else { held };
        let held = held.iter().find(|j| j.subject == a).unwrap();
        store.commit(settle(held, Settled::Again { due: next, failed: true })).await.unwrap();
        assert_eq!(oldest().await, Some(early));
    }
    // Moved by a decision, it is due when that says.
    let until = late + TimeDelta::hours(1);
    let postpone = JobChange::Postpone { kind: JobKind::End, subject: a, due: until };
    store.commit(jobs(vec![postpone])).await.unwrap();
    assert_eq!(oldest().await, Some(late));
}

async fn notes_are_kept_by_target_and_grant(store: Arc<dyn Store>) {
    let (a, b) = (GrantId(Uuid::from_u128(1)), GrantId(Uuid::from_u128(2)));
    let put = |target: &str, grant, text: &str| NoteChange::Put {
        target: target.to_owned(),
        grant,
        text: text.to_owned(),
    };
    let change = async |notes| {
        store.commit(Change { notes, ..Change::default() }).await.unwrap();
    };
    change(vec![put("one", a, "first"), put("one", b, "other"), put("two", a, "elsewhere")]).await;
    change(vec![put("one", a, "second")]).await;
    assert_eq!(store.notes("one").await.unwrap(), [(a, "second".to_owned()), (b, "other".to_owned())]);
    assert_eq!(store.note("one", a).await.unwrap().as_deref(), Some("second"));
    assert_eq!(store.note("two", b).await.unwrap(), None);
    change(vec![NoteChange::Delete { target: "one".to_owned(), grant: a }]).await;
    change(vec![NoteChange::Delete { target: "one".to_owned(), grant: a }]).await;
    assert_eq!(store.notes("one").await.unwrap(), [(b, "other".to_owned())]);
    assert_eq!(store.notes("two").await.unwrap(), [(a, "elsewhere".to_owned())]);
}

async fn forgetting_takes_jobs_and_secret(store: Arc<dyn Store>) {
    let grant = GrantId(Uuid::from_u128(1));
    let device = DeviceId(Uuid::from_u128(2));
    let sealed = Sealed { grant, device, sealed: "c2VhbGVk".to_owned() };
    let change = Change {
        sealed: Some(sealed.clone()),
        jobs: vec![put(JobKind::End, grant.0, noon())],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    assert_eq!(store.sealed(grant).await.unwrap(), Some(sealed));
    store.commit(jobs(vec![JobChange::Forget { grant }])).await.unwrap();
    assert_eq!(store.sealed(grant).await.unwrap(), None);
    assert_eq!(store.backlog().await.unwrap().jobs, 0);
}

async fn a_turn_is_one_node_s(store: Arc<dyn Store>) {
    let (minute, second) = (TimeDelta::minutes(1), TimeDelta::seconds(1));
    let turn = async |at, now: Time| store.turn(at, now, now + minute).await.unwrap();
    assert_eq!(turn("reconcile", noon()).await, None);
    assert_eq!(turn("reconcile", noon() + second).await, Some(noon() + minute));
    assert_eq!(turn("other", noon() + second).await, None);
    // One who asked at the same moment and looked at the clock before.
    assert_eq!(turn("other", noon()).await, Some(noon() + second + minute));
    assert_eq!(turn("reconcile", noon() + minute).await, None);
    // The clock was set back: nobody waits for a time that far ahead.
    assert_eq!(turn("reconcile", noon() - minute * 3).await, None);
    let all = futures_util::future::join_all((0..8).map(|_| turn("again", noon()))).await;
    assert_eq!(all.iter().filter(|free| free.is_none()).count(), 1);
}

async fn a_lease_is_renewed_while_it_is_held(store: Arc<dyn Store>) {
    let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
    store.commit(jobs(vec![put(JobKind::End, a, noon()), put(JobKind::End, b, noon())])).await.unwrap();
    let held = claim(&store, noon()).await;
    let until = noon() + TimeDelta::minutes(30);
    store.commit(settle(&held[1], Settled::Done)).await.unwrap();
    assert_eq!(store.renew(&held, until).await.unwrap(), [held[0].id]);
    assert!(claim(&store, noon() + TimeDelta::minutes(29)).await.is_empty());
    let taken = claim(&store, until + TimeDelta::seconds(1)).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(store.renew(&held, until + TimeDelta::hours(1)).await.unwrap(), [0i64; 0], "another has it");
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                super::$name(super::sqlite(&directory)).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::postgres(&Database::fresh().await).await).await;
            })*
            use gatepass_server::testing::database::Database;
        }
        mod on_postgres_behind_a_pooler {
            $(#[tokio::test]
            async fn $name() {
                let options = Database::fresh().await.behind_a_pooler(false);
                super::$name(Arc::new(PostgresStore::open(&options).await.unwrap())).await;
            })*
            use gatepass_server::store::postgres::PostgresStore;
            use gatepass_server::testing::database::Database;
            use std::sync::Arc;
        }
    };
}

conformance!(
    writes_and_versions,
    all_or_nothing,
    repeated_at_the_same_moment,
    texts_are_kept_only_when_named,
    jobs_are_claimed_when_due_and_one_per_subject,
    a_target_has_room_for_so_many,
    an_end_is_moved_earlier_only,
    an_end_that_fails_is_due_since_it_was,
    notes_are_kept_by_target_and_grant,
    forgetting_takes_jobs_and_secret,
    a_turn_is_one_node_s,
    a_lease_is_renewed_while_it_is_held,
);

#[tokio::test]
async fn what_was_committed_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let (request, change) = asking();
    let store = sqlite(&directory);
    let head = store.commit(change).await.unwrap().head;
    store.commit(jobs(vec![put(JobKind::End, request.id.0, noon())])).await.unwrap();
    assert_eq!(claim(&store, noon()).await.len(), 1);
    drop(store);
    let store = sqlite(&directory);
    assert_eq!(store.head().await.unwrap(), head);
    assert!(row(&store, request.id).await.is_some());
    // The one who leased it is gone; this store has one node.
    assert!(claim(&store, noon()).await.is_empty());
    store.reclaim().await.unwrap();
    assert_eq!(claim(&store, noon()).await.len(), 1);
}

#[tokio::test]
async fn a_full_disk_changes_nothing_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // The limit is the connection's; another one has none.
    let full: Arc<dyn Store> =
        Arc::new(SqliteStore::open(&data, SqliteOptions { max_pages: Some(60) }).unwrap());
    let mut kept = 0;
    let error = loop {
        match full.commit(asking().1).await {
            Ok(done) => kept = done.head.size,
            Err(error) => break error,
        }
    };
    assert_eq!(error, StoreError::Full);
    assert_eq!(full.head().await.unwrap().size, kept);
    drop(full);
    let free = sqlite(&directory);
    assert_eq!(free.commit(asking().1).await.unwrap().head.size, kept + 1);
}
