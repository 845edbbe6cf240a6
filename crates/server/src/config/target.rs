//! `[[target]]`: the systems behind the resources, of several kinds.

use super::command::{self, CommandTarget};
use super::fault;
use super::ldap::PeopleSection;
use super::mariadb::MariadbTarget;
use super::postgres;
use super::ssh::ControlSection;
use super::webhook::{self, WebhookTarget};
use gatepass_core::catalogue::Fault;
use gatepass_core::duration;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// A target as written. One shape for all kinds, so that a fault in any of them has its place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSection {
    id: Spanned<String>,
    kind: Spanned<String>,
    pub(super) url: Option<Spanned<String>>,
    password_file: Option<Spanned<String>>,
    password_env: Option<Spanned<String>>,
    pub(super) account_host: Option<Spanned<String>>,
    pub(super) guard: Option<Spanned<String>>,
    pub(super) hosts: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) ca_key_file: Option<Spanned<String>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) source_addresses: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) extensions: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) control: Option<Spanned<ControlSection>>,
    pub(super) ca_file: Option<Spanned<String>>,
    pub(super) bind_dn: Option<Spanned<String>>,
    pub(super) starttls: Option<Spanned<bool>>,
    pub(super) people: Option<Spanned<PeopleSection>>,
    pub(super) placeholder: Option<Spanned<String>>,
    pub(super) secret_file: Option<Spanned<String>>,
    pub(super) program: Option<Spanned<String>>,
    pub(super) private: Option<Spanned<Vec<String>>>,
    pub(super) env: Option<Spanned<Vec<String>>>,
    pub(super) timeout: Option<Spanned<String>>,
    delay: Option<Spanned<String>>,
    fail_before: Option<Spanned<u32>>,
    fail_after: Option<Spanned<u32>>,
}

/// A target, checked.
#[derive(Clone, Debug)]
pub struct Target {
    pub id: String,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Postgres {
        url: String,
        password: Option<Password>,
        /// A watch on the target ends open sessions too.
        watched: bool,
    },
    Ldap {
        settings: gatepass_connectors::ldap::Settings,
        password: Password,
    },
    Mariadb(MariadbTarget),
    Ssh(gatepass_connectors::ssh::Options),
    Webhook(WebhookTarget),
    Command(CommandTarget),
    /// Accounts kept in this process, to try Gatepass without a target.
    Sample,
    /// For tests and measurements: accounts kept in this process, with faults.
    Fake(FakeTarget),
}

impl Kind {
    /// What an operator should know although nothing is wrong.
    pub fn note(&self) -> Option<String> {
        match self {
            Self::Command(command) => command.note(),
            _ => None,
        }
    }
}

/// How a fake target misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FakeTarget {
    /// Every call takes this long.
    pub delay: Duration,
    /// So many calls fail without having done anything.
    pub fail_before: u32,
    /// So many calls then fail although they did it.
    pub fail_after: u32,
}

/// Where a password stands; it is read when the target is connected, and is never in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    File(PathBuf),
    Env(String),
}

/// A target whose kind and id are known; the catalogue can be checked against it even when it can't be used.
pub struct Checked {
    pub id: String,
    pub kind_name: &'static str,
    kind: Option<Kind>,
}

impl Checked {
    pub fn usable(self) -> Option<Target> {
        Some(Target { id: self.id, kind: self.kind? })
    }
}

/// What each kind needs and may have. `sample` and `fake` are not offered to people.
const KINDS: &[(&str, &[&str], &[&str])] = &[
    ("postgres", &["url"], &["password_file", "password_env", "guard"]),
    ("mariadb", &["url"], &["password_file", "password_env", "account_host"]),
    ("ssh", &["hosts", "ca_key_file"], &["user", "source_addresses", "extensions", "control"]),
    (
        "ldap",
        &["url", "bind_dn", "people"],
        &["password_file", "password_env", "starttls", "ca_file", "placeholder"],
    ),
    ("webhook", &["url", "secret_file"], &["ca_file", "private", "timeout"]),
    ("command", &["program"], &["env", "timeout"]),
    ("sample", &[], &[]),
    ("fake", &[], &["delay", "fail_before", "fail_after"]),
];
const OFFERED: &str = "postgres, mariadb, ssh, ldap, webhook or command";

pub fn check(sections: Vec<TargetSection>, folder: &Path, faults: &mut Vec<Fault>) -> Vec<Checked> {
    let mut seen = BTreeSet::new();
    let mut checked = Vec::new();
    for section in sections {
        if !seen.insert(section.id.get_ref().clone()) {
            let id = section.id.get_ref();
            faults.push(fault(&section.id, format!("target “{id}” is defined twice, expected another id")));
        }
        checked.push(section.check(folder, faults));
    }
    checked
}

