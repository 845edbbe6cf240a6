//! The log as anybody can check it: a signed head, tiles of hashes, and for some the events.

use crate::redacted;
use gatepass_core::wire::{Accepted, Enrolled, Head, LogPage};
use gatepass_log::{Hash, LogVerifier, Tree, leaf_hash};
use gatepass_server::testing::{PATIENCE, Someone, TestServer, code_of};
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE};
use std::collections::BTreeMap;

/// As somebody who is not signed in.
async fn get(server: &TestServer, path: &str) -> (u16, BTreeMap<&'static str, String>, Vec<u8>) {
    let answer = server.http.get(format!("{}{path}", server.url)).send().await.unwrap();
    let named = |name: reqwest::header::HeaderName| {
        answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let headers = BTreeMap::from([("type", named(CONTENT_TYPE)), ("kept", named(CACHE_CONTROL))]);
    let status = answer.status().as_u16();
    (status, headers, answer.bytes().await.unwrap().to_vec())
}

async fn text(server: &TestServer, path: &str) -> String {
    let (status, _, body) = get(server, path).await;
    assert_eq!(status, 200);
    String::from_utf8(body).unwrap()
}

/// The newest signed head, once it is the log's own.
async fn signed(server: &TestServer) -> Head {
    let verifier = LogVerifier::new(&text(server, "/v1/log/key").await).unwrap();
    let there = async {
        loop {
            let head = verifier.open(&text(server, "/v1/log/checkpoint").await).unwrap();
            if head == server.store().head().await.unwrap() {
                return head;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.expect("what is recorded is signed")
}

/// Without whom nobody may ask.
async fn approvers(server: &TestServer) {
    server.invite("dana", &["dba"], false, false).await;
    server.invite("olga", &["oncall"], false, false).await;
}

fn hashes(tile: &[u8]) -> Vec<Hash> {
    tile.chunks(32).map(|hash| Hash(hash.try_into().unwrap())).collect()
}

#[tokio::test]
async fn anybody_can_compute_the_signed_root_from_the_tiles() {
    let server = TestServer::start().await;
    approvers(&server).await;
    let tomas = server.person("tomas", &["backend"]).await;
    // Over 256 positions.
    for n in 0..65 {
        let asked: Accepted = tomas.ask_because("write", 60 + n, Some("stuck"), Some("INC-1")).await.get();
        tomas.withdraw(&asked.request).await.get::<Accepted>();
        server.invite("petra", &["support"], false, n % 2 == 0).await;
        server.invite("petra", &["backend"], false, n % 2 == 1).await;
    }
    server.placed().await;
    let head = signed(&server).await;
    assert!(head.size > 256, "{}", head.size);
    let rest = head.size - 256;

    let (status, headers, first) = get(&server, "/v1/log/tile/0/000").await;
    assert_eq!((status, first.len()), (200, 256 * 32));
    assert_eq!(headers["type"], "application/octet-stream");
    assert!(headers["kept"].contains("immutable"), "{headers:?}");
    let (status, headers, last) = get(&server, &format!("/v1/log/tile/0/001.p/{rest}")).await;
    assert_eq!((status, last.len() as u64), (200, rest * 32));
    assert_eq!(headers["kept"], "no-cache");
    let mut tree = Tree::default();
    let mut complete = Vec::new();
    for leaf in hashes(&first).into_iter().chain(hashes(&last)) {
        tree.append_with(leaf, |height, _, root| complete.extend((height == 8).then_some(root)));
    }
    assert_eq!(tree.head(), head);
    let (_, _, above) = get(&server, "/v1/log/tile/1/000.p/1").await;
    assert_eq!(hashes(&above), complete);
    // Part of what is there, and nothing beyond what is signed.
    assert_eq!(get(&server, "/v1/log/tile/0/000.p/3").await.2, first[..96]);
    for beyond in [
        format!("0/001.p/{}", rest + 1),
        "0/001".to_owned(),
        "0/002.p/1".to_owned(),
        "1/000".to_owned(),
        "1/000.p/2".to_owned(),
        "2/000.p/1".to_owned(),
        "7/000.p/1".to_owned(),
        "8/000.p/1".to_owned(),
        "63/000.p/1".to_owned(),
        "64/000.p/1".to_owned(),
        "0/0".to_owned(),
        "00/000".to_owned(),
        "0/x000/000".to_owned(),
        "-1/000".to_owned(),
    ] {
        let (status, headers, _) = get(&server, &format!("/v1/log/tile/{beyond}")).await;
        assert_eq!((status, &*headers["type"]), (404, "application/problem+json"), "{beyond}");
    }
    server.finish().await;
}

#[tokio::test]
async fn events_are_for_those_who_may_read_all() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let iris = server.auditor("iris").await;
    server.placed().await;
    let size = signed(&server).await.size;
    let path = format!("/v1/log/tile/entries/000.p/{size}");
    assert_eq!(get(&server, &path).await.0, 401);
    let refused = tomas.get(&path).await;
    assert_eq!(refused.code(), "not_allowed");
    redacted(|| insta::assert_json_snapshot!("entries_refused", refused.body));
    let of = async |someone: &Someone, path: &str| {
        let request = server.http.get(format!("{}{path}", server.url)).bearer_auth(&someone.token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    };
    let (status, bytes) = of(&iris, &path).await;
    assert_eq!(status, 200);
    let (mut rest, mut read) = (&bytes[..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (entry, after) = after.split_at(u16::from_be_bytes(*length).into());
        read.push(Hash::leaf(entry));
        rest = after;
    }
    let events = server.events().await;
    assert_eq!(read, events.iter().map(|(_, e)| leaf_hash(e).unwrap()).collect::<Vec<_>>());
    assert_eq!(of(&iris, "/v1/log/tile/entries/000").await.0, 404);
    assert_eq!(of(&iris, &format!("/v1/log/tile/entries/000.p/{}", size + 1)).await.0, 404);
    server.finish().await;
}

/// What a page brings, what joining tells, and what anybody gets, fit.
#[tokio::test]
async fn whoever_joins_learns_the_key_and_gets_signed_heads() {
    let server = TestServer::start().await;
    approvers(&server).await;
    let invited = server.invite("tomas", &["backend"], false, false).await;
    let mut tomas = Someone::new(&server);
    let joined: Enrolled = tomas.enroll(code_of(&invited)).await.get();
    tomas.id = joined.person.id;
    tomas.sign_in().await;
    assert_eq!(text(&server, "/v1/log/key").await, format!("{}\n", joined.log_key));
    let verifier = LogVerifier::new(&joined.log_key).unwrap();
    let asked: Accepted = tomas.ask_because("write", 60, Some("stuck"), Some("INC-1")).await.get();
    server.placed().await;
    let covered = async {
        loop {
            let page: LogPage = tomas.get("/v1/log/events").await.get();
            let head = verifier.open(page.checkpoint.as_ref().expect("a signed head")).unwrap();
            assert!(head.size <= page.head.size);
            if head.size == page.head.size {
                assert_eq!(head, page.head);
                return page;
            }
        }
    };
    let page =
        tokio::time::timeout(PATIENCE, covered).await.expect("what somebody asked for is signed at once");
    assert!(
        page.entries.iter().any(|e| e.event.as_ref().is_some_and(|e| e.fact.kind() == "request.created"))
    );
    tomas.withdraw(&asked.request).await.get::<Accepted>();
    server.finish().await;
}
