//! Checking what a device holds: all of it, what is new, and what it says when something does not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod home;

use chrono::TimeDelta;
use gatepass_client::ui::VerifyReport;
use gatepass_client::{Client, verify_bundle};
use gatepass_core::Code;
use gatepass_core::event::{By, Fact};
use gatepass_core::text::Digest;
use gatepass_core::wire::RequestState;
use gatepass_log::bundle::{Bundle, Entry};
use gatepass_log::{canonical, inclusion};
use home::sound::HIS;
use home::{Home, State, TOMAS, log_key};

/// Two lives, one of them over.
fn fill(s: &mut State) {
    s.found();
    let over = s.asks(1, "orders are stuck");
    let grant = s.lives(over);
    s.ends(over, grant);
    let runs = s.asks(2, "again");
    s.lives(runs);
}

async fn filled() -> (Home, Client) {
    let home = Home::new().await;
    fill(&mut home.state());
    let client = home.joined().await;
    (home, client)
}

fn holds(report: &VerifyReport) {
    assert_eq!((&report.finding, report.cancelled), (&None, false));
}

/// The rule and the position of what was found; kept like any contradiction.
async fn found(client: &Client) -> (String, Option<u64>) {
    let report = client.verify(true).await.unwrap();
    let finding = report.finding.expect("something that does not hold");
    assert!(!finding.message.is_empty());
    let kept = client.mismatch().unwrap().expect("it is kept");
    assert_eq!((&kept.rule, kept.seq), (&finding.rule, finding.seq));
    assert!(client.status().await.unwrap().mismatch);
    (finding.rule, finding.seq)
}

#[tokio::test]
async fn all_of_it_holds_and_then_only_what_is_new_is_looked_at() {
    let (home, client) = filled().await;
    let size = home.state().log.len() as u64;
    let report = client.verify(false).await.unwrap();
    holds(&report);
    assert_eq!((report.full, report.from, report.size, report.signed_size), (true, 0, size, Some(size)));
    assert_eq!((report.events, report.decisions, report.grants, report.ended), (size, 2, 2, 1));
    assert_eq!(report.root, home.state().head().root);

    home.state().asks(3, "and again");
    client.sync_now().await.unwrap();
    let report = client.verify(false).await.unwrap();
    holds(&report);
    assert_eq!((report.full, report.from, report.size, report.events), (false, size, size + 1, size + 1));
    let report = client.verify(true).await.unwrap();
    assert_eq!((report.full, report.from, report.events), (true, 0, size + 1));
    // Another program has checked nothing yet.
    assert!(home.open().verify(false).await.unwrap().full);
}

#[tokio::test]
async fn it_needs_no_server() {
    let (home, client) = filled().await;
    drop(client);
    let (dir, profile, now) = home.stop().await;
    let clock = gatepass_client::Clock::of(move || now);
    let client = Client::open_at(profile, gatepass_client::KeyStore::File, clock).unwrap();
    holds(&client.verify(true).await.unwrap());
    drop(dir);
}

#[tokio::test]
async fn what_was_changed_in_the_copy_is_named() {
    for (sql, rule, seq) in [
        ("UPDATE bodies SET json = replace(json, '600', '601') WHERE seq = 6", "leaf", Some(6)),
        ("UPDATE events SET leaf = zeroblob(32) WHERE seq = 7", "leaf", Some(7)),
        (
            "UPDATE events SET leaf = zeroblob(32) WHERE seq = 17; DELETE FROM bodies WHERE seq = 17",
            "root",
            None,
        ),
        ("DELETE FROM events WHERE seq = 4", "dense", Some(4)),
        ("DELETE FROM events WHERE seq = 17; DELETE FROM bodies WHERE seq = 17", "dense", Some(17)),
        ("UPDATE texts SET text = text || '.'", "text", None),
        (
            "UPDATE meta SET value = replace(value, 'example.com', 'example.org') WHERE name = 'signed'",
            "checkpoint",
            None,
        ),
    ] {
        let (home, client) = filled().await;
        assert_eq!(home.state().log.len(), 17);
        home.cache().execute_batch(sql).unwrap();
        assert_eq!(found(&client).await, (rule.to_owned(), seq), "{sql}");
    }
}

#[tokio::test]
async fn what_the_server_made_up_is_named() {
    // Each is a whole, well-formed and signed log; only replaying it shows what is wrong.
    type Lie = fn(&mut State);
    let lies: [(Lie, &str, u64); 5] = [
        // Approved by nobody.
        (|s| drop(s.log.remove(6)), "quorum", 7),
        // By the wrong device.
        (
            |s| {
                s.log[6].0.command.as_mut().unwrap().signature = s.log[5].0.command.clone().unwrap().signature
            },
            "signature",
            7,
        ),
        // By the one who asked.
        (|s| s.log[6].0.by = By::Person { person: TOMAS, device: HIS }, "device", 7),
        // Of another length than was signed.
        (
            |s| {
                if let Fact::RequestCreated { duration_s, .. } = &mut s.log[5].0.fact {
                    *duration_s = 1_200;
                }
            },
            "command",
            6,
        ),
        // By a device that was taken away.
        (
            |s| {
                let reason = Digest::of(b"a reason that was erased");
                s.put(By::Gatepass, None, Fact::PersonRevoked { person: TOMAS, reason }, vec![]);
                // In the same moment.
                s.now -= TimeDelta::seconds(1);
                s.put(By::Gatepass, None, Fact::DeviceDisabled { person: TOMAS, device: HIS }, vec![]);
                s.asks(3, "once more");
            },
            "device",
            20,
        ),
    ];
    for (lie, rule, seq) in lies {
        let home = Home::new().await;
        fill(&mut home.state());
        lie(&mut home.state());
        let client = home.joined().await;
        assert!(!client.status().await.unwrap().mismatch, "nothing shows while syncing");
        assert_eq!(found(&client).await, (rule.to_owned(), Some(seq)));
    }
}

