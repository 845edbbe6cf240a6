use crate::redacted;
use chrono::TimeDelta;
use gatepass_connectors::fake::Verb;
use gatepass_core::wire::{Accepted, GrantState, GrantView, Page};
use gatepass_server::store::Lookup;
use gatepass_server::testing::{Setup, Someone, TestClock, TestServer, code_of};

#[tokio::test]
async fn given_used_and_given_back() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let petra = server.person("petra", &["support"]).await;
    let asked: Accepted = tomas.ask_because("read", 600, None, None).await.get();
    let grant = asked.grant.clone().unwrap().id;
    server.until("grant.active", 1).await;
    let active = tomas.get(&format!("/v1/grants/{grant}")).await;
    redacted(|| insta::assert_json_snapshot!("active", active.body));
    for name in [asked.request.id.to_string(), "R-1".to_owned(), "r-1".to_owned()] {
        assert_eq!(tomas.get(&format!("/v1/grants/{name}")).await.body, active.body);
    }

    let credential = tomas.get("/v1/grants/R-1/credential").await;
    redacted(|| insta::assert_json_snapshot!("credential", credential.body));
    let secret = tomas.open(&credential.get());
    let session = server.fake.open(&secret, server.clock.now()).expect("the secret lets in");
    assert_eq!(petra.get("/v1/grants/R-1/credential").await.status, 403);

    // Another device of the same person can't open what was sealed to this one.
    let again = server.invite("tomas", &["backend"], false, false).await;
    let mut phone = Someone::new(&server);
    phone.enroll(code_of(&again)).await;
    phone.sign_in().await;
    let refused = phone.get("/v1/grants/R-1/credential").await;
    redacted(|| insta::assert_json_snapshot!("credential_of_another_device", refused.body));

    // From any device of theirs, the holder gives it back.
    let returned = phone.give_back(&asked).await;
    assert_eq!(returned.get::<Accepted>().grant.unwrap().state, GrantState::Ending);
    server.until("grant.ended", 1).await;
    assert!(!server.fake.is_open(session));
    let ended = tomas.get(&format!("/v1/grants/{grant}")).await;
    redacted(|| insta::assert_json_snapshot!("ended", ended.body));
    assert_eq!(tomas.get("/v1/grants/R-1/credential").await.code(), "grant_over");
    assert_eq!(tomas.give_back(&asked).await.code(), "grant_over");
    assert_eq!(server.store().sealed(grant).await.unwrap(), None);
    server.finish().await;
}

#[tokio::test]
async fn revoked_by_an_approver_or_an_admin_only() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    let ines = server.auditor("ines").await;
    let root = server.admin("root").await;
    let asked: Accepted = tomas.ask_because("read", 600, None, None).await.get();
    let grant = asked.grant.unwrap().id;
    server.until("grant.active", 1).await;
    // dana approves other roles of the resource, not this one.
    assert_eq!(dana.revoke(grant).await.code(), "may_not_revoke");
    assert_eq!(ines.revoke(grant).await.code(), "may_not_revoke");
    let revoked = root.revoke(grant).await;
    redacted(|| insta::assert_json_snapshot!("revoked", revoked.body));
    server.until("grant.ended", 1).await;
    server.finish().await;
}

