//! What is done about a person.

use super::Json;
use crate::app::App;
use crate::error::Problem;
use crate::peer::Peer;
use crate::revoke;
use axum::extract::{Path, State};
use gatepass_core::wire::{ProblemDetails, RevokedView, Submit};

/// End everything of a person: accesses, devices, undecided requests and approvals.
#[utoipa::path(post, path = "/v1/people/{id}/revoke-all", params(("id" = String, Path)), request_body = Submit,
    responses(
        (status = 200, body = RevokedView),
        (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    ))]
pub async fn revoke_all(
    State(app): State<App>,
    Peer(peer): Peer,
    Path(id): Path<String>,
    Json(submit): Json<Submit>,
) -> Result<Json<RevokedView>, Problem> {
    revoke::by_command(&app, submit, &id, peer).await.map(Json)
}
