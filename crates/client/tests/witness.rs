//! A log that contradicts itself or what was seen is noticed, remembered, and stops decisions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod home;

use gatepass_client::Client;
use gatepass_client::ui::DecisionDraft;
use gatepass_core::Code;
use gatepass_core::event::{By, Fact};
use gatepass_core::id::RequestId;
use gatepass_core::text::Digest;
use gatepass_core::wire::{LogPage, Verdict};
use home::Home;

/// Everything that follows from a contradiction, now and after a restart, and with an honest server again.
async fn is_noticed(home: Home, client: Client, request: RequestId) {
    assert_eq!(client.sync_now().await.unwrap_err().code, Code::NotVerified);
    home.state().lie = None;
    for client in [client, home.open()] {
        let status = client.status().await.unwrap();
        assert!(status.mismatch);
        let draft = DecisionDraft { request, verdict: Verdict::Approve, duration_s: None, note: None };
        assert_eq!(client.prepare_decision(draft).await.unwrap_err().code, Code::NotVerified);
        assert_eq!(client.sync_now().await.unwrap_err().code, Code::NotVerified);
        assert!(client.verify_again().await.unwrap().mismatch, "it never resets by itself");
        assert_eq!(client.requests().await.unwrap().len(), 1, "what was verified stays readable");
    }
    assert!(home.state().posted.iter().all(|(path, _)| !path.contains("decisions")));
}

async fn lies(lie: impl Fn(&mut LogPage) + Send + 'static) {
    let home = Home::new().await;
    let request = home.state().ask(1, "first");
    let client = home.joined().await;
    home.state().ask(2, "second");
    home.state().lie = Some(Box::new(lie));
    is_noticed(home, client, request).await;
}

#[tokio::test]
async fn an_event_that_is_not_its_leaf() {
    lies(|page| {
        if let Some(Fact::RequestCreated { duration_s, .. }) =
            page.entries.last_mut().and_then(|e| e.event.as_mut()).map(|e| &mut e.fact)
        {
            *duration_s = 7_200;
        }
    })
    .await;
}

#[tokio::test]
async fn a_head_that_is_not_of_these_leaves() {
    lies(|page| page.head.root = Digest::of(b"another log")).await;
}

#[tokio::test]
async fn a_log_that_became_shorter() {
    lies(|page| {
        page.entries.clear();
        page.head.size = 0;
    })
    .await;
}

#[tokio::test]
async fn a_position_left_out() {
    lies(|page| {
        for entry in &mut page.entries {
            entry.seq += 1;
        }
        page.head.size += 1;
    })
    .await;
}

#[tokio::test]
async fn a_past_that_was_rewritten_shows_in_a_full_pull() {
    let home = Home::new().await;
    let request = home.state().ask(1, "first");
    let client = home.joined().await;
    home.state().log[0].0.by = By::Gatepass;
    let failure = client.resync().await.unwrap_err();
    assert_eq!(failure.code, Code::NotVerified);
    is_noticed(home, client, request).await;
}

#[tokio::test]
async fn a_rebuilt_cache_still_knows_the_head_it_saw() {
    let home = Home::new().await;
    home.state().ask(1, "first");
    home.state().ask(2, "second");
    drop(home.joined().await);
    std::fs::remove_file(home.profile().dir().join("cache.db")).unwrap();
    for tail in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(home.profile().dir().join(format!("cache.db{tail}")));
    }
    // Consistent in itself, but not the log this device has seen.
    home.state().log.swap(0, 1);
    home.state().ask(3, "third");
    let client = home.open();
    assert_eq!(client.sync_now().await.unwrap_err().code, Code::NotVerified);
    assert!(client.status().await.unwrap().mismatch);
}

#[tokio::test]
async fn a_cache_that_was_changed_shows_when_verified_again() {
    let home = Home::new().await;
    {
        let mut s = home.state();
        s.found();
        s.asks(1, "first");
    }
    let client = home.joined().await;
    assert!(!client.verify_again().await.unwrap().mismatch);
    home.cache().execute("UPDATE bodies SET json = replace(json, '600', '601')", []).unwrap();
    assert!(client.verify_again().await.unwrap().mismatch);
    assert!(!client.event(6).await.unwrap().in_verified_tree);
}
