//! Where a target is: the admin's way there, and the holder's.

use crate::TargetError;
use mysql_async::{Opts, OptsBuilder, SslOpts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, utf8_percent_encode};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::time::Duration;

/// Nothing waits long, whatever the server's own settings are.
const SETTINGS: &str =
    "SET SESSION lock_wait_timeout = 3, innodb_lock_wait_timeout = 3, max_statement_time = 10";

/// A parsed `mysql://admin@host:port/database` with what is needed to connect.
pub struct Place {
    options: Opts,
    /// The admin's name, which is the schema's as well.
    admin: String,
    pub(super) database: String,
    host: String,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// `disabled`: plain.
    Off,
    /// `preferred` and nothing: encrypted when the server offers it, its certificate not verified.
    IfOffered,
    /// `required` and stronger: encrypted, certificate and host name verified.
    Verified,
}

impl Place {
    /// No I/O but reading `ssl-ca`. Messages never repeat the URL.
    pub fn parse(url: &str, password: &SecretString) -> Result<Self, TargetError> {
        let wrong = |what: &str| TargetError::Configuration(format!("the URL {what}"));
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mode, authorities) = tls(query).map_err(wrong)?;
        let rest = ["mysql://", "mariadb://"].iter().find_map(|scheme| base.strip_prefix(scheme));
        let rest = rest.ok_or_else(|| wrong("does not begin with mysql://"))?;
        let read = Opts::from_url(&format!("mysql://{rest}")).map_err(|_| wrong("can't be read"))?;
        if read.pass().is_some() {
            return Err(wrong("has a password in it: put that into password_file or password_env"));
        }
        let admin = read.user().filter(|u| !u.is_empty()).ok_or_else(|| wrong("names no user"))?.to_owned();
        let database = read.db_name().filter(|d| !d.is_empty());
        let database = database.ok_or_else(|| wrong("names no database"))?.to_owned();
        let host = rest.split('/').next().unwrap_or_default();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        if host.is_empty() || host.starts_with(':') {
            return Err(wrong("names no host"));
        }
        let ssl = match mode {
            Mode::Off => None,
            Mode::IfOffered => Some(
                SslOpts::default()
                    .with_danger_accept_invalid_certs(true)
                    .with_danger_skip_domain_validation(true),
            ),
            Mode::Verified => {
                let own = match authorities {
                    None => Vec::new(),
                    Some(path) => vec![
                        std::fs::read(&path)
                            .map_err(|e| {
                                TargetError::Configuration(format!("{} can't be read: {e}", path.display()))
                            })?
                            .into(),
                    ],
                };
                Some(SslOpts::default().with_disable_built_in_roots(!own.is_empty()).with_root_certs(own))
            }
        };
        if ssl.is_some() && CryptoProvider::get_default().is_none() {
            // The driver takes the process's. Somebody else may have been quicker, with the same.
            let _ = aws_lc_rs::default_provider().install_default();
        }
        let port = read.tcp_port();
        let options = OptsBuilder::from_opts(read)
            .pass(Some(password.expose_secret()))
            // The admin may not even see it.
            .db_name(None::<String>)
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .init(vec![SETTINGS])
            .ssl_opts(ssl)
            .into();
        let named = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if named { host.to_owned() } else { format!("{host}:{port}") };
        Ok(Self { options, admin, database, host, mode })
    }

    pub(super) fn options(&self) -> Opts {
        self.options.clone()
    }

    /// How to connect to a server that has no TLS, where that is allowed.
    pub(super) fn without_tls(&self) -> Option<Opts> {
        (self.mode == Mode::IfOffered)
            .then(|| OptsBuilder::from_opts(self.options.clone()).ssl_opts(None::<SslOpts>).into())
    }

    pub(super) fn admin(&self) -> &str {
        &self.admin
    }

    /// The schema with Gatepass's procedures, quoted.
    pub(super) fn schema(&self) -> String {
        format!("`{}`", self.admin.replace('`', "``"))
    }

    /// The URL for an account's holder.
    pub(super) fn url_for(&self, account: &str, password: &str) -> String {
        let options = if self.mode == Mode::Verified { "?ssl-mode=REQUIRED" } else { "" };
        let (password, database) = (encoded(password), encoded(&self.database));
        format!("mysql://{account}:{password}@{}/{database}{options}", self.host)
    }
}

/// What a URL needs no encoding for (RFC 3986, unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ENCODED)
}

fn tls(query: &str) -> Result<(Mode, Option<PathBuf>), &'static str> {
    let (mut mode, mut authorities) = (Mode::IfOffered, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("ssl-mode", value)) => {
                mode = match value.to_ascii_lowercase().as_str() {
                    "disabled" => Mode::Off,
                    "preferred" => Mode::IfOffered,
                    "required" | "verify_ca" | "verify_identity" => Mode::Verified,
                    _ => {
                        return Err(
                            "has an ssl-mode that is none of disabled, preferred, required, verify_identity",
                        );
                    }
                }
            }
            Some(("ssl-ca", path)) => {
                authorities = Some(PathBuf::from(percent_decode_str(path).decode_utf8_lossy().into_owned()));
            }
            _ => return Err("has an option that is neither ssl-mode nor ssl-ca"),
        }
    }
    Ok((mode, authorities))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn parse(url: &str) -> Result<Place, TargetError> {
        Place::parse(url, &SecretString::from("s3cret!"))
    }

    #[test]
    fn the_holders_url_keeps_the_place() {
        let cases = [
            ("mysql://a@db.example:3307/orders", "mysql://gp_1:p%40ss@db.example:3307/orders"),
            ("mariadb://a@db/orders?ssl-mode=disabled", "mysql://gp_1:p%40ss@db:3306/orders"),
            ("mysql://a@[::1]:5433/o%20r%2Fd", "mysql://gp_1:p%40ss@[::1]:5433/o%20r%2Fd"),
            ("mysql://a@db/o?ssl-mode=VERIFY_IDENTITY", "mysql://gp_1:p%40ss@db:3306/o?ssl-mode=REQUIRED"),
        ];
        for (url, want) in cases {
            let place = parse(url).unwrap();
            assert_eq!(place.url_for("gp_1", "p@ss"), want, "{url}");
        }
        assert_eq!(parse("mysql://g%60p@db/o").unwrap().schema(), "`g``p`");
    }

    #[test]
    fn a_url_that_cant_work_is_told_and_never_repeated() {
        for url in [
            "mysql://admin:hunter2@db/orders",
            "mysql://db/orders",
            "mysql://admin@db",
            "mysql://admin@/orders",
            "mysql://admin@db:hunter2/orders",
            "mysql://admin@db/orders?ssl-mode=hunter2",
            "mysql://admin@db/orders?hunter2=1",
            "postgres://admin@db/orders",
            "hunter2",
            "mysql://admin@db/orders?ssl-mode=required&ssl-ca=/nowhere.pem",
        ] {
            match parse(url) {
                Err(TargetError::Configuration(message)) => {
                    assert!(!message.contains("hunter2"), "{url}: {message}");
                }
                other => panic!("{url}: {:?}", other.map(|p| p.database)),
            }
        }
    }
}
