use chrono::TimeDelta;
use futures_util::StreamExt as _;
use gatepass_core::wire::Accepted;
use gatepass_server::Config;
use gatepass_server::testing::{PATIENCE, Setup, Someone, TestClock, TestServer};
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

type Bytes = Pin<Box<dyn futures_util::Stream<Item = String> + Send>>;

async fn open(who: &Someone) -> Bytes {
    let request = who.http.get(format!("{}/v1/stream", who.url)).bearer_auth(&who.token);
    let response = request.send().await.unwrap().error_for_status().unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let parts = response.bytes_stream().map(|part| String::from_utf8(part.unwrap().to_vec()).unwrap());
    Box::pin(parts)
}

async fn next(stream: &mut Bytes) -> Option<String> {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("a hint comes")
}

/// All that is still said, to the end.
async fn rest(stream: &mut Bytes) -> String {
    let mut said = String::new();
    while let Some(part) = next(stream).await {
        said.push_str(&part);
    }
    said
}

fn retry(said: &str) -> u64 {
    let bye = said.strip_prefix("event: bye\nretry: ").unwrap_or_else(|| panic!("no goodbye: {said:?}"));
    bye.strip_suffix("\ndata: {}\n\n").expect("the last words").parse().expect("milliseconds")
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
    assert!(retry(&rest(&mut stream).await) <= 60_000);
    server.up().await;
    server.finish().await;
}

#[tokio::test]
async fn a_server_that_stops_spreads_its_devices_over_a_minute() {
    const STREAMS: usize = 40;
    let mut server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = open(&tomas).await;
        assert!(next(&mut stream).await.unwrap().starts_with("event: head\n"));
        streams.push(stream);
    }
    server.down().await;
    let mut waits = Vec::new();
    for mut stream in streams {
        waits.push(retry(&rest(&mut stream).await));
    }
    waits.sort_unstable();
    // Each of these fails by chance less than once in a million runs.
    assert!(waits[STREAMS - 1] <= 60_000, "{waits:?}");
    assert!(waits[0] < 20_000 && waits[STREAMS - 1] > 40_000, "{waits:?}");
    waits.dedup();
    assert!(waits.len() > STREAMS - 4, "each has its own: {waits:?}");
    server.up().await;
    server.finish().await;
}

#[tokio::test]
async fn how_far_devices_are_spread_is_configured() {
    let server = "spread = \"0s\"".to_owned();
    let mut server = TestServer::with(Setup { server, ..Setup::default() }).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let mut stream = open(&tomas).await;
    assert!(next(&mut stream).await.unwrap().starts_with("event: head\n"));
    server.down().await;
    assert_eq!(retry(&rest(&mut stream).await), 0);
    for (wrong, expected) in [("6m", "expected at most 5m"), ("soon", "write it like 90s")] {
        let text = format!("[server]\nname = \"x\"\nspread = \"{wrong}\"\n");
        let fault = Config::parse(&text, std::path::Path::new("/etc/gatepass.toml")).unwrap_err().to_string();
        assert!(fault.starts_with("/etc/gatepass.toml:3:10: ") && fault.contains(expected), "{fault}");
    }
    server.up().await;
    server.finish().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_says_nothing() {
    let clock = TestClock::new("2026-11-17T09:53:00Z".parse().unwrap());
    let server = TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await;
    let tomas = server.person("tomas", &["backend"]).await;
    clock.advance(TimeDelta::minutes(15) - TimeDelta::milliseconds(300));
    let opened = Instant::now();
    let mut stream = open(&tomas).await;
    assert!(next(&mut stream).await.unwrap().starts_with("event: head\n"));
    // By the server's clock it is not over yet: a sign of life. Then it is.
    assert_eq!(next(&mut stream).await.unwrap(), ":\n\n");
    assert!(opened.elapsed() >= Duration::from_millis(300));
    clock.advance(TimeDelta::milliseconds(300));
    assert_eq!(rest(&mut stream).await, "");
    assert_eq!(tomas.get("/v1/me").await.code(), "token_ended");
    server.finish().await;
}

/// The gauge is the process's, so other tests' streams are in it.
#[tokio::test]
async fn streams_and_hints_are_counted() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let mut stream = open(&tomas).await;
    next(&mut stream).await.unwrap();
    let metrics = tomas.get("/metrics").await.body;
    let value = |name: &str| {
        let line = metrics.as_str().unwrap().lines().find(|l| l.starts_with(&format!("{name} ")));
        line.and_then(|l| l.split(' ').nth(1)?.parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name}"))
    };
    assert!(value("gatepass_streams") >= 1.0);
    assert!(value("gatepass_hints_total") >= 1.0);
    server.finish().await;
}

/// A stream over a socket that takes little, read by hand.
async fn raw(who: &Someone) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut socket = socket.connect(who.url.strip_prefix("http://").unwrap().parse().unwrap()).await.unwrap();
    let head = format!("GET /v1/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", who.token);
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

#[tokio::test]
async fn who_did_not_read_gets_the_newest_hint_and_few_before_it() {
    const CHANGES: u64 = 2_000;
    let limits = "limits = { per_second = 100000, burst = 100000 }".to_owned();
    let server = TestServer::with(Setup { server: limits, ..Setup::default() }).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let mut socket = raw(&tomas).await;
    socket.readable().await.unwrap();
    let began = Instant::now();
    // Eight people by turns, each now in one group and now in the other.
    let change = async |n: u64| {
        let group = [["backend"], ["support"]][(n / 8 % 2) as usize];
        server.invite(&format!("p{}", n % 8), &group, false, false).await;
    };
    futures_util::stream::iter(0..CHANGES).for_each_concurrent(8, change).await;
    let grew_for = began.elapsed();
    let size = server.store().head().await.unwrap().size;
    assert!(size > CHANGES / 2);
    let newest = format!("data: {{\"size\":{size}}}\n\n");
    let mut said = String::new();
    let read = async {
        let mut part = [0; 1_024];
        while !said.contains(&newest) {
            let count = socket.read(&mut part).await.unwrap();
            assert_ne!(count, 0, "the stream goes on");
            said.push_str(&String::from_utf8_lossy(&part[..count]));
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the newest hint");
    let hints = said.matches("event: head").count() as u128;
    assert!(hints <= grew_for.as_millis() / 20 + 2, "{hints} hints in {grew_for:?}");
    server.finish().await;
}
