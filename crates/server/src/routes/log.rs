//! The log, by cursor.

use super::{Json, Query};
use crate::app::App;
use crate::auth::Reader;
use crate::error::Problem;
use crate::store::{self, LogEntry};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use gatepass_core::Time;
use gatepass_core::directory::Person;
use gatepass_core::error::Code;
use gatepass_core::retention::Retention;
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{Head, LogPage, ProblemDetails};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// The longest page.
const MAX: usize = 5_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Entries after this position; 0 unless given.
    after: Option<u64>,
    /// 1 to 5000; 1000 unless given.
    limit: Option<usize>,
    /// How long the log is at least, as this device heard, from whichever node.
    size: Option<u64>,
}

/// [`LogPage`] with the events as they are stored: canonical JSON, not parsed again.
#[derive(Serialize)]
struct StoredPage<'a> {
    entries: Vec<StoredEntry>,
    head: Head,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<&'a str>,
    now: Time,
    catalogue: Digest,
    directory: Digest,
    scope: Digest,
    #[serde(skip_serializing_if = "Retention::is_empty")]
    retention: Retention,
}

#[derive(Serialize)]
struct StoredEntry {
    seq: u64,
    leaf: Digest,
    event: Option<Shared<RawValue>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    texts: Shared<[SaltedText]>,
}

/// Serialized as what it points to; serde's own way would need its feature `rc`.
struct Shared<T: ?Sized>(Arc<T>);

impl<T: ?Sized + Serialize> Serialize for Shared<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: ?Sized> std::ops::Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// The log after a position: every leaf, and the events that you may see.
#[utoipa::path(get, path = "/v1/log/events", params(LogQuery), security(("token" = [])), responses(
    (status = 200, body = LogPage),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn events(
    State(app): State<App>,
    reader: Reader,
    Query(query): Query<LogQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(1_000);
    if !(1..=MAX).contains(&limit) {
        return Err(Problem::malformed(format!("“limit” is from 1 to {MAX}.")));
    }
    let people = app.people.now();
    let viewer = people.person(reader.person).ok_or(Code::Internal)?;
    // Before the page is read, whose head is then no older.
    let signed = app.checkpoint();
    let at_least = signed.as_ref().map_or(0, |signed| signed.head.size);
    let (after, known) = (query.after.unwrap_or(0), query.size.unwrap_or(0).max(at_least));
    let whole = app.tail.read(&*app.store, after, limit, known).await?;
    let slice = store::slice(viewer, &whole);
    let (catalogue, directory) = (app.catalogue_hash.clone(), people.hash.clone());
    let (now, scope, retention) = (app.clock.now(), scope(viewer), app.retention.clone());
    // A full page is megabytes: not on the threads that others wait for.
    let page = tokio::task::spawn_blocking(move || {
        let entries = slice.entries.into_iter().map(stored).collect();
        let checkpoint = signed.as_ref().map(|signed| signed.note.as_str());
        serde_json::to_vec(&StoredPage {
            entries,
            head: slice.head,
            checkpoint,
            now,
            catalogue,
            directory,
            scope,
            retention,
        })
    });
    match page.await {
        Ok(Ok(page)) => Ok(([(header::CONTENT_TYPE, "application/json")], page).into_response()),
        Ok(Err(error)) => {
            tracing::error!(%error, "an event of the log is not JSON");
            Err(Code::Internal.into())
        }
        Err(_) => Err(Code::Internal.into()),
    }
}

fn stored(entry: LogEntry) -> StoredEntry {
    let LogEntry { seq, leaf, event, texts } = entry;
    StoredEntry { seq, leaf, event: event.map(Shared), texts: Shared(texts) }
}

/// Changes when what this reader may see does.
fn scope(viewer: &Person) -> Digest {
    // The number counts changes of what everybody sees.
    let by = (2, &viewer.groups, viewer.auditor, viewer.admin);
    Digest::of(&serde_json::to_vec(&by).unwrap_or_default())
}

/// The log's size and root.
#[utoipa::path(get, path = "/v1/log/head", security(("token" = [])), responses(
    (status = 200, body = Head),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn head(State(app): State<App>, _: Reader) -> Result<Json<Head>, Problem> {
    Ok(Json(app.store.head().await?))
}
