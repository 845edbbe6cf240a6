#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

fn settings(url: &str, private: &[&str]) -> Settings {
    Settings {
        url: url.to_owned(),
        secrets: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw".to_owned().into(),
        authorities: None,
        private: private.iter().map(ToString::to_string).collect(),
        limit: Duration::from_secs(10),
        now: || Time::from_timestamp(1_614_265_330, 0).unwrap(),
    }
}

#[test]
fn a_url_says_where_its_host_may_be() {
    let private = ["deploys.internal".to_owned()];
    let reach = |url: &str, private: &[String]| place(url, private).map(|(_, reach)| reach);
    assert_eq!(reach("https://deploys.example.com/gatepass?x=1", &[]), Ok(Reach::Public));
    assert_eq!(reach("https://Deploys.internal", &private), Ok(Reach::Private));
    assert_eq!(reach("http://localhost:8080/", &[]), Ok(Reach::Loopback));
    for here in ["http://127.0.0.1:1", "http://[::1]:1", "http://[::ffff:127.0.0.1]", "https://10.0.0.1"] {
        assert!(reach(here, &[]).is_ok(), "{here}");
    }
    for wrong in [
        "http://deploys.example.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "ftp://localhost",
        "https://user:hunter2@deploys.example.com",
        "deploys.example.com?hunter2",
        "https://",
    ] {
        let fault = reach(wrong, &[]).expect_err(wrong);
        assert!(fault.contains("expected") && !fault.contains("hunter2"), "{fault}");
    }
    assert!(reach("https://deploys.example.com", &private).unwrap_err().contains("deploys.internal"));
}

/// A name whose first look-up is good leads elsewhere at the second; the look-up that counts is the connection's.
#[tokio::test]
async fn a_name_that_changes_is_looked_at_when_connecting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let lookup: Lookup = Arc::new(move |_| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        // Nobody is at the first: 192.168.255.254 is never connected to, since one of the two is not allowed.
        let address: IpAddr = if first { "169.254.169.254" } else { "127.0.0.1" }.parse().unwrap();
        Box::pin(async move { Ok(vec![SocketAddr::new(address, 0)]) })
    });
    let url = format!("https://deploys.example.com:{port}/x?token=hunter2");
    let webhook = Webhook::new(settings(&url, &[]), lookup).unwrap();
    let question = || Ask { verb: "inspect", grant: None, body: b"{}", most: 100 };
    for address in ["169.254.169.254", "127.0.0.1", "127.0.0.1"] {
        let Err(TargetError::Configuration(error)) = webhook.ask(question()).await else {
            panic!("{address}")
        };
        assert!(error.starts_with(&format!("deploys.example.com leads to {address}")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3, "refused at once, each time");
    let came = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(came.is_err(), "nobody connected");
}

/// Answers each connection with the next of `answers`, and keeps what was sent.
async fn serve(answers: Vec<Vec<u8>>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x?token=hunter2", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let mut sent = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"{\"a\":1}") {
                let mut some = [0; 1024];
                let read = stream.read(&mut some).await.unwrap();
                assert_ne!(read, 0);
                request.extend_from_slice(&some[..read]);
            }
            sent.push(String::from_utf8(request).unwrap());
            // The other side hangs up in the middle when it has enough.
            let _ = stream.write_all(&answer).await;
        }
        sent
    });
    (url, served)
}

async fn asked(answers: &[&str]) -> (Result<Vec<u8>, TargetError>, Vec<String>) {
    let (url, served) = serve(answers.iter().map(|a| a.as_bytes().to_vec()).collect()).await;
    let webhook = Webhook::new(settings(&url, &[]), address::system()).unwrap();
    let answer = webhook.ask(Ask { verb: "inspect", grant: None, body: b"{\"a\":1}", most: 100 }).await;
    (answer, served.await.unwrap())
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {request}"))
}

#[tokio::test]
async fn a_call_is_tried_again_under_the_same_id() {
    let away = "HTTP/1.1 503 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let good = "HTTP/1.1 200 x\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    let (answer, sent) = asked(&["", away, good]).await;
    assert_eq!(answer.unwrap(), b"ok");
    let ids: Vec<_> = sent.iter().map(|request| header(request, "webhook-id")).collect();
    assert!(ids[0].starts_with("msg_") && ids[0].len() == 36, "{ids:?}");
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(header(&sent[2], "webhook-timestamp"), "1614265330");
    assert!(header(&sent[2], "webhook-signature").starts_with("v1,"));

    let (answer, again) = asked(&[good]).await;
    assert!(answer.is_ok());
    assert_ne!(header(&again[0], "webhook-id"), ids[0], "another call");
}

#[tokio::test]
async fn what_a_status_means() {
    let body = |status: &str, body: &str| {
        format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    for (answer, expected) in [
        (body("302", ""), "Configuration(\"it redirects (HTTP 302)"),
        (body("401", ""), "Configuration(\"it does not take our signature (HTTP 401)"),
        (body("404", "<html>"), "Configuration(\"nothing takes calls"),
        (body("400", ""), "Refused(\"HTTP 400"),
        (body("500", ""), "Unreachable(\"HTTP 500"),
        (body("429", ""), "Unreachable(\"HTTP 429"),
        (body("500", r#"{"ok":false,"error":{"kind":"refused","message":"no"}}"#), "Refused(\"no\")"),
        (body("200", &"x".repeat(101)), "Refused(\"its answer is longer"),
        (body("301", "").replace("content", "location: http://127.0.0.1:1/\r\ncontent"), "Configuration("),
    ] {
        let (said, sent) = asked(&[&answer]).await;
        let said = format!("{:?}", said.unwrap_err());
        assert!(said.starts_with(expected), "{said} for {answer}");
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(sent.len(), 1, "told once: {answer}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
        let _ = stream.write_all(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n").await;
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        let mut sent = 0;
        while stream.write_all(chunk.as_bytes()).await.is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let webhook = Webhook::new(settings(&url, &[]), address::system()).unwrap();
    let error = webhook.ask(Ask { verb: "remove", grant: None, body: b"{}", most: 65536 }).await.unwrap_err();
    assert_eq!(error, TargetError::Refused("its answer is longer than 64 KiB".into()));
    // What fits into the sockets' buffers, and no more.
    assert!(served.await.unwrap() < 64 * 1024 * 1024);
}

#[tokio::test]
async fn who_does_not_answer_is_away_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x?token=hunter2", listener.local_addr().unwrap());
    let ask = || Ask { verb: "remove", grant: None, body: b"{}", most: 100 };
    let mut brief = settings(&url, &[]);
    brief.limit = Duration::from_secs(1);
    let silent = Webhook::new(brief, address::system()).unwrap().ask(ask()).await.unwrap_err();
    assert_eq!(silent, TargetError::Unreachable("no answer within 1 s".into()));
    drop(listener);
    let TargetError::Unreachable(gone) =
        Webhook::new(settings(&url, &[]), address::system()).unwrap().ask(ask()).await.unwrap_err()
    else {
        panic!("nobody is there");
    };
    assert!(gone.contains("refused") && !gone.contains("hunter2"), "{gone}");
}
