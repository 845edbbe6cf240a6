//! Where a target is: the admin's way there, and the holder's.

use super::tls;
use crate::TargetError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A parsed `postgres://admin@host:port/database` with what is needed to connect.
pub struct Place {
    pub config: Config,
    pub tls: MakeRustlsConnect,
    pub admin: String,
    pub database: String,
    /// `host:port` of each host, as a URL has them.
    hosts: String,
    /// What the holder's URL needs besides, with its `?`.
    options: String,
}

impl Place {
    /// No I/O but reading `sslrootcert`. Messages never repeat the URL.
    pub fn parse(url: &str, password: &SecretString) -> Result<Self, TargetError> {
        let wrong = |what: &str| TargetError::Configuration(format!("the URL {what}"));
        let (url, ssl) = Ssl::take_from(url)?;
        let mut config: Config = url.parse().map_err(|e: tokio_postgres::Error| {
            let why = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
            wrong(&format!("can't be read: {why}"))
        })?;
        if config.get_password().is_some() {
            return Err(wrong("has a password in it: put that into password_file or password_env"));
        }
        let admin = config.get_user().ok_or_else(|| wrong("names no user"))?.to_owned();
        let database = config.get_dbname().ok_or_else(|| wrong("names no database"))?.to_owned();
        if config.get_hosts().is_empty() {
            return Err(wrong("names no host"));
        }
        let hosts = hosts(&config);
        let mut options = match ssl.mode {
            Mode::Verified => String::from("?sslmode=require"),
            Mode::Off | Mode::IfOffered => String::new(),
        };
        if config.get_hosts().len() > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            // Logins can be made on the primary only.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
            options.push_str(if options.is_empty() { "?" } else { "&" });
            options.push_str("target_session_attrs=read-write");
        }
        config
            .password(password.expose_secret())
            .application_name("gatepass")
            .ssl_mode(match ssl.mode {
                Mode::Off => SslMode::Disable,
                Mode::IfOffered => SslMode::Prefer,
                Mode::Verified => SslMode::Require,
            })
            .connect_timeout(CONNECT_LIMIT)
            .tcp_user_timeout(CONNECT_LIMIT)
            .keepalives_idle(Duration::from_secs(30));
        let tls = match ssl.mode {
            Mode::Verified => tls::verified(ssl.roots.as_deref()),
            Mode::Off | Mode::IfOffered => tls::unverified(),
        }
        .map_err(|e| TargetError::Configuration(format!("TLS can't be set up: {e}")))?;
        Ok(Self { config, tls, admin, database, hosts, options })
    }

    /// The URL for a login's holder.
    pub fn url_for(&self, login: &str, password: &str) -> String {
        let (password, database) = (encoded(password), encoded(&self.database));
        format!("postgres://{login}:{password}@{}/{database}{}", self.hosts, self.options)
    }
}

/// What a URL needs no encoding for (RFC 3986, unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ENCODED)
}

fn hosts(config: &Config) -> String {
    let ports = config.get_ports();
    let mut out = String::new();
    for (n, host) in config.get_hosts().iter().enumerate() {
        let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
        let separator = if n == 0 { "" } else { "," };
        // Writing into a String can't fail.
        let _ = match host {
            Host::Tcp(name) if name.contains(':') => write!(out, "{separator}[{name}]:{port}"),
            Host::Tcp(name) => write!(out, "{separator}{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(path) => {
                write!(out, "{separator}{}:{port}", encoded(&path.to_string_lossy()))
            }
        };
    }
    out
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// `disable`: plain.
    Off,
    /// `prefer` and nothing: encrypted when the server offers it, its certificate not verified.
    IfOffered,
    /// `require` and stronger: encrypted, certificate and host name verified.
    Verified,
}

struct Ssl {
    mode: Mode,
    roots: Option<PathBuf>,
}

impl Ssl {
    /// Takes `sslmode` and `sslrootcert` out of the URL: the driver knows neither all modes nor the file.
    fn take_from(url: &str) -> Result<(String, Self), TargetError> {
        let mut ssl = Self { mode: Mode::IfOffered, roots: None };
        let Some((base, query)) = url.split_once('?') else {
            return Ok((url.to_owned(), ssl));
        };
        let mut rest = Vec::new();
        for pair in query.split('&') {
            match pair.split_once('=') {
                Some(("sslmode", mode)) => {
                    ssl.mode = match mode {
                        "disable" => Mode::Off,
                        "prefer" => Mode::IfOffered,
                        "require" | "verify-full" => Mode::Verified,
                        _ => {
                            return Err(TargetError::Configuration(
                                "sslmode is one of disable, prefer, require, verify-full".into(),
                            ));
                        }
                    }
                }
                Some(("sslrootcert", path)) => {
                    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
                    ssl.roots = Some(PathBuf::from(path.into_owned()));
                }
                _ => rest.push(pair),
            }
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        Ok((url, ssl))
    }
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
            ("postgres://a@db.example:6432/orders", "postgres://gp_1:p%40ss@db.example:6432/orders"),
            ("postgres://a@db/orders?sslmode=disable", "postgres://gp_1:p%40ss@db:5432/orders"),
            ("postgres://a@[::1]:5433/o%20r%2Fd", "postgres://gp_1:p%40ss@[::1]:5433/o%20r%2Fd"),
            ("postgres://a@%2Frun%2Fpg:5433/o", "postgres://gp_1:p%40ss@%2Frun%2Fpg:5433/o"),
            ("postgres://a@db/o?sslmode=verify-full", "postgres://gp_1:p%40ss@db:5432/o?sslmode=require"),
            (
                "postgres://a@one:1,two:2/o?connect_timeout=3",
                "postgres://gp_1:p%40ss@one:1,two:2/o?target_session_attrs=read-write",
            ),
        ];
        for (url, want) in cases {
            let place = parse(url).unwrap();
            assert_eq!(place.url_for("gp_1", "p@ss"), want, "{url}");
        }
    }

    #[test]
    fn a_url_that_cant_work_is_told_and_never_repeated() {
        for url in [
            "postgres://admin:hunter2@db/orders",
            "postgres://db/orders",
            "postgres://admin@db",
            "postgres://admin@/orders",
            "postgres://admin@db:hunter2/orders",
            "postgres://admin@db/orders?sslmode=hunter2",
            "postgres://admin@db/orders?hunter2=1",
            "hunter2",
            "postgres://admin@db/orders?sslmode=require&sslrootcert=/nowhere.pem",
        ] {
            match parse(url) {
                Err(TargetError::Configuration(message)) => {
                    assert!(url.ends_with("hunter2=1") || !message.contains("hunter2"), "{url}: {message}");
                }
                other => panic!("{url}: {:?}", other.map(|p| p.database)),
            }
        }
    }
}
