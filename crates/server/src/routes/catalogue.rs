//! What may be asked for, and who people are.

use super::Json;
use crate::app::App;
use crate::auth::Reader;
use axum::extract::State;
use gatepass_core::wire::{CatalogueDocument, PeopleDocument, ProblemDetails};

/// The catalogue, with its hash.
#[utoipa::path(get, path = "/v1/catalogue", security(("token" = [])), responses(
    (status = 200, body = CatalogueDocument),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn catalogue(State(app): State<App>, _: Reader) -> Json<CatalogueDocument> {
    Json(CatalogueDocument { hash: app.catalogue_hash.clone(), catalogue: app.catalogue.clone() })
}

/// The people and their groups.
#[utoipa::path(get, path = "/v1/people", security(("token" = [])), responses(
    (status = 200, body = PeopleDocument),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn people(State(app): State<App>, _: Reader) -> Json<PeopleDocument> {
    let people = app.people.now();
    Json(PeopleDocument { hash: people.hash.clone(), people: people.directory.people().cloned().collect() })
}
