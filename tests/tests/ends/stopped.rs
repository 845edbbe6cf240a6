//! Two servers on one PostgreSQL, one of them stopped at a point for longer than its lease, and then let go on: the other
//! ends the access, and the first one, which believes that it is still at it, changes nothing.

use crate::place::{Place, Setup, UP, each};
use chrono::TimeDelta;
use gatepass_connectors::points::Point;
use gatepass_core::wire::GrantState;
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_tests::until;
use std::time::Duration;

/// What a lease is, and how often the others look for what was left.
const TAKEN_OVER: TimeDelta = TimeDelta::seconds(30 + 2);

/// Those at which a worker holds a job.
const POINTS: &[Point] = &[
    Point::ProvisionStarted,
    Point::PostgresProvisionPlanned,
    Point::PostgresProvisionMade,
    Point::ProvisionSealed,
    Point::EndReported,
    Point::PostgresRemoveTold,
    Point::PostgresRemoveShut,
    Point::PostgresRemoveDropped,
    Point::EndCalled,
];

#[test]
fn past_its_lease_the_other_ends_it() {
    each(POINTS, stopped_at);
}

async fn stopped_at(point: Point) {
    let asked = format!("{}=stop", point.name());
    let env = [("GATEPASS_POINT", asked.as_str())];
    let mut place = Place::with(Setup { nodes: &[&env, &[]], ..Setup::default() }).await;
    println!("{} is {}", place.name, point.name());
    // Only the first one is there to take the job.
    place.nodes[1].process().freeze();
    let taking = matches!(point.name().split('.').next(), Some("end")) || point.name().contains(".remove.");
    let (grant, observer) = if taking {
        let grant = place.access(0, 3).await;
        (grant, Some(place.observed(0, grant).await))
    } else {
        let (status, body) = place.say(0, "/v1/requests", &place.wish("write", 8)).await.expect("an answer");
        assert_eq!(status, 201, "{body}");
        (serde_json::from_value::<gatepass_core::wire::Accepted>(body).unwrap().grant.unwrap().id, None)
    };
    place.stands(0).await;
    place.nodes[1].process().thaw();
    let observer = match observer {
        Some(observer) => observer,
        None => place.observed(1, grant).await,
    };
    let view = place.is(1, grant, GrantState::Ended).await;
    let due = view.ends_at.unwrap();
    // In the time of its lease nobody knows that it will not go on; that is what the guard is for.
    let bound = if taking { due + TAKEN_OVER + UP } else { due + UP };
    // It goes on where it stood, as if nothing had been.
    place.nodes[0].process().thaw();
    until("it sees that it lost its lease", Duration::from_secs(60), async || {
        (place.metric(0, "gatepass_leases_lost_total").await >= 1.0).then_some(())
    })
    .await;
    let seen = place.over(1, observer, bound).await;
    assert!(seen.login.is_none_or(|at| at <= due + UP), "the guard let nobody in: {seen:?}");
    // What it had begun is looked for at once, and must not come up again.
    place.nothing_left(0).await;
    assert!(SystemClock.now() > due);
}
