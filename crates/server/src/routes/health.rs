//! For operators and their machines.

use super::Json;
use crate::app::App;
use crate::error::Problem;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use gatepass_core::error::Code;
use gatepass_core::wire::ProblemDetails;
use serde::Serialize;
use std::time::Duration;
use tokio::time::timeout;

/// A database that takes longer to say where the log ends is as good as away.
const SLOW: Duration = Duration::from_secs(2);

#[derive(Serialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`
    status: String,
}

pub fn ok() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Health)))]
pub async fn healthz() -> Json<Health> {
    ok()
}

/// The server can do its work. If not, the code says why: `starting`, `draining`, `database_away`.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, body = Health),
    (status = 503, body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn readyz(State(app): State<App>) -> Result<Json<Health>, Problem> {
    // The gate says what is before and after; in between a connection that lasts may find the end here.
    if *app.stopping.borrow() {
        return Err(Code::Draining.into());
    }
    match timeout(SLOW, app.store.head()).await {
        Ok(Ok(_)) => Ok(ok()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database does not answer");
            Err(Code::DatabaseAway.into())
        }
        Err(_) => Err(Code::DatabaseAway.into()),
    }
}

/// Prometheus metrics.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, crate::metrics::gather(&app).await)
}
