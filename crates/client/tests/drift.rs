//! Access that no grant explains, in the local copy of the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod home;

use gatepass_client::ui::EventQuery;
use gatepass_client::{Client, Clock, KeyStore, Notice};
use gatepass_core::Code;
use gatepass_core::drift::{Found, Who};
use gatepass_core::event::{By, Fact};
use gatepass_core::id::{DeviceId, DriftId};
use gatepass_core::text::SaltedText;
use gatepass_core::wire::{DriftState, DriftView};
use home::{Home, NOOR, State, holds};
use serde_json::json;
use uuid::Uuid;

const ID: DriftId = DriftId(Uuid::from_u128(500));

fn text(salt: u8, text: &str) -> SaltedText {
    SaltedText::new([salt; 16], text)
}

fn held(name: &SaltedText, grants: &[&str]) -> Found {
    Found {
        target: "pg".into(),
        who: Who::Name(name.digest().unwrap()),
        grants: grants.iter().map(|g| (*g).into()).collect(),
        resources: vec!["orders-db".into()],
        groups: vec!["dba".into()],
    }
}

fn tell(state: &mut State, drift: DriftId, name: &str, grants: &[&str]) -> u64 {
    let name = text(state.log.len() as u8, name);
    let found = held(&name, grants);
    state.put(By::Gatepass, None, Fact::DriftFound { drift, found }, vec![name])
}

async fn only(client: &Client) -> DriftView {
    let all = client.drift().await.unwrap();
    assert_eq!(all.len(), 1);
    all[0].clone()
}

#[tokio::test]
async fn it_is_shown_known_changed_and_gone_also_without_the_server() {
    let home = Home::new().await;
    tell(&mut home.state(), ID, "metrics_ro", &["orders_writer"]);
    let client = home.joined().await;
    let open = only(&client).await;
    assert_eq!(
        (open.name.as_deref(), open.state, open.can_mark),
        (Some("metrics_ro"), DriftState::Open, true)
    );
    assert_eq!(
        (open.resource_names.as_slice(), open.environment.as_str()),
        (&["Orders database".to_owned()][..], "production")
    );
    assert_eq!(client.status().await.unwrap().drift, 1);
    assert!(!holds(&home.bytes(), "metrics_ro"), "not readable on the disk");

    let name = text(0, "metrics_ro");
    let reason = text(77, "monitoring");
    let by_noor = By::Person { person: NOOR, device: DeviceId(Uuid::from_u128(22)) };
    let fact = Fact::DriftKnown {
        drift: ID,
        reason: reason.digest().unwrap(),
        found: held(&name, &["orders_writer"]),
    };
    home.state().put(by_noor, None, fact, vec![reason]);
    client.sync_now().await.unwrap();
    let known = only(&client).await;
    assert_eq!((known.state, known.revision), (DriftState::Known, 2));
    let said = known.known.unwrap();
    assert_eq!((said.by.handle.as_str(), said.reason.as_deref()), ("noor", Some("monitoring")));
    assert_eq!(client.status().await.unwrap().drift, 0);
    let sentence = &client
        .events(EventQuery { text: "metrics_ro known".into(), before: None, limit: 9 })
        .await
        .unwrap()
        .items[0];
    assert_eq!(
        sentence.sentence,
        "Noor Haddad marked as known that metrics_ro holds orders_writer on Orders database"
    );

    tell(&mut home.state(), ID, "metrics_ro", &["orders_owner", "orders_writer"]);
    client.sync_now().await.unwrap();
    assert_eq!(only(&client).await.state, DriftState::Open);
    let found = held(&text(2, "metrics_ro"), &["orders_owner", "orders_writer"]);
    home.state().put(By::Gatepass, None, Fact::DriftGone { drift: ID, found }, vec![]);
    client.sync_now().await.unwrap();
    drop(client);
    let (_dir, profile, now) = home.stop().await;
    let alone = Client::open_at(profile, KeyStore::File, Clock::of(move || now)).unwrap();
    let gone = only(&alone).await;
    assert_eq!(
        (gone.state, gone.name.as_deref(), gone.can_mark),
        (DriftState::Gone, Some("metrics_ro"), false)
    );
}

#[tokio::test]
async fn what_may_be_seen_comes_and_goes() {
    let home = Home::new().await;
    let seq = tell(&mut home.state(), ID, "metrics_ro", &["orders_writer"]);
    home.state().hidden = [seq].into();
    let client = home.joined().await;
    assert_eq!(client.drift().await.unwrap(), []);
    home.state().hidden.clear();
    home.state().scope += 1;
    client.sync_now().await.unwrap();
    assert_eq!(only(&client).await.name.as_deref(), Some("metrics_ro"));
    home.state().hidden = [seq].into();
    home.state().scope += 1;
    client.sync_now().await.unwrap();
    assert_eq!(client.drift().await.unwrap(), []);
}

#[tokio::test]
async fn a_cache_of_before_there_was_any_gets_its_table() {
    let home = Home::new().await;
    home.state().ask(1, "orders are stuck");
    let client = home.joined().await;
    drop(client);
    home.cache().execute_batch("DROP TABLE drift").unwrap();
    let client = home.open();
    tell(&mut home.state(), ID, "metrics_ro", &["orders_writer"]);
    client.sync_now().await.unwrap();
    assert_eq!(only(&client).await.name.as_deref(), Some("metrics_ro"));
    assert_eq!(client.requests().await.unwrap().len(), 1, "nothing was lost");
}

#[tokio::test]
async fn marking_signs_what_was_shown() {
    let home = Home::new().await;
    tell(&mut home.state(), ID, "metrics_ro", &["orders_writer"]);
    let client = home.joined().await;
    let mut answer = only(&client).await;
    assert_eq!(client.mark_known(ID, 1, "  ").await.unwrap_err().code, Code::ReasonRequired);
    answer.state = DriftState::Known;
    let head = json!({"size": 1, "root": "0".repeat(64)});
    home.state().instead.insert("/v1/drift/", vec![(200, json!({"drift": answer, "head": head}))]);
    assert_eq!(client.mark_known(ID, 1, "monitoring").await.unwrap().state, DriftState::Known);
    let (path, body) = home.state().posted.last().cloned().unwrap();
    assert_eq!(path, format!("/v1/drift/{ID}/known"));
    let signed = &body["command"]["body"];
    assert_eq!(
        (&signed["kind"], &signed["drift"], &signed["revision"]),
        (&json!("drift.known"), &json!(ID), &json!(1))
    );
    assert!(!signed.to_string().contains("monitoring"), "its digest stands in the body");
    assert_eq!(body["texts"][0]["text"], "monitoring");
}

#[tokio::test]
async fn it_is_told_once_and_much_of_it_as_a_number() {
    let home = Home::new().await;
    let client = home.joined().await;
    let mut notices = client.notices();
    client.sync_now().await.unwrap();
    tell(&mut home.state(), ID, "metrics_ro", &["orders_writer"]);
    client.sync_now().await.unwrap();
    let Ok(Notice::Drift { drift }) = notices.try_recv() else { panic!("not told") };
    assert_eq!(drift.name.as_deref(), Some("metrics_ro"));
    client.sync_now().await.unwrap();
    assert!(notices.try_recv().is_err());
    for n in 0..20 {
        tell(&mut home.state(), DriftId(Uuid::from_u128(600 + n)), &format!("user{n}"), &["orders_writer"]);
    }
    client.sync_now().await.unwrap();
    assert_eq!(notices.try_recv().unwrap(), Notice::Drifts { count: 20 });
    assert!(notices.try_recv().is_err());
}
