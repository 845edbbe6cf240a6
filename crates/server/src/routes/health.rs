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

#[derive(Serialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`
    status: String,
}

fn ok() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Health)))]
pub async fn healthz() -> Json<Health> {
    ok()
}

/// The server can do its work: it reads its store, and is not stopping.
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, body = Health),
    (status = 503, body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn readyz(State(app): State<App>) -> Result<Json<Health>, Problem> {
    app.store.head().await?;
    if *app.stopping.borrow() { Err(Code::Unavailable.into()) } else { Ok(ok()) }
}

/// Prometheus metrics.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    let backlog = app.store.backlog().await?;
    metrics::gauge!("gatepass_jobs").set(backlog.jobs as f64);
    metrics::gauge!("gatepass_removal_alarms").set(backlog.alarms as f64);
    metrics::gauge!("gatepass_log_size").set(*app.store.heads().borrow() as f64);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, crate::metrics::render()))
}
