//! Hints that the log grew. The log itself is pulled by cursor, so a hint may be late, skipped or lost: a reader
//! that does not read costs no more than one that does, and gets the newest hint when it reads again.

use crate::app::App;
use crate::auth::Reader;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::IntoResponse;
use futures_util::stream::{self, Stream};
use gatepass_core::wire::ProblemDetails;
use rand::Rng as _;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// Something is said at least this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Hints are at least this far apart, the first is at once: a log that grows fast is not told step by step.
const APART: Duration = Duration::from_millis(20);
/// nginx passes on what it gets at once.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// `event: head`, `data: {"size":N}` at once and when the log grew. Ends without a word when the token does. When
/// the server stops, its last words are `event: bye` with a `retry:` in milliseconds of this stream's own.
#[utoipa::path(get, path = "/v1/stream", security(("token" = [])), responses(
    (status = 200, content_type = "text/event-stream", body = String),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn stream(State(app): State<App>, reader: Reader) -> impl IntoResponse {
    let head = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache"), UNBUFFERED];
    (head, Body::from_stream(words(Listener::new(app, reader))))
}

/// There are ten thousand of these: it stays small, with one timer.
struct Listener {
    app: App,
    reader: Reader,
    heads: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    /// When the next hint may be said.
    next: Instant,
    _open: Open,
}

fn words(listener: Listener) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::unfold(Some(listener), async |listener| {
        let (word, listener) = listener?.next().await?;
        Some((Ok(word), listener))
    })
}

impl Listener {
    fn new(app: App, reader: Reader) -> Self {
        let mut heads = app.store.heads();
        heads.mark_changed();
        let stopping = app.stopping.clone();
        Self { app, reader, heads, stopping, next: Instant::now(), _open: Open::new() }
    }

    /// The next thing to say, and who says what comes after it; nobody after the last.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        // Looked at again with each keep-alive: a clock that was set ends a token late by no more than that.
        let left = (self.reader.until - self.app.clock.now()).to_std().unwrap_or_default();
        if left.is_zero() {
            return None;
        }
        let what = tokio::select! {
            biased;
            // Nobody left to say that it stops: it stopped.
            _ = self.stopping.wait_for(|stopped| *stopped) => What::Bye,
            () = grown(&mut self.heads, self.next) => What::Hint,
            () = sleep(left.min(KEEP_ALIVE)) => What::Nothing,
        };
        match what {
            What::Bye => Some((self.bye().into(), None)),
            What::Hint => Some((self.hint().into(), Some(self))),
            What::Nothing if self.app.clock.now() >= self.reader.until => None,
            What::Nothing => Some((Bytes::from_static(b":\n\n"), Some(self))),
        }
    }

    fn hint(&mut self) -> String {
        metrics::counter!("gatepass_hints_total").increment(1);
        self.next = Instant::now() + APART;
        let size = *self.heads.borrow_and_update();
        format!("event: head\ndata: {{\"size\":{size}}}\n\n")
    }

    /// With a hint before it that was still to be said: for a while there will be no other.
    fn bye(&mut self) -> String {
        let hint = if self.heads.has_changed().unwrap_or(false) { self.hint() } else { String::new() };
        let spread = u64::try_from(self.app.spread.as_millis()).unwrap_or(u64::MAX);
        let retry = rand::thread_rng().gen_range(0..=spread);
        format!("{hint}event: bye\nretry: {retry}\ndata: {{}}\n\n")
    }
}

enum What {
    Hint,
    Nothing,
    Bye,
}

/// Answers when the log has grown since it was last looked at, at `from` at the earliest.
async fn grown(heads: &mut watch::Receiver<u64>, from: Instant) {
    sleep_until(from).await;
    if heads.changed().await.is_err() {
        // The store is gone, and the server with it.
        std::future::pending::<()>().await;
    }
}

/// Counted while it is there.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!("gatepass_streams").increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("gatepass_streams").decrement(1.0);
    }
}
