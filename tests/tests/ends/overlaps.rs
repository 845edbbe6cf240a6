//! Accesses that overlap, on the real target: each ends by itself, and ends nothing else.

use crate::place::{Place, UP};
use chrono::TimeDelta;
use gatepass_core::command::Command as Wish;
use gatepass_core::wire::{Accepted, GrantState, Submit, Verdict};
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::testing::salted;
use gatepass_tests::until;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_entitlement_twice() {
    let mut place = Place::new().await;
    let (short, long) = (place.access(0, 3).await, place.access(0, 9).await);
    let (first, second) = (place.observed(0, short).await, place.observed(0, long).await);
    let end = place.is(0, short, GrantState::Ended).await.ends_at.unwrap();
    let first = first.seen().await;
    assert!(first.last() <= end + UP, "{first:?}");
    let end = place.view(0, long).await.unwrap().ends_at.unwrap();
    let second = place.over(0, second, end + UP).await;
    // To its own end, not to the other's.
    assert!(second.session.unwrap() > end - TimeDelta::seconds(1), "{second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn given_back_while_another_runs() {
    let mut place = Place::new().await;
    let (back, stays) = (place.access(0, 600).await, place.access(0, 8).await);
    let (first, second) = (place.observed(0, back).await, place.observed(0, stays).await);
    let from = SystemClock.now();
    let submit = Submit { command: place.tomas.sign(Wish::Return { grant: back }), texts: Vec::new() };
    let (status, body) = place.say(0, &format!("/v1/grants/{back}/return"), &submit).await.unwrap();
    assert_eq!(status, 200, "{body}");
    place.is(0, back, GrantState::Ended).await;
    let first = first.seen().await;
    assert!(first.last() <= from + UP, "{first:?}");
    let end = place.view(0, stays).await.unwrap().ends_at.unwrap();
    let second = place.over(0, second, end + UP).await;
    assert!(second.session.unwrap() > end - TimeDelta::seconds(1), "{second:?}");
}

/// Extended when it is nearly over: either it goes on to the later end, whole, or it ends at the one it had.
#[tokio::test(flavor = "multi_thread")]
async fn extended_at_the_last_moment() {
    for before_ms in [900, 300, 60, 15, 0] {
        let mut place = Place::new().await;
        let grant = place.fixed(0, 5).await;
        let observer = place.observed(0, grant).await;
        let asked: Accepted = place.tomas.extend(grant, 3).await.get();
        let shown = place.dana.request(asked.request.id).await;
        let end = place.view(0, grant).await.unwrap().ends_at.unwrap();
        until("it is nearly over", Duration::from_secs(30), async || {
            (SystemClock.now() >= end - TimeDelta::milliseconds(before_ms)).then_some(())
        })
        .await;
        let answer = place.dana.decide(&shown, Verdict::Approve, None).await;
        let view = place.is(0, grant, GrantState::Ended).await;
        let ended = view.ends_at.unwrap();
        let later = end + TimeDelta::seconds(3);
        assert_eq!(
            ended,
            if answer.status == 200 { later } else { end },
            "{before_ms} ms before: {}",
            answer.body
        );
        let seen = place.over(0, observer, ended + UP).await;
        let whole = ended - TimeDelta::seconds(1);
        assert!(
            seen.session.unwrap() > whole,
            "{before_ms} ms before, its session was not ended early: {seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_while_it_is_set_up() {
    let mut place = Place::new().await;
    for wait_ms in [0, 20, 200, 800] {
        place.way.stall();
        let asked: Accepted = place.tomas.ask_because("fix", 600, None, None).await.get();
        place.approved(asked.request.id).await;
        let grant = place.tomas.request(asked.request.id).await.grant.unwrap();
        place.is(0, grant, GrantState::Provisioning).await;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        let (status, body) = revoke(&place, grant).await;
        assert_eq!(status, 200, "{body}");
        place.way.restore();
        let view = place.is(0, grant, GrantState::Ended).await;
        assert!(view.starts_at.is_none(), "it never began: {view:?}");
        place.nothing_left(0).await;
    }
    place.others_are_there().await;
}

/// Dana approves and revokes at once: whichever comes first, nobody has access in the end.
#[tokio::test(flavor = "multi_thread")]
async fn approved_and_revoked_in_the_same_instant() {
    let mut place = Place::new().await;
    for round in 0..8 {
        let asked: Accepted = place.tomas.ask_because("fix", 600, None, None).await.get();
        let id = asked.request.id;
        let revoking = async {
            loop {
                // As soon as there is something to revoke.
                let Some(grant) = place.dana.request(id).await.grant else { continue };
                match revoke(&place, grant).await {
                    (200, _) => return grant,
                    (status, body) => assert_eq!(status, 409, "{body}"),
                }
            }
        };
        let ((), grant) = tokio::join!(place.approved(id), revoking);
        place.is(0, grant, GrantState::Ended).await;
        place.nothing_left(0).await;
        println!("round {round}: revoked, ended");
    }
    place.others_are_there().await;
}

async fn revoke(place: &Place, grant: gatepass_core::id::GrantId) -> (u16, serde_json::Value) {
    let reason = salted("not now");
    let command = Wish::Revoke { grant, reason: reason.digest().unwrap() };
    let submit = Submit { command: place.dana.sign(command), texts: vec![reason] };
    place.say(0, &format!("/v1/grants/{grant}/revoke"), &submit).await.expect("an answer")
}
