//! How the client says that something did not happen.

use crate::ui::Failure;
use gatepass_core::{Code, Refusal};

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Something on this computer went wrong that the person can't have caused.
    pub(crate) fn local(what: &str, error: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal, format!("{what}: {error}"))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::new(code, code.sentence())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.message)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DiskFull, ReadOnly, SystemIoFailure};
        match error.sqlite_error_code() {
            Some(DiskFull) => Self::new(
                Code::CacheBroken,
                "This computer’s disk is full; the local cache can’t be written.",
            ),
            Some(ReadOnly | SystemIoFailure) => {
                Self::new(Code::CacheBroken, format!("The local cache can’t be written: {error}"))
            }
            _ => Self::new(Code::CacheBroken, format!("The local cache failed: {error}")),
        }
    }
}
