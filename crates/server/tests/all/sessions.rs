use crate::redacted;
use chrono::TimeDelta;
use gatepass_core::wire::{Challenge, Session};
use gatepass_server::auth::{self, Auth};
use gatepass_server::store::{Change, Store};
use gatepass_server::testing::{PATIENCE, Setup, Someone, TestClock, TestServer};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_challenge_is_good_once_and_for_its_device() {
    let server = TestServer::start().await;
    let mut tomas = server.person("tomas", &["backend"]).await;
    let challenge: Challenge = tomas.post("/v1/sessions/challenges", &json!({})).await.get();
    let answer = tomas.answer(&challenge.challenge);
    let session = tomas.post("/v1/sessions", &answer).await;
    redacted(|| insta::assert_json_snapshot!(session.body));
    let again = tomas.post("/v1/sessions", &answer).await;
    redacted(|| insta::assert_json_snapshot!("challenge_used", again.body));
    assert_eq!((again.status, again.code()), (401, "unauthenticated"));

    // A stranger's signature, and a device nobody enrolled; neither uses the challenge up.
    let challenge: Challenge = tomas.post("/v1/sessions/challenges", &json!({})).await.get();
    let mut stranger = Someone::new(&server);
    let answer = stranger.answer(&challenge.challenge);
    assert_eq!(tomas.post("/v1/sessions", &answer).await.code(), "unknown_device");
    stranger.device = tomas.device;
    let answer = stranger.answer(&challenge.challenge);
    assert_eq!(tomas.post("/v1/sessions", &answer).await.code(), "wrong_signature");
    let answer = tomas.answer(&challenge.challenge);
    assert_eq!(tomas.post("/v1/sessions", &answer).await.status, 200);
    // A challenge of one's own making; a token is none either.
    for made_up in ["made up", session.body["token"].as_str().unwrap()] {
        let answer = tomas.answer(made_up);
        assert_eq!(tomas.post("/v1/sessions", &answer).await.code(), "unauthenticated");
    }

    tomas.token = session.get::<Session>().token;
    assert_eq!(tomas.get("/v1/me").await.status, 200);
    for made_up in ["made up", &challenge.challenge] {
        tomas.token = made_up.to_owned();
        assert_eq!(tomas.get("/v1/me").await.code(), "token_ended");
    }
    let anonymous = server.http.get(format!("{}/v1/me", server.url)).send().await.unwrap();
    assert_eq!(anonymous.status().as_u16(), 401);
    server.finish().await;
}

#[tokio::test]
async fn challenges_and_tokens_end() {
    let clock = TestClock::new("2026-11-17T09:53:00Z".parse().unwrap());
    let server = TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let challenges = async || tomas.post("/v1/sessions/challenges", &json!({})).await.get::<Challenge>();
    let (early, late) = (challenges().await, challenges().await);
    clock.advance(TimeDelta::seconds(119));
    assert_eq!(tomas.post("/v1/sessions", &tomas.answer(&early.challenge)).await.status, 200);
    clock.advance(TimeDelta::seconds(1));
    let late = tomas.post("/v1/sessions", &tomas.answer(&late.challenge)).await;
    assert_eq!(late.code(), "unauthenticated");
    assert_eq!(tomas.get("/v1/me").await.status, 200);
    clock.advance(TimeDelta::minutes(13));
    assert_eq!(tomas.get("/v1/me").await.code(), "token_ended");
    server.finish().await;
}

#[tokio::test]
async fn a_session_outlives_a_restart() {
    let mut server = TestServer::start().await;
    let mut tomas = server.person("tomas", &["backend"]).await;
    let challenge: Challenge = tomas.post("/v1/sessions/challenges", &json!({})).await.get();
    server.down().await;
    server.up().await;
    tomas.url = server.url.clone();
    assert_eq!(tomas.get("/v1/me").await.status, 200);
    assert_eq!(tomas.post("/v1/sessions", &tomas.answer(&challenge.challenge)).await.status, 200);
    server.finish().await;
}

