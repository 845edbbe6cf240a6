//! What the log signed, held against what a device saw: by one that was offline in between, and by a stranger with the
//! evidence in hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod home;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::TimeDelta;
use gatepass_client::Client;
use gatepass_client::ui::{Failure, MismatchView};
use gatepass_core::Code;
use gatepass_core::event::By;
use gatepass_core::text::Digest;
use gatepass_core::wire::{Ask, Head, LogPage};
use gatepass_log::{Hash, LogKey, LogVerifier, Proof, check_consistency, check_inclusion};
use home::{Home, ORIGIN, State, head_of, log_key};
use serde_json::Value;

/// A device that saw `count` events and was away while `change` happened; how its next sync went.
async fn away(count: u64, change: impl FnOnce(&mut State)) -> (Home, Client, Failure) {
    let home = Home::new().await;
    for number in 1..=count {
        home.state().ask(number, "as it was");
    }
    drop(home.joined().await);
    change(&mut home.state());
    let client = home.open();
    let failure = client.sync_now().await.unwrap_err();
    (home, client, failure)
}

/// What is kept of the contradiction; nothing is signed any more, and it stays after a restart.
async fn locked(home: &Home, client: Client, failure: &Failure) -> MismatchView {
    assert_eq!(failure.code, Code::NotVerified, "{failure}");
    let kept = client.mismatch().unwrap().expect("a contradiction");
    assert_eq!(kept.what, failure.message);
    drop(client);
    home.state().lie = None;
    let again = home.open();
    let ask = Ask {
        resource: "orders-db".into(),
        role: "write".into(),
        duration_s: 60,
        reason: Some("stuck".into()),
        ticket: None,
        extends: None,
    };
    assert_eq!(again.submit_request(&ask).await.unwrap_err().code, Code::NotVerified);
    let posted: Vec<String> = home.state().posted.iter().map(|(path, _)| path.clone()).collect();
    assert!(!posted.contains(&"/v1/requests".to_owned()), "nothing is signed: {posted:?}");
    assert_eq!(again.mismatch().unwrap().as_ref(), Some(&kept));
    kept
}

async fn evidence(home: &Home) -> Value {
    serde_json::from_str(&home.open().evidence().await.unwrap().expect("evidence")).unwrap()
}

fn head(value: &Value) -> Head {
    serde_json::from_value(value.clone()).unwrap()
}

fn proof(value: &Value) -> Proof {
    let hash = |h: &Value| Hash(BASE64.decode(h.as_str().unwrap()).unwrap().try_into().unwrap());
    value.as_array().unwrap().iter().map(hash).collect()
}

fn leaf(side: &Value) -> Hash {
    Hash::parse(&Digest(side["leaf"].as_str().unwrap().to_owned())).unwrap()
}

/// Checks a file of evidence with nothing but the key of the log: it signed two heads that can't be of one log.
fn convinces(evidence: &Value, seq: u64) {
    let log = LogVerifier::new(evidence["log_key"].as_str().unwrap()).unwrap();
    let open = |note: &Value| log.open(note.as_str().unwrap()).unwrap();
    let (seen, got) = (open(&evidence["seen_note"]), open(&evidence["fork"]["checkpoint"]));
    let tiles = &evidence["fork"]["tiles"];
    assert_eq!(tiles["seq"], seq, "{tiles}");
    let (kept, given) = (&tiles["kept"], &tiles["given"]);
    assert_ne!(leaf(kept), leaf(given));
    assert_eq!((head(&kept["head"]), head(&given["head"])), (seen.clone(), got.clone()));
    check_inclusion(&proof(&kept["proof"]), seq, leaf(kept), &seen).unwrap();
    check_inclusion(&proof(&given["proof"]), seq, leaf(given), &got).unwrap();
    if seen.size <= got.size {
        let step = &tiles["consistency"];
        assert_eq!(
            (head(&step["from"]), head(&step["to"]), &step["holds"]),
            (seen.clone(), got.clone(), &false.into())
        );
        assert!(check_consistency(&proof(&step["proof"]), &seen, &got).is_err());
    }
}

/// One event of the past is another.
fn rewrite(state: &mut State, seq: usize) {
    state.log[seq - 1].0.by = By::Gatepass;
}

#[tokio::test]
async fn a_past_that_was_rewritten_while_it_was_away() {
    let (home, client, failure) = away(3, |s| {
        rewrite(s, 2);
        s.ask(4, "after that");
    })
    .await;
    let kept = locked(&home, client, &failure).await;
    assert_eq!((kept.rule.as_str(), kept.seen.as_ref().map(|h| h.size)), ("root", Some(3)));
    assert!(kept.seen_note.is_some() && kept.got_note.is_some());
    convinces(&evidence(&home).await, 2);
}

