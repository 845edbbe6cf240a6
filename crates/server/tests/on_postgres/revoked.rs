//! Ending everything of a person, with several nodes.

use gatepass_connectors::fake::Fake;
use gatepass_core::wire::{Accepted, RevokedView};
use gatepass_server::testing::database::Database;
use gatepass_server::testing::{PATIENCE, Setup, TestServer};

async fn node(database: &Database, fake: &Fake) -> TestServer {
    let (database, fake) = (Some(database.options()), fake.clone());
    TestServer::with(Setup { database, fake, ..Setup::default() }).await
}

/// A write is refused from the same instant, on every node; tokens and streams as soon as the node has heard.
#[tokio::test]
async fn a_disabled_device_is_refused_by_every_node() {
    let (database, fake) = (Database::fresh().await, Fake::new());
    let (first, second) = (node(&database, &fake).await, node(&database, &fake).await);
    let root = first.admin("root").await;
    let tomas = first.person("tomas", &["backend"]).await;
    let there = tomas.at(&second.url);
    assert_eq!(there.get("/v1/me").await.status, 200);
    let stream = there.http.get(format!("{}/v1/stream", there.url)).bearer_auth(&there.token);
    let mut stream = stream.send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    first.until("grant.active", 1).await;

    root.revoke_all(tomas.id).await.get::<RevokedView>();
    assert_eq!(there.ask_because("read", 600, None, None).await.code(), "device_disabled");
    let ended = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("its stream ends");
    assert_eq!(there.get("/v1/me").await.code(), "device_disabled");
    first.until("grant.ended", 1).await;
    second.finish().await;
    first.finish().await;
}
