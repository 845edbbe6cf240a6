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
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(IDLE).max_buf_size(BUFFER);
    let talk = Arc::new(Talk { http, tls, gate, stopping: stopping.clone() });
    let mut door = Door { listener, said: None };
    let mut connections = JoinSet::new();
    let mut stopped = pin!(stopped(stopping));
    loop {
        tokio::select! {
            biased;
            () = &mut stopped => break,
            (stream, peer) = door.accept() => {
                connections.spawn(talk.clone().with(stream, peer));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(door);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(PATIENCE, ended).await.is_err() {
        tracing::warn!(left = connections.len(), "some connections did not end in time");
    }
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