/// Nodes are what has the keys from the same store.
#[tokio::test]
async fn what_one_node_gives_another_takes() {
    let server = TestServer::start().await;
    let mut tomas = server.person("tomas", &["backend"]).await;
    let store = &**server.store();
    let now = server.clock.now();
    let (one, other) = (Auth::load(store).await.unwrap(), Auth::load(store).await.unwrap());
    // The challenge of one, the session of this server, and its token at another.
    let challenge = one.challenge(now);
    let session: Session = tomas.post("/v1/sessions", &tomas.answer(&challenge)).await.get();
    let (device, _) = other.token(store, &session.token, now).await.unwrap();
    assert_eq!(device, tomas.device);
    // Used here, it is not refused there within its time: each remembers its own.
    let stamp = other.challenged(store, &challenge, now).await.unwrap().unwrap();
    assert!(other.use_up(stamp, now).unwrap());
    assert!(!other.use_up(stamp, now).unwrap());
    assert_eq!(tomas.post("/v1/sessions", &tomas.answer(&challenge)).await.code(), "unauthenticated");
    // The clock of one is a minute behind.
    let challenge = one.challenge(now - TimeDelta::seconds(60));
    tomas.token = tomas.post("/v1/sessions", &tomas.answer(&challenge)).await.get::<Session>().token;
    assert_eq!(tomas.get("/v1/me").await.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn nodes_that_start_at_once_agree_on_the_key() {
    let server = TestServer::start().await;
    let store = server.store().clone();
    let now = server.clock.now();
    // As before the first start, except that the change which made the keys is known: it makes none twice.
    let forget = Change { settings: vec![("token_key", String::new())], ..Change::default() };
    let kept = store.setting("token_key").await.unwrap().unwrap();
    store.commit(forget).await.unwrap();
    assert!(Auth::load(&*store).await.is_err(), "what can’t be read is not replaced");
    let restore = Change { settings: vec![("token_key", kept)], ..Change::default() };
    store.commit(restore).await.unwrap();

    let directory = tempfile::tempdir().unwrap();
    let fresh =
        gatepass_server::store::sqlite::SqliteStore::open(directory.path(), Default::default()).unwrap();
    let fresh: std::sync::Arc<dyn Store> = std::sync::Arc::new(fresh);
    let starts = (0..8).map(|_| {
        let fresh = fresh.clone();
        tokio::spawn(async move { Auth::load(&*fresh).await.unwrap() })
    });
    let mut nodes = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        nodes.push(start.await.unwrap());
    }
    for from in &nodes {
        let challenge = from.challenge(now);
        for to in &nodes {
            assert!(to.challenged(&*fresh, &challenge, now).await.unwrap().is_some());
        }
    }
    server.finish().await;
}

#[tokio::test]
async fn the_key_is_changed_and_nobody_has_to_sign_in_again() {
    let server = TestServer::start().await;
    let mut tomas = server.person("tomas", &["backend"]).await;
    let store = &**server.store();
    let before = store.setting("token_key").await.unwrap();
    auth::rotate(store, server.clock.now()).await.unwrap();
    assert_ne!(store.setting("token_key").await.unwrap(), before);
    assert_eq!(tomas.get("/v1/me").await.status, 200);
    // Another node stamps with the new key; this one looks, though not more than once a second.
    let other = Auth::load(store).await.unwrap();
    let old = tomas.token.clone();
    let taken = async {
        loop {
            let challenge = other.challenge(server.clock.now());
            let answer = tomas.post("/v1/sessions", &tomas.answer(&challenge)).await;
            if answer.status == 200 {
                return answer.get::<Session>().token;
            }
            assert_eq!(answer.code(), "unauthenticated");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let new = tokio::time::timeout(PATIENCE, taken).await.expect("the new key is taken up");
    for token in [&old, &new] {
        tomas.token = token.clone();
        assert_eq!(tomas.get("/v1/me").await.status, 200);
    }
    // Changed once more, what the first key stamped is no longer taken by whoever knows that.
    auth::rotate(store, server.clock.now()).await.unwrap();
    let other = Auth::load(store).await.unwrap();
    assert!(other.token(store, &old, server.clock.now()).await.is_err());
    assert!(other.token(store, &new, server.clock.now()).await.is_ok());
    server.finish().await;
}

/// Who the sender is, only a trusted proxy may say.
#[tokio::test]
async fn behind_a_trusted_proxy_each_sender_pays_for_itself() {
    let limits = "limits = { per_second = 1, burst = 3 }";
    let trusting = |networks: &str| format!("{limits}\ntrusted_proxies = [{networks}]");
    for (server, alone) in
        [(trusting("\"127.0.0.0/8\""), true), (trusting("\"10.0.0.0/8\""), false), (limits.to_owned(), false)]
    {
        let server = TestServer::with(Setup { server, ..Setup::default() }).await;
        // One after the other, each with these addresses on its way; how many were let through.
        let ask = async |ways: &[Vec<String>]| {
            let mut through = 0;
            for way in ways {
                let url = format!("{}/v1/sessions/challenges", server.url);
                let mut request = server.http.post(url).json(&json!({}));
                for line in way {
                    request = request.header("x-forwarded-for", line);
                }
                through += usize::from(request.send().await.unwrap().status() == 200);
            }
            through
        };
        let many = |way: &dyn Fn(u8) -> Vec<String>| (0..50).map(way).collect::<Vec<_>>();
        // Writing another address before the proxy's does not make it another sender.
        assert!(ask(&many(&|_| vec!["203.0.113.7".to_owned()])).await < 50);
        assert!(ask(&many(&|n| vec![format!("198.51.100.{n}, 203.0.113.7")])).await < 50);
        assert!(ask(&many(&|n| vec![format!("198.51.100.{n}"), "203.0.113.7".to_owned()])).await < 50);
        assert_eq!(ask(&many(&|n| vec![format!("203.0.113.{}", n + 8)])).await == 50, alone);
        server.finish().await;
    }
}
