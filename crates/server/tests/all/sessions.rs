use crate::redacted;
use chrono::TimeDelta;
use gatepass_core::wire::{Challenge, Session};
use gatepass_server::testing::{Setup, Someone, TestClock, TestServer};
use serde_json::json;

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

    // A stranger's signature, and a device nobody enrolled.
    let challenge: Challenge = tomas.post("/v1/sessions/challenges", &json!({})).await.get();
    let mut stranger = Someone::new(&server);
    let answer = stranger.answer(&challenge.challenge);
    assert_eq!(tomas.post("/v1/sessions", &answer).await.code(), "unknown_device");
    stranger.device = tomas.device;
    let challenge: Challenge = tomas.post("/v1/sessions/challenges", &json!({})).await.get();
    let answer = stranger.answer(&challenge.challenge);
    assert_eq!(tomas.post("/v1/sessions", &answer).await.code(), "wrong_signature");

    tomas.token = session.get::<Session>().token;
    assert_eq!(tomas.get("/v1/me").await.status, 200);
    tomas.token = "made up".to_owned();
    assert_eq!(tomas.get("/v1/me").await.code(), "token_ended");
    let anonymous = server.http.get(format!("{}/v1/me", server.url)).send().await.unwrap();
    assert_eq!(anonymous.status().as_u16(), 401);
    server.finish().await;
}

#[tokio::test]
async fn challenges_and_tokens_end() {
    let clock = TestClock::new("2026-11-17T09:53:00Z".parse().unwrap());
    let server = TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let challenge: Challenge = tomas.post("/v1/sessions/challenges", &json!({})).await.get();
    clock.advance(TimeDelta::seconds(60));
    let late = tomas.post("/v1/sessions", &tomas.answer(&challenge.challenge)).await;
    assert_eq!(late.code(), "unauthenticated");
    assert_eq!(tomas.get("/v1/me").await.status, 200);
    clock.advance(TimeDelta::minutes(14));
    assert_eq!(tomas.get("/v1/me").await.code(), "token_ended");
    server.finish().await;
}
