//! For hosts that trust an authority of ours.

use crate::app::App;
use crate::error::Problem;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use gatepass_core::error::Code;
use gatepass_core::wire::ProblemDetails;
use sha2::{Digest as _, Sha256};

/// For how long somebody in between may answer for us, in seconds.
const KEPT_S: u32 = 2;

/// The certificates that were taken back before their end, as sshd's RevokedKeys reads them. For everybody: it is
/// nothing but serials.
#[utoipa::path(get, path = "/v1/ssh/{target}/krl", params(("target" = String, Path)), responses(
    (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
    (status = 304, description = "It is what If-None-Match names."),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 503, body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn krl(
    State(app): State<App>,
    Path(target): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let connector = app.targets.get(&target).map_err(|_| Problem::from(Code::NotFound))?;
    let list = connector.revocations().await.map_err(|error| {
        tracing::warn!(%error, target, "the revocation list could not be made");
        Problem::from(Code::Unavailable)
    })?;
    let list = list.ok_or(Code::NotFound)?;
    let tag = format!("\"{}\"", hex::encode(Sha256::digest(&list)));
    let said = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, format!("public, max-age={KEPT_S}"))];
    if matches(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, said).into_response());
    }
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    Ok((said, kind, list).into_response())
}

fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|v| v.to_str().ok());
    let mut named = named.flat_map(|v| v.split(',')).map(|v| v.trim().trim_start_matches("W/"));
    named.any(|named| named == tag || named == "*")
}
