//! The log for other programs, whole, as far as its reader may see it.

use super::Query;
use crate::app::App;
use crate::auth::Reader;
use crate::error::Problem;
use crate::people::Snapshot;
use crate::store::{self, LogEntry, Lookup, StoreError};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream};
use gatepass_core::Time;
use gatepass_core::event::Event;
use gatepass_core::id::{PersonId, RequestId};
use gatepass_core::report::{Lines, Record};
use gatepass_core::request::Request;
use gatepass_core::text::Digest;
use gatepass_core::view::Lens;
use gatepass_core::wire::ProblemDetails;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;

/// Events in memory at once, for each reader.
const STEP: usize = 500;
/// Requests kept between the events of one.
const KEPT: usize = 2_000;
/// Times may go back along the log by what the clocks of nodes differ by.
const SLACK: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// `csv`, `jsonl` or `ocsf`.
    format: Lines,
    /// Events from this moment on.
    #[param(value_type = Option<String>, format = DateTime)]
    after: Option<Time>,
    /// Events until this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    before: Option<Time>,
}

/// Every event that you may see, oldest first, one a line. Ends in the middle of a chunk when it could not go on: then it
/// is not the whole.
#[utoipa::path(get, path = "/v1/audit/export", params(ExportQuery), security(("token" = [])), responses(
    (status = 200, content((String = "text/csv"), (String = "application/jsonl"))),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn export(
    State(app): State<App>,
    reader: Reader,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    if query.after.zip(query.before).is_some_and(|(after, before)| after >= before) {
        return Err(Problem::malformed("“before” is not after “after”."));
    }
    let size = app.store.head().await?.size;
    let at = match query.after {
        Some(after) => before(&app, after - SLACK, size).await?,
        None => 0,
    };
    let head = [(CONTENT_TYPE, query.format.media_type()), (CACHE_CONTROL, "no-store")];
    let first = Bytes::from(query.format.head());
    let going =
        Going { app, reader: reader.person, query, at, size, requests: HashMap::new(), first: Some(first) };
    Ok((head, Body::from_stream(lines(going))).into_response())
}

/// How many positions are surely before a moment. A position that can't be read counts as not before.
async fn before(app: &App, at: Time, size: u64) -> Result<u64, StoreError> {
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low + (high - low) / 2;
        let slice = app.store.entries(middle, 1).await?;
        let event: Option<Event> =
            slice.entries.first().and_then(|e| serde_json::from_str(e.body.get()).ok());
        if event.is_some_and(|event| event.at < at) { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// An export under way. Nothing happens unless its reader reads, and nothing more once they are gone.
struct Going {
    app: App,
    reader: PersonId,
    query: ExportQuery,
    /// Positions that are done.
    at: u64,
    /// Positions there were at its beginning.
    size: u64,
    requests: HashMap<RequestId, Option<Request>>,
    first: Option<Bytes>,
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Other(&'static str),
}

fn lines(going: Going) -> impl Stream<Item = Result<Bytes, Broken>> + Send + 'static {
    stream::try_unfold(going, async |mut going| {
        let chunk = going.next().await.inspect_err(|error| tracing::warn!(%error, "an export broke off"))?;
        Ok(chunk.map(|chunk| (chunk, going)))
    })
}

impl Going {
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        if let Some(first) = self.first.take().filter(|f| !f.is_empty()) {
            return Ok(Some(first));
        }
        while self.at < self.size {
            let left = usize::try_from(self.size - self.at).unwrap_or(STEP);
            let whole = self.app.store.entries(self.at, left.min(STEP)).await?;
            let Some(last) = whole.entries.last() else { return Ok(None) };
            self.at = last.seq;
            // What they may see is what they may see now, not when it began.
            let people = self.app.people.now();
            let viewer = people.person(self.reader).ok_or(Broken::Other("its reader is no longer known"))?;
            let slice = store::slice(viewer, &whole);
            let mut events = Vec::with_capacity(slice.entries.len());
            for entry in slice.entries {
                events.extend(self.event(entry).await?);
            }
            if events.is_empty() {
                continue;
            }
            let (app, reader, format) = (self.app.clone(), self.reader, self.query.format);
            // Hundreds of lines: not on the threads that others wait for.
            let written = tokio::task::spawn_blocking(move || written(&app, &people, reader, format, events));
            let text = written.await.map_err(|_| Broken::Other("writing lines failed"))?;
            if !text.is_empty() {
                return Ok(Some(Bytes::from(text)));
            }
        }
        Ok(None)
    }

    /// What is asked for of it, with its request.
    async fn event(&mut self, entry: LogEntry) -> Result<Option<(LogEntry, Event, Option<Request>)>, Broken> {
        let Some(body) = &entry.event else { return Ok(None) };
        let event: Event =
            serde_json::from_str(body.get()).map_err(|_| Broken::Other("an event can’t be read"))?;
        let early = self.query.after.is_some_and(|after| event.at < after);
        if early || self.query.before.is_some_and(|before| event.at >= before) {
            if self.query.before.is_some_and(|before| event.at >= before + SLACK) {
                // Nothing after this is asked for.
                self.at = self.size;
            }
            return Ok(None);
        }
        let request = match event.request {
            Some(id) => self.request(id, event.at).await?,
            None => None,
        };
        Ok(Some((entry, event, request)))
    }

    async fn request(&mut self, id: RequestId, at: Time) -> Result<Option<Request>, Broken> {
        let known = match self.requests.get(&id) {
            Some(known) => known.clone(),
            None => {
                if self.requests.len() >= KEPT {
                    self.requests.clear();
                }
                let found =
                    self.app.store.load(None, Some(Lookup::Request(id))).await?.row.map(|row| row.request);
                self.requests.insert(id, found.clone());
                found
            }
        };
        // A removal that could not be done is told from a setup that could not by whether the end had begun then.
        Ok(known.map(|mut request| {
            if let Some(grant) = &mut request.grant {
                grant.end = grant.end.take().filter(|end| end.at <= at);
            }
            request
        }))
    }
}

fn written(
    app: &App,
    people: &Snapshot,
    viewer: PersonId,
    format: Lines,
    events: Vec<(LogEntry, Event, Option<Request>)>,
) -> String {
    let now = app.clock.now();
    let mut out = String::new();
    for (entry, event, request) in events {
        let texts: Arc<_> = entry.texts;
        let text = |digest: &Digest| {
            texts.iter().find(|t| t.digest().as_ref() == Some(digest)).map(|t| t.text.clone())
        };
        let lens = Lens { catalogue: &app.catalogue, directory: &people.directory, text: &text, viewer, now };
        let raw = entry.event.map(|body| body.get().to_owned()).unwrap_or_default();
        out.push_str(&format.line(&Record::new(entry.seq, event, raw, entry.leaf, request.as_ref(), &lens)));
    }
    out
}
