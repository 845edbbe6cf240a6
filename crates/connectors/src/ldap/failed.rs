//! What an operation's failure means to whoever asked.

use crate::TargetError;
use ldap3::{LdapError, LdapResult};

/// Result codes of RFC 4511, and of Active Directory where it has its own way.
pub(super) mod code {
    pub const REFERRAL: u32 = 10;
    pub const SIZE_LIMIT: u32 = 4;
    pub const NO_SUCH_ATTRIBUTE: u32 = 16;
    pub const VALUE_EXISTS: u32 = 20;
    pub const NO_SUCH_OBJECT: u32 = 32;
    pub const NO_RIGHTS: u32 = 50;
    pub const BREAKS_SCHEMA: u32 = 65;
    /// What Active Directory says to a member that is there.
    pub const ENTRY_EXISTS: u32 = 68;
}

/// Longer texts of servers are cut: they may repeat whole entries.
const LONGEST: usize = 200;

pub(super) fn lost(error: LdapError) -> TargetError {
    match error {
        LdapError::LdapResult { result } => refused("it", &result),
        LdapError::Rustls { source } => TargetError::Configuration(format!("TLS fails: {source}")),
        // rustls's errors of the handshake come wrapped.
        LdapError::Io { source } if source.get_ref().is_some_and(|e| e.is::<rustls::Error>()) => {
            TargetError::Configuration(format!("TLS fails: {source}"))
        }
        LdapError::Timeout { .. } => slow(),
        LdapError::ResultRecv { .. } | LdapError::OpSend { .. } | LdapError::EndOfStream => {
            TargetError::Unreachable("the connection broke".to_owned())
        }
        LdapError::Io { source } => TargetError::Unreachable(source.to_string()),
        other => TargetError::Configuration(other.to_string()),
    }
}

pub(super) fn slow() -> TargetError {
    TargetError::Unreachable("no answer in time".to_owned())
}

/// The directory answered `result` to `what`, a noun.
pub(super) fn refused(what: &str, result: &LdapResult) -> TargetError {
    let said = format!("{what}: {}", said(result));
    match result.rc {
        // An operations error, a limit of time, busy, away: nothing that whoever asked did wrong.
        1 | 3 | 51 | 52 | 80 => TargetError::Unreachable(said),
        code::REFERRAL => TargetError::Configuration(format!(
            "{what}: this directory server only refers to another, which the url has to name"
        )),
        // Authentication, confidentiality, rights, and names that can't be.
        7 | 8 | 13 | 17 | 18 | 21 | 34 | 48 | 49 | code::NO_RIGHTS => TargetError::Configuration(said),
        _ => TargetError::Refused(said),
    }
}

fn said(result: &LdapResult) -> String {
    let name = match result.rc {
        7 | 8 => "a stronger way of signing in is required",
        13 => "encryption is required",
        19 => "a constraint is violated",
        32 => "there is no such entry",
        34 => "this is no DN",
        48 | 49 => "bind_dn or its password is wrong",
        50 => "bind_dn has no right to",
        51 | 52 => "the directory is busy",
        53 => "the directory will not",
        65 => "the schema forbids it",
        _ => "",
    };
    let text: String = result.text.trim().chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    match (name, text.as_str()) {
        ("", "") => format!("result {}", result.rc),
        ("", text) => format!("{text} (result {})", result.rc),
        (name, "") => name.to_owned(),
        (name, text) => format!("{name} ({text})"),
    }
}
