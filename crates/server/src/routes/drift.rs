//! Access on targets that no grant explains.

use super::{Json, Query};
use crate::app::App;
use crate::auth::Reader;
use crate::error::Problem;
use crate::peer::Peer;
use crate::store::DriftFilter;
use crate::views;
use axum::extract::{Path, State};
use gatepass_core::error::Code;
use gatepass_core::id::DriftId;
use gatepass_core::wire::{DriftView, Marked, Page, ProblemDetails, Submit};
use serde::Deserialize;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DriftQuery {
    /// Also what is gone; left out unless `true`.
    gone: Option<bool>,
    /// The `next` of the page before.
    after: Option<String>,
    /// 1 to 1000; 100 unless given.
    limit: Option<usize>,
}

/// Access that no grant explains, as far as you may see it, newest first.
#[utoipa::path(get, path = "/v1/drift", params(DriftQuery), security(("token" = [])), responses(
    (status = 200, body = Page<DriftView>),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn list(
    State(app): State<App>,
    reader: Reader,
    Query(query): Query<DriftQuery>,
) -> Result<Json<Page<DriftView>>, Problem> {
    let limit = query.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::malformed("“limit” is from 1 to 1000."));
    }
    let wrong = |_| Problem::malformed("“after” takes the “next” of the page before.");
    let mut filter = DriftFilter {
        gone: query.gone.unwrap_or(false),
        before: query.after.as_deref().map(|a| a.parse().map_err(wrong)).transpose()?,
        limit: limit + 1,
        ..DriftFilter::default()
    };
    // Who may see it is asked of each: read on until there are enough.
    let mut items: Vec<DriftView> = Vec::new();
    loop {
        let rows = app.store.drift(filter.clone()).await?;
        filter.before = rows.last().map(|row| row.drift.id);
        items.extend(rows.iter().filter_map(|row| views::drift(&app, row, reader.person)));
        if items.len() > limit || rows.len() < filter.limit {
            break;
        }
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|drift| drift.id.to_string()) } else { None };
    Ok(Json(Page { items, next }))
}

/// Mark it as known: it is as it should be.
#[utoipa::path(post, path = "/v1/drift/{id}/known", params(("id" = String, Path)), request_body = Submit,
    responses(
        (status = 200, body = Marked),
        (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    ))]
pub async fn known(
    State(app): State<App>,
    Peer(peer): Peer,
    Path(id): Path<String>,
    Json(submit): Json<Submit>,
) -> Result<Json<Marked>, Problem> {
    app.mark(submit, "drift.known", lookup(&id)?, peer).await.map(Json)
}

/// Take that back.
#[utoipa::path(post, path = "/v1/drift/{id}/unknown", params(("id" = String, Path)), request_body = Submit,
    responses(
        (status = 200, body = Marked),
        (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    ))]
pub async fn unknown(
    State(app): State<App>,
    Peer(peer): Peer,
    Path(id): Path<String>,
    Json(submit): Json<Submit>,
) -> Result<Json<Marked>, Problem> {
    app.mark(submit, "drift.unknown", lookup(&id)?, peer).await.map(Json)
}

fn lookup(id: &str) -> Result<DriftId, Problem> {
    id.parse().map_err(|_| Code::NotFound.into())
}
