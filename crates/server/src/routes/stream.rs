//! Hints that the log grew. The log itself is pulled by cursor, so a hint may be late, skipped or lost: a reader
//! that does not read costs no more than one that does, and gets the newest hint when it reads again.

use crate::Time;
use crate::app::App;
use crate::auth::Reader;
use crate::clock::Clock;
use crate::people::Snapshot;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::response::IntoResponse;
use futures_util::stream::{self, Stream};
use gatepass_core::id::DeviceId;
use gatepass_core::wire::ProblemDetails;
use rand::Rng as _;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

/// Something is said at least this often.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Hints are at least this far apart, the first is at once: a log that grows fast is not told step by step.
const APART: Duration = Duration::from_millis(20);
/// nginx passes on what it gets at once.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// `event: head`, `data: {"size":N}` at once and when the log grew. Ends without a word when the token does, and
/// when the device is disabled. When the server stops, its last words are `event: bye` with a `retry:` in milliseconds of this stream's own.
#[utoipa::path(get, path = "/v1/stream", security(("token" = [])), responses(
    (status = 200, content_type = "text/event-stream", body = String),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn stream(State(app): State<App>, reader: Reader) -> impl IntoResponse {
    let head = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache"), UNBUFFERED];
    let listener = Listener {
        clock: app.clock.clone(),
        until: reader.until,
        device: reader.device,
        people: app.people.changes(),
        spread: app.spread,
        heads: app.store.heads(),
        stopping: app.stopping.clone(),
        next: Instant::now(),
    };
    (head, Body::from_stream(words(listener, Open::new())))
}

/// There are ten thousand of these: it stays small, and waits with two timers at most.
struct Listener {
    clock: Arc<dyn Clock>,
    /// The end of its token.
    until: Time,
    device: DeviceId,
    people: watch::Receiver<Arc<Snapshot>>,
    spread: Duration,
    heads: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    /// When the next hint may be said.
    next: Instant,
}

fn words(
    mut listener: Listener,
    open: Open,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    listener.heads.mark_changed();
    stream::unfold(Some((listener, open)), async |speaking| {
        let (mut listener, open) = speaking?;
        let (word, last) = listener.next().await?;
        Some((Ok(word), (!last).then_some((listener, open))))
    })
}

impl Listener {
    /// The next thing to say, and whether it is the last; nothing when there was no last word.
    async fn next(&mut self) -> Option<(Bytes, bool)> {
        // Looked at again with each keep-alive: a clock that was set ends a token late by no more than that.
        let left = (self.until - self.clock.now()).to_std().unwrap_or_default();
        if left.is_zero() {
            return None;
        }
        let what = tokio::select! {
            biased;
            // Nobody left to say that it stops: it stopped.
            _ = self.stopping.wait_for(|stopped| *stopped) => What::Bye,
            _ = self.people.wait_for(|now| now.disabled(self.device)) => return None,
            () = grown(&mut self.heads, self.next) => What::Hint,
            () = sleep(left.min(KEEP_ALIVE)) => What::Nothing,
        };
        match what {
            What::Bye => Some((self.bye().into(), true)),
            What::Hint => Some((self.hint().into(), false)),
            What::Nothing if self.clock.now() >= self.until => None,
            What::Nothing => Some((Bytes::from_static(b":\n\n"), false)),
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
        let spread = u64::try_from(self.spread.as_millis()).unwrap_or(u64::MAX);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::clock::SystemClock;
    use crate::store::Device;
    use chrono::TimeDelta;
    use futures_util::StreamExt as _;

    /// Everybody's devices, none of them disabled.
    fn people() -> watch::Sender<Arc<Snapshot>> {
        watch::Sender::new(Arc::new(Snapshot::new(Vec::new(), Vec::new())))
    }

    fn listener(
        heads: &watch::Sender<u64>,
        stopping: &watch::Sender<bool>,
        people: &watch::Sender<Arc<Snapshot>>,
    ) -> Listener {
        Listener {
            clock: Arc::new(SystemClock),
            until: SystemClock.now() + TimeDelta::minutes(15),
            device: DeviceId(uuid::Uuid::nil()),
            people: people.subscribe(),
            spread: Duration::ZERO,
            heads: heads.subscribe(),
            stopping: stopping.subscribe(),
            next: Instant::now(),
        }
    }

    fn hint(size: u64) -> String {
        format!("event: head\ndata: {{\"size\":{size}}}\n\n")
    }

    #[tokio::test]
    async fn what_was_not_asked_for_is_not_kept() {
        let (heads, stopping) = (watch::Sender::new(7), watch::Sender::new(false));
        let people = people();
        let mut words = std::pin::pin!(words(listener(&heads, &stopping, &people), Open::new()));
        assert_eq!(words.next().await.unwrap().unwrap(), hint(7));
        for size in 8..10_000 {
            heads.send_replace(size);
        }
        assert_eq!(words.next().await.unwrap().unwrap(), hint(9_999));
        heads.send_replace(10_000);
        stopping.send_replace(true);
        let bye = words.next().await.unwrap().unwrap();
        assert_eq!(bye, hint(10_000) + "event: bye\nretry: 0\ndata: {}\n\n");
        assert!(words.next().await.is_none());
    }

    #[tokio::test]
    async fn hints_are_some_time_apart() {
        let (heads, stopping) = (watch::Sender::new(0), watch::Sender::new(false));
        let people = people();
        let mut words = std::pin::pin!(words(listener(&heads, &stopping, &people), Open::new()));
        let began = Instant::now();
        for size in 0..5 {
            heads.send_replace(size);
            assert_eq!(words.next().await.unwrap().unwrap(), hint(size));
        }
        assert!(began.elapsed() >= APART * 4);
    }

    #[tokio::test]
    async fn a_disabled_device_hears_no_more() {
        let (heads, stopping) = (watch::Sender::new(7), watch::Sender::new(false));
        let people = people();
        let mut words = std::pin::pin!(words(listener(&heads, &stopping, &people), Open::new()));
        assert_eq!(words.next().await.unwrap().unwrap(), hint(7));
        let disabled = Device {
            id: DeviceId(uuid::Uuid::nil()),
            person: gatepass_core::id::PersonId(uuid::Uuid::nil()),
            name: String::new(),
            signing_key: String::new(),
            seal_key: String::new(),
            disabled: true,
        };
        people.send_replace(Arc::new(Snapshot::new(Vec::new(), vec![disabled])));
        heads.send_replace(8);
        assert!(words.next().await.is_none());
    }

    #[tokio::test]
    async fn ten_thousand_take_little_memory() {
        let (heads, stopping) = (watch::Sender::new(0), watch::Sender::new(false));
        let people = people();
        let size = size_of_val(&words(listener(&heads, &stopping, &people), Open::new()));
        assert!(size <= 1_024, "{size} bytes");
    }
}
