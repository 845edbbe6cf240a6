use crate::redacted;
use chrono::TimeDelta;
use gatepass_core::command::Command;
use gatepass_core::wire::{Accepted, Page, RequestView, Submit, Verdict};
use gatepass_server::testing::{Answer, Setup, TestClock, TestServer, salted, shared};
use serde_json::json;

#[tokio::test]
async fn asked_seen_and_withdrawn() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let stranger = server.person("sven", &["support"]).await;
    let asked = tomas.ask("write", 1800).await;
    assert_eq!(asked.status, 201);
    redacted(|| insta::assert_json_snapshot!("asked", asked.body));
    let asked: Accepted = asked.get();

    let seen = dana.get("/v1/requests/R-1").await;
    redacted(|| insta::assert_json_snapshot!("seen_by_an_approver", seen.body));
    let unseen = stranger.get("/v1/requests/R-1").await;
    redacted(|| insta::assert_json_snapshot!("seen_by_a_stranger", unseen.body));
    assert_eq!(unseen.status, 403);

    let not_hers = dana.withdraw(&asked.request).await;
    assert_eq!(not_hers.code(), "not_yours");
    let withdrawn: Accepted = tomas.withdraw(&asked.request).await.get();
    assert_eq!(withdrawn.request.state, gatepass_core::wire::RequestState::Withdrawn);
    assert_eq!(tomas.withdraw(&asked.request).await.code(), "already_decided");
    server.finish().await;
}

#[tokio::test]
async fn every_refusal_says_why() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let outsider = server.person("ivo", &["sales"]).await;
    let ask = async |role: &str, seconds, reason: Option<&str>, ticket: Option<&str>| -> Answer {
        tomas.ask_because(role, seconds, reason, ticket).await
    };
    let long = "x".repeat(4_001);
    let refusals = [
        ("unknown_role", ask("wriet", 60, None, None).await),
        ("duration_too_long", ask("write", 7_201, Some("r"), Some("INC-1")).await),
        ("duration_too_short", ask("write", 0, Some("r"), Some("INC-1")).await),
        ("reason_required", ask("write", 60, None, Some("INC-1")).await),
        ("reason_required", ask("write", 60, Some("  "), Some("INC-1")).await),
        ("ticket_required", ask("write", 60, Some("r"), None).await),
        ("ticket_mismatch", ask("write", 60, Some("r"), Some("inc-1")).await),
        ("text_too_long", ask("write", 60, Some(&long), Some("INC-1")).await),
        ("malformed", ask("write", 60, Some("a\0b"), Some("INC-1")).await),
        ("not_allowed_to_ask", outsider.ask("read", 60).await),
    ];
    let mut said = Vec::new();
    for (code, answer) in refusals {
        assert_eq!(answer.code(), code, "{}", answer.body);
        said.push(json!({ "status": answer.status, "body": answer.body }));
    }
    redacted(|| insta::assert_json_snapshot!("refusals", said));
    assert!(!server.kinds().await.contains(&"request.created"));
    server.finish().await;
}

#[tokio::test]
async fn decisions_by_the_right_people_once() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend", "dba"]).await;
    let dana = server.person("dana", &["dba", "oncall"]).await;
    let olga = server.person("olga", &["oncall"]).await;
    let ines = server.auditor("ines").await;
    let id = tomas.ask("write", 1800).await.get::<Accepted>().request.id;

    let own = tomas.request(id).await;
    assert_eq!(tomas.approve(&own).await.code(), "self_approval");
    let watched = ines.request(id).await;
    assert_eq!(ines.approve(&watched).await.code(), "not_an_approver");
    let mut stale = dana.request(id).await;
    stale.revision += 1;
    assert_eq!(dana.approve(&stale).await.code(), "stale_revision");
    let shown = dana.request(id).await;
    assert_eq!(dana.decide(&shown, Verdict::Approve, Some(3_600)).await.code(), "duration_too_long");

    let approved = dana.decide(&shown, Verdict::Approve, Some(600)).await;
    redacted(|| insta::assert_json_snapshot!("approved_once", approved.body));
    assert_eq!(dana.approve(&shown).await.code(), "decided_twice");
    let last: Accepted = olga.approve(&olga.request(id).await).await.get();
    assert_eq!(last.request.state, gatepass_core::wire::RequestState::Approved);
    assert_eq!(last.grant.as_ref().unwrap().duration_s, 600);
    assert_eq!(olga.decide(&last.request, Verdict::Deny, None).await.code(), "already_decided");

    server.until("grant.active", 1).await;
    tomas.give_back(&last).await.get::<Accepted>();
    server.until("grant.ended", 1).await;
    server.finish().await;
}

