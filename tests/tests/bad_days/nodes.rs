//! A node that is not what it seems: stopped, its clock wrong, deaf.

use crate::days::{BOUND, Database, Days};
use crate::load::Outcome;
use gatepass_core::wire::GrantState;
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_tests::{eventually, until};
use std::time::{Duration, Instant};

/// A lease, and what a loaded machine takes beside.
const TAKEN_OVER: Duration = Duration::from_secs(60);

/// Stopped in the middle of setting an access up, for longer than its lease and its transactions may last; then it goes
/// on as if nothing had been.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_long_and_resumed() {
    let days = Days::two(Database::Shared).await;
    // The first node has a connection to the target, and what it says there does not arrive for now.
    days.grant(0, &days.ask(0, 1).await, GrantState::Ended).await;
    days.nodes[0].target.stall();
    // Only the first one is there to take it.
    days.nodes[1].process().freeze();
    let asked = days.ask(0, 600).await;
    until("the first node has the job", Duration::from_secs(30), async || {
        let sql = "SELECT count(*) FROM job WHERE kind = 'provision' AND leased_until IS NOT NULL";
        (days.psql(sql) == "1").then_some(())
    })
    .await;
    let load = days.load(4);
    days.nodes[0].process().freeze();
    days.nodes[1].process().thaw();
    let from = Instant::now();
    let tomas = days.at(1, &days.tomas);
    let answer = tomas.ask("fix", 60).await;
    println!("the other node wrote after {:?}: {}", from.elapsed(), answer.status);
    assert!(from.elapsed() < Duration::from_secs(20));
    let id = asked.grant.as_ref().unwrap().id;
    until("the other node takes the job over", TAKEN_OVER, async || {
        let view: gatepass_core::wire::GrantView = tomas.get(&format!("/v1/grants/{id}")).await.get();
        (view.state == GrantState::Active).then_some(())
    })
    .await;
    println!("taken over after {:?}", from.elapsed());
    let url = tomas.open(&tomas.get(&format!("/v1/grants/{id}/credential")).await.get());
    assert_eq!(days.logins(), 1);
    days.nodes[0].target.restore();
    days.nodes[0].process().thaw();
    eventually("the first node sees that it lost the lease", async || {
        (days.metric(0, "gatepass_leases_lost_total").await >= 1.0).then_some(())
    })
    .await;
    // What it had begun changes nothing for the holder.
    assert!(days.opens(&url), "the holder's secret is still good");
    let back = tomas.give_back(&asked).await;
    assert_eq!(back.status, 200, "{}", back.body);
    days.nothing_left(SystemClock.now(), BOUND).await;
    let outcome = load.stop().await;
    days.well(&outcome).await;
    assert_eq!(days.logins(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_a_minute_wrong() {
    const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    assert!(std::path::Path::new(FAKETIME).exists(), "faketime is missing: run ./dev setup");
    let wrong = |by| [("LD_PRELOAD", FAKETIME), ("FAKETIME", by), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let (ahead, behind) = (wrong("+60s"), wrong("-60s"));
    let days = Days::with(Database::Shared, &[&ahead, &behind]).await;
    for (node, by) in [(0, 60.0), (1, -60.0)] {
        eventually("the node knows that its clock is wrong", async || {
            let off = days.metric(node, "gatepass_clock_offset_seconds").await;
            ((off - by).abs() < 5.0).then_some(())
        })
        .await;
        let before = SystemClock.now();
        let access = days.access(node, 2).await;
        let (starts, ends) = (access.starts_at.unwrap(), access.ends_at.unwrap());
        let close =
            |time: gatepass_core::Time, to: gatepass_core::Time| (time - to).num_seconds().abs() <= 20;
        assert!(close(starts, before), "{starts} is not {before}");
        assert_eq!((ends - starts).num_seconds(), 2);
        let over = {
            let asked = gatepass_core::wire::Accepted {
                grant: Some(access.clone()),
                ..days.at(node, &days.tomas).ask("fix", 60).await.get()
            };
            days.grant(1 - node, &asked, GrantState::Ended).await
        };
        let late = over.ended_at.unwrap() - ends;
        assert!((0..=10_000).contains(&late.num_milliseconds()), "{late}");
        days.nothing_left(ends, BOUND).await;
    }
    days.well(&Outcome::default()).await;
}

/// The connection that listens is dead without a word: looking goes on, and so do hints.
#[tokio::test(flavor = "multi_thread")]
async fn the_connection_that_listens_is_dead() {
    let days = Days::two(Database::Shared).await;
    eventually("it listens", async || (days.metric(1, "gatepass_listen_up").await == 1.0).then_some(()))
        .await;
    days.nodes[1].listening.blackhole();
    let mut hints = days
        .http
        .get(format!("{}/v1/stream", days.nodes[1].url))
        .bearer_auth(&days.tomas.token)
        .send()
        .await
        .unwrap();
    assert_eq!(hints.status(), 200);
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let asked: gatepass_core::wire::Accepted = days.at(0, &days.tomas).ask("fix", 60).await.get();
        let from = Instant::now();
        let mut told = 0;
        while told < asked.head.size {
            let chunk = tokio::time::timeout(Duration::from_secs(20), hints.chunk()).await;
            let chunk = chunk.expect("a hint in time").unwrap().expect("the stream goes on");
            let text = String::from_utf8_lossy(&chunk).into_owned();
            let sizes =
                text.split("\"size\":").skip(1).filter_map(|s| s.split('}').next()?.parse::<u64>().ok());
            told = sizes.max().unwrap_or(0).max(told);
        }
        slowest = slowest.max(from.elapsed());
    }
    println!("the slowest hint came after {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    until("it notices", Duration::from_secs(40), async || {
        (days.metric(1, "gatepass_listen_up").await == 0.0).then_some(())
    })
    .await;
    days.nodes[1].listening.restore();
    until("it listens again", Duration::from_secs(40), async || {
        (days.metric(1, "gatepass_listen_up").await == 1.0).then_some(())
    })
    .await;
    days.well(&Outcome::default()).await;
}

/// A server that leaves the work to a worker, both as they are started.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_what_the_server_leaves() {
    let mut days = Days::with(Database::Shared, &[&[]]).await;
    let folder = days.folder().to_owned();
    days.nodes[0].process = None;
    days.nodes[0].leave_the_work();
    days.nodes[0].serve(&folder);
    let mut asked: gatepass_core::wire::Accepted = days.at(0, &days.tomas).ask("fix", 2).await.get();
    assert_eq!(days.approve(0, &asked).await.0, 200);
    let view = days.at(0, &days.tomas).get(&format!("/v1/grants/{}", asked.request.id)).await;
    asked.grant = Some(view.get());
    assert_eq!(days.psql("SELECT count(*) FROM job WHERE fence > 0"), "0", "nobody has taken a job");
    let mut worker = days.nodes[0].work(&folder);
    let over = days.grant(0, &asked, GrantState::Ended).await;
    days.nothing_left(over.ends_at.unwrap(), BOUND).await;
    worker.end();
    assert!(worker.log().contains("stopping"), "{}", worker.log());
    days.well(&Outcome::default()).await;
}
