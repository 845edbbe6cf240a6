//! Who is signed in.

use super::Json;
use crate::app::App;
use crate::auth::Reader;
use crate::error::Problem;
use axum::extract::State;
use gatepass_core::error::Code;
use gatepass_core::wire::{Me, ProblemDetails};

/// Who is signed in, with which device.
#[utoipa::path(get, path = "/v1/me", security(("token" = [])), responses(
    (status = 200, body = Me),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn me(State(app): State<App>, reader: Reader) -> Result<Json<Me>, Problem> {
    let people = app.people.now();
    let device = people.device(reader.device).ok_or(Code::UnknownDevice)?;
    Ok(Json(Me {
        person: people.person(reader.person).ok_or(Code::Internal)?.clone(),
        device: device.id,
        device_name: device.name.clone(),
        device_fingerprint: gatepass_log::fingerprint(&device.signing_key),
        server: app.name.clone(),
    }))
}
