//! How a run ends: the exit code, and the error as people or programs read it.

use gatepass_client::ui::Failure;
use gatepass_core::Code;
use gatepass_core::text::visible;
use std::process::ExitCode;

pub const DONE: u8 = 0;
pub const FAILED: u8 = 1;
pub const USAGE: u8 = 2;
pub const DENIED: u8 = 3;
pub const TOO_LATE: u8 = 4;
pub const UNREACHABLE: u8 = 5;
pub const NOT_ALLOWED: u8 = 6;

/// Why a run did not do what was asked.
#[derive(Debug)]
pub enum Trouble {
    /// The command line can't be understood.
    Usage(String),
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Code> for Trouble {
    fn from(code: Code) -> Self {
        Self::Failed(code.into())
    }
}

/// The exit code of a refusal or failure.
pub const fn code(code: Code) -> u8 {
    match code {
        Code::Unreachable | Code::CertificateMismatch => UNREACHABLE,
        Code::Lapsed | Code::WaitedTooLong => TOO_LATE,
        Code::NotAllowedToAsk
        | Code::SelfApproval
        | Code::NotAnApprover
        | Code::NotYours
        | Code::MayNotRevoke
        | Code::NotAllowed
        | Code::DeviceDisabled => NOT_ALLOWED,
        _ => FAILED,
    }
}

impl Trouble {
    pub fn exit(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Failed(failure) => code(failure.code),
        }
    }

    /// Says it on stderr.
    pub fn say(&self, json: bool) -> ExitCode {
        let (code, message) = match self {
            Self::Usage(message) => ("usage".to_owned(), message.clone()),
            Self::Failed(failure) => (failure.code.to_string(), failure.message.clone()),
        };
        if json {
            let error = serde_json::json!({"error": {"code": code, "message": message}});
            eprintln!("{error}");
        } else {
            eprintln!("gatepass: {}", visible(&message));
        }
        ExitCode::from(self.exit())
    }
}