#[tokio::test]
async fn a_denial_is_final() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    let olga = server.person("olga", &["oncall"]).await;
    let id = tomas.ask("write", 60).await.get::<Accepted>().request.id;
    let denied = dana.decide(&dana.request(id).await, Verdict::Deny, None).await;
    redacted(|| insta::assert_json_snapshot!("denied", denied.body));
    let late = olga.approve(&olga.request(id).await).await;
    assert_eq!(late.code(), "already_decided");
    server.finish().await;
}

#[tokio::test]
async fn two_approvals_at_once_both_count() {
    for _ in 0..5 {
        let server = TestServer::start().await;
        let tomas = server.person("tomas", &["backend"]).await;
        let dana = server.person("dana", &["dba"]).await;
        let olga = server.person("olga", &["oncall"]).await;
        let id = tomas.ask("write", 60).await.get::<Accepted>().request.id;
        let (one, two) = (dana.request(id).await, olga.request(id).await);
        let (one, two) = tokio::join!(dana.approve(&one), olga.approve(&two));
        let (one, two): (Accepted, Accepted) = (one.get(), two.get());
        let last = if one.grant.is_some() { one } else { two };
        server.until("request.approved", 2).await;
        server.until("grant.active", 1).await;
        tomas.give_back(&last).await.get::<Accepted>();
        server.until("grant.ended", 1).await;
        server.finish().await;
    }
}

#[tokio::test]
async fn a_repeated_command_is_one_command() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let (reason, ticket) = (salted("r"), salted("INC-1"));
    let command = Command::Create {
        resource: "orders-db".into(),
        role: "write".into(),
        duration_s: 60,
        reason: reason.digest(),
        ticket: ticket.digest(),
        ssh_key: None,
    };
    let submit = Submit { command: tomas.sign(command.clone()), texts: vec![reason.clone(), ticket.clone()] };
    // All at once, and once more.
    let sends = (0..8).map(|_| tomas.post("/v1/requests", &submit));
    let answers = futures_util::future::join_all(sends).await;
    let number = answers[0].get::<Accepted>().request.number;
    // On a shared store, a write that came too late has used a number up.
    assert!(number == "R-1" || shared(), "{number}");
    for answer in answers {
        assert_eq!(answer.get::<Accepted>().request.number, number);
    }
    assert_eq!(server.kinds().await.iter().filter(|k| **k == "request.created").count(), 1);

    // The same id around another body.
    let mut other = serde_json::to_value(gatepass_core::command::Body {
        id: serde_json::from_value(submit.command.body["id"].clone()).unwrap(),
        device: tomas.device,
        at: server.clock.now(),
        head: None,
        command,
    })
    .unwrap();
    other["duration_s"] = json!(61);
    let signed = tomas.key.sign("request.create", &other).unwrap();
    let reused = tomas.post("/v1/requests", &Submit { command: signed, texts: vec![reason, ticket] }).await;
    assert_eq!((reused.status, reused.code()), (409, "id_reused"));
    let request = tomas.request(&number).await;
    tomas.withdraw(&request).await.get::<Accepted>();
    server.finish().await;
}

