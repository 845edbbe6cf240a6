//! Accepting connections: each is a task of its own, small while it is idle, and ended when it keeps us waiting.

use crate::gate::Gate;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

/// How long connections may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the head of a request may take, from its first byte; that of the first one, from the connection.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may wait for its next request: longer than proxies keep theirs, so that they end it.
const IDLE: Duration = Duration::from_secs(90);
/// A peer that is gone without a word is noticed after about two minutes, whether or not something is on its way to it.
const QUIET: Duration = Duration::from_secs(60);
const PROBES: Duration = Duration::from_secs(15);
const GONE: Duration = Duration::from_secs(120);
/// The largest head of a request; and once this much waits to be written, an answer is not asked for more.
const BUFFER: usize = 16 * 1024;
/// How long accepting pauses when the machine is out of something, such as open files.
const PAUSE: Duration = Duration::from_millis(250);
/// And how often that is said.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Accepts until `stopping` is true, and then lets connections end for a while. Dropped, it ends them at once.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    gate: Arc<Gate>,
    stopping: watch::Receiver<bool>,
) {
    let talk = Arc::new(Talk { http: http(), tls, gate, stopping: stopping.clone() });
    let mut door = Door { listener, said: None };
    let mut connections = JoinSet::new();
    let mut stopped = pin!(stopped(stopping));
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            // Before the next comes in, so that many at once leave nothing behind.
            Some(_) = connections.join_next() => {}
            (stream, peer) = door.accept() => {
                connections.spawn(talk.clone().with(stream, peer));
            }
        }
    }
    drop(door);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(PATIENCE, ended).await.is_err() {
        tracing::warn!(left = connections.len(), "some connections did not end in time");
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(BUFFER);
    http
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // When nobody can say so any more, it has stopped.
    let _ = stopping.wait_for(|stopped| *stopped).await;
}

struct Door {
    listener: TcpListener,
    /// When it was last said that nobody can come in.
    said: Option<Instant>,
}

impl Door {
    /// The next connection. What keeps one from coming in is waited out: it is not the end of those that are in.
    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // It went away while it waited.
                Err(e) if matches!(e.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) => {}
                Err(error) => {
                    if self.said.is_none_or(|said| said.elapsed() > SAY_AGAIN) {
                        tracing::error!(%error, "cannot accept connections");
                        self.said = Some(Instant::now());
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// What all connections share.
struct Talk {
    http: http1::Builder,
    tls: Option<TlsAcceptor>,
    gate: Arc<Gate>,
    stopping: watch::Receiver<bool>,
}

impl Talk {
    async fn with(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%peer, %error, "a connection’s options cannot be set");
        }
        self.meet(stream, peer).await;
    }

    async fn meet<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, peer: SocketAddr) {
        let Some(tls) = &self.tls else { return self.http(stream, peer).await };
        let shaken = tokio::select! {
            shaken = timeout(HANDSHAKE, tls.accept(stream)) => shaken,
            () = stopped(self.stopping.clone()) => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.http(stream, peer).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS with this peer"),
            Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, peer: SocketAddr) {
        let count = Count::default();
        let stream = TokioIo::new(Punctual::new(stream, count.clone()));
        let answer = service_fn(|request: hyper::Request<Incoming>| async {
            count.came();
            let response = self.gate.answer(request.map(Body::new), peer).await;
            count.answered();
            Ok::<_, Infallible>(response)
        });
        let mut connection = pin!(self.http.serve_connection(stream, answer));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(self.stopping.clone()) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended");
        }
    }
}

/// Answers go out as they are written, and peers that are gone are noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(QUIET).with_interval(PROBES);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(GONE))?;
    socket.set_tcp_keepalive(&keepalive)
}

/// How many requests of a connection came, and how many of them are answered, but for what follows the answer's head.
#[derive(Clone, Default)]
struct Count(Arc<[AtomicU64; 2]>);

