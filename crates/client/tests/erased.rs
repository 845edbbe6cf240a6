//! What was erased, or kept for long enough, is gone from the local copy too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod home;

use aes::Aes256;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use chrono::TimeDelta;
use gatepass_client::ui::EventQuery;
use gatepass_client::{Client, Clock, KeyStore};
use gatepass_core::event::{By, Fact};
use gatepass_core::id::RequestId;
use gatepass_core::retention::Retention;
use gatepass_core::text::SaltedText;
use gatepass_core::wire::EventView;
use home::{Home, State, TOMAS, holds};

/// A day, in seconds.
const DAY: u32 = 86_400;

async fn found(client: &Client, text: &str) -> Vec<u64> {
    let query = EventQuery { text: text.into(), before: None, limit: 100 };
    client.events(query).await.unwrap().items.iter().map(|e| e.seq).collect()
}

async fn first_of(client: &Client, request: RequestId) -> EventView {
    client.timeline(request).await.unwrap().remove(0)
}

/// The server's record of Tomás, and his request.
fn history(s: &mut State) -> RequestId {
    let details = SaltedText::new([7; 16], r#"{"handle":"tomas","name":"Tomás Rivera"}"#);
    let fact = Fact::PersonRecorded {
        person: TOMAS,
        groups: vec!["backend".into()],
        auditor: false,
        admin: false,
        details: details.digest().unwrap(),
    };
    s.put(By::Gatepass, None, fact, vec![details]);
    let asked = s.ask(1, "a quarrel with Zygmunt");
    let grant = s.live(asked);
    s.end(asked, grant);
    asked
}

/// As `gatepass-server erase` does it; the directory may be heard of later.
fn erase(s: &mut State) {
    for (event, texts) in &mut s.log {
        if event.by == home::tomas() || matches!(event.fact, Fact::PersonRecorded { .. }) {
            texts.clear();
        }
    }
    s.put(By::Gatepass, None, Fact::PersonErased { person: TOMAS }, vec![]);
    let details = SaltedText::new([8; 16], r#"{"handle":"erased-7f3k","name":"Erased person"}"#);
    let fact = Fact::PersonRecorded {
        person: TOMAS,
        groups: Vec::new(),
        auditor: false,
        admin: false,
        details: details.digest().unwrap(),
    };
    s.put(By::Gatepass, None, fact, vec![details]);
}

fn rename(s: &mut State) {
    let tomas = s.people.iter_mut().find(|p| p.id == TOMAS).unwrap();
    (tomas.handle, tomas.name) = ("erased-7f3k".into(), "Erased person".into());
    tomas.groups.clear();
}

/// Every page of the cache's files in the clear, with what is between the rows: SQLCipher 4, whose raw key is that of
/// AES-256-CBC. A page ends with its IV and a MAC.
fn decrypted(home: &Home) -> Vec<u8> {
    const PAGE: usize = 4096;
    const RESERVED: usize = 80;
    let dir = home.profile().dir().to_owned();
    let keys: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.join("keys.json")).unwrap()).unwrap();
    let key = hex(keys["cache"].as_str().unwrap());
    let mut pages = Vec::new();
    let file = std::fs::read(dir.join("cache.db")).unwrap();
    for (at, page) in file.chunks(PAGE).enumerate() {
        // The first begins with the salt.
        pages.push(if at == 0 { &page[16..] } else { page });
    }
    let wal = std::fs::read(dir.join("cache.db-wal")).unwrap_or_default();
    for frame in wal.get(32..).unwrap_or_default().chunks(24 + PAGE).filter(|f| f.len() == 24 + PAGE) {
        let first = frame[..4] == 1u32.to_be_bytes();
        pages.push(if first { &frame[24 + 16..] } else { &frame[24..] });
    }
    let mut clear = Vec::new();
    for page in pages {
        let (content, end) = page.split_at(page.len() - RESERVED);
        let mut content = content.to_vec();
        let iv: [u8; 16] = end[..16].try_into().unwrap();
        let decryptor = cbc::Decryptor::<Aes256>::new_from_slices(&key, &iv).unwrap();
        decryptor.decrypt_padded::<NoPadding>(&mut content).unwrap();
        clear.extend(content);
    }
    clear
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

const NAMES: [&str; 5] = ["quarrel", "Zygmunt", "zygmunt", "Rivera", "rivera"];

#[tokio::test]
async fn who_is_erased_is_gone_here_too_and_no_page_of_the_file_has_them() {
    let home = Home::new().await;
    let asked = history(&mut home.state());
    let client = home.joined().await;
    assert_eq!(found(&client, "zygmunt").await, [2]);
    assert_eq!(found(&client, "rivera").await.len(), 8);
    let before = first_of(&client, asked).await;
    assert_eq!((before.erased_at, before.texts["reason"].as_str()), (None, "a quarrel with Zygmunt"));
    let clear = decrypted(&home);
    for name in NAMES {
        assert!(holds(&clear, name), "{name} is there before");
    }
    drop(client);

    // It was offline when it happened.
    erase(&mut home.state());
    rename(&mut home.state());
    let erased_at = home.state().log[8].0.at;
    let client = home.open();
    assert_eq!(found(&client, "zygmunt").await, [2], "nothing was heard yet");
    client.sync_now().await.unwrap();
    let after = first_of(&client, asked).await;
    assert_eq!((after.erased_at, after.texts.len()), (Some(erased_at), 0));
    assert!(after.sentence.starts_with("Erased person asked for write"), "{}", after.sentence);
    let approved = client.timeline(asked).await.unwrap().remove(1);
    assert_eq!((approved.by_name.as_str(), approved.erased_at), ("Noor Haddad", None));
    let view = client.request(asked).await.unwrap();
    assert_eq!((view.reason, view.by.as_str()), (None, "erased-7f3k"));
    for word in ["zygmunt", "quarrel", "rivera", "tomas"] {
        assert_eq!(found(&client, word).await, [] as [u64; 0], "{word}");
    }
    assert_eq!(found(&client, "erased-7f3k kind:created").await, [2]);
    assert!(!client.status().await.unwrap().mismatch);
    drop(client);
    let clear = decrypted(&home);
    assert!(holds(&clear, "Erased person") && holds(&clear, "request.created"), "it is in the clear");
    for name in NAMES {
        assert!(!holds(&clear, name), "{name} is left in the file");
    }
}

#[tokio::test]
async fn a_name_that_is_heard_of_later_goes_later_and_nothing_comes_back() {
    let home = Home::new().await;
    let asked = history(&mut home.state());
    let client = home.joined().await;
    // The node that answers has not read the people again.
    erase(&mut home.state());
    client.sync_now().await.unwrap();
    assert_eq!(client.request(asked).await.unwrap().reason, None);
    assert!(!found(&client, "rivera").await.is_empty(), "the directory still has the name");
    rename(&mut home.state());
    client.sync_now().await.unwrap();
    assert_eq!(found(&client, "rivera").await, [] as [u64; 0]);

    // A server that gives away what it should have erased changes nothing, not even when everything is pulled again.
    let reason = SaltedText::new([1; 16], "a quarrel with Zygmunt");
    home.state().log[1].1 = vec![reason];
    client.resync().await.unwrap();
    home.state().hidden = [2].into();
    home.state().scope += 1;
    client.sync_now().await.unwrap();
    home.state().hidden.clear();
    home.state().scope += 1;
    client.sync_now().await.unwrap();
    assert_eq!(client.request(asked).await.unwrap().reason, None);
    assert_eq!(found(&client, "zygmunt").await, [] as [u64; 0]);
    // As does one who joins after all that.
    drop(client);
    std::fs::remove_file(home.profile().dir().join("cache.db")).unwrap();
    let client = home.open();
    client.sync_now().await.unwrap();
    assert_eq!(client.request(asked).await.unwrap().reason, None);
    assert_eq!(found(&client, "zygmunt").await, [] as [u64; 0]);
}

fn rules(rules: &[(&str, u32)]) -> Retention {
    Retention(rules.iter().map(|(kind, days)| ((*kind).to_owned(), days * DAY)).collect())
}

#[tokio::test]
async fn what_was_kept_for_long_enough_goes_without_a_server() {
    let home = Home::new().await;
    let (asked, open) = {
        let mut s = home.state();
        s.retention = rules(&[("request.*", 30), ("default", 90)]);
        (history(&mut s), s.ask(2, "still waiting"))
    };
    let client = home.joined().await;
    let start = home.state().now;
    let shown = first_of(&client, asked).await;
    assert_eq!(shown.kept_until, Some(shown.at + TimeDelta::days(30)));
    assert_eq!(client.timeline(asked).await.unwrap()[1].kept_until, None, "it has no texts");
    drop(client);

    let (_dir, profile, _) = home.stop().await;
    let at = |days| {
        let clock = Clock::of(move || start + TimeDelta::days(days));
        Client::open_at(profile.clone(), KeyStore::File, clock).unwrap()
    };
    let client = at(29);
    client.sync_now().await.unwrap_err();
    assert_eq!(found(&client, "quarrel").await, [2]);
    drop(client);
    let client = at(31);
    client.sync_now().await.unwrap_err();
    assert_eq!(found(&client, "quarrel").await, [] as [u64; 0]);
    let gone = first_of(&client, asked).await;
    assert_eq!((gone.kept_until, gone.erased_at), (shown.kept_until, None));
    assert!(gone.texts.is_empty());
    // What nobody decided yet can be read, however old.
    assert_eq!(client.request(open).await.unwrap().reason.as_deref(), Some("still waiting"));
    assert_eq!(first_of(&client, open).await.kept_until, None);
}

#[tokio::test]
async fn another_rule_holds_from_when_it_is_heard_of_and_what_waited_goes_once_it_is_over() {
    let home = Home::new().await;
    let open = home.state().ask(1, "a quarrel with Zygmunt");
    let client = home.joined().await;
    home.state().now += TimeDelta::days(40);
    client.sync_now().await.unwrap();
    assert_eq!(first_of(&client, open).await.kept_until, None);
    home.state().retention = rules(&[("request.created", 30)]);
    client.sync_now().await.unwrap();
    assert_eq!(found(&client, "quarrel").await, [1], "it is not over");
    home.state().deny(open);
    home.state().now += TimeDelta::days(1);
    client.sync_now().await.unwrap();
    assert_eq!(found(&client, "quarrel").await, [] as [u64; 0]);
    assert_eq!(client.request(open).await.unwrap().reason, None);
    let left: u32 = home.cache().query_row("SELECT count(*) FROM texts", [], |r| r.get(0)).unwrap();
    assert_eq!(left, 0);
}