#[tokio::test]
async fn what_is_signed_is_what_counts() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let command = Command::Create {
        resource: "orders-db".into(),
        role: "read".into(),
        duration_s: 60,
        reason: None,
        ticket: None,
        ssh_key: None,
    };
    let mut changed = Submit { command: tomas.sign(command.clone()), texts: Vec::new() };
    changed.command.body["duration_s"] = json!(3_600);
    let refused = tomas.post("/v1/requests", &changed).await;
    assert_eq!((refused.status, refused.code()), (401, "wrong_signature"));

    // What is signed goes into the log: nothing else may stand in it.
    let whole = tomas.sign(command.clone()).body;
    let head = json!({"size": 1, "root": "0".repeat(64), "more": 1});
    for (field, value) in [("comment", json!("x")), ("head", head)] {
        let mut body = whole.clone();
        body[field] = value;
        let signed = tomas.key.sign("request.create", &body).unwrap();
        let refused = tomas.post("/v1/requests", &Submit { command: signed, texts: Vec::new() }).await;
        assert_eq!(refused.code(), "malformed", "{}", refused.body);
        assert!(refused.body["detail"].as_str().unwrap().contains("unknown field"));
    }
    let mut body = whole;
    body["head"] = json!({"size": 1, "root": "not a hash"});
    let signed = tomas.key.sign("request.create", &body).unwrap();
    let refused = tomas.post("/v1/requests", &Submit { command: signed, texts: Vec::new() }).await;
    assert_eq!(refused.code(), "malformed");

    // Signed for one purpose, sent for another.
    let withdraw = Submit { command: tomas.sign(command), texts: Vec::new() };
    let refused = tomas.post("/v1/requests/R-1/withdraw", &withdraw).await;
    assert_eq!(refused.code(), "malformed");

    // A text that is not the one that was signed.
    let command = Command::Create {
        resource: "orders-db".into(),
        role: "read".into(),
        duration_s: 60,
        reason: salted("a").digest(),
        ticket: None,
        ssh_key: None,
    };
    let refused = tomas.send("/v1/requests", command, vec![salted("a")]).await;
    assert_eq!(refused.code(), "digest_mismatch");
    assert!(!server.kinds().await.contains(&"request.created"));
    server.finish().await;
}

#[tokio::test]
async fn the_address_names_what_the_command_names() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let one = tomas.ask("write", 60).await.get::<Accepted>().request;
    let two = tomas.ask("write", 60).await.get::<Accepted>().request;
    let withdraw = async |path: &str, request| {
        let path = format!("/v1/requests/{path}/withdraw");
        tomas.send(&path, Command::Withdraw { request }, Vec::new()).await
    };
    assert_eq!(withdraw(&one.id.to_string(), two.id).await.code(), "malformed");
    assert_eq!(withdraw(&two.number, one.id).await.code(), "malformed");
    assert_eq!(withdraw(&one.number, one.id).await.status, 200);
    assert_eq!(withdraw(&two.id.to_string(), two.id).await.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn a_clock_two_days_off_is_told_so() {
    let clock = TestClock::new("2026-11-17T09:53:00Z".parse().unwrap());
    let server = TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await;
    let mut tomas = server.person("tomas", &["backend"]).await;
    let wrong = TestClock::new("2026-11-17T09:53:00Z".parse().unwrap());
    tomas.clock = wrong.clone();
    wrong.advance(TimeDelta::days(2));
    let refused = tomas.ask("read", 60).await;
    assert_eq!((refused.status, refused.code()), (401, "clock_skew"));
    redacted(|| insta::assert_json_snapshot!("clock_ahead", refused.body));
    wrong.advance(-TimeDelta::days(4));
    let refused = tomas.ask("read", 60).await;
    assert!(refused.body["detail"].as_str().unwrap().contains("2 d behind"), "{}", refused.body);
    server.finish().await;
}

#[tokio::test]
async fn ten_megabytes_are_refused_and_answered() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let refused = tomas.post("/v1/requests", &json!({ "padding": "x".repeat(10 * 1024 * 1024) })).await;
    assert_eq!((refused.status, refused.code()), (413, "body_too_large"));
    redacted(|| insta::assert_json_snapshot!("body_too_large", refused.body));
    assert_eq!(tomas.get("/v1/me").await.status, 200);
    server.finish().await;
}

