use chrono::TimeDelta;
use gatepass_connectors::fake::{Fault, Hold, Verb};
use gatepass_connectors::{Access, Holder, TargetError};
use gatepass_core::catalogue::Session;
use gatepass_core::event::Fact;
use gatepass_core::id::{GrantId, PersonId};
use gatepass_core::wire::{Accepted, EndCause, GrantState, GrantView};
use gatepass_server::testing::{PATIENCE, Setup, TestClock, TestServer};
use std::sync::Arc;
use uuid::Uuid;

fn noon() -> Arc<TestClock> {
    TestClock::new("2026-11-17T12:00:00Z".parse().unwrap())
}

async fn at(clock: &Arc<TestClock>) -> TestServer {
    TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await
}

fn down() -> TargetError {
    TargetError::Unreachable("connection refused".to_owned())
}

/// Moves the clock to the next job, whenever the workers have nothing to do, until `done`.
async fn passing(server: &TestServer, clock: &TestClock, mut done: impl AsyncFnMut() -> bool) {
    let passed = async {
        while !done().await {
            let backlog = server.store().backlog().await.unwrap();
            match backlog.next {
                Some(next) if backlog.leased == 0 && next > server.clock.now() => {
                    // What is awaited may have come since: then this is not to pass.
                    server.placed().await;
                    if !done().await {
                        clock.advance(next - server.clock.now());
                    }
                }
                _ => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, passed).await.expect("it comes to pass");
}

#[tokio::test]
async fn the_end_comes_by_itself_and_ends_open_sessions() {
    let clock = noon();
    let server = at(&clock).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let grant = tomas.ask_because("read", 600, None, None).await.get::<Accepted>().grant.unwrap().id;
    server.until("grant.active", 1).await;
    let secret = tomas.open(&tomas.get("/v1/grants/R-1/credential").await.get());
    let session = server.fake.open(&secret, server.clock.now()).unwrap();
    clock.advance(TimeDelta::milliseconds(599_999));
    assert!(server.fake.is_open(session));
    clock.advance(TimeDelta::milliseconds(1));
    server.until("grant.ended", 1).await;
    assert!(!server.fake.is_open(session));
    let events = server.events().await;
    let Fact::GrantEnded { cause, removal, .. } = &events.last().unwrap().1.fact else {
        panic!("{events:?}")
    };
    assert_eq!((*cause, removal.sessions_ended, removal.attempts), (EndCause::Expired, 1, 1));
    assert!(server.store().live(&[grant]).await.unwrap().is_empty());
    server.finish().await;
}

#[tokio::test]
async fn a_target_that_is_down_at_approval_is_tried_again() {
    let clock = noon();
    let server = at(&clock).await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.fake.down(Some(down()));
    tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    server.until("grant.delayed", 1).await;
    let view: GrantView = tomas.get("/v1/grants/R-1").await.get();
    let trouble = view.trouble.unwrap();
    assert_eq!((view.state, trouble.attempts), (GrantState::Provisioning, 1));
    assert!(trouble.message.contains("connection refused"));
    passing(&server, &clock, async || server.fake.calls(Verb::Provision) >= 4).await;
    server.fake.down(None);
    passing(&server, &clock, async || server.kinds().await.contains(&"grant.active")).await;
    // The time of the holder is whole, however long it took.
    let active = server.events().await;
    let Fact::GrantActive { starts_at, ends_at, .. } = active.last().unwrap().1.fact else { panic!() };
    assert_eq!(ends_at - starts_at, TimeDelta::seconds(600));
    clock.advance(TimeDelta::seconds(600));
    server.until("grant.ended", 1).await;
    server.finish().await;
}

#[tokio::test]
async fn setting_up_is_given_up_after_its_time_and_leaves_nothing() {
    let clock = noon();
    let server = at(&clock).await;
    let tomas = server.person("tomas", &["backend"]).await;
    // It is applied each time, and yet fails: what was applied has to go again.
    for call in 1..=200 {
        server.fake.at(Verb::Provision, call, Fault::After(down()));
    }
    tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    server.until("grant.delayed", 1).await;
    passing(&server, &clock, async || server.kinds().await.contains(&"grant.failed")).await;
    assert!(server.kinds().await.iter().filter(|k| **k == "grant.delayed").count() < 10);
    server.finish().await;
}

#[tokio::test]
async fn what_an_admin_has_to_change_first_fails_at_once() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let fault = TargetError::Configuration("the group role orders_reader does not exist".to_owned());
    server.fake.next(Verb::Provision, Fault::Before(fault));
    tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    server.until("grant.failed", 1).await;
    assert_eq!(server.fake.calls(Verb::Provision), 1);
    server.finish().await;
}

#[tokio::test]
async fn a_target_that_is_down_at_the_end_keeps_the_grant_ending() {
    let clock = noon();
    let server = at(&clock).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let asked: Accepted = tomas.ask_because("read", 600, None, None).await.get();
    server.until("grant.active", 1).await;
    server.fake.down(Some(down()));
    tomas.give_back(&asked).await.get::<Accepted>();
    server.until("grant.delayed", 1).await;
    passing(&server, &clock, async || server.fake.calls(Verb::Remove) >= 12).await;
    server.until("grant.delayed", 3).await;
    let told: Vec<u32> = server
        .events()
        .await
        .iter()
        .filter_map(
            |(_, e)| if let Fact::GrantDelayed { attempts, .. } = e.fact { Some(attempts) } else { None },
        )
        .collect();
    assert_eq!(told[..3], [1, 3, 10]);
    assert_eq!(server.store().backlog().await.unwrap().alarms, 1);
    assert!(!server.fake.accesses().is_empty());
    server.fake.down(None);
    passing(&server, &clock, async || server.kinds().await.contains(&"grant.ended")).await;
    let events = server.events().await;
    let Fact::GrantEnded { removal, cause, .. } = &events.last().unwrap().1.fact else { panic!() };
    assert!(removal.attempts >= 13 && *cause == EndCause::Returned);
    server.finish().await;
}

#[tokio::test]
async fn revoked_while_it_is_set_up() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let (mut hold, held) = Hold::new();
    server.fake.next(Verb::Provision, Fault::Hang(held));
    let asked: Accepted = tomas.ask_because("read", 600, None, None).await.get();
    hold.reached(1).await;
    tomas.give_back(&asked).await.get::<Accepted>();
    // Removing waits for the one that sets up; nothing runs against it.
    assert_eq!(server.fake.calls(Verb::Remove), 0);
    hold.release();
    server.until("grant.ended", 1).await;
    assert!(!server.kinds().await.contains(&"grant.active"));
    server.finish().await;
}

