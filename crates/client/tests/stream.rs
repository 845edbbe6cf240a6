//! What the client does when its stream of hints ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod home;

use gatepass_client::{Client, Notice, Waited};
use gatepass_core::wire::RequestState;
use home::Home;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(20);

fn running(client: &Client) -> JoinHandle<()> {
    let client = client.clone();
    tokio::spawn(async move { client.run().await })
}

/// Waits until so many streams were opened, looking in between whether `meanwhile` holds.
async fn opened(home: &Home, count: usize, mut meanwhile: impl AsyncFnMut()) {
    let reached = async {
        while home.state().opened.len() < count {
            meanwhile().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("no {count} streams"));
}

async fn view(client: &Client) -> Value {
    serde_json::to_value(&client.requests().await.unwrap()[0]).unwrap()
}

#[tokio::test]
async fn after_a_goodbye_it_comes_back_when_told_and_is_not_offline_meanwhile() {
    let home = Home::new().await;
    home.joined().await;
    // Of its own: joining asks for a sync, which would end the wait.
    let client = home.open();
    client.sync_now().await.unwrap();
    home.state().last_words = vec!["event: bye\nretry: 1500\ndata: {}\n\n"];
    let mut notices = client.notices();
    let looping = running(&client);
    opened(&home, 1, async || {}).await;
    // Someone asks while nobody is told.
    home.state().ask(1, "meanwhile");
    opened(&home, 2, async || {
        let status = client.status().await.unwrap();
        assert!(status.online && status.problem.is_none());
        client.server_me().await.expect("reads go on");
    })
    .await;
    let at = home.state().opened.clone();
    assert!(at[1] - at[0] >= Duration::from_millis(1_500), "{:?}", at[1] - at[0]);
    let told = tokio::time::timeout(PATIENCE, notices.recv()).await.expect("what was missed").unwrap();
    assert!(matches!(told, Notice::NeedsYou { .. }));
    opened(&home, 4, async || {}).await;
    looping.abort();
    assert!(notices.try_recv().is_err(), "told once");
    assert_eq!(client.requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_person_does_ends_the_wait() {
    let home = Home::new().await;
    let request = home.state().ask(1, "first");
    let client = home.joined().await;
    let accepted = json!({"request": view(&client).await, "grant": null,
                          "head": {"size": 1, "root": "0".repeat(64)}});
    home.state().last_words = vec!["event: bye\nretry: 120000\ndata: {}\n\n"];
    let looping = running(&client);
    opened(&home, 1, async || {}).await;
    // Again, if the first was before the goodbye came in.
    opened(&home, 2, async || {
        home.state().instead.insert("/v1/requests", vec![(200, accepted.clone())]);
        client.withdraw(request).await.expect("writes go on");
    })
    .await;
    looping.abort();
}

#[tokio::test]
async fn waiting_for_a_decision_goes_on_after_a_goodbye() {
    let home = Home::new().await;
    let request = home.state().ask(1, "first");
    let client = home.joined().await;
    let pending = view(&client).await;
    home.state().deny(request);
    client.sync_now().await.unwrap();
    let denied = view(&client).await;

    home.state().last_words = vec!["event: bye\nretry: 700\ndata: {}\n\n"];
    let answers = [&pending, &pending, &denied].map(|view| (200, view.clone()));
    home.state().instead.insert("/v1/requests/", answers.to_vec());
    let waited = client.wait_for(request, None).await.unwrap();
    assert!(matches!(waited, Waited::Not { request } if request.state == RequestState::Denied));
    let at = home.state().opened.clone();
    assert!(at[1] - at[0] >= Duration::from_millis(700), "{:?}", at[1] - at[0]);

    // The time to wait is over before the server is back: it stands as it stood.
    home.state().last_words = vec!["event: bye\nretry: 120000\ndata: {}\n\n"];
    let answers = [&pending, &pending, &pending].map(|view| (200, view.clone()));
    home.state().instead.insert("/v1/requests/", answers.to_vec());
    let waited = client.wait_for(request, Some(Duration::from_millis(600))).await.unwrap();
    assert!(matches!(waited, Waited::Still { request } if request.state == RequestState::Pending));
}

#[tokio::test]
async fn a_challenge_that_was_used_is_no_reason_to_give_up() {
    let home = Home::new().await;
    let client = home.joined().await;
    home.state().expired = 1;
    let used = home::problem("unauthenticated", 401);
    let challenge = (200, json!({"challenge": "AAAA", "now": home.state().now}));
    home.state().instead.insert("/v1/sessions", vec![challenge, (401, used)]);
    client.server_me().await.unwrap();
}