impl Count {
    fn came(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    fn answered(&self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> (u64, u64) {
        (self.0[0].load(Ordering::Relaxed), self.0[1].load(Ordering::Relaxed))
    }
}

/// Fails to read when the head of a request takes longer than [`HEAD`]. Bodies have a time of their own.
struct Punctual<S> {
    stream: S,
    count: Count,
    /// The head that is coming: how many came before it, and until when it has time.
    coming: Option<(u64, Instant)>,
    /// Only made once a head is waited for.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S> Punctual<S> {
    fn new(stream: S, count: Count) -> Self {
        Self { stream, count, coming: Some((0, Instant::now() + HEAD)), alarm: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Punctual<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        let (came, answered) = me.count.get();
        if me.coming.is_some_and(|(before, _)| before != came) {
            (me.coming, me.alarm) = (None, None);
        }
        let held = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut me.stream).poll_read(cx, buf) {
            let idle = came == answered && me.coming.is_none();
            if idle && buf.filled().len() > held {
                me.coming = Some((came, Instant::now() + HEAD));
            }
            return Poll::Ready(read);
        }
        let Some((_, until)) = me.coming else { return Poll::Pending };
        ready!(me.alarm.get_or_insert_with(|| Box::pin(sleep_until(until))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head of a request took too long")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Punctual<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::Router;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    const GET: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";

    /// A server's end of a connection, and the other one. Time only passes when both wait.
    fn connection(tls: Option<TlsAcceptor>, routes: Option<Router>) -> (DuplexStream, JoinHandle<()>) {
        let (ours, theirs) = duplex(64 * 1024);
        let gate = Arc::new(Gate::default());
        if let Some(routes) = routes {
            gate.open(routes);
        }
        let served = tokio::spawn(async move {
            // Held, so that nobody stops it.
            let (_stop, stopping) = watch::channel(false);
            let talk = Talk { http: http(), tls, gate, stopping };
            talk.meet(theirs, ([127, 0, 0, 1], 1).into()).await;
        });
        (ours, served)
    }

    async fn answer(stream: &mut DuplexStream) -> String {
        let mut text = String::new();
        while !text.ends_with('}') {
            let mut some = vec![0; 4096];
            let read = stream.read(&mut some).await.unwrap();
            assert_ne!(read, 0, "ended after {text:?}");
            text.push_str(std::str::from_utf8(&some[..read]).unwrap());
        }
        text
    }

    /// How long until the server ends the connection.
    async fn ended(mut stream: DuplexStream, served: JoinHandle<()>) -> Duration {
        let began = Instant::now();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
        served.await.unwrap();
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_ends_the_connection() {
        let (nothing, served) = connection(None, None);
        assert_eq!(ended(nothing, served).await.as_secs(), HEAD.as_secs());

        // A little at a time makes no difference, also for a later request.
        let (mut stream, served) = connection(None, None);
        stream.write_all(GET).await.unwrap();
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        sleep(HEAD * 2).await;
        let began = Instant::now();
        for byte in GET {
            sleep(Duration::from_secs(1)).await;
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        assert!((10..=12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        served.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_for_its_next_request_for_a_while() {
        let (mut stream, served) = connection(None, None);
        for _ in 0..3 {
            stream.write_all(GET).await.unwrap();
            assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
            sleep(IDLE - Duration::from_secs(1)).await;
        }
        stream.write_all(GET).await.unwrap();
        answer(&mut stream).await;
        assert_eq!(ended(stream, served).await.as_secs(), IDLE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_and_answers_take_the_time_they_take() {
        let slowly = post(async |body: String| {
            sleep(IDLE * 2).await;
            format!("{{{body}}}")
        });
        let (mut stream, _served) = connection(None, Some(Router::new().route("/", slowly)));
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n").await.unwrap();
        for letter in ["s", "l", "o", "w"] {
            sleep(HEAD * 2).await;
            stream.write_all(letter.as_bytes()).await.unwrap();
        }
        assert!(answer(&mut stream).await.ends_with("{slow}"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handshake_that_does_not_come_ends_the_connection() {
        use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;
        use tokio_rustls::rustls::{ServerConfig, crypto::aws_lc_rs};
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let (stream, served) = connection(Some(Arc::new(config).into()), None);
        assert_eq!(ended(stream, served).await.as_secs(), HANDSHAKE.as_secs());
    }

    /// What cannot be carried out yet is answered at once.
    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_says_that_the_server_starts() {
        let (mut stream, _served) = connection(None, None);
        for (path, status, code) in
            [("/healthz", 200, "ok"), ("/readyz", 503, "starting"), ("/v1/me", 503, "unavailable")]
        {
            let get = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
            stream.write_all(get.as_bytes()).await.unwrap();
            let said = answer(&mut stream).await;
            assert!(said.starts_with(&format!("HTTP/1.1 {status}")) && said.contains(code), "{said}");
            assert_eq!(said.contains("retry-after: 2\r\n"), status == 503, "{said}");
        }
    }
}
