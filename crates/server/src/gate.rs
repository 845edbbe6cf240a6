//! What is answered before the server can do its work, and when it is about to stop.

use crate::error::Problem;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse as _, Response};
use gatepass_core::error::Code;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tower_service::Service as _;

/// Seconds after which asking again may find the server ready.
const RETRY_AFTER: u64 = 2;

/// Closed at first: the process answers, and says that it starts. Opened once, with every route behind it.
#[derive(Default)]
pub struct Gate {
    routes: OnceLock<Router>,
    draining: AtomicBool,
}

impl Gate {
    /// Lets requests through to `routes`.
    pub fn open(&self, routes: Router) {
        // Opened a second time it keeps the first routes; nobody does.
        let _ = self.routes.set(routes);
    }

    /// From now on `/readyz` says that the server stops; everything else goes on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub async fn answer(&self, mut request: Request, peer: SocketAddr) -> Response {
        let path = request.uri().path();
        if path == "/readyz" && self.draining.load(Ordering::Relaxed) {
            return Problem::from(Code::Draining).into_response();
        }
        let Some(routes) = self.routes.get() else { return starting(path) };
        request.extensions_mut().insert(ConnectInfo(peer));
        match routes.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn starting(path: &str) -> Response {
    let mut problem = match path {
        "/healthz" => return crate::routes::health::ok().into_response(),
        "/readyz" => Problem::from(Code::Starting),
        // To a desktop it is as any other time that the server cannot answer.
        _ => Problem::new(Code::Unavailable, Code::Starting.sentence()),
    };
    problem.retry_after_s = Some(RETRY_AFTER);
    problem.into_response()
}
