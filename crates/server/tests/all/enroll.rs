use crate::redacted;
use chrono::TimeDelta;
use gatepass_core::wire::Enrolled;
use gatepass_server::invite::{Invitation, invite};
use gatepass_server::testing::{Setup, Someone, TestClock, TestServer, code_of, salted};

#[tokio::test]
async fn a_device_joins_once_with_its_invite() {
    let server = TestServer::start().await;
    let invited = server.invite("tomas", &["backend"], false, false).await;
    let laptop = Someone::new(&server);
    let submit = laptop.enrollment(code_of(&invited));
    let joined = laptop.post("/v1/enroll", &submit).await;
    redacted(|| insta::assert_json_snapshot!(joined.body));

    // Repeated, it is the same joining; by another device, the invite is used.
    assert_eq!(laptop.post("/v1/enroll", &submit).await.body, joined.body);
    let other = Someone::new(&server).enroll(code_of(&invited)).await;
    assert_eq!((other.status, other.code()), (409, "invite_used"));
    redacted(|| insta::assert_json_snapshot!("invite_used", other.body));
    assert_eq!(server.kinds().await, ["catalogue.published", "person.recorded", "device.enrolled"]);
    server.finish().await;
}

#[tokio::test]
async fn an_invite_ends_after_a_day() {
    let clock = TestClock::new("2026-11-17T09:53:00Z".parse().unwrap());
    let server = TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await;
    let invited = server.invite("tomas", &[], false, false).await;
    clock.advance(TimeDelta::hours(24));
    let late = Someone::new(&server).enroll(code_of(&invited)).await;
    assert_eq!((late.status, late.code()), (410, "invite_ended"));
    server.finish().await;
}

#[tokio::test]
async fn what_does_not_hold_together_is_refused() {
    let server = TestServer::start().await;
    let invited = server.invite("tomas", &[], false, false).await;
    let someone = Someone::new(&server);
    let good = someone.enrollment(code_of(&invited));

    let unknown = someone.enroll("AAAAAAAAAAAAAAAAAAAAAAAA").await;
    assert_eq!((unknown.status, unknown.code()), (404, "invite_unknown"));

    let mut wrong = good.clone();
    wrong.command.body["device"] = serde_json::json!("019a0000-0000-7000-8000-000000000001");
    assert_eq!(someone.post("/v1/enroll", &wrong).await.code(), "wrong_signature");

    let mut wrong = good.clone();
    wrong.code = "another".to_owned();
    assert_eq!(someone.post("/v1/enroll", &wrong).await.code(), "digest_mismatch");

    let mut wrong = good.clone();
    wrong.name = salted("someone else’s laptop");
    assert_eq!(someone.post("/v1/enroll", &wrong).await.code(), "digest_mismatch");

    assert_eq!(someone.post("/v1/enroll", &serde_json::json!({"a": 1})).await.code(), "malformed");
    // None of it used the invite up.
    assert_eq!(someone.post("/v1/enroll", &good).await.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn who_can_be_invited() {
    let server = TestServer::start().await;
    let invited = async |handle: &str, name: &str, group: &str| {
        let groups = std::collections::BTreeSet::from([group.to_owned()]);
        let (handle, name) = (handle.to_owned(), name.to_owned());
        let invitation = Invitation { handle, name, groups, auditor: false, admin: false };
        let outcome = invite(&**server.store(), &server.config, invitation, server.clock.now()).await;
        outcome.map(|i| i.person).map_err(|e| e.to_string())
    };
    assert_eq!(invited("zoë@example.com", "Zoë Łódź", "backend").await.unwrap(), "zoë@example.com");
    for (handle, name, group) in [
        ("", "A", "g"),
        ("a b", "A", "g"),
        ("a,b", "A", "g"),
        ("a\u{202e}b", "A", "g"),
        ("a", " ", "g"),
        ("a", "A\nB", "g"),
        ("a", "A", ""),
        ("a", "A", "back end"),
    ] {
        let refused = invited(handle, name, group).await.expect_err(handle);
        assert!(refused.contains("expected"), "{refused}");
    }
    server.finish().await;
}

#[tokio::test]
async fn invited_again_it_is_the_same_person() {
    let server = TestServer::start().await;
    let laptop = server.person("tomas", &["backend"]).await;
    let again = server.invite("tomas", &["backend", "dba"], false, true).await;
    let phone = Someone::new(&server);
    let joined: Enrolled = phone.enroll(code_of(&again)).await.get();
    assert_eq!(joined.person.id, laptop.id);
    assert!(joined.person.admin && joined.person.groups.contains("dba"));
    let mine = laptop.get("/v1/me").await.body;
    assert_eq!(mine["person"]["groups"], serde_json::json!(["backend", "dba"]));
    server.finish().await;
}
