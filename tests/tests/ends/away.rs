//! The target is away when the end comes, and comes back: within seconds nobody has access any more.

use crate::place::{BACK, Place, Setup};
use gatepass_core::wire::GrantState;
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_tests::until;
use std::time::Duration;

/// Long enough for delays between tries to have grown to their longest.
const LONG: Duration = Duration::from_secs(40);

/// Cut off, or silent, for so long that tries have become rare.
async fn back_after(long: Duration, silent: bool) {
    let mut place = Place::new().await;
    let grant = place.access(0, 3).await;
    let observer = place.observed(0, grant).await;
    if silent {
        place.way.blackhole()
    } else {
        place.way.cut()
    }
    let view = place.is(0, grant, GrantState::Ending).await;
    let until_back = view.ends_at.unwrap() + chrono::TimeDelta::from_std(long).unwrap();
    until("it is away for long", long * 2, async || (SystemClock.now() >= until_back).then_some(())).await;
    let back = SystemClock.now();
    place.way.restore();
    place.over(0, observer, back + BACK).await;
    let view = place.is(0, grant, GrantState::Ended).await;
    assert!(view.removal.unwrap().attempts > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_at_the_end() {
    back_after(LONG, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_at_the_end() {
    back_after(LONG, true).await;
}

/// The target itself is stopped before the end and started after it: its guard lets nobody in, and what is left goes.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_at_the_end() {
    let mut place = Place::with(Setup { nodes: &[&[]], own_target: true, ..Setup::default() }).await;
    let grant = place.access(0, 3).await;
    let observer = place.observed(0, grant).await;
    place.own_target().stop();
    place.bystander_left();
    let view = place.is(0, grant, GrantState::Ending).await;
    let due = view.ends_at.unwrap();
    until("its time is over for long", LONG, async || {
        (SystemClock.now() >= due + chrono::TimeDelta::seconds(10)).then_some(())
    })
    .await;
    let back = SystemClock.now();
    place.own_target().start_again();
    let seen = place.over(0, observer, back + BACK).await;
    assert!(seen.last() <= due, "nobody got in after the end: {seen:?}");
}

/// The server dies as well, while the target is away.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_target_is_away() {
    let mut place = Place::new().await;
    let grant = place.access(0, 3).await;
    let observer = place.observed(0, grant).await;
    place.way.cut();
    place.is(0, grant, GrantState::Ending).await;
    for _ in 0..2 {
        place.nodes[0].process.as_mut().unwrap().kill();
        place.serve(0, &[]);
    }
    let back = SystemClock.now();
    place.way.restore();
    place.over(0, observer, back + BACK).await;
}
