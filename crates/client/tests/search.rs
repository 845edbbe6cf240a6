//! Looking through the local copy of the log: by what, by place, by time, and what people keep of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod home;

use chrono::TimeDelta;
use gatepass_client::Client;
use gatepass_client::ui::{EventQuery, EventSlice};
use gatepass_core::Code;
use home::{Home, holds};

/// More than one block of the index.
const LIVES: u64 = 700;

async fn found(client: &Client, text: &str) -> Vec<u64> {
    let page = client.events(EventQuery { text: text.into(), before: None, limit: 5_000 }).await.unwrap();
    assert_eq!(page.total as usize, page.items.len(), "{text}");
    page.items.iter().map(|e| e.seq).collect()
}

/// Lives of seven events, each eleven seconds after the one before; every tenth is denied.
async fn long() -> (Home, Client) {
    let home = Home::new().await;
    {
        let mut s = home.state();
        for n in 1..=LIVES {
            s.now += TimeDelta::seconds(4);
            let id = s.ask(n, &format!("order {n} is stuck, ticket INC-{}", 7_000 + n));
            if n % 10 == 0 {
                s.deny(id);
            } else {
                let grant = s.live(id);
                s.end(id, grant);
            }
        }
    }
    let client = home.joined().await;
    (home, client)
}

#[tokio::test]
async fn every_place_of_a_long_result_is_reached_and_counted() {
    let (home, client) = long().await;
    let size = home.state().log.len() as u64;
    let all = found(&client, "kind:grant").await;
    assert_eq!(all.len() as u64, LIVES / 10 * 9 * 4);
    for offset in [0, 1, 99, 1_234, all.len() as u64 - 3] {
        let slice = EventSlice { text: "kind:grant".into(), offset, limit: 50 };
        let page = client.event_slice(slice).await.unwrap();
        assert_eq!(page.total, all.len() as u64);
        let seqs: Vec<u64> = page.items.iter().map(|e| e.seq).collect();
        let from = offset as usize;
        assert_eq!(seqs, all[from..(from + 50).min(all.len())]);
    }
    let texts = ["", "kind:grant", "R-14", "nowhere"].map(str::to_owned);
    let counts = client.event_counts(texts.to_vec()).await.unwrap();
    assert_eq!(counts[..2], [size, all.len() as u64]);
    assert_eq!(counts[2], found(&client, "R-14").await.len() as u64);
    assert_eq!(counts[3], 0);
}

#[tokio::test]
async fn words_terms_and_their_contrary_find_the_same_as_reading_everything() {
    let (_home, client) = long().await;
    let everything = client.events_after(0).await.unwrap();
    let read = |test: &dyn Fn(&gatepass_core::wire::EventView) -> bool| -> Vec<u64> {
        everything.iter().rev().filter(|e| test(e)).map(|e| e.seq).collect()
    };
    let number = |e: &gatepass_core::wire::EventView, start: &str| {
        e.number.as_deref().is_some_and(|n| n.starts_with(start))
    };
    assert_eq!(found(&client, "R-14").await, read(&|e| number(e, "R-14")));
    assert_eq!(found(&client, "r-140").await, read(&|e| number(e, "R-140")));
    assert_eq!(found(&client, "INC-7499").await, read(&|e| e.texts.values().any(|t| t.contains("INC-7499"))));
    assert_eq!(found(&client, "stu").await, read(&|e| e.kind == "request.created"));
    assert_eq!(found(&client, "role:WRITE").await.len(), everything.len());
    assert_eq!(found(&client, "role:read").await, [] as [u64; 0]);
    assert_eq!(found(&client, "outcome:denied -stuck").await, read(&|e| e.kind == "request.denied"));
    assert_eq!(found(&client, "-outcome:expired").await, found(&client, "outcome:denied").await);
    assert_eq!(found(&client, "-role:write").await, [] as [u64; 0]);
    let page =
        client.events(EventQuery { text: "\"order 77 is\"".into(), before: None, limit: 9 }).await.unwrap();
    assert_eq!((page.total, page.capped), (1, false));
    // Too many to read them all: what was found is of the newest, and that is said.
    let page =
        client.events(EventQuery { text: "\"on orders\"".into(), before: None, limit: 9 }).await.unwrap();
    assert_eq!((page.total, page.capped), (1_000, true));
}