#[tokio::test]
async fn membership_lost_before_setting_up() {
    let clock = noon();
    let mut server = at(&clock).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    let olga = server.person("olga", &["oncall"]).await;
    let id = tomas.ask("write", 60).await.get::<Accepted>().request.id;
    dana.approve(&dana.request(id).await).await.get::<Accepted>();
    server.invite("tomas", &["sales"], false, false).await;
    // The server has read the people again once someone joined.
    let phone = server.invite("olga", &["oncall"], false, false).await;
    server.join(&phone).await;
    let refused = olga.approve(&olga.request(id).await).await;
    assert_eq!(refused.code(), "not_allowed_to_ask");
    tomas
        .send(
            &format!("/v1/requests/{id}/withdraw"),
            gatepass_core::command::Command::Withdraw { request: id },
            Vec::new(),
        )
        .await
        .get::<Accepted>();
    server.down().await;
    server.up().await;
    server.finish().await;
}

#[tokio::test]
async fn what_no_live_grant_explains_is_removed() {
    let clock = noon();
    let server = at(&clock).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let asked: Accepted = tomas.ask_because("read", 600, None, None).await.get();
    server.until("grant.active", 1).await;
    let drift = GrantId(Uuid::now_v7());
    let until = server.clock.now() + TimeDelta::days(30);
    let holder = Holder { person: PersonId(Uuid::now_v7()), handle: "nobody".to_owned(), ssh_key: None };
    let grants = vec!["orders_writer".to_owned()];
    server.fake.plant(&Access { grant: drift, holder, grants, session: Session::Cut, until });
    clock.advance(TimeDelta::minutes(1));
    let gone = async {
        while server.fake.accesses().contains_key(&drift) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("drift is removed");
    // What a live grant explains stays.
    assert_eq!(server.fake.accesses().len(), 1);
    tomas.give_back(&asked).await.get::<Accepted>();
    server.until("grant.ended", 1).await;
    server.finish().await;
}

#[tokio::test]
async fn many_ends_at_once() {
    let clock = noon();
    let server = at(&clock).await;
    let tomas = server.person("tomas", &["backend"]).await;
    for _ in 0..40 {
        tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    }
    server.until("grant.active", 40).await;
    clock.advance(TimeDelta::seconds(600));
    server.until("grant.ended", 40).await;
    assert_eq!(server.fake.calls(Verb::Remove), 40);
    server.finish().await;
}

/// Steps a worker takes, broken off between any two of them by stopping the server.
#[tokio::test]
async fn a_stop_at_any_step_loses_nothing() {
    for verb in [Verb::Provision, Verb::Remove] {
        let clock = noon();
        let mut server = at(&clock).await;
        let tomas = server.person("tomas", &["backend"]).await;
        let (mut hold, held) = Hold::new();
        server.fake.next(verb, Fault::Hang(held));
        let asked: Accepted = tomas.ask_because("read", 1, None, None).await.get();
        if verb == Verb::Remove {
            server.until("grant.active", 1).await;
            clock.advance(TimeDelta::seconds(1));
        }
        hold.reached(1).await;
        // As a crash: the worker is gone between what it did and what it would have said.
        drop(server.running.take());
        hold.release();
        server.up().await;
        // On a shared store another node may be at it, until its lease ends.
        clock.advance(TimeDelta::minutes(1));
        passing(&server, &clock, async || server.kinds().await.contains(&"grant.ended")).await;
        assert_eq!(server.kinds().await.iter().filter(|k| **k == "grant.ended").count(), 1);
        drop(asked);
        server.finish().await;
    }
}
