//! The local copy of the log: what it shows, what it hides, what it survives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod home;

use chrono::TimeDelta;
use gatepass_client::ui::{DecisionDraft, EventQuery};
use gatepass_client::{Client, Clock, KeyStore, Notice};
use gatepass_core::Code;
use gatepass_core::wire::{GrantState, RequestState, Verdict};
use home::{Home, holds};

async fn found(client: &Client, text: &str) -> Vec<u64> {
    let query = EventQuery { text: text.into(), before: None, limit: 100 };
    let page = client.events(query).await.unwrap();
    assert_eq!(page.total as usize, page.items.len());
    page.items.iter().map(|e| e.seq).collect()
}

#[tokio::test]
async fn a_joined_device_shows_what_the_log_says_and_nothing_on_its_disk_is_readable() {
    let home = Home::new().await;
    let (first, second) = {
        let mut s = home.state();
        let first = s.ask(1, "orders are stuck");
        let grant = s.live(first);
        s.end(first, grant);
        (first, s.ask(2, "another quarrel"))
    };
    let client = home.joined().await;
    let status = client.status().await.unwrap();
    assert!(status.online && !status.mismatch);
    assert_eq!((status.verified_to, status.to_review), (Some(8), 1));
    assert_eq!(status.me.unwrap().person.handle, "noor");

    let requests = client.requests().await.unwrap();
    let shown: Vec<_> = requests.iter().map(|r| (r.number.as_str(), r.state)).collect();
    assert_eq!(shown, [("R-2", RequestState::Pending), ("R-1", RequestState::Approved)]);
    assert_eq!(requests[0].reason.as_deref(), Some("another quarrel"));
    assert!(requests[0].can_decide && requests[0].last_approval);
    assert_eq!(client.request(second).await.unwrap(), requests[0]);
    let grants = client.grants().await.unwrap();
    assert_eq!((grants.len(), grants[0].state), (1, GrantState::Ended));
    let timeline = client.timeline(first).await.unwrap();
    assert_eq!(timeline.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(client.catalogue().await.unwrap()[0].roles[0].id, "write");

    let bytes = home.bytes();
    assert!(bytes.len() > 20_000, "the cache is there");
    for text in ["orders are stuck", "quarrel", "Rivera", "request.created", "orders-db"] {
        assert!(!holds(&bytes, text), "{text} is readable on the disk");
    }
}

#[tokio::test]
async fn search_finds_by_words_and_terms() {
    let home = Home::new().await;
    {
        let mut s = home.state();
        let first = s.ask(1, "orders are stuck in Zürich");
        let grant = s.live(first);
        s.end(first, grant);
        let second = s.ask(2, "nothing \"special\"");
        s.deny(second);
    }
    let client = home.joined().await;
    for (text, seqs) in [
        ("", &[9, 8, 7, 6, 5, 4, 3, 2, 1][..]),
        ("stuck", &[1]),
        ("STU zurich", &[1]),
        ("\"are stuck\"", &[1]),
        ("\"stuck are\"", &[]),
        ("R-2", &[9, 8]),
        ("kind:request.denied", &[9]),
        ("kind:denied", &[9]),
        ("kind:grant", &[7, 6, 5, 4]),
        ("outcome:denied", &[9, 8]),
        ("outcome:expired kind:approved", &[2]),
        ("person:noor kind:approved", &[2]),
        ("person:\"tomás rivera\" kind:created", &[8, 1]),
        ("person:nobody", &[]),
        ("env:production kind:ended", &[7]),
        ("env:staging", &[]),
        ("resource:orders-db special", &[8]),
        ("after:2026-11-17T09:00:08Z", &[9, 8]),
        ("before:2026-11-17", &[]),
        ("' OR 1=1 --", &[]),
        ("NEAR( stuck", &[]),
    ] {
        assert_eq!(found(&client, text).await, seqs, "{text}");
    }
    let query = |before| EventQuery { text: "kind:grant".into(), before, limit: 2 };
    let page = client.events(query(Some(6))).await.unwrap();
    assert_eq!((page.total, page.items.iter().map(|e| e.seq).collect::<Vec<_>>()), (4, vec![5, 4]));
    let wrong = client.events(EventQuery { text: "after:soon".into(), before: None, limit: 1 }).await;
    assert_eq!(wrong.unwrap_err().code, Code::Malformed);
}

#[tokio::test]
async fn what_becomes_visible_appears_and_what_no_longer_is_goes() {
    let home = Home::new().await;
    let (shown, other) = {
        let mut s = home.state();
        let shown = s.ask(1, "in the open");
        let other = s.ask(2, "behind the curtain");
        s.hidden = [2].into();
        (shown, other)
    };
    let client = home.joined().await;
    assert_eq!(client.requests().await.unwrap().len(), 1);
    assert_eq!(client.event(2).await.unwrap_err().code, Code::NotFound);
    assert_eq!(client.status().await.unwrap().verified_to, Some(2), "the whole tree is verified");

    home.state().hidden.clear();
    home.state().scope += 1;
    client.sync_now().await.unwrap();
    assert_eq!(client.request(other).await.unwrap().reason.as_deref(), Some("behind the curtain"));
    assert_eq!(found(&client, "curtain").await, [2]);

    home.state().hidden = [1].into();
    home.state().scope += 1;
    client.sync_now().await.unwrap();
    assert_eq!(client.request(shown).await.unwrap_err().code, Code::NotFound);
    assert_eq!(found(&client, "open").await, [] as [u64; 0]);
    let left: u32 = home.cache().query_row("SELECT count(*) FROM texts", [], |r| r.get(0)).unwrap();
    assert_eq!(left, 1, "its text is gone too");
    assert_eq!(client.status().await.unwrap().verified_to, Some(2));
}

#[tokio::test]
async fn an_erased_text_is_erased_here_with_the_next_full_pull() {
    let home = Home::new().await;
    let id = home.state().ask(1, "personal matters");
    let client = home.joined().await;
    home.state().log[0].1.clear();
    client.resync().await.unwrap();
    let request = client.request(id).await.unwrap();
    assert_eq!((request.reason, request.number.as_str()), (None, "R-1"));
    assert_eq!(found(&client, "matters").await, [] as [u64; 0]);
    assert_eq!(found(&client, "asked").await, [1]);
    assert!(!client.status().await.unwrap().mismatch);
}

#[tokio::test]
async fn after_a_sleep_everything_is_pulled_again() {
    let home = Home::new().await;
    let id = home.state().ask(1, "personal matters");
    let client = home.joined().await;
    let mut changed = client.subscribe();
    let looping = tokio::spawn({
        let client = client.clone();
        async move { client.run().await }
    });
    changed.recv().await.unwrap();
    // Only a full pull shows that a text is gone.
    home.state().log[0].1.clear();
    home.state().now += TimeDelta::hours(1);
    while client.request(id).await.unwrap().reason.is_some() {
        changed.recv().await.unwrap();
    }
    looping.abort();
}

#[tokio::test]
async fn two_programs_share_one_cache() {
    let home = Home::new().await;
    home.state().ask(1, "first");
    let one = home.joined().await;
    let two = home.open();
    for round in 2..12 {
        home.state().ask(round, "again");
        let (a, b) = tokio::join!(one.sync_now(), two.sync_now());
        assert_eq!(a.unwrap().verified_to, Some(round));
        assert_eq!(b.unwrap().verified_to, Some(round));
    }
    assert_eq!(two.requests().await.unwrap().len(), 11);
}

#[tokio::test]
async fn a_broken_cache_is_put_aside_and_built_again() {
    let home = Home::new().await;
    home.state().ask(1, "first");
    drop(home.joined().await);
    std::fs::write(home.profile().dir().join("cache.db"), vec![7; 50_000]).unwrap();
    let client = home.open();
    let status = client.status().await.unwrap();
    assert_eq!(status.problem.unwrap().code, Code::CacheBroken);
    assert_eq!(client.sync_now().await.unwrap().problem, None);
    assert_eq!(client.requests().await.unwrap().len(), 1);
    let aside = std::fs::read_dir(home.profile().dir()).unwrap();
    let kept =
        aside.filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().starts_with("cache.broken-"));
    assert_eq!(kept.count(), 1);
}