impl TargetSection {
    fn keys(&self) -> Vec<(&'static str, std::ops::Range<usize>)> {
        fn at<T>(
            key: &'static str,
            value: &Option<Spanned<T>>,
        ) -> Option<(&'static str, std::ops::Range<usize>)> {
            value.as_ref().map(|v| (key, v.span()))
        }
        [
            at("url", &self.url),
            at("password_file", &self.password_file),
            at("password_env", &self.password_env),
            at("account_host", &self.account_host),
            at("guard", &self.guard),
            at("hosts", &self.hosts),
            at("ca_key_file", &self.ca_key_file),
            at("user", &self.user),
            at("source_addresses", &self.source_addresses),
            at("extensions", &self.extensions),
            at("control", &self.control),
            at("ca_file", &self.ca_file),
            at("bind_dn", &self.bind_dn),
            at("starttls", &self.starttls),
            at("people", &self.people),
            at("placeholder", &self.placeholder),
            at("secret_file", &self.secret_file),
            at("program", &self.program),
            at("private", &self.private),
            at("env", &self.env),
            at("timeout", &self.timeout),
            at("delay", &self.delay),
            at("fail_before", &self.fail_before),
            at("fail_after", &self.fail_after),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn check(self, folder: &Path, faults: &mut Vec<Fault>) -> Checked {
        let kind = self.kind.get_ref().as_str();
        let Some((name, needed, allowed)) = KINDS.iter().find(|(name, _, _)| *name == kind) else {
            let message = format!("there is no target kind “{kind}”, expected {OFFERED}");
            faults.push(fault(&self.kind, message));
            return Checked { id: self.id.into_inner(), kind_name: "unknown", kind: None };
        };
        let keys = self.keys();
        for key in *needed {
            if !keys.iter().any(|(k, _)| k == key) {
                faults.push(fault(&self.kind, format!("a {name} target needs “{key}”, expected {key} = …")));
            }
        }
        for (key, span) in keys {
            if !needed.contains(&key) && !allowed.contains(&key) {
                let of = needed.iter().chain(*allowed).copied().collect::<Vec<_>>().join(", ");
                let message = format!("a {name} target has no “{key}”, expected one of: {of}");
                faults.push(Fault { span, message });
            }
        }
        let usable = match *name {
            "ldap" => self.ldap(folder, faults),
            "mariadb" => self.mariadb(folder, faults),
            "postgres" => self.postgres(folder, faults),
            "ssh" => self.ssh(folder, faults),
            "webhook" => webhook::check(&self, folder, faults),
            "command" => command::check(&self, faults),
            "sample" => Some(Kind::Sample),
            "fake" => Some(Kind::Fake(self.fake(faults))),
            other => {
                let message =
                    format!("target kind “{other}” is not available in this version, expected {OFFERED}");
                faults.push(fault(&self.kind, message));
                None
            }
        };
        Checked { id: self.id.into_inner(), kind_name: name, kind: usable }
    }

    fn postgres(&self, folder: &Path, faults: &mut Vec<Fault>) -> Option<Kind> {
        let url = self.url.as_ref()?;
        let text = url.get_ref();
        let Some(rest) = ["postgres://", "postgresql://"].iter().find_map(|s| text.strip_prefix(s)) else {
            faults.push(fault(
                url,
                format!("“{text}” is not a PostgreSQL URL, expected postgres://USER@HOST:PORT/DATABASE"),
            ));
            return None;
        };
        let user = rest.split('/').next().unwrap_or_default().rsplit_once('@').map_or("", |(user, _)| user);
        if user.contains(':') {
            faults.push(fault(
                url,
                "the URL has a password in it, expected password_file or password_env instead",
            ));
        }
        let password = self.password(folder, faults);
        let watched = postgres::watched(self.guard.as_ref(), faults);
        Some(Kind::Postgres { url: text.clone(), password, watched })
    }

    /// Where the password stands, if one is named.
    pub(super) fn password(&self, folder: &Path, faults: &mut Vec<Fault>) -> Option<Password> {
        if let (Some(_), Some(env)) = (&self.password_file, &self.password_env) {
            faults.push(fault(env, "there are two passwords, expected either password_file or password_env"));
        }
        let password = match (&self.password_file, &self.password_env) {
            (Some(file), _) => Some(Password::File(folder.join(file.get_ref()))),
            (None, Some(env)) => Some(Password::Env(env.get_ref().clone())),
            (None, None) => None,
        };
        self.readable(password.as_ref(), faults);
        password
    }

    /// A password that isn't there is found by `check`, not at the first grant.
    fn readable(&self, password: Option<&Password>, faults: &mut Vec<Fault>) {
        match (password, &self.password_file, &self.password_env) {
            (Some(Password::File(path)), Some(at), _) => {
                if let Err(error) = std::fs::File::open(path) {
                    let message = format!(
                        "{} cannot be read: {error}, expected a file with the password",
                        path.display()
                    );
                    faults.push(fault(at, message));
                }
            }
            (Some(Password::Env(name)), _, Some(at)) if std::env::var_os(name).is_none() => {
                let message =
                    format!("{name} is not set, expected an environment variable with the password");
                faults.push(fault(at, message));
            }
            _ => {}
        }
    }

    fn fake(&self, faults: &mut Vec<Fault>) -> FakeTarget {
        let delay = self.delay.as_ref().map_or(Duration::ZERO, |text| {
            // Finer than what people ask for: tests need milliseconds.
            match text.get_ref().strip_suffix("ms").and_then(|n| n.parse().ok()) {
                Some(millis) => Duration::from_millis(millis),
                None => match duration::parse(text.get_ref()) {
                    Ok(seconds) => Duration::from_secs(seconds.into()),
                    Err(message) => {
                        faults.push(fault(text, message));
                        Duration::ZERO
                    }
                },
            }
        });
        let count = |n: &Option<Spanned<u32>>| n.as_ref().map_or(0, |n| *n.get_ref());
        FakeTarget { delay, fail_before: count(&self.fail_before), fail_after: count(&self.fail_after) }
    }
}
