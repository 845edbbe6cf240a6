//! What the server, or the lack of one, says: as codes and sentences.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod home;

use chrono::TimeDelta;
use gatepass_client::ui::DecisionDraft;
use gatepass_client::{Client, Clock, KeyStore, Profile, RequestScope};
use gatepass_core::Code;
use gatepass_core::wire::{Ask, Verdict};
use home::{Home, problem};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

fn ask() -> Ask {
    Ask {
        resource: "orders-db".into(),
        role: "write".into(),
        duration_s: 60,
        reason: Some(" stuck ".into()),
        ticket: None,
        extends: None,
    }
}

#[tokio::test]
async fn refusals_keep_their_code_and_sentence() {
    let home = Home::new().await;
    let client = home.joined().await;
    for (status, body, code, says) in [
        (403, problem("self_approval", 403), Code::SelfApproval, "why self_approval"),
        (422, problem("a_code_of_tomorrow", 422), Code::Malformed, "why a_code_of_tomorrow"),
        (403, json!("no"), Code::NotAllowed, "403"),
        (413, json!(null), Code::BodyTooLarge, "413"),
        (429, json!(null), Code::RateLimited, "429"),
        (502, json!("<html>"), Code::Unreachable, "502"),
        (507, problem("disk_full", 507), Code::DiskFull, "why disk_full"),
        (201, json!({"what": "ever"}), Code::Malformed, "can’t be read"),
    ] {
        home.state().instead.insert("/v1/requests", vec![(status, body)]);
        let failure = client.submit_request(&ask()).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(says), "{failure}");
    }
}

#[tokio::test]
async fn a_list_is_whole_over_all_pages() {
    let home = Home::new().await;
    for number in 1..=3 {
        home.state().ask(number, "one of three");
    }
    let client = home.joined().await;
    let all = serde_json::to_value(client.requests().await.unwrap()).unwrap();
    let pages = |home: &Home| {
        let page = |items: &[Value], next: Value| (200, json!({"items": items, "next": next}));
        let all = all.as_array().unwrap();
        let answers = vec![page(&all[..2], json!("2")), page(&all[2..], json!(null))];
        home.state().instead.insert("/v1/requests", answers);
    };
    pages(&home);
    let whole = client.server_requests(RequestScope::All, usize::MAX).await.unwrap();
    assert_eq!(whole.iter().map(|r| r.number.as_str()).collect::<Vec<_>>(), ["R-3", "R-2", "R-1"]);
    pages(&home);
    assert_eq!(client.server_requests(RequestScope::All, 2).await.unwrap().len(), 2);
    assert_eq!(home.state().instead["/v1/requests"].len(), 1, "no page more than needed");
}

#[tokio::test]
async fn a_session_is_kept_and_renewed_when_the_server_ends_it() {
    let home = Home::new().await;
    let client = home.joined().await;
    client.sync_now().await.unwrap();
    client.server_me().await.unwrap();
    assert_eq!(home.state().sessions, 1);
    home.state().expired = 1;
    client.server_me().await.unwrap();
    assert_eq!(home.state().sessions, 2);
    home.state().expired = 2;
    assert_eq!(client.server_me().await.unwrap_err().code, Code::TokenEnded);
    // Its time by the server's clock is nearly over.
    home.state().now += TimeDelta::seconds(14 * 60 + 45);
    client.server_me().await.unwrap();
    assert_eq!(home.state().sessions, 4);
}

#[tokio::test]
async fn a_decision_sent_again_is_the_same_bytes_and_signed_as_shown() {
    let home = Home::new().await;
    let request = home.state().ask(1, "first");
    let client = home.joined().await;
    let draft =
        DecisionDraft { request, verdict: Verdict::Approve, duration_s: Some(300), note: Some("ok".into()) };
    let prepared = client.prepare_decision(draft).await.unwrap();
    assert!(home.state().posted.iter().all(|(path, _)| !path.contains("decisions")), "nothing was sent");
    let unavailable = (503, problem("unavailable", 503));
    home.state().instead.insert("/v1/requests", vec![unavailable.clone(), unavailable]);
    for _ in 0..2 {
        assert_eq!(client.send_prepared(&prepared.id).await.unwrap_err().code, Code::Unavailable);
    }
    let posted = home.state().posted.clone();
    let sent: Vec<&Value> = posted.iter().filter(|(p, _)| p.contains("decisions")).map(|(_, b)| b).collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], sent[1]);
    let command = serde_json::from_value(sent[0]["command"].clone()).unwrap();
    let key =
        posted.iter().find(|(p, _)| p == "/v1/enroll").unwrap().1["command"]["body"]["signing_key"].clone();
    gatepass_log::verify(key.as_str().unwrap(), "request.decide", &command).unwrap();
    let shown = prepared.bytes.strip_prefix("gatepass/v1 request.decide\n").unwrap();
    assert_eq!(serde_json::from_str::<Value>(shown).unwrap(), sent[0]["command"]["body"]);
    assert_eq!(sent[0]["command"]["body"]["head"]["size"], 1, "it names the head it was based on");
    assert!(!prepared.bytes.contains("ok"), "the note stands there as a digest only");
    assert_eq!(client.send_prepared("nonsense").await.unwrap_err().code, Code::NotFound);

    let stale = DecisionDraft { request, verdict: Verdict::Deny, duration_s: None, note: Some("no".into()) };
    let stale = client.prepare_decision(stale).await.unwrap();
    home.state().now += TimeDelta::minutes(5);
    assert_eq!(client.send_prepared(&stale.id).await.unwrap_err().code, Code::StaleRevision);
    let silent = DecisionDraft { request, verdict: Verdict::Deny, duration_s: None, note: Some(" ".into()) };
    assert_eq!(client.prepare_decision(silent).await.unwrap_err().code, Code::ReasonRequired);
}

