//! What goes wrong, as RFC 9457 problem details with a stable code.

use crate::store::StoreError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gatepass_core::error::{Code, Refusal};
use gatepass_core::wire::ProblemDetails;

/// The answer to a request that was not carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub status: StatusCode,
    pub code: Code,
    /// A sentence for the person.
    pub detail: String,
    /// Whole seconds after which it may work.
    pub retry_after_s: Option<u64>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, code, detail: detail.into(), retry_after_s: None }
    }

    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Code::Malformed, detail)
    }

    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code, code.sentence())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.message)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => {
                tracing::error!("the disk is full");
                Code::DiskFull.into()
            }
            StoreError::Repeated(_) => Code::IdReused.into(),
            StoreError::AlreadyJoined => Code::InviteUsed.into(),
            StoreError::Held => Code::LogHeld.into(),
            StoreError::Disabled => Code::DeviceDisabled.into(),
            StoreError::TooLarge(bytes) => {
                let detail = format!(
                    "This would make an event of {bytes} bytes, and the log takes fewer than 65536. Nothing was changed."
                );
                Self::new(Code::BodyTooLarge, detail)
            }
            StoreError::Conflict | StoreError::LeaseLost => Code::Unavailable.into(),
            StoreError::Away(message) => {
                tracing::error!(%message, "the database is away");
                let mut problem = Self::from(Code::Unavailable);
                problem.retry_after_s = Some(1);
                problem
            }
            StoreError::Failed(message) => {
                tracing::error!(%message, "the store failed");
                Code::Unavailable.into()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemDetails {
            kind: format!("urn:gatepass:problem:{}", self.code),
            title: self.code.sentence().to_owned(),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            problems: Vec::new(),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
