//! Somebody else is in the database, too.

use crate::days::{BOUND, Database, Days};
use crate::load::Outcome;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::EventId;
use gatepass_core::text::Digest;
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::store::Change;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Within what a write that waits for a lock is refused.
const IN_TIME: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_locked() {
    let days = Days::two(Database::Shared).await;
    let access = days.access(0, 3).await;
    let mut somebody = days.session().await;
    let held = somebody.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE request IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let from = Instant::now();
    for node in 0..2 {
        let answer = days.at(node, &days.tomas).ask("fix", 60).await;
        assert_eq!((answer.status, answer.code()), (503, "unavailable"));
    }
    assert!(from.elapsed() < 2 * IN_TIME, "{:?}", from.elapsed());
    held.rollback().await.unwrap();
    let free = SystemClock.now();
    days.nothing_left(access.ends_at.unwrap().max(free), BOUND).await;
    days.well(&Outcome::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_transaction_holds_a_request() {
    let days = Days::two(Database::Shared).await;
    let asked = days.at(0, &days.tomas).ask("fix", 2).await.get::<gatepass_core::wire::Accepted>();
    let mut somebody = days.session().await;
    let held = somebody.transaction().await.unwrap();
    held.query("SELECT 1 FROM request WHERE id = $1 FOR UPDATE", &[&asked.request.id.0]).await.unwrap();
    let from = Instant::now();
    let (status, code) = days.approve(1, &asked).await;
    assert_eq!((status, code.as_str()), (503, Some("unavailable")));
    assert!(from.elapsed() < IN_TIME, "{:?}", from.elapsed());
    // Others are not concerned.
    let other = days.access(0, 1).await;
    held.rollback().await.unwrap();
    let (status, _) = days.approve(0, &asked).await;
    assert_eq!(status, 200);
    let end = days.grant(1, &with_grant(&days, &asked).await, gatepass_core::wire::GrantState::Ended).await;
    days.nothing_left(end.ends_at.unwrap().max(other.ends_at.unwrap()), BOUND).await;
    days.well(&Outcome::default()).await;
}

async fn with_grant(days: &Days, asked: &gatepass_core::wire::Accepted) -> gatepass_core::wire::Accepted {
    let mut asked = asked.clone();
    let view = days.at(0, &days.tomas).get(&format!("/v1/grants/{}", asked.request.id)).await;
    asked.grant = Some(view.get());
    asked
}

/// An open snapshot keeps every dead row of outbox, head and job alive; the log may not become slow by it.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_has_a_transaction_open_for_long() {
    const BATCHES: usize = 8;
    const COMMITS: usize = 500;
    const EACH: usize = 5;
    let days = Days::two(Database::Shared).await;
    let mut somebody = days.session().await;
    let held = somebody
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .start()
        .await
        .unwrap();
    held.query("SELECT count(*) FROM outbox", &[]).await.unwrap();
    let config = days.nodes[0].read();
    let store = gatepass_server::open_store(&config, Default::default()).await.unwrap();
    let mut took = Vec::new();
    for _ in 0..BATCHES {
        let from = Instant::now();
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    for _ in 0..COMMITS / 10 {
                        let events = (0..EACH).map(|_| event()).collect();
                        store.commit(Change { events, ..Change::default() }).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        took.push(from.elapsed());
    }
    println!("{} events at a time took {took:?}", COMMITS * EACH);
    let (first, last) = (took[1].min(took[0]), took[BATCHES - 1].min(took[BATCHES - 2]));
    assert!(last < first * 6, "the log became slow: {took:?}");
    let access = days.access(0, 1).await;
    days.nothing_left(access.ends_at.unwrap(), BOUND).await;
    held.rollback().await.unwrap();
    days.well(&Outcome::default()).await;
}

fn event() -> Event {
    Event {
        id: EventId(Uuid::now_v7()),
        at: SystemClock.now(),
        by: By::Gatepass,
        request: None,
        fact: Fact::CataloguePublished { catalogue: Digest::of(b"c"), document: None },
        command: None,
    }
}
