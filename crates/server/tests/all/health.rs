use crate::redacted;
use gatepass_server::testing::{Setup, TestServer};
use serde_json::json;

#[tokio::test]
async fn for_operators() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(tomas.get(path).await.body, json!({"status": "ok"}));
    }
    let metrics = tomas.get("/metrics").await.body;
    let metrics = metrics.as_str().unwrap();
    for name in ["gatepass_log_size", "gatepass_jobs", "gatepass_request_seconds_bucket"] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    let description = tomas.get("/openapi.json").await.body;
    let mut routes: Vec<String> = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        routes.extend(methods.as_object().unwrap().keys().map(|m| format!("{} {path}", m.to_uppercase())));
    }
    routes.sort();
    insta::with_settings!({prepend_module_to_snapshot => false}, { insta::assert_json_snapshot!("routes", routes) });
    server.finish().await;
}

/// `docs/api.md` and the generated description name the same routes.
#[tokio::test]
async fn the_documented_routes_are_the_routes() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let description = tomas.get("/openapi.json").await.body;
    let docs = include_str!("../../../../docs/api.md");
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let named = format!("{} {path}", method.to_uppercase());
            let plain = ["/readyz", "/metrics"].contains(&path.as_str());
            assert!(docs.contains(&format!("`{named}")) || plain, "{named} is not in docs/api.md");
        }
    }
    server.finish().await;
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let nowhere = tomas.get("/v1/nowhere").await;
    assert_eq!((nowhere.status, nowhere.code()), (404, "not_found"));
    let wrong = tomas.get("/v1/sessions").await;
    assert_eq!((wrong.status, wrong.code()), (405, "malformed"));
    let text = server.http.post(format!("{}/v1/requests", server.url)).body("hello").send().await.unwrap();
    assert_eq!(text.status().as_u16(), 415);
    assert_eq!(text.headers()["content-type"], "application/problem+json");
    redacted(|| insta::assert_json_snapshot!("not_found", nowhere.body));
    server.finish().await;
}

#[tokio::test]
async fn too_many_from_one_device() {
    let server = "[server.limits]\nper_second = 1\nburst = 12".to_owned();
    let server = TestServer::with(Setup { server, ..Setup::default() }).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let mut answers = Vec::new();
    for _ in 0..14 {
        answers.push(tomas.get("/v1/me").await);
    }
    let refused = answers.iter().find(|a| a.status == 429).expect("at some point it is too much");
    assert_eq!(refused.code(), "rate_limited");
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    // Others are not held back by it.
    let petra = server.person("petra", &["backend"]).await;
    assert_eq!(petra.get("/v1/me").await.status, 200);
    server.finish().await;
}
