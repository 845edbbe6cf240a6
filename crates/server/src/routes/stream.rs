//! Hints that the log grew. The log itself is pulled by cursor.

use crate::app::App;
use crate::auth::Reader;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use gatepass_core::wire::ProblemDetails;
use std::convert::Infallible;
use std::time::Duration;

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `event: head`, `data: {"size":N}` at once and whenever the log grows. Ends when the token does, or the server.
#[utoipa::path(get, path = "/v1/stream", security(("token" = [])), responses(
    (status = 200, content_type = "text/event-stream", body = String),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn stream(
    State(app): State<App>,
    reader: Reader,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut heads = app.store.heads();
    heads.mark_changed();
    let hints = stream::unfold((app, heads), move |(app, mut heads)| async move {
        tokio::select! {
            biased;
            () = app.stopped() => return None,
            () = app.clock.sleep_until(reader.until) => return None,
            changed = heads.changed() => changed.ok()?,
        }
        let size = *heads.borrow_and_update();
        let hint = Event::default().event("head").data(format!("{{\"size\":{size}}}"));
        Some((Ok(hint), (app, heads)))
    });
    Sse::new(hints).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
