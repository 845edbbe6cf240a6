//! `kill -9` at every named point, and a restart: the access ends in time, and nothing is left.

use crate::place::{BACK, Place, UP, each};
use chrono::TimeDelta;
use gatepass_connectors::points::Point;
use gatepass_core::wire::{GrantState, GrantView};
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_tests::until;
use std::time::Duration;

/// So long an access lasts here: long enough to be used on a loaded machine.
const LENGTH: u32 = 3;

/// What has to happen so that the work comes to a point.
enum Way {
    /// An access is given, and the server dies while it is.
    Giving,
    /// As before, and the target answers late.
    GivingSlowly,
    /// The access is extended.
    Moving,
    /// Its time is over.
    Taking,
    /// The same, and the target does not answer.
    TakingInVain,
}

/// A new point does not pass here unless somebody says how it is reached.
const fn way(point: Point) -> Way {
    match point {
        Point::CommandDecided
        | Point::CommandWritten
        | Point::ProvisionClaimed
        | Point::ProvisionStarted
        | Point::PostgresProvisionPlanned
        | Point::PostgresProvisionMade
        | Point::ProvisionCalled
        | Point::ProvisionSealed
        | Point::ProvisionReported => Way::Giving,
        Point::ProvisionGuarded => Way::GivingSlowly,
        Point::GuardClaimed | Point::GuardCalled | Point::GuardSettled => Way::Moving,
        Point::EndClaimed
        | Point::EndReported
        | Point::PostgresRemoveTold
        | Point::PostgresRemoveShut
        | Point::PostgresRemoveSilent
        | Point::PostgresRemoveHandedOver
        | Point::PostgresRemoveDropped
        | Point::EndCalled
        | Point::EndSettled => Way::Taking,
        Point::EndFailed => Way::TakingInVain,
    }
}

#[test]
fn at_every_point_the_access_ends_in_time() {
    each(Point::ALL, killed_at);
}

async fn killed_at(point: Point) {
    let mut place = Place::at(point, "kill").await;
    println!("{} is {}", place.name, point.name());
    match way(point) {
        Way::Giving | Way::GivingSlowly => giving(&mut place, point).await,
        Way::Moving => moving(&mut place).await,
        Way::Taking => taking(&mut place).await,
        Way::TakingInVain => in_vain(&mut place).await,
    }
}

async fn giving(place: &mut Place, point: Point) {
    let slow = matches!(way(point), Way::GivingSlowly);
    if slow {
        place.way.stall();
    }
    let asked = place.wish("write", LENGTH);
    // Whoever asks hears nothing, or everything.
    let first = place.say(0, "/v1/requests", &asked).await;
    if slow {
        assert!(first.is_some(), "setting up comes after the answer");
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        place.way.restore();
    }
    place.again_when_killed(0).await;
    let (status, body) = place.say(0, "/v1/requests", &asked).await.expect("asked again, there is an answer");
    assert!(matches!(status, 200 | 201), "the same command is carried out once: {status} {body}");
    let grant = serde_json::from_value::<gatepass_core::wire::Accepted>(body).unwrap().grant.unwrap().id;
    let observer = place.observed(0, grant).await;
    let view = place.is(0, grant, GrantState::Ended).await;
    let length = view.ends_at.unwrap() - view.starts_at.unwrap();
    assert_eq!(length, TimeDelta::seconds(LENGTH.into()), "the whole time, and not more");
    place.over(0, observer, end(&view) + UP).await;
}

async fn moving(place: &mut Place) {
    // Nobody extends what is nearly over; dana says yes, and the guard has to move.
    let grant = place.fixed(0, 2 * LENGTH).await;
    let observer = place.observed(0, grant).await;
    let before = place.view(0, grant).await.expect("an answer").ends_at.unwrap();
    place.extended(grant, 2).await;
    place.again_when_killed(0).await;
    let view = place.is(0, grant, GrantState::Ended).await;
    assert_eq!(end(&view) - before, TimeDelta::seconds(2));
    let seen = place.over(0, observer, end(&view) + UP).await;
    assert!(seen.login.unwrap() > before, "a new login got in during the time that was added: {seen:?}");
}

async fn taking(place: &mut Place) {
    let grant = place.access(0, LENGTH).await;
    let observer = place.observed(0, grant).await;
    let due = end(&place.view(0, grant).await.expect("an answer"));
    place.again_when_killed(0).await;
    assert!(SystemClock.now() >= due, "it died at the end");
    let bound = due + UP;
    place.over(0, observer, bound).await;
    let view = place.is(0, grant, GrantState::Ended).await;
    assert_eq!(end(&view), due, "the end stayed where it was");
}

async fn in_vain(place: &mut Place) {
    let grant = place.access(0, LENGTH).await;
    let observer = place.observed(0, grant).await;
    place.way.cut();
    place.again_when_killed(0).await;
    until("the time is over, and nothing could be done", Duration::from_secs(30), async || {
        let view = place.view(0, grant).await?;
        (view.state == GrantState::Ending && SystemClock.now() > end(&view) + UP).then_some(())
    })
    .await;
    let back = SystemClock.now();
    place.way.restore();
    place.over(0, observer, back + BACK).await;
}

fn end(view: &GrantView) -> gatepass_core::Time {
    view.ends_at.expect("it has an end")
}