#[tokio::test]
async fn without_the_server_everything_seen_is_there_and_nothing_is_decided() {
    let home = Home::new().await;
    let id = home.state().ask(1, "first");
    drop(home.joined().await);
    let (_dir, profile, now) = home.stop().await;
    let client = Client::open_at(profile, KeyStore::File, Clock::of(move || now)).unwrap();
    let status = client.status().await.unwrap();
    assert!(!status.online);
    assert_eq!((status.verified_to, status.to_review), (Some(1), 1));
    assert_eq!(client.request(id).await.unwrap().reason.as_deref(), Some("first"));
    assert_eq!(found(&client, "first").await, [1]);
    let draft = DecisionDraft { request: id, verdict: Verdict::Approve, duration_s: None, note: None };
    assert_eq!(client.prepare_decision(draft).await.unwrap_err().code, Code::Unreachable);
    assert_eq!(client.withdraw(id).await.unwrap_err().code, Code::Unreachable);
    let status = client.status().await.unwrap();
    assert_eq!(status.problem.unwrap().code, Code::Unreachable);
}

#[tokio::test]
async fn leaving_deletes_the_key_and_the_cache() {
    let home = Home::new().await;
    home.state().ask(1, "first");
    let client = home.joined().await;
    let settings = gatepass_client::ui::Settings { theme: "dark".into(), ..Default::default() };
    client.set_settings(settings.clone()).await.unwrap();
    assert_eq!(client.leave().await.unwrap().me, None);
    let left: Vec<_> =
        std::fs::read_dir(home.profile().dir()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["settings.json"]);
    assert_eq!(client.requests().await.unwrap_err().code, Code::NotJoined);
    client.join(&home.link(), None).await.unwrap();
    assert_eq!(client.requests().await.unwrap().len(), 1);
    assert_eq!(client.settings().await.unwrap(), settings);
}

#[tokio::test]
async fn everything_new_is_told_once_and_history_never() {
    let home = Home::new().await;
    home.state().ask(1, "before joining");
    let client = home.joined().await;
    let mut notices = client.notices();
    client.sync_now().await.unwrap();
    assert!(notices.is_empty());

    let id = home.state().ask(2, "now");
    let looping = tokio::spawn({
        let client = client.clone();
        async move { client.run().await }
    });
    let Notice::NeedsYou { request } = notices.recv().await.unwrap() else { panic!("something else") };
    assert_eq!(request.id, id);
    let grant = home.state().live(id);
    home.state().end(id, grant);
    let Notice::Ended { grant } = notices.recv().await.unwrap() else { panic!("something else") };
    assert_eq!(grant.request, id);
    looping.abort();
    drop(client);

    let client = home.open();
    let mut again = client.notices();
    client.sync_now().await.unwrap();
    assert!(again.try_recv().is_err(), "told twice");
    assert!(notices.try_recv().is_err());
}
