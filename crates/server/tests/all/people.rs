//! Ending everything of a person.

use crate::redacted;
use gatepass_connectors::TargetError;
use gatepass_connectors::fake::{Fault, Hold, Verb};
use gatepass_core::command::Command;
use gatepass_core::event::{By, Fact};
use gatepass_core::id::PersonId;
use gatepass_core::wire::{Accepted, GrantState, GrantView, RequestState, RevokedView, Submit};
use gatepass_server::revoke::{RevokeError, at_console};
use gatepass_server::testing::{PATIENCE, Someone, TestServer, code_of, salted};
use uuid::Uuid;

/// Whatever there was of them: nothing of it can be used, waits or counts.
async fn nothing_left(server: &TestServer, person: PersonId) {
    for row in server.store().held(person).await.unwrap() {
        let request = &row.request;
        assert!(request.state != RequestState::Pending || request.by != person, "{request:?}");
        assert!(!request.approvers().contains(&person) || request.state != RequestState::Pending);
        let running =
            request.grant.as_ref().filter(|g| request.by == person && g.state != GrantState::Ending);
        assert!(running.is_none(), "{running:?}");
    }
    let (_, devices) = server.store().people().await.unwrap();
    assert!(devices.iter().filter(|d| d.person == person).all(|d| d.disabled), "{devices:?}");
}

#[tokio::test]
async fn everything_of_a_person_ends_at_once() {
    let server = TestServer::start().await;
    let root = server.admin("root").await;
    let tomas = server.person("tomas", &["backend", "dba"]).await;
    let petra = server.person("petra", &["backend"]).await;
    let olga = server.person("olga", &["oncall"]).await;
    let dana = server.person("dana", &["dba"]).await;
    let unused = server.invite("tomas", &["backend", "dba"], false, false).await;
    let held = tomas.ask_because("read", 600, None, None).await.get::<Accepted>().grant.unwrap().id;
    tomas.ask_because("read", 900, None, None).await.get::<Accepted>();
    server.until("grant.active", 2).await;
    let secret = tomas.open(&tomas.get(&format!("/v1/grants/{held}/credential")).await.get());
    let session = server.fake.open(&secret, server.clock.now()).unwrap();
    let waits = tomas.ask("write", 600).await.get::<Accepted>().request.id;
    let hers = petra.ask("write", 600).await.get::<Accepted>().request.id;
    tomas.approve(&tomas.request(hers).await).await.get::<Accepted>();
    // Granted with an approval of his: that stays.
    let before = petra.ask("write", 60).await.get::<Accepted>().request.id;
    tomas.approve(&tomas.request(before).await).await.get::<Accepted>();
    olga.approve(&olga.request(before).await).await.get::<Accepted>();
    server.until("grant.active", 3).await;

    let revoked = root.revoke_all(tomas.id).await;
    redacted(|| insta::assert_json_snapshot!("revoked_all", revoked.body));
    nothing_left(&server, tomas.id).await;
    server.until("grant.ended", 2).await;
    assert!(!server.fake.is_open(session));
    assert_eq!(server.store().sealed(held).await.unwrap(), None);

    // His device is refused, whatever it wants.
    for refused in [
        tomas.get("/v1/me").await,
        tomas.get("/v1/stream").await,
        tomas.ask_because("read", 600, None, None).await,
        tomas.post("/v1/sessions/challenges", &serde_json::json!({})).await,
    ]
    .into_iter()
    .take(3)
    {
        assert_eq!(refused.code(), "device_disabled");
    }
    let late = Someone::new(&server);
    assert_eq!(late.enroll(code_of(&unused)).await.code(), "invite_ended");

    // What waited for him is withdrawn; what he approved waits for another.
    let (waits, hers) = (root.request(waits).await, dana.request(hers).await);
    assert_eq!(waits.state, RequestState::Withdrawn);
    assert!(hers.needs.iter().all(|n| n.given.is_empty()) && hers.can_decide, "{hers:?}");
    olga.approve(&olga.request(hers.id).await).await.get::<Accepted>();
    assert_eq!(petra.request(hers.id).await.state, RequestState::Pending);
    dana.approve(&dana.request(hers.id).await).await.get::<Accepted>();
    server.until("grant.active", 4).await;
    assert_eq!(petra.request(before).await.state, RequestState::Approved);

    let events = server.events().await;
    let all: Vec<_> = events
        .iter()
        .filter(|(_, e)| e.command.as_ref().is_some_and(|c| c.body["kind"] == "person.revoke_all"))
        .map(|(_, e)| (e.fact.kind(), e.by))
        .collect();
    let by = By::Person { person: root.id, device: root.device };
    let kinds = [
        "person.revoked",
        "device.disabled",
        "grant.ending",
        "grant.ending",
        "request.withdrawn",
        "request.approval_voided",
    ];
    assert_eq!(all, kinds.map(|kind| (kind, by)), "each carries the command");
    let ended: GrantView = root.get(&format!("/v1/grants/{held}")).await.get();
    assert_eq!(
        (ended.ended_by.as_deref(), ended.end_reason.as_deref()),
        (Some("Root"), Some("lost the laptop"))
    );
    // Who comes back starts with a new device.
    let again = server.person("tomas", &["backend", "dba"]).await;
    assert_eq!(again.id, tomas.id);
    again.ask_because("read", 60, None, None).await.get::<Accepted>();
    assert_eq!(tomas.get("/v1/me").await.code(), "device_disabled");
    for someone in [&again, &petra] {
        root.revoke_all(someone.id).await.get::<RevokedView>();
    }
    server.until("grant.ended", 5).await;
    server.finish().await;
}