#[tokio::test]
async fn a_rewritten_past_in_a_log_of_many_tiles() {
    let (home, client, failure) = away(700, |s| {
        rewrite(s, 300);
        for number in 701..800 {
            s.ask(number, "after that");
        }
    })
    .await;
    locked(&home, client, &failure).await;
    convinces(&evidence(&home).await, 300);
}

#[tokio::test]
async fn the_last_event_dropped_and_another_in_its_place() {
    let (home, client, failure) = away(3, |s| {
        s.log.pop();
        s.ask(9, "in its place");
    })
    .await;
    let kept = locked(&home, client, &failure).await;
    assert_eq!((kept.rule.as_str(), kept.got.unwrap().size), ("root", 3));
    convinces(&evidence(&home).await, 3);
}

#[tokio::test]
async fn a_log_that_became_shorter_and_another() {
    let (home, client, failure) = away(5, |s| {
        s.log.truncate(3);
        rewrite(s, 1);
    })
    .await;
    assert_eq!(locked(&home, client, &failure).await.rule, "shrunk");
    convinces(&evidence(&home).await, 1);
}

#[tokio::test]
async fn two_heads_signed_for_one_size() {
    let (home, client, failure) = away(3, |s| {
        s.lie = Some(Box::new(|page: &mut LogPage| {
            let other = head_of(&[Hash::leaf(b"a"), Hash::leaf(b"b"), Hash::leaf(b"c")]);
            page.checkpoint = Some(log_key(7).sign(&other).unwrap());
        }));
    })
    .await;
    let kept = locked(&home, client, &failure).await;
    assert_eq!(kept.rule, "fork");
    let log = LogVerifier::new(log_key(7).vkey()).unwrap();
    let [seen, got] = [kept.seen_note, kept.got_note].map(|note| log.open(&note.unwrap()).unwrap());
    assert!(seen.size == got.size && seen.root != got.root, "that alone convinces anybody");
}

#[tokio::test]
async fn a_head_signed_by_another_key() {
    let (home, client, failure) = away(2, |s| {
        s.log_key = Some(log_key(8));
        s.ask(3, "re-signed");
    })
    .await;
    assert_eq!(locked(&home, client, &failure).await.rule, "checkpoint-key");
    let evidence = evidence(&home).await;
    assert_eq!(evidence["log_key"], log_key(7).vkey());
    assert_eq!(evidence["fork"]["key"], log_key(8).vkey());
}

#[tokio::test]
async fn a_head_of_another_log() {
    let (home, client, failure) = away(2, |s| {
        let text = LogKey::generate("example.org/other", &[7; 32]);
        s.log_key = Some(LogKey::parse(&text).unwrap());
    })
    .await;
    let kept = locked(&home, client, &failure).await;
    assert_eq!(kept.rule, "checkpoint-origin");
    assert!(kept.what.contains("example.org/other") && !kept.what.contains(ORIGIN), "{}", kept.what);
}

#[tokio::test]
async fn a_signed_head_that_is_none() {
    let (home, client, failure) = away(2, |s| {
        s.lie = Some(Box::new(|page: &mut LogPage| page.checkpoint = Some("gatepass\n".to_owned())));
    })
    .await;
    assert_eq!(locked(&home, client, &failure).await.rule, "checkpoint-form");
}