#[tokio::test]
async fn an_undecided_request_lapses() {
    let clock = TestClock::new("2026-11-17T09:53:00Z".parse().unwrap());
    let server = TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let mut dana = server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let asked = tomas.ask("write", 60).await.get::<Accepted>().request;
    clock.advance(TimeDelta::hours(8));
    server.until("request.lapsed", 1).await;
    dana.sign_in().await;
    let late = dana.approve(&asked).await;
    assert_eq!((late.status, late.code()), (409, "lapsed"));
    server.finish().await;
}

#[tokio::test]
async fn lists_are_pages_of_what_one_may_see() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let petra = server.person("petra", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let ines = server.auditor("ines").await;
    for i in 0..7 {
        let who = if i % 2 == 0 { &tomas } else { &petra };
        who.ask("write", 60).await.get::<Accepted>();
    }
    let mut numbers = Vec::new();
    let mut after = String::new();
    loop {
        let page: Page<RequestView> = dana.get(&format!("/v1/requests?limit=3{after}")).await.get();
        assert!(page.items.len() <= 3);
        numbers.extend(page.items.into_iter().map(|r| r.number));
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(numbers, ["R-7", "R-6", "R-5", "R-4", "R-3", "R-2", "R-1"]);
    let count = async |who: &gatepass_server::testing::Someone, query: &str| {
        who.get(&format!("/v1/requests{query}")).await.get::<Page<RequestView>>().items.len()
    };
    assert_eq!(count(&tomas, "").await, 4);
    assert_eq!(count(&petra, "?scope=mine").await, 3);
    assert_eq!(count(&petra, "?scope=to-review").await, 0);
    assert_eq!(count(&dana, "?scope=to-review&limit=1000").await, 7);
    assert_eq!(count(&dana, "?scope=mine").await, 0);
    assert_eq!(count(&ines, "").await, 7);
    assert_eq!(count(&ines, "?scope=to-review").await, 0, "seeing everything is not deciding on it");
    // Asks, decides and looks after all of it.
    let quinn = server.invite("quinn", &["backend", "dba"], false, true).await;
    let quinn = server.join(&quinn).await;
    quinn.ask("write", 60).await.get::<Accepted>();
    assert_eq!(count(&quinn, "?scope=mine").await, 1);
    assert_eq!(count(&quinn, "?scope=to-review").await, 7);
    let first: Page<RequestView> = quinn.get("/v1/requests?scope=to-review,mine&limit=3").await.get();
    assert_eq!(first.items.iter().map(|r| &*r.number).collect::<Vec<_>>(), ["R-8", "R-7", "R-6"]);
    let rest = format!("?scope=mine,to-review&after={}", first.next.unwrap());
    assert_eq!(count(&quinn, &rest).await, 5);
    for wrong in ["?scope=everything", "?limit=0", "?limit=1001", "?after=x", "?wat=1"] {
        assert_eq!(dana.get(&format!("/v1/requests{wrong}")).await.code(), "malformed", "{wrong}");
    }
    let all: Page<RequestView> = ines.get("/v1/requests").await.get();
    for request in all.items {
        let askers = [("tomas", &tomas), ("petra", &petra), ("quinn", &quinn)];
        let (_, asker) = askers.into_iter().find(|(handle, _)| *handle == request.by).unwrap();
        asker.withdraw(&request).await.get::<Accepted>();
    }
    server.finish().await;
}

#[tokio::test]
async fn a_preview_says_what_would_happen() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let ask = json!({"resource": "orders-db", "role": "write", "duration_s": 90_000, "reason": ""});
    let preview = tomas.post("/v1/requests/preview", &ask).await;
    redacted(|| insta::assert_json_snapshot!("preview", preview.body));
    assert!(!server.kinds().await.contains(&"request.created"));
    server.finish().await;
}
