//! Asking and deciding.

use super::{Json, ListQuery, Query, request_lookup};
use crate::app::{Address, App};
use crate::auth::Reader;
use crate::error::Problem;
use crate::peer::Peer;
use crate::store::{Detail, ListFilter, Lookup};
use crate::views;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use gatepass_core::error::Code;
use gatepass_core::id::{GrantId, Number};
use gatepass_core::request::{Context, Words, analyse, analyse_extension};
use gatepass_core::wire::{Accepted, Ask, Page, Preview, ProblemDetails, RequestView, Submit};
use uuid::Uuid;

/// Ask for a role.
#[utoipa::path(post, path = "/v1/requests", request_body = Submit, responses(
    (status = 201, body = Accepted),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn create(
    State(app): State<App>,
    Peer(peer): Peer,
    Json(submit): Json<Submit>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let accepted = app.carry_out(submit, "request.create", Address::Anew, peer).await?;
    Ok((StatusCode::CREATED, Json(accepted)))
}

/// What would happen if this were asked. Nothing is kept.
#[utoipa::path(post, path = "/v1/requests/preview", request_body = Ask, security(("token" = [])), responses(
    (status = 200, body = Preview),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn preview(
    State(app): State<App>,
    reader: Reader,
    Json(ask): Json<Ask>,
) -> Result<Json<Preview>, Problem> {
    let people = app.people.now();
    let parent = match ask.extends {
        None => None,
        Some(grant) => Some(views::visible(&app, Lookup::Grant(grant), reader.person).await?),
    };
    let words = Words { reason: ask.reason, ticket: ask.ticket, note: None };
    let context = Context {
        catalogue: &app.catalogue,
        directory: &people.directory,
        now: app.clock.now(),
        words: &words,
        next_number: Number(0),
        fresh_grant: GrantId(Uuid::nil()),
        parent: parent.as_ref().map(|r| &r.request),
    };
    let analysis = match &parent {
        None => analyse(&ask.resource, &ask.role, ask.duration_s, reader.person, &context),
        Some(row) => analyse_extension(&row.request, ask.duration_s, reader.person, &context),
    };
    let preview = views::through(&app, &people, reader.person, &Detail::default(), |lens| {
        lens.preview(&analysis, ask.duration_s)
    });
    Ok(Json(preview))
}

/// Requests that you may see, newest first.
#[utoipa::path(get, path = "/v1/requests", params(ListQuery), security(("token" = [])), responses(
    (status = 200, body = Page<RequestView>),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn list(
    State(app): State<App>,
    reader: Reader,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<RequestView>>, Problem> {
    let scopes = query.scopes(&["mine", "to-review"])?;
    let limit = query.limit()?;
    let viewer = app.people.now().person(reader.person).ok_or(Code::Internal)?.clone();
    let everything = ListFilter {
        viewer,
        mine: false,
        pending: false,
        with_grant: false,
        before: query.before()?,
        limit: limit + 1,
    };
    if scopes.is_empty() {
        return Ok(Json(page(newest(&app, everything, &reader, |_| true).await?, limit)));
    }
    let mut items = Vec::new();
    if scopes.contains(&"mine") {
        let filter = ListFilter { mine: true, ..everything.clone() };
        items.extend(newest(&app, filter, &reader, |_| true).await?);
    }
    if scopes.contains(&"to-review") {
        let mut filter = ListFilter { pending: true, ..everything };
        // To look at everything is not to decide on it.
        (filter.viewer.auditor, filter.viewer.admin) = (false, false);
        // Nobody decides on their own: none comes twice.
        items.extend(newest(&app, filter, &reader, |view| view.can_decide).await?);
    }
    items.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(Json(page(items, limit)))
}

/// So many as the filter's limit, if there are. What only the core knows is asked of each: read on until there are enough.
async fn newest(
    app: &App,
    mut filter: ListFilter,
    reader: &Reader,
    wanted: impl Fn(&RequestView) -> bool,
) -> Result<Vec<(u64, RequestView)>, Problem> {
    let mut items: Vec<(u64, RequestView)> = Vec::new();
    while items.len() < filter.limit {
        let rows = app.store.list(filter.clone()).await?;
        let more = rows.len() == filter.limit;
        filter.before = rows.last().map(|(row, _)| row.request.number.0);
        let views = rows
            .iter()
            .map(|(row, detail)| (row.request.number.0, views::request(app, row, detail, reader.person)));
        items.extend(views.filter(|(_, view)| wanted(view)));
        if !more {
            break;
        }
    }
    Ok(items)
}

/// Cuts a list that may be longer than the page.
pub fn page<T>(mut items: Vec<(u64, T)>, limit: usize) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|(number, _)| number.to_string()) } else { None };
    Page { items: items.into_iter().map(|(_, item)| item).collect(), next }
}

/// One request, by its id or `R-12`.
#[utoipa::path(get, path = "/v1/requests/{id}", params(("id" = String, Path)), security(("token" = [])), responses(
    (status = 200, body = RequestView),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn one(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Json<RequestView>, Problem> {
    let row = views::visible(&app, request_lookup(&id)?, reader.person).await?;
    let detail = app.store.detail(&row.request).await?;
    Ok(Json(views::request(&app, &row, &detail, reader.person)))
}

/// Approve or deny.
#[utoipa::path(post, path = "/v1/requests/{id}/decisions", params(("id" = String, Path)), request_body = Submit,
    responses(
        (status = 200, body = Accepted),
        (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    ))]
pub async fn decide(
    State(app): State<App>,
    Peer(peer): Peer,
    Path(id): Path<String>,
    Json(submit): Json<Submit>,
) -> Result<Json<Accepted>, Problem> {
    let address = Address::At(request_lookup(&id)?);
    app.carry_out(submit, "request.decide", address, peer).await.map(Json)
}

/// Take a request back.
#[utoipa::path(post, path = "/v1/requests/{id}/withdraw", params(("id" = String, Path)), request_body = Submit,
    responses(
        (status = 200, body = Accepted),
        (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    ))]
pub async fn withdraw(
    State(app): State<App>,
    Peer(peer): Peer,
    Path(id): Path<String>,
    Json(submit): Json<Submit>,
) -> Result<Json<Accepted>, Problem> {
    let address = Address::At(request_lookup(&id)?);
    app.carry_out(submit, "request.withdraw", address, peer).await.map(Json)
}
