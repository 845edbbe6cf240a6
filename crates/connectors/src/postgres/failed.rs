//! From what PostgreSQL and the network say to the port's three errors.

use crate::TargetError;
use std::error::Error as _;
use std::io;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// What one try of a call came to.
#[derive(Debug)]
pub(super) enum Failed {
    Said(Error),
    Told(TargetError),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Said(error)
    }
}

impl From<TargetError> for Failed {
    fn from(error: TargetError) -> Self {
        Self::Told(error)
    }
}

impl Failed {
    /// The connection is of no use any more.
    pub fn lost(&self) -> bool {
        match self {
            Self::Said(error) => error.as_db_error().is_none_or(|e| ending(e.code())),
            Self::Told(error) => matches!(error, TargetError::Unreachable(_)),
        }
    }

    /// Two calls for the same login met in the catalogue tables; the next try sees what the other did.
    pub fn collided(&self) -> bool {
        let Self::Said(error) = self else { return false };
        let Some(error) = error.as_db_error() else { return false };
        [SqlState::DUPLICATE_OBJECT, SqlState::UNIQUE_VIOLATION, SqlState::T_R_SERIALIZATION_FAILURE]
            .contains(error.code())
            || (*error.code() == SqlState::INTERNAL_ERROR && error.message().contains("concurrently"))
    }
}

impl From<Failed> for TargetError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Told(error) => error,
            Failed::Said(error) => match error.as_db_error() {
                Some(said) => sort(said),
                None if disagree_on_tls(&error) => Self::Configuration(chain(&error)),
                None => Self::Unreachable(chain(&error)),
            },
        }
    }
}

fn sort(said: &DbError) -> TargetError {
    let code = said.code();
    let text = match said.detail() {
        Some(detail) => format!("{} ({})", said.message(), detail.replace('\n', "; ")),
        None => said.message().to_owned(),
    };
    if ending(code) || code.code().starts_with("53") {
        return TargetError::Unreachable(text);
    }
    let configuration = [
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_CATALOG_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::UNDEFINED_OBJECT,
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ];
    if configuration.contains(code) { TargetError::Configuration(text) } else { TargetError::Refused(text) }
}

/// The server is going down, coming up, or ended this session.
fn ending(code: &SqlState) -> bool {
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW].contains(code)
        || code.code().starts_with("08")
}

/// The two sides can't agree on TLS, as opposed to a connection that broke while they tried.
pub fn disagree_on_tls(error: &Error) -> bool {
    let broke = causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() != io::ErrorKind::InvalidData);
    error.to_string().contains("TLS") && !broke
}

/// An error with its causes. The driver's own texts hold no password.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    for cause in causes(error).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn causes<'e>(error: &'e Error) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}