#[tokio::test]
async fn an_extension_moves_the_end_and_the_guard() {
    let clock = TestClock::new("2026-11-17T09:53:00Z".parse().unwrap());
    let server = TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await;
    let mut tomas = server.person("tomas", &["backend"]).await;
    let asked: Accepted = tomas.ask_because("read", 600, None, None).await.get();
    let grant = asked.grant.unwrap().id;
    server.until("grant.active", 1).await;
    let before: GrantView = tomas.get("/v1/grants/R-1").await.get();
    let extended = tomas.extend(grant, 300).await;
    assert_eq!(extended.status, 201);
    redacted(|| insta::assert_json_snapshot!("extended", extended.body));
    let after: GrantView = tomas.get("/v1/grants/R-1").await.get();
    assert_eq!(after.ends_at.unwrap() - before.ends_at.unwrap(), TimeDelta::seconds(300));
    tokio::time::timeout(gatepass_server::testing::PATIENCE, async {
        while server.fake.accesses()[&grant].until != after.ends_at.unwrap() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the guard is moved");

    // At the first end nothing happens; at the second it ends.
    clock.advance(TimeDelta::seconds(600));
    tomas.sign_in().await;
    assert_eq!(tomas.get("/v1/grants/R-1").await.get::<GrantView>().state, GrantState::Active);
    assert_eq!(server.fake.calls(Verb::Remove), 0);
    clock.advance(TimeDelta::seconds(300));
    server.until("grant.ended", 1).await;
    assert_eq!(tomas.extend(grant, 60).await.code(), "grant_over");
    server.finish().await;
}

#[tokio::test]
async fn an_extension_needs_the_approvals_of_its_role() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    let olga = server.person("olga", &["oncall"]).await;
    let id = tomas.ask("write", 600).await.get::<Accepted>().request.id;
    dana.approve(&dana.request(id).await).await.get::<Accepted>();
    let grant = olga.approve(&olga.request(id).await).await.get::<Accepted>().grant.unwrap().id;
    server.until("grant.active", 1).await;
    let wish: Accepted = tomas.extend(grant, 300).await.get();
    let view: GrantView = tomas.get(&format!("/v1/grants/{grant}")).await.get();
    assert_eq!(view.extension, Some(wish.request.id));
    dana.approve(&dana.request(wish.request.id).await).await.get::<Accepted>();
    let last: Accepted = olga.approve(&olga.request(wish.request.id).await).await.get();
    let now = last.grant.unwrap();
    assert_eq!((now.id, now.extension), (grant, None));
    assert_eq!(now.ends_at.unwrap() - view.ends_at.unwrap(), TimeDelta::seconds(300));
    assert_eq!(tomas.extend(grant, 7_200).await.code(), "duration_too_long");
    olga.revoke(grant).await.get::<Accepted>();
    server.until("grant.ended", 1).await;
    server.finish().await;
}

#[tokio::test]
async fn asking_for_more_time_holds_against_what_happens_to_the_access_meanwhile() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    let olga = server.person("olga", &["oncall"]).await;
    let id = tomas.ask("write", 600).await.get::<Accepted>().request.id;
    for approver in [&dana, &olga] {
        approver.approve(&approver.request(id).await).await.get::<Accepted>();
    }
    server.until("grant.active", 1).await;
    let version = async || {
        let found = server.store().load(None, Some(Lookup::Request(id))).await.unwrap();
        found.row.unwrap().version
    };
    let before = version().await;
    let grant = tomas.request(id).await.grant.unwrap();
    let wish: Accepted = tomas.extend(grant, 300).await.get();
    // Whoever read the access before that, and wants to change it, has to look again; and the other way round.
    assert_eq!(version().await, before + 1);
    tomas.withdraw(&wish.request).await.get::<Accepted>();
    dana.revoke(grant).await.get::<Accepted>();
    server.until("grant.ended", 1).await;
    server.finish().await;
}

#[tokio::test]
async fn lists_are_pages() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let petra = server.person("petra", &["support"]).await;
    let mut given = Vec::new();
    for _ in 0..3 {
        given.push(tomas.ask_because("read", 600, None, None).await.get::<Accepted>());
    }
    server.until("grant.active", 3).await;
    let first: Page<GrantView> = tomas.get("/v1/grants?limit=2").await.get();
    let next = first.next.expect("there is more");
    let second: Page<GrantView> =
        tomas.get(&format!("/v1/grants?scope=mine&limit=2&after={next}")).await.get();
    let numbers: Vec<_> = first.items.iter().chain(&second.items).map(|g| g.number.as_str()).collect();
    assert_eq!(numbers, ["R-3", "R-2", "R-1"]);
    assert_eq!(second.next, None);
    assert!(petra.get("/v1/grants").await.get::<Page<GrantView>>().items.is_empty());
    for accepted in &given {
        tomas.give_back(accepted).await.get::<Accepted>();
    }
    server.until("grant.ended", 3).await;
    server.finish().await;
}
