//! What the store knows of ends that cannot wait, on every implementation.

use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::id::RequestId;
use gatepass_server::store::postgres::PostgresStore;
use gatepass_server::store::sqlite::{SqliteOptions, SqliteStore};
use gatepass_server::store::{Change, JobChange, JobKind, Room, Settle, Settled, Store};
use gatepass_server::testing::database::Database;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

fn noon() -> Time {
    "2026-11-17T12:00:00Z".parse().unwrap()
}

fn put(kind: JobKind, subject: u128, target: &str, due: Time) -> JobChange {
    let subject = Uuid::from_u128(subject);
    JobChange::Put { kind, subject, request: RequestId(subject), target: target.to_owned(), due }
}

fn urge(subject: u128) -> JobChange {
    JobChange::Urge { kind: JobKind::End, subject: Uuid::from_u128(subject), due: noon() }
}

async fn write(store: &Arc<dyn Store>, jobs: Vec<JobChange>) {
    store.commit(Change { jobs, ..Change::default() }).await.unwrap();
}

async fn claim(store: &Arc<dyn Store>, room: &Room) -> Vec<u128> {
    let claimed = store.claim(noon(), noon() + TimeDelta::minutes(10), room.clone()).await.unwrap();
    claimed.jobs.iter().map(|j| j.subject.as_u128()).collect()
}

async fn the_urgent_come_first_and_have_places_kept(store: Arc<dyn Store>) {
    let before = noon() - TimeDelta::hours(1);
    let all = (1..=9).map(|n| put(JobKind::Provision, n, "pg", before)).chain([
        put(JobKind::End, 10, "pg", before),
        put(JobKind::End, 11, "pg", noon() + TimeDelta::hours(1)),
        put(JobKind::End, 12, "other", noon() + TimeDelta::hours(1)),
        put(JobKind::End, 13, "pg", noon() + TimeDelta::hours(1)),
    ]);
    write(&store, all.collect()).await;
    write(&store, vec![urge(11), urge(12), urge(99)]).await;
    let room = Room { otherwise: 5, by_target: BTreeMap::new(), kept: 2, at_most: 5 };
    // Those without room of their own have three of five places, and the urgent come first.
    let mut first = claim(&store, &room).await;
    let rest = first.split_off(2);
    first.sort_unstable();
    assert_eq!(first, [11, 12]);
    assert_eq!(rest.len(), 2, "{rest:?}");
    assert!(rest.iter().all(|n| *n < 11));

    // Three run: of five places, two are kept.
    let here = Room { otherwise: 5, by_target: BTreeMap::from([("pg".to_owned(), 2)]), kept: 2, at_most: 5 };
    assert_eq!(claim(&store, &here).await, [0; 0]);
    write(&store, vec![urge(13)]).await;
    assert_eq!(claim(&store, &here).await, [13], "the places that were kept");
}

async fn an_urgent_end_stays_urgent_and_comes_before_its_own_setup(store: Arc<dyn Store>) {
    let late = noon() + TimeDelta::hours(1);
    let before = noon() - TimeDelta::hours(1);
    write(&store, vec![put(JobKind::Provision, 1, "pg", before), put(JobKind::End, 1, "pg", late)]).await;
    write(&store, vec![urge(1)]).await;
    let room = Room { otherwise: 8, by_target: BTreeMap::new(), kept: 0, at_most: 8 };
    let until = noon() + TimeDelta::minutes(10);
    let held = store.claim(noon(), until, room.clone()).await.unwrap().jobs;
    assert_eq!(held.iter().map(|j| j.kind).collect::<Vec<_>>(), [JobKind::End]);

    // It fails, and is put off; urged again meanwhile, it is due at once.
    write(&store, vec![urge(1), put(JobKind::End, 2, "pg", before)]).await;
    let how = Settled::Again { due: late, failed: true };
    let settle = Some(Settle { job: held[0].clone(), how });
    store.commit(Change { settle, ..Change::default() }).await.unwrap();
    assert_eq!(
        store.due_ends(noon()).await.unwrap()[0].subject.as_u128(),
        1,
        "also when nothing can be written"
    );
    let again = store.claim(noon(), until, room).await.unwrap().jobs;
    assert_eq!((again[0].subject.as_u128(), again[0].kind), (1, JobKind::End));
}

async fn what_failed_on_a_target_is_due_when_that_is_back(store: Arc<dyn Store>) {
    let (before, late) = (noon() - TimeDelta::hours(1), noon() + TimeDelta::hours(1));
    let ends = [(1, "pg"), (2, "pg"), (3, "other")].map(|(n, target)| put(JobKind::End, n, target, before));
    write(&store, ends.to_vec()).await;
    let room = Room { otherwise: 8, by_target: BTreeMap::new(), kept: 0, at_most: 8 };
    let until = noon() + TimeDelta::minutes(10);
    let held = store.claim(noon(), until, room.clone()).await.unwrap().jobs;
    // The second one is still at it, and one that never failed has its own time.
    for job in held.iter().filter(|job| job.subject.as_u128() != 2) {
        let settle = Some(Settle { job: job.clone(), how: Settled::Again { due: late, failed: true } });
        store.commit(Change { settle, ..Change::default() }).await.unwrap();
    }
    write(&store, vec![put(JobKind::End, 4, "pg", late), put(JobKind::Provision, 5, "pg", late)]).await;
    assert_eq!(claim(&store, &room).await, [0; 0]);
    write(&store, vec![JobChange::Hasten { target: "pg".to_owned(), due: noon() }]).await;
    assert_eq!(claim(&store, &room).await, [1]);
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("data");
                super::$name(Arc::new(SqliteStore::open(&path, SqliteOptions::default()).unwrap())).await;
            })*
        }
        mod on_postgres {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let database = Database::fresh().await;
                super::$name(Arc::new(PostgresStore::open(&database.options()).await.unwrap())).await;
            })*
        }
    };
}

conformance!(
    the_urgent_come_first_and_have_places_kept,
    an_urgent_end_stays_urgent_and_comes_before_its_own_setup,
    what_failed_on_a_target_is_due_when_that_is_back,
);