#[tokio::test]
async fn asking_again_after_a_lost_answer_is_the_same_command() {
    let home = Home::new().await;
    let client = home.joined().await;
    let ask = |reason: &str| Ask {
        resource: "orders-db".into(),
        role: "write".into(),
        duration_s: 60,
        reason: Some(reason.into()),
        ticket: None,
        extends: None,
    };
    let (lost, refused) = ((503, problem("unavailable", 503)), (422, problem("reason_required", 422)));
    home.state().instead.insert("/v1/requests", vec![lost.clone(), lost, refused.clone(), refused]);
    let expected = [Code::Unavailable, Code::Unavailable, Code::ReasonRequired, Code::ReasonRequired];
    for (reason, code) in ["why", "other", "why", "why"].into_iter().zip(expected) {
        assert_eq!(client.submit_request(&ask(reason)).await.unwrap_err().code, code);
    }
    let posted = home.state().posted.clone();
    let sent: Vec<&Value> = posted.iter().filter(|(p, _)| p == "/v1/requests").map(|(_, b)| b).collect();
    assert_eq!(sent.len(), 4);
    assert_eq!(sent[0], sent[2], "the same question, not answered yet");
    assert_ne!(sent[0]["command"]["body"]["id"], sent[1]["command"]["body"]["id"], "another question");
    assert_ne!(sent[2]["command"]["body"]["id"], sent[3]["command"]["body"]["id"], "that one was answered");
}

#[tokio::test]
async fn a_clock_two_days_off_signs_with_the_servers_time() {
    let home = Home::new().await;
    let server = home.state().now;
    let off = Clock::of(move || server + TimeDelta::days(2));
    let client = Client::open_at(home.profile(), KeyStore::File, off).unwrap();
    let status = client.join(&home.link(), None).await.unwrap();
    assert_eq!(status.clock_offset_ms, -2 * 86_400_000);
    let posted = home.state().posted.clone();
    let (_, enroll) = posted.iter().find(|(p, _)| p == "/v1/enroll").unwrap();
    assert_eq!(enroll["command"]["body"]["at"], "2026-11-17T09:00:00Z");
}

#[tokio::test]
async fn a_refused_invite_leaves_nothing_behind() {
    let home = Home::new().await;
    home.state().instead.insert("/v1/enroll", vec![(409, problem("invite_used", 409))]);
    let client = home.open();
    assert_eq!(client.join(&home.link(), None).await.unwrap_err().code, Code::InviteUsed);
    assert_eq!(std::fs::read_dir(home.profile().dir()).unwrap().count(), 0);
    client.join(&home.link(), None).await.unwrap();
    assert_eq!(client.join(&home.link(), None).await.unwrap_err().code, Code::AlreadyJoined);
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-keyout", &file("key"), "-out", &file("cert"), "-subj", "/CN=somebody-else", "-days", "2"])
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-key", &file("key"), "-cert", &file("cert"), "-www"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let said = BufReader::new(server.stdout.take().unwrap()).lines();
    let address = said
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned))
        .expect("an address");
    let link = format!(
        "gatepass://join?server=https%3A%2F%2F{}&code=abcdefghijklmnopqrstuvwx",
        address.replace(':', "%3A")
    );
    let profile = Profile::within(dir.path(), "noor").unwrap();
    let client = Client::open(profile, KeyStore::File).unwrap();
    let failure = client.join(&link, None).await.unwrap_err();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(failure.code, Code::CertificateMismatch, "{failure}");
}