#[tokio::test]
async fn an_outcome_is_that_of_today_for_all_events_of_a_request() {
    let home = Home::new().await;
    let id = home.state().ask(1, "first");
    let client = home.joined().await;
    assert_eq!(found(&client, "outcome:pending").await, [1]);
    let grant = home.state().live(id);
    client.sync_now().await.unwrap();
    assert_eq!(found(&client, "outcome:pending").await, [] as [u64; 0]);
    assert_eq!(found(&client, "outcome:active").await, [5, 4, 3, 2, 1]);
    home.state().end(id, grant);
    client.sync_now().await.unwrap();
    assert_eq!(found(&client, "outcome:active").await, [] as [u64; 0]);
    assert_eq!(found(&client, "outcome:expired").await, [7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn moments_have_their_places_in_the_log_and_in_a_result() {
    let (home, client) = long().await;
    let times: Vec<_> = home.state().log.iter().map(|(event, _)| event.at).collect();
    for n in [0, 1, 700, 4_300, times.len() - 1] {
        let at = times[n];
        for asked in [at, at - TimeDelta::milliseconds(400)] {
            let place = client.event_at(String::new(), asked).await.unwrap().unwrap();
            assert_eq!((place.seq, place.at, place.offset), (n as u64 + 1, at, (times.len() - 1 - n) as u64));
        }
    }
    assert_eq!(
        client.event_at(String::new(), times[times.len() - 1] + TimeDelta::hours(1)).await.unwrap(),
        None
    );

    let denied = found(&client, "kind:denied").await;
    let place = client.event_numbered("kind:denied".into(), denied[40] - 3).await.unwrap().unwrap();
    assert_eq!((place.seq, place.offset), (denied[40] - 3, 40));
    let at = times[denied[40] as usize - 1];
    assert_eq!(found(&client, &format!("kind:denied after:{}", at.to_rfc3339())).await, denied[..=40]);
    assert_eq!(found(&client, &format!("kind:denied before:{}", at.to_rfc3339())).await, denied[41..]);

    let hour = |n: i64| (times[0] + TimeDelta::hours(n)).timestamp_millis();
    let midnights: Vec<i64> = (0..=5).map(hour).collect();
    let map = client.event_map("kind:denied".into(), midnights.clone()).await.unwrap();
    assert_eq!((map.total, map.size), (denied.len() as u64, times.len() as u64));
    let mut days = vec![0_u64; midnights.len() + 1];
    for seq in &denied {
        let at = times[*seq as usize - 1].timestamp_millis();
        days[midnights.iter().filter(|m| **m <= at).count()] += 1;
    }
    assert_eq!(map.days, days);
    assert!(map.parts.len() > 60 && map.parts.is_sorted() && map.parts.iter().all(|p| *p < 400));
    assert!(map.marks.iter().all(|m| times[m.seq as usize - 1] == m.at));
    assert!(map.marks.len() > 10 && map.marks.is_sorted_by_key(|m| m.seq));
}

#[tokio::test]
async fn saved_searches_are_kept_encrypted_and_outlive_the_cache() {
    let home = Home::new().await;
    let client = home.joined().await;
    assert_eq!(client.saved_searches().await.unwrap(), []);
    client.save_search(" Zurich  refusals ", " person:tomas outcome:denied ").await.unwrap();
    client.save_search("älter", "before:2026-01-01").await.unwrap();
    let names = |all: &[gatepass_client::ui::SavedSearch]| -> Vec<String> {
        all.iter().map(|s| format!("{}: {}", s.name, s.text)).collect()
    };
    let all = client.saved_searches().await.unwrap();
    assert_eq!(names(&all), ["älter: before:2026-01-01", "Zurich refusals: person:tomas outcome:denied"]);
    assert!(!holds(&home.bytes(), "refusals"), "readable on the disk");
    for wrong in [client.save_search(" ", "x").await, client.save_search("x", " ").await] {
        assert_eq!(wrong.unwrap_err().code, Code::Malformed);
    }
    assert_eq!(client.rename_search("älter", "Zurich refusals").await.unwrap_err().code, Code::Malformed);
    assert_eq!(client.rename_search("none", "some").await.unwrap_err().code, Code::NotFound);
    client.rename_search("älter", "Old").await.unwrap();
    client.save_search("Old", "before:2025-01-01").await.unwrap();

    drop(client);
    std::fs::write(home.profile().dir().join("cache.db"), vec![7; 50_000]).unwrap();
    let client = home.open();
    let all = client.saved_searches().await.unwrap();
    assert_eq!(names(&all), ["Old: before:2025-01-01", "Zurich refusals: person:tomas outcome:denied"]);
    client.delete_search("Old").await.unwrap();
    assert_eq!(client.delete_search("Old").await.unwrap().len(), 1);
    client.leave().await.unwrap();
    let left: Vec<_> =
        std::fs::read_dir(home.profile().dir()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(!left.iter().any(|f| f.to_string_lossy().starts_with("searches")), "{left:?}");
}
