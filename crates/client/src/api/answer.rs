//! Answers as values or failures.

use crate::ui::Failure;
use gatepass_core::Code;
use gatepass_core::wire::ProblemDetails;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;

/// The answer's value, or why there is none.
pub(super) async fn read<T: DeserializeOwned>(answer: Response) -> Result<T, Failure> {
    let status = answer.status();
    let bytes = answer.bytes().await.map_err(|e| unreachable(&e))?;
    if !status.is_success() {
        return Err(refused(status, &bytes));
    }
    serde_json::from_slice(&bytes).map_err(|e| {
        let message = format!("The server’s answer can’t be read; it may be newer than this Gatepass ({e}).");
        Failure::new(Code::Malformed, message)
    })
}

/// A problem document, or whatever a proxy in between may have said.
pub(super) fn refused(status: StatusCode, body: &[u8]) -> Failure {
    if let Ok(problem) = serde_json::from_slice::<ProblemDetails>(body) {
        let message = if problem.detail.is_empty() { problem.title } else { problem.detail };
        return Failure::new(problem.code, message);
    }
    // A newer server may refuse with a code this client has no name for.
    let detail = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|v| v.get("detail").and_then(|d| d.as_str()).map(str::to_owned));
    let code = match status.as_u16() {
        401 => Code::Unauthenticated,
        403 => Code::NotAllowed,
        404 => Code::NotFound,
        413 => Code::BodyTooLarge,
        429 => Code::RateLimited,
        502..=504 => Code::Unreachable,
        500.. => Code::Internal,
        _ => Code::Malformed,
    };
    let message = match (code, detail) {
        (_, Some(detail)) => detail,
        (Code::Unreachable, None) => format!("Something answered in the server’s place: {status}."),
        (code, None) => format!("{} ({status})", code.sentence()),
    };
    Failure::new(code, message)
}

/// Why there was no answer.
pub(super) fn unreachable(error: &reqwest::Error) -> Failure {
    let mut why = String::new();
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        why = error.to_string();
        // The words of rustls; its error type is not passed on through every layer.
        if why.contains("certificate") {
            let message = format!(
                "The server’s certificate is not accepted ({why}). Nothing was sent. \
                 Check the address with whoever runs the server."
            );
            return Failure::new(Code::CertificateMismatch, message);
        }
        source = error.source();
    }
    let host = error.url().map(|u| match (u.host_str().unwrap_or_default(), u.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    });
    let host = host.unwrap_or_default();
    let message = if error.is_timeout() {
        format!("The server at {host} does not answer.")
    } else {
        format!("The server at {host} can’t be reached ({why}).")
    };
    Failure::new(Code::Unreachable, message)
}
