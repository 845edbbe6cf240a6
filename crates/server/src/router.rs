//! Every route, on one screen.

use crate::app::App;
use crate::error::Problem;
use crate::observe;
use crate::routes::{
    audit, catalogue, drift, enroll, grants, health, log, me, people, requests, sessions, ssh, stream, tiles,
};
use axum::http::StatusCode;
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use gatepass_core::error::Code;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

#[derive(OpenApi)]
#[openapi(
    info(title = "Gatepass", description = "Just-in-time access approval. Every write is a command that a device \
        signed; see docs/api.md."),
    modifiers(&Token)
)]
struct Described;

pub fn router(app: App) -> Router {
    let (router, description) = OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(enroll::enroll))
        .routes(routes!(sessions::challenge))
        .routes(routes!(sessions::open))
        .routes(routes!(me::me))
        .routes(routes!(catalogue::catalogue))
        .routes(routes!(catalogue::people))
        .routes(routes!(people::revoke_all))
        .routes(routes!(requests::create, requests::list))
        .routes(routes!(requests::preview))
        .routes(routes!(requests::one))
        .routes(routes!(requests::decide))
        .routes(routes!(requests::withdraw))
        .routes(routes!(grants::list))
        .routes(routes!(grants::one))
        .routes(routes!(grants::credential))
        .routes(routes!(grants::give_back))
        .routes(routes!(grants::revoke))
        .routes(routes!(grants::extend))
        .routes(routes!(drift::list))
        .routes(routes!(drift::known))
        .routes(routes!(drift::unknown))
        .routes(routes!(stream::stream))
        .routes(routes!(ssh::krl))
        .routes(routes!(log::events))
        .routes(routes!(log::head))
        .routes(routes!(tiles::checkpoint))
        .routes(routes!(tiles::key))
        .routes(routes!(tiles::entries))
        .routes(routes!(tiles::tile))
        .routes(routes!(audit::export))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
        .split_for_parts();
    let description = named(description);
    router
        .route("/openapi.json", get(move || std::future::ready(Json(description.clone()))))
        .fallback(|| std::future::ready(Problem::new(Code::NotFound, "There is nothing at this address.")))
        .method_not_allowed_fallback(|| std::future::ready(wrong_method()))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(observe::observe))
        .with_state(app)
}

/// That a part of a path goes on over slashes is the router's own way to write it.
fn named(mut description: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    description
}

/// What a worker answers: only how it is.
pub fn of_worker(app: App) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .fallback(|| std::future::ready(Problem::new(Code::NotFound, "There is nothing at this address.")))
        .with_state(app)
}

fn wrong_method() -> Problem {
    Problem::malformed("This address does not take this method.").with_status(StatusCode::METHOD_NOT_ALLOWED)
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::from(Code::Internal).into_response()
}

struct Token;

impl utoipa::Modify for Token {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("At most 15 minutes old, from POST /v1/sessions."))
            .build();
        let components = description.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}
