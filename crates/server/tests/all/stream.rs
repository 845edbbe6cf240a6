use futures_util::StreamExt as _;
use gatepass_core::wire::Accepted;
use gatepass_server::testing::{PATIENCE, Someone, TestServer};
use std::pin::Pin;

type Bytes = Pin<Box<dyn futures_util::Stream<Item = String> + Send>>;

async fn open(who: &Someone) -> Bytes {
    let request = who.http.get(format!("{}/v1/stream", who.url)).bearer_auth(&who.token);
    let response = request.send().await.unwrap().error_for_status().unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let parts = response.bytes_stream().map(|part| String::from_utf8(part.unwrap().to_vec()).unwrap());
    Box::pin(parts)
}

async fn next(stream: &mut Bytes) -> Option<String> {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("a hint comes")
}

#[tokio::test]
async fn hints_at_once_and_at_every_change_until_the_server_stops() {
    let mut server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let size = server.events().await.len();
    let mut stream = open(&tomas).await;
    assert_eq!(next(&mut stream).await.unwrap(), format!("event: head\ndata: {{\"size\":{size}}}\n\n"));
    let asked: Accepted = tomas.ask("write", 60).await.get();
    assert_eq!(next(&mut stream).await.unwrap(), format!("event: head\ndata: {{\"size\":{}}}\n\n", size + 1));
    tomas.withdraw(&asked.request).await.get::<Accepted>();
    assert_eq!(next(&mut stream).await.unwrap(), format!("event: head\ndata: {{\"size\":{}}}\n\n", size + 2));
    server.down().await;
    assert_eq!(next(&mut stream).await, None);
    server.up().await;
    server.finish().await;
}
