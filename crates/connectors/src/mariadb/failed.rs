//! From what the server and the network say to the port's errors.

use crate::TargetError;
use mysql_async::{DriverError, Error, IoError, ServerError};

/// The connection is of no use any more.
pub(super) fn lost(error: &Error) -> bool {
    match error {
        Error::Server(said) => ending(said.code),
        _ => true,
    }
}

/// The server has no TLS to offer.
pub(super) fn no_tls(error: &Error) -> bool {
    matches!(error, Error::Driver(DriverError::NoClientSslFlagFromServer))
}

pub(super) fn sort(error: Error) -> TargetError {
    match error {
        Error::Server(said) => server(said),
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            TargetError::Configuration("the target offers no TLS, and the URL asks for it".into())
        }
        Error::Driver(DriverError::ConnectionClosed) => unanswered("the connection was closed"),
        Error::Driver(other @ DriverError::UnknownAuthPlugin { .. }) => {
            TargetError::Configuration(other.to_string())
        }
        Error::Io(IoError::Tls(why)) => TargetError::Configuration(format!("TLS: {why}")),
        // What rustls says of a certificate comes wrapped like this; a connection that broke has another kind.
        Error::Io(IoError::Io(why)) if why.kind() == std::io::ErrorKind::InvalidData => {
            TargetError::Configuration(format!("TLS: {why}"))
        }
        Error::Io(why) => unanswered(&why.to_string()),
        other => unanswered(&other.to_string()),
    }
}

fn unanswered(why: &str) -> TargetError {
    TargetError::Unreachable(why.to_owned())
}

fn server(said: ServerError) -> TargetError {
    let text = said.message;
    match (said.state.as_str(), said.code) {
        // The procedures' own.
        ("45001", _) => TargetError::Configuration(text),
        ("45002", _) => TargetError::Refused(text),
        (_, code) if ending(code) || FULL.contains(&code) => TargetError::Unreachable(text),
        (_, code) if NO_SCRIPT.contains(&code) => TargetError::Configuration(format!("{text}; {RUN_SCRIPT}")),
        (_, code) if CONFIGURATION.contains(&code) => TargetError::Configuration(text),
        _ => TargetError::Refused(text),
    }
}

const RUN_SCRIPT: &str = "run docs/connectors/mariadb-admin.sql of this version on the target";

/// What the script makes is not there, or the login may not use it.
pub(super) fn no_script(error: &TargetError) -> bool {
    matches!(error, TargetError::Configuration(text) if text.ends_with(RUN_SCRIPT))
}

/// Too many connections, of all or of the admin, or a host blocked after errors.
const FULL: &[u16] = &[1040, 1129, 1203, 1226];
/// No schema, no table, no procedure, or no right to call it.
const NO_SCRIPT: &[u16] = &[1044, 1049, 1146, 1305, 1318, 1370];
/// Who asks may not: the login, its host, its lock, what the owner was granted; or the target is read only.
const CONFIGURATION: &[u16] =
    &[1045, 1130, 1141, 1142, 1143, 1227, 1290, 1410, 1698, 1820, 1862, 1959, 1961, 4151];

/// The server is going down, or ended this session.
fn ending(code: u16) -> bool {
    [1053, 1077, 1152, 1158, 1159, 1160, 1161, 1927, 4031].contains(&code)
}