#[tokio::test]
async fn only_admins_with_a_reason_and_once() {
    let server = TestServer::start().await;
    let root = server.admin("root").await;
    let dana = server.person("dana", &["dba"]).await;
    let ines = server.auditor("ines").await;
    assert_eq!(dana.revoke_all(ines.id).await.code(), "not_allowed");
    let refused = ines.revoke_all(dana.id).await;
    redacted(|| insta::assert_json_snapshot!("revoke_all_refused", refused.body));
    assert_eq!(root.revoke_all(PersonId(Uuid::now_v7())).await.code(), "not_found");
    let order = |reason: &str| {
        let reason = salted(reason);
        let command = Command::RevokeAll { person: dana.id, reason: reason.digest().unwrap() };
        Submit { command: root.sign(command), texts: vec![reason] }
    };
    let of = |person: &str| format!("/v1/people/{person}/revoke-all");
    assert_eq!(root.post(&of("dana"), &order(" ")).await.code(), "reason_required");
    assert_eq!(root.post(&of("ines"), &order("left")).await.code(), "malformed");
    assert_eq!(dana.get("/v1/me").await.status, 200);

    let once = order("left");
    let first: RevokedView = root.post(&of("dana"), &once).await.get();
    assert_eq!((first.person.id, first.devices), (dana.id, 1));
    let size = server.events().await.len();
    assert_eq!(root.post(&of("dana"), &once).await.get::<RevokedView>(), first, "the same answer");
    assert_eq!(server.events().await.len(), size, "and nothing more");
    // Another order finds nothing left.
    let again: RevokedView = root.post(&of("dana"), &order("left, once more")).await.get();
    assert_eq!((again.devices, again.grants.len()), (1, 0));
    let new: Vec<_> = server.kinds().await.split_off(size);
    assert_eq!(new, ["person.revoked"]);
    server.finish().await;
}

#[tokio::test]
async fn it_waits_for_a_target_that_is_down() {
    let server = TestServer::start().await;
    let root = server.admin("root").await;
    let tomas = server.person("tomas", &["backend"]).await;
    tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    server.until("grant.active", 1).await;
    server.fake.down(Some(TargetError::Unreachable("connection refused".to_owned())));
    let revoked: RevokedView = root.revoke_all(tomas.id).await.get();
    assert_eq!(revoked.grants[0].state, GrantState::Ending);
    server.until("grant.delayed", 2).await;
    let alarm = server
        .events()
        .await
        .into_iter()
        .any(|(_, e)| matches!(e.fact, Fact::GrantDelayed { attempts: 3, .. }));
    assert!(alarm);
    server.fake.down(None);
    server.until("grant.ended", 1).await;
    server.finish().await;
}