#[tokio::test]
async fn an_old_head_shown_again_is_told_and_not_taken() {
    let home = Home::new().await;
    home.state().ask(1, "first");
    let old = log_key(7).sign(&home.state().head()).unwrap();
    home.state().ask(2, "second");
    let client = home.joined().await;
    drop(client);
    let replayed = old.clone();
    home.state().lie = Some(Box::new(move |page: &mut LogPage| page.checkpoint = Some(replayed.clone())));
    let client = home.open();
    client.sync_now().await.expect("nodes may be a moment apart");
    home.state().now += TimeDelta::minutes(1);
    let failure = client.sync_now().await.unwrap_err();
    assert_eq!(failure.code, Code::CheckpointOld, "{failure}");
    assert!(failure.message.contains("of 1 events") && failure.message.contains("of 2"), "{failure}");
    let status = client.status().await.unwrap();
    assert_eq!((status.mismatch, status.verified_to), (false, Some(2)), "no contradiction");
    assert_eq!(status.problem.unwrap().code, Code::CheckpointOld);
    assert_ne!(client.event(1).await.unwrap().checkpoint.unwrap(), old);
    home.state().lie = None;
    assert_eq!(client.sync_now().await.unwrap().problem, None);
    assert!(client.evidence().await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_never_signed_is_told() {
    let home = Home::new().await;
    home.state().ask(1, "first");
    let client = home.joined().await;
    home.state().lie = Some(Box::new(|page: &mut LogPage| page.checkpoint = None));
    home.state().ask(2, "unsigned");
    client.sync_now().await.expect("it may be signed in a moment");
    home.state().now += TimeDelta::minutes(1);
    assert_eq!(client.sync_now().await.unwrap_err().code, Code::CheckpointOld);
    let (first, second) = (client.event(1).await.unwrap(), client.event(2).await.unwrap());
    assert!(first.checkpoint.is_some() && first.head_size == 1);
    assert!(second.checkpoint.is_none() && second.proof_holds, "checked, but nobody signed it");
    home.state().lie = None;
    client.sync_now().await.unwrap();
    assert!(client.event(2).await.unwrap().checkpoint.is_some());
}

#[tokio::test]
async fn the_signed_head_outlives_the_cache() {
    let home = Home::new().await;
    for number in 1..=3 {
        home.state().ask(number, "as it was");
    }
    drop(home.joined().await);
    for file in ["cache.db", "cache.db-wal", "cache.db-shm"] {
        let _ = std::fs::remove_file(home.profile().dir().join(file));
    }
    rewrite(&mut home.state(), 1);
    home.state().ask(4, "after that");
    let client = home.open();
    let failure = client.sync_now().await.unwrap_err();
    let kept = locked(&home, client, &failure).await;
    let log = LogVerifier::new(log_key(7).vkey()).unwrap();
    assert_eq!(log.open(&kept.seen_note.unwrap()).unwrap().size, 3);
}

#[tokio::test]
async fn a_device_that_joined_before_there_was_a_key_keeps_the_first_it_hears() {
    let home = Home::new().await;
    home.state().log_key = None;
    home.state().ask(1, "first");
    let client = home.joined().await;
    assert_eq!(client.log_key().unwrap(), None);
    home.state().log_key = Some(log_key(7));
    client.sync_now().await.unwrap();
    assert_eq!(client.log_key().unwrap().unwrap(), log_key(7).vkey());
    client.point_at(&client.status().await.unwrap().server_url.unwrap()).await.unwrap();
    assert_eq!(home.open().log_key().unwrap().unwrap(), log_key(7).vkey(), "also after the server moved");
    home.state().log_key = Some(log_key(8));
    let failure = client.sync_now().await.unwrap_err();
    assert_eq!(locked(&home, client, &failure).await.rule, "checkpoint-key");
}

#[tokio::test]
async fn a_text_under_anothers_digest_is_not_shown() {
    let home = Home::new().await;
    let (first, second) = {
        let mut s = home.state();
        let ids = (s.ask(1, "the first reason"), s.ask(2, "the second reason"));
        let (one, other) = s.log.split_at_mut(1);
        std::mem::swap(&mut one[0].1, &mut other[0].1);
        ids
    };
    let client = home.joined().await;
    for id in [first, second] {
        assert_eq!(client.request(id).await.unwrap().reason, None);
    }
    assert!(!client.status().await.unwrap().mismatch, "a text may be missing");
}

#[tokio::test]
async fn each_event_leads_to_the_signed_head() {
    let home = Home::new().await;
    for number in 1..=300 {
        home.state().ask(number, "one of many");
    }
    let client = home.joined().await;
    let signed = home.state().head();
    for seq in [1, 2, 255, 256, 257, 299, 300] {
        let detail = client.event(seq).await.unwrap();
        assert!(detail.proof_holds && detail.in_verified_tree, "{seq}");
        let root = detail.proof.iter().fold(Hash::parse(&detail.leaf).unwrap(), |node, step| {
            let other = Hash::parse(&step.hash).unwrap();
            if step.left { Hash::node(&other, &node) } else { Hash::node(&node, &other) }
        });
        assert_eq!((root.digest(), &detail.head_root), (signed.root.clone(), &signed.root));
        let log = LogVerifier::new(&detail.log_key.unwrap()).unwrap();
        assert_eq!(log.open(&detail.checkpoint.unwrap()).unwrap(), signed);
        assert_eq!(detail.story.iter().map(|e| e.seq).collect::<Vec<_>>(), [seq]);
        let rule = detail.rule.unwrap();
        assert!(rule.current && rule.approve[0].from == ["dba"] && rule.published_seq.is_none());
    }
}
