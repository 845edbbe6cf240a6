//! One file per kind of thing. A handler reads what was sent, checks who asks, and answers; what happens is
//! elsewhere.

pub mod audit;
pub mod catalogue;
pub mod drift;
pub mod enroll;
pub mod grants;
pub mod health;
pub mod log;
pub mod me;
pub mod people;
pub mod requests;
pub mod sessions;
pub mod ssh;
pub mod stream;
pub mod tiles;

use crate::error::Problem;
use crate::store::Lookup;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use gatepass_core::error::Code;
use gatepass_core::id::parse_number;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The largest body that is read.
pub const MAX_BODY: usize = 256 * 1024;
/// A body that is too large is read to here and thrown away, so that its sender gets the answer.
const MAX_DISCARDED: usize = 32 * 1024 * 1024;

/// How long a body may take to come.
const BODY_TIME: std::time::Duration = std::time::Duration::from_secs(30);

/// A JSON body; what is wrong with it is answered as a problem.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let json = kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json");
        let bytes = tokio::time::timeout(BODY_TIME, read(request.into_body())).await.map_err(|_| {
            Problem::malformed("The body did not come in time.").with_status(StatusCode::REQUEST_TIMEOUT)
        })??;
        if !json {
            return Err(Problem::malformed("Expected a body of type application/json.")
                .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|e| Problem::malformed(format!("The body can’t be read: {e}.")))
    }
}

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let mut seen = 0;
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| Problem::malformed("The body broke off."))?;
        seen += part.len();
        if seen <= MAX_BODY {
            bytes.extend_from_slice(&part);
        } else if seen > MAX_DISCARDED {
            break;
        }
    }
    if seen > MAX_BODY {
        let detail = format!("That is more than the server accepts: at most {MAX_BODY} bytes.");
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    Ok(bytes)
}

/// A query string; what is wrong with it is answered as a problem.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> axum::extract::FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|e| Problem::malformed(format!("{}.", e.body_text())))
    }
}

/// What a page of a list is asked for with.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// `mine`, `to-review` (requests only), `all`; several with commas. All that you may see unless given.
    pub scope: Option<String>,
    /// The `next` of the page before.
    pub after: Option<String>,
    /// 1 to 1000; 100 unless given.
    pub limit: Option<usize>,
}

impl ListQuery {
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(100),
            Some(limit @ 1..=1000) => Ok(limit),
            Some(_) => Err(Problem::malformed("“limit” is from 1 to 1000.")),
        }
    }

    pub fn before(&self) -> Result<Option<u64>, Problem> {
        let wrong = |_| Problem::malformed("“after” takes the “next” of the page before.");
        self.after.as_deref().map(|a| a.parse().map_err(wrong)).transpose()
    }

    /// The scopes, each one of `known`; empty when all is asked for.
    pub fn scopes(&self, known: &[&str]) -> Result<Vec<&str>, Problem> {
        let scopes: Vec<&str> = self.scope.as_deref().unwrap_or("all").split(',').map(str::trim).collect();
        if let Some(wrong) = scopes.iter().find(|s| **s != "all" && !known.contains(s)) {
            let detail = format!("There is no scope “{wrong}”; expected all, {}.", known.join(", "));
            return Err(Problem::malformed(detail));
        }
        Ok(if scopes.contains(&"all") { Vec::new() } else { scopes })
    }
}

/// A request in a path: its id or `R-12`.
pub fn request_lookup(text: &str) -> Result<Lookup, Problem> {
    if let Some(number) = parse_number(text) {
        return Ok(Lookup::Number(number.0));
    }
    text.parse().map(Lookup::Request).map_err(|_| Code::NotFound.into())
}

/// An access in a path: its id, its request's, or `R-12`.
pub fn grant_lookup(text: &str) -> Result<Lookup, Problem> {
    if let Some(number) = parse_number(text) {
        return Ok(Lookup::Number(number.0));
    }
    uuid::Uuid::parse_str(text).map(Lookup::Either).map_err(|_| Code::NotFound.into())
}