#[tokio::test]
async fn positions_that_may_not_be_read_are_no_finding() {
    let home = Home::new().await;
    {
        let mut s = home.state();
        fill(&mut s);
        // All of the second request.
        s.hidden = (13..=17).collect();
    }
    let client = home.joined().await;
    let report = client.verify(true).await.unwrap();
    holds(&report);
    assert_eq!((report.size, report.events, report.grants), (17, 12, 1));
}

#[tokio::test]
async fn a_check_is_stopped() {
    let (_home, client) = filled().await;
    assert_eq!(client.verify_progress().unwrap(), None);
    let stop = async {
        // Not before there is one.
        while client.verify_progress().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        client.verify_cancel().unwrap();
    };
    let (report, ()) = tokio::join!(client.verify(true), stop);
    let report = report.unwrap();
    assert!(report.cancelled || report.size == 17, "stopped, unless it was through already");
    holds(&client.verify(false).await.unwrap());
}

#[tokio::test]
async fn an_event_comes_with_all_that_proves_it() {
    let (home, client) = filled().await;
    let detail = client.event(7).await.unwrap();
    let signature = detail.signature.unwrap();
    assert!(signature.valid);
    assert_eq!(
        (signature.kind.as_str(), signature.person.unwrap().handle.as_str()),
        ("request.decide", "noor")
    );
    assert_eq!((signature.shown_matches, signature.head_holds), (Some(true), Some(true)));
    assert_eq!(signature.head.unwrap().size, 6);
    let rule = detail.rule.unwrap();
    assert_eq!((rule.published_seq, rule.current, rule.max_s), (Some(1), true, 7_200));
    let source: serde_json::Value = serde_json::from_str(&rule.source.unwrap()).unwrap();
    assert_eq!((&source["id"], &source["max_s"]), (&"write".into(), &7_200.into()));
    let story: Vec<_> = detail.story.iter().map(|e| e.seq).collect();
    assert_eq!(story, [6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(detail.removal.unwrap().sessions_ended, 1);

    // What was shown to her was something else.
    home.state().log[6].0.command.as_mut().unwrap().body["shown"] = "00".into();
    let other = Home::new().await;
    let log = home.state().log.clone();
    other.state().log = log;
    let client = other.joined().await;
    let signature = client.event(7).await.unwrap().signature.unwrap();
    assert_eq!((signature.valid, signature.shown_matches), (false, Some(false)));
}

#[tokio::test]
async fn a_bundle_is_checked_with_nothing_but_its_text() {
    let (home, _client) = filled().await;
    let state = home.state();
    let leaves = state.leaves();
    let events = (1..).zip(&state.log).map(|(seq, (event, _))| {
        let proof = inclusion(leaves.as_slice(), seq, leaves.len() as u64).unwrap();
        Entry::new(seq, &canonical(event).unwrap(), &proof)
    });
    let mut bundle = Bundle {
        vkey: log_key(7).vkey().to_owned(),
        checkpoint: log_key(7).sign(&state.head()).unwrap(),
        events: events.take(12).collect(),
        texts: state.log.iter().flat_map(|(_, texts)| texts.clone()).collect(),
    };
    let (report, key) = verify_bundle(&serde_json::to_string(&bundle).unwrap());
    holds(&report);
    assert_eq!((report.events, report.size, key.as_deref()), (12, 17, Some(log_key(7).vkey())));
    bundle.events.swap(0, 1);
    let (report, _) = verify_bundle(&serde_json::to_string(&bundle).unwrap());
    assert_eq!(report.finding.unwrap().rule, "order");
    bundle.vkey = log_key(8).vkey().to_owned();
    let (report, _) = verify_bundle(&serde_json::to_string(&bundle).unwrap());
    assert_eq!(report.finding.unwrap().rule, "checkpoint");
    assert_eq!(verify_bundle("{}").0.finding.unwrap().rule, "form");
}

#[tokio::test]
async fn a_cache_of_before_is_filled_again_and_nobody_is_alarmed() {
    let (home, client) = filled().await;
    client.sync_now().await.unwrap();
    drop(client);
    home.cache().execute_batch("DROP TABLE nodes; PRAGMA user_version = 1").unwrap();
    let client = home.open();
    let mut notices = client.notices();
    assert_eq!(client.status().await.unwrap().problem, None);
    assert_eq!(client.status().await.unwrap().me.unwrap().person.handle, "noor");
    let status = client.sync_now().await.unwrap();
    assert_eq!((status.problem, status.verified_to), (None, Some(17)));
    assert!(notices.try_recv().is_err(), "what was told before is not news");
    holds(&client.verify(true).await.unwrap());
    assert!(client.event(3).await.unwrap().proof_holds);
    assert!(client.requests().await.unwrap().iter().all(|r| r.state == RequestState::Approved));
    drop(client);
    home.cache().execute_batch("PRAGMA user_version = 99").unwrap();
    let Err(failure) = gatepass_client::Client::open(home.profile(), gatepass_client::KeyStore::File) else {
        panic!("a newer cache is not ours to change")
    };
    assert_eq!(failure.code, Code::CacheBroken);
    assert!(home.profile().dir().join("cache.db").exists(), "and stays where it is");
}
