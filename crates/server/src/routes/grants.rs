//! Accesses: seeing, using, giving back, ending, extending.

use super::requests::page;
use super::{Json, ListQuery, Query, grant_lookup};
use crate::app::{Address, App};
use crate::auth::Reader;
use crate::error::Problem;
use crate::peer::Peer;
use crate::store::ListFilter;
use crate::views;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use gatepass_core::error::Code;
use gatepass_core::wire::{Accepted, GrantState, GrantView, Page, ProblemDetails, SealedCredential, Submit};

/// Accesses that you may see, newest first.
#[utoipa::path(get, path = "/v1/grants", params(ListQuery), security(("token" = [])), responses(
    (status = 200, body = Page<GrantView>),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn list(
    State(app): State<App>,
    reader: Reader,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<GrantView>>, Problem> {
    let scopes = query.scopes(&["mine"])?;
    let limit = query.limit()?;
    let viewer = app.people.now().person(reader.person).ok_or(Code::Internal)?.clone();
    let filter = ListFilter {
        viewer,
        mine: scopes.contains(&"mine"),
        pending: false,
        with_grant: true,
        before: query.before()?,
        limit: limit + 1,
    };
    let rows = app.store.list(filter).await?;
    let views = rows.iter().filter_map(|(row, detail)| {
        Some((row.request.number.0, views::grant(&app, row, detail, reader.person)?))
    });
    Ok(Json(page(views.collect(), limit)))
}

/// One access, by its id, its request's, or `R-12`.
#[utoipa::path(get, path = "/v1/grants/{id}", params(("id" = String, Path)), security(("token" = [])), responses(
    (status = 200, body = GrantView),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn one(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Json<GrantView>, Problem> {
    let row = views::visible(&app, grant_lookup(&id)?, reader.person).await?;
    let detail = app.store.detail(&row.request).await?;
    views::grant(&app, &row, &detail, reader.person).map(Json).ok_or_else(|| Code::NotFound.into())
}

/// The secret of your access, sealed to the device that asked for it.
#[utoipa::path(get, path = "/v1/grants/{id}/credential", params(("id" = String, Path)), security(("token" = [])),
    responses(
        (status = 200, body = SealedCredential),
        (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    ))]
pub async fn credential(
    State(app): State<App>,
    reader: Reader,
    Path(id): Path<String>,
) -> Result<Json<SealedCredential>, Problem> {
    let row = views::visible(&app, grant_lookup(&id)?, reader.person).await?;
    let request = &row.request;
    if request.by != reader.person {
        return Err(Problem::new(Code::NotYours, "Only the holder gets the credential of an access."));
    }
    let grant = request.grant.as_ref().ok_or(Code::NoCredential)?;
    let expires_at = match (grant.state, grant.ends_at) {
        (GrantState::Active, Some(ends_at)) => ends_at,
        (GrantState::Ending | GrantState::Ended | GrantState::Failed, _) => {
            return Err(Code::GrantOver.into());
        }
        _ => return Err(Code::GrantNotActive.into()),
    };
    if request.device != reader.device {
        let people = app.people.now();
        let name = people.device(request.device).map_or("another device", |d| d.name.as_str());
        let detail = format!("The credential is sealed to {name}, which asked for this access.");
        return Err(Problem::new(Code::NoCredential, detail));
    }
    let sealed = app.store.sealed(grant.id).await?.ok_or(Code::NoCredential)?;
    Ok(Json(SealedCredential { grant: grant.id, sealed: sealed.sealed, expires_at }))
}

/// Give an access back.
#[utoipa::path(post, path = "/v1/grants/{id}/return", params(("id" = String, Path)), request_body = Submit,
    responses(
        (status = 200, body = Accepted),
        (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    ))]
pub async fn give_back(
    State(app): State<App>,
    Peer(peer): Peer,
    Path(id): Path<String>,
    Json(submit): Json<Submit>,
) -> Result<Json<Accepted>, Problem> {
    app.carry_out(submit, "grant.return", Address::At(grant_lookup(&id)?), peer).await.map(Json)
}

/// End someone's access.
#[utoipa::path(post, path = "/v1/grants/{id}/revoke", params(("id" = String, Path)), request_body = Submit,
    responses(
        (status = 200, body = Accepted),
        (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    ))]
pub async fn revoke(
    State(app): State<App>,
    Peer(peer): Peer,
    Path(id): Path<String>,
    Json(submit): Json<Submit>,
) -> Result<Json<Accepted>, Problem> {
    app.carry_out(submit, "grant.revoke", Address::At(grant_lookup(&id)?), peer).await.map(Json)
}

/// Ask for more time; decided like any request.
#[utoipa::path(post, path = "/v1/grants/{id}/extend", params(("id" = String, Path)), request_body = Submit,
    responses(
        (status = 201, body = Accepted),
        (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    ))]
pub async fn extend(
    State(app): State<App>,
    Peer(peer): Peer,
    Path(id): Path<String>,
    Json(submit): Json<Submit>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let accepted = app.carry_out(submit, "request.extend", Address::At(grant_lookup(&id)?), peer).await?;
    Ok((StatusCode::CREATED, Json(accepted)))
}