/// The places that others have on the target do not hold it up.
#[tokio::test]
async fn it_does_not_wait_for_setups_that_hang() {
    let server = TestServer::start().await;
    let root = server.admin("root").await;
    let tomas = server.person("tomas", &["backend"]).await;
    let petra = server.person("petra", &["support"]).await;
    tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    server.until("grant.active", 1).await;
    let (mut hold, held) = Hold::new();
    for _ in 0..9 {
        server.fake.next(Verb::Provision, Fault::Hang(held.clone()));
        petra.ask_because("read", 600, None, None).await.get::<Accepted>();
    }
    hold.reached(8).await;
    root.revoke_all(tomas.id).await.get::<RevokedView>();
    server.until("grant.ended", 1).await;
    assert_eq!(server.fake.calls(Verb::Provision), 9, "eight hang, and the ninth waits");
    // A setup that runs is ended after it, not during.
    root.revoke_all(petra.id).await.get::<RevokedView>();
    server.until("grant.ended", 2).await;
    assert_eq!(server.fake.calls(Verb::Remove), 2, "only of the one that was not begun");
    hold.release();
    server.until("grant.ended", 10).await;
    server.finish().await;
}

/// Whatever happens in the same instant comes before it, and ends with it, or is refused.
#[tokio::test]
async fn in_the_same_instant_as_anything_else() {
    for _ in 0..8 {
        let server = TestServer::start().await;
        let (root, boss) = (server.admin("root").await, server.admin("boss").await);
        let tomas = server.person("tomas", &["backend", "dba"]).await;
        let petra = server.person("petra", &["backend"]).await;
        let olga = server.person("olga", &["oncall"]).await;
        let dana = server.person("dana", &["dba"]).await;
        let his = tomas.ask("write", 600).await.get::<Accepted>().request.id;
        dana.approve(&dana.request(his).await).await.get::<Accepted>();
        let hers = petra.ask("write", 600).await.get::<Accepted>().request.id;
        let (his, hers) = (olga.request(his).await, tomas.request(hers).await);
        let unused = server.invite("tomas", &["backend", "dba"], false, false).await;
        let phone = Someone::new(&server);
        let (a, b, ..) = tokio::join!(
            root.revoke_all(tomas.id),
            boss.revoke_all(tomas.id),
            olga.approve(&his),
            tomas.approve(&hers),
            tomas.ask_because("read", 600, None, None),
            tomas.ask("write", 60),
            phone.enroll(code_of(&unused)),
        );
        assert_eq!((a.status, b.status), (200, 200), "{a:?} {b:?}");
        nothing_left(&server, tomas.id).await;
        root.revoke_all(petra.id).await.get::<RevokedView>();
        let done = async {
            while server.store().backlog().await.unwrap().jobs > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.expect("all of it ends");
        server.finish().await;
    }
}

/// Two admins end each other's everything: one of them comes first.
#[tokio::test]
async fn admins_against_each_other() {
    for _ in 0..8 {
        let server = TestServer::start().await;
        let (root, boss) = (server.admin("root").await, server.admin("boss").await);
        let (a, b) = tokio::join!(root.revoke_all(boss.id), boss.revoke_all(root.id));
        let mut answers = [a.status, b.status];
        answers.sort_unstable();
        assert_eq!(answers, [200, 403], "{a:?} {b:?}");
        server.finish().await;
    }
}

#[tokio::test]
async fn at_the_console_with_and_without_a_server() {
    let mut server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    server.until("grant.active", 1).await;
    let beside = || gatepass_server::open_store(&server.config, Default::default());
    let now = server.clock.now();
    let unknown = at_console(&*beside().await.unwrap(), "nobody", "left", now).await.unwrap_err();
    assert_eq!(unknown, RevokeError::Unknown("nobody".to_owned()));
    assert!(at_console(&*beside().await.unwrap(), "tomas", "  ", now).await.is_err());
    let ended = at_console(&*beside().await.unwrap(), "tomas", "left", now).await.unwrap();
    assert_eq!((ended.grants, ended.devices, ended.requests, ended.approvals), (1, 1, 0, 0));
    // The server notices by itself.
    server.until("grant.ended", 1).await;
    assert_eq!(tomas.get("/v1/me").await.code(), "device_disabled");

    // Without a server: at its next start.
    let petra = server.person("petra", &["support"]).await;
    petra.ask_because("read", 600, None, None).await.get::<Accepted>();
    server.until("grant.active", 2).await;
    server.down().await;
    let store = gatepass_server::open_store(&server.config, Default::default()).await.unwrap();
    assert_eq!(at_console(&*store, "petra", "left", now).await.unwrap().grants, 1);
    drop(store);
    server.up().await;
    server.until("grant.ended", 2).await;
    server.finish().await;
}
