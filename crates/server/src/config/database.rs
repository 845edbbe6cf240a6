//! `database` and `[server.postgres]`: one PostgreSQL that several nodes share.

use super::{Password, fault};
use gatepass_connectors::postgres::Place;
use gatepass_core::catalogue::Fault;
use secrecy::SecretString;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSection {
    password_file: Option<Spanned<String>>,
    password_env: Option<Spanned<String>>,
    ca_file: Option<Spanned<String>>,
    direct: Option<Spanned<String>>,
    pooler: Option<Spanned<bool>>,
    connections: Option<Spanned<u32>>,
}

/// A shared database, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// `postgres://USER@HOST:PORT/DATABASE`
    pub url: String,
    pub password: Option<Password>,
    /// The database itself, when a pooler is in front.
    pub direct: Option<String>,
    /// `url` leads to a pooler in transaction mode.
    pub pooler: bool,
    pub connections: usize,
}

/// Enough for two cores' worth of database; `docs/scale.md` has the arithmetic.
const CONNECTIONS: usize = 16;

impl Database {
    /// What works, but not as well as it could.
    pub fn note(&self) -> Option<&'static str> {
        (self.pooler && self.direct.is_none()).then_some(
            "behind a pooler without “direct”: this node cannot listen for the others, and looks every second instead",
        )
    }
}

pub fn check(
    url: Option<Spanned<String>>,
    section: Option<Spanned<PostgresSection>>,
    folder: &Path,
    faults: &mut Vec<Fault>,
) -> Option<Database> {
    let Some(url) = url else {
        if let Some(section) = section {
            let message = "there is no database for this, expected database = \"postgres://…\" in [server]";
            faults.push(fault(&section, message));
        }
        return None;
    };
    let section = section.map(Spanned::into_inner).unwrap_or_default();
    for url in [Some(&url), section.direct.as_ref()].into_iter().flatten() {
        check_url(url, faults);
    }
    if let (Some(_), Some(env)) = (&section.password_file, &section.password_env) {
        faults.push(fault(env, "there are two passwords, expected either password_file or password_env"));
    }
    let password = match (&section.password_file, &section.password_env) {
        (Some(file), _) => {
            let path = folder.join(file.get_ref());
            readable(file, &path, "a file with the password", faults);
            Some(Password::File(path))
        }
        (None, Some(env)) => {
            if std::env::var_os(env.get_ref()).is_none() {
                let message = format!(
                    "{} is not set, expected an environment variable with the password",
                    env.get_ref()
                );
                faults.push(fault(env, message));
            }
            Some(Password::Env(env.get_ref().clone()))
        }
        (None, None) => None,
    };
    let authorities = section.ca_file.as_ref().map(|file| {
        let path = folder.join(file.get_ref());
        readable(file, &path, "a file with certificates in PEM", faults);
        path
    });
    if let (Some(file), Some(path)) = (&section.ca_file, &authorities)
        && faults.is_empty()
        && let Err(error) =
            Place::parse(&verified(url.get_ref().clone(), Some(path)), &SecretString::default())
    {
        faults.push(fault(file, format!("{error}, expected a file with certificates in PEM")));
    }
    let connections = match &section.connections {
        Some(given) if !(2..=1_000).contains(given.get_ref()) => {
            faults.push(fault(
                given,
                format!("{} connections cannot work, expected 2 to 1000", given.get_ref()),
            ));
            CONNECTIONS
        }
        Some(given) => *given.get_ref() as usize,
        None => CONNECTIONS,
    };
    Some(Database {
        url: verified(url.into_inner(), authorities.as_ref()),
        password,
        direct: section.direct.map(|d| verified(d.into_inner(), authorities.as_ref())),
        pooler: section.pooler.is_some_and(Spanned::into_inner),
        connections,
    })
}

fn check_url(url: &Spanned<String>, faults: &mut Vec<Fault>) {
    const EXPECTED: &str = "expected postgres://USER@HOST:PORT/DATABASE";
    let text = url.get_ref();
    let Some(rest) = ["postgres://", "postgresql://"].iter().find_map(|s| text.strip_prefix(s)) else {
        faults.push(fault(url, format!("this is not a PostgreSQL URL, {EXPECTED}")));
        return;
    };
    let user = rest.split('/').next().unwrap_or_default().rsplit_once('@').map_or("", |(user, _)| user);
    if user.contains(':') || text.contains("?password=") || text.contains("&password=") {
        faults.push(fault(
            url,
            "the URL has a password in it, expected [server.postgres] password_file or password_env instead",
        ));
    } else if let Err(error) = Place::parse(text, &SecretString::default()) {
        faults.push(fault(url, format!("{error}, {EXPECTED}")));
    }
}

fn readable(at: &Spanned<String>, path: &Path, what: &str, faults: &mut Vec<Fault>) {
    if let Err(error) = std::fs::File::open(path) {
        faults.push(fault(at, format!("{} cannot be read: {error}, expected {what}", path.display())));
    }
}

/// With authorities of one's own, the server has to prove who it is.
fn verified(url: String, authorities: Option<&PathBuf>) -> String {
    let Some(path) = authorities else { return url };
    let path =
        percent_encoding::utf8_percent_encode(&path.to_string_lossy(), percent_encoding::NON_ALPHANUMERIC)
            .to_string();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}sslmode=verify-full&sslrootcert={path}")
}
