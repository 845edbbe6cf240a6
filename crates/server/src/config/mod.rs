//! The configuration: one TOML file with the server, the targets and the catalogue. Every fault says where it is
//! and what was expected.

mod command;
mod database;
mod kept;
mod ldap;
mod log;
mod mariadb;
mod network;
mod place;
mod postgres;
mod retention;
mod ssh;
mod target;
mod tls;
mod webhook;

pub use command::CommandTarget;
pub use database::Database;
pub use kept::Kept;
pub use log::{WitnessAt, Witnesses};
pub use mariadb::MariadbTarget;
pub use network::Network;
pub use target::{FakeTarget, Kind, Password, Target};
pub use tls::TlsFiles;
pub use webhook::WebhookTarget;

use gatepass_core::catalogue::{Catalogue, Fault, ResourceSection};
use gatepass_core::duration;
use gatepass_core::retention::Retention;
use place::Places;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: ServerSection,
    #[serde(default)]
    retention: retention::RetentionSection,
    #[serde(default)]
    log: log::LogSection,
    #[serde(default)]
    target: Vec<target::TargetSection>,
    #[serde(default)]
    resource: Vec<ResourceSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerSection {
    name: Spanned<String>,
    listen: Option<Spanned<String>>,
    public_url: Option<Spanned<String>>,
    data: Option<Spanned<String>>,
    database: Option<Spanned<String>>,
    postgres: Option<Spanned<database::PostgresSection>>,
    limits: Option<LimitsSection>,
    trusted_proxies: Option<Vec<Spanned<String>>>,
    drain: Option<Spanned<String>>,
    tls: Option<tls::TlsSection>,
    spread: Option<Spanned<String>>,
    workers: Option<Spanned<bool>>,
    metrics_listen: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsSection {
    per_second: Option<Spanned<u32>>,
    burst: Option<Spanned<u32>>,
}

/// What the server runs by, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it stands, for messages.
    pub file: PathBuf,
    /// Shown to people; the origin of the log.
    pub name: String,
    /// `HOST:PORT`
    pub listen: String,
    /// What devices connect to; without a slash at the end.
    pub public_url: Option<String>,
    pub data: PathBuf,
    /// Shared with other nodes; without it, SQLite in `data`.
    pub database: Option<Database>,
    pub limits: Limits,
    /// Proxies whose word on where a request comes from is taken.
    pub trusted_proxies: Vec<Network>,
    /// Told to stop, the server goes on for so long while `/readyz` says so.
    pub drain: Duration,
    /// What the server itself shows; without it, it speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    /// When the server stops, devices are told to come back at random within this.
    pub spread: Duration,
    /// Whether a server does jobs, too, or leaves them to workers.
    pub workers: bool,
    /// `HOST:PORT` of a worker's metrics.
    pub metrics_listen: Option<String>,
    /// What the log is signed with; made at the first start.
    pub log_key: PathBuf,
    /// Who else looks at the log, from outside.
    pub witnesses: Witnesses,
    /// How long texts are kept.
    pub retention: Retention,
    pub targets: Vec<Target>,
    pub catalogue: Catalogue,
}

/// How many requests one device, or one address before it signed in, may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub per_second: u32,
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_second: 50, burst: 200 }
    }
}

/// Every fault that was found, one per line: `FILE:LINE:COL: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines.join("\n"))]
pub struct ConfigError {
    pub lines: Vec<String>,
}

const LISTEN: &str = "127.0.0.1:7420";
const DATA: &str = "./data";
const SPREAD: Duration = Duration::from_secs(60);
/// Devices wait no longer than this, whatever they are told.
const LONGEST_SPREAD: Duration = Duration::from_secs(300);

fn text(file: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(file).map_err(|e| ConfigError {
        lines: vec![format!("{}: cannot be read: {e}, expected a configuration file", file.display())],
    })
}

impl Config {
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        Self::parse(&text(file)?, file)
    }

    /// Reads `text` as if it stood in `file`: paths in it are relative to the file's folder.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let places = Places::new(file, text);
        let read: File = toml::from_str(text).map_err(|error| {
            let message = place::expected(error.message());
            ConfigError { lines: vec![places.line(error.span().map_or(0, |s| s.start), &message)] }
        })?;
        read.check(file).map_err(|mut faults| {
            faults.sort_by_key(|f| f.span.start);
            ConfigError { lines: faults.iter().map(|f| places.line(f.span.start, &f.message)).collect() }
        })
    }

    /// The base URL for devices when the server listens on `listen`.
    pub fn url_for(&self, listen: &str) -> String {
        self.public_url.clone().unwrap_or_else(|| self.origin(listen))
    }

    /// How the server is spoken to on `listen` itself.
    pub fn origin(&self, listen: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{listen}")
    }
}

fn fault<T>(at: &Spanned<T>, message: impl Into<String>) -> Fault {
    Fault { span: at.span(), message: message.into() }
}

impl File {
    fn check(self, file: &Path) -> Result<Config, Vec<Fault>> {
        let mut faults = Vec::new();
        let folder = file.parent().unwrap_or(Path::new("."));
        let server = self.server;
        if server.name.get_ref().trim().is_empty() {
            faults.push(fault(&server.name, "name is empty, expected a name such as “example.com/gatepass”"));
        }
        if let Some(listen) = &server.listen
            && !is_address(listen.get_ref())
        {
            let message = format!("“{}” is not an address, expected HOST:PORT", listen.get_ref());
            faults.push(fault(listen, message));
        }
        if let Some(url) = &server.public_url
            && !["http://", "https://"]
                .iter()
                .any(|s| url.get_ref().strip_prefix(s).is_some_and(|h| !h.is_empty()))
        {
            let message = format!("“{}” is not a URL, expected https://HOST", url.get_ref());
            faults.push(fault(url, message));
        }
        let database = database::check(server.database, server.postgres, folder, &mut faults);
        let limits = limits(server.limits, &mut faults);
        let trusted_proxies = network::check(server.trusted_proxies, &mut faults);
        let spread = spread(server.spread, &mut faults);
        if let Some(listen) = &server.metrics_listen
            && !is_address(listen.get_ref())
        {
            let message = format!("“{}” is not an address, expected HOST:PORT", listen.get_ref());
            faults.push(fault(listen, message));
        }
        if let Some(workers) = &server.workers
            && !workers.get_ref()
            && database.is_none()
        {
            let message =
                "a server without workers shares its database with some, expected “database” to be set";
            faults.push(fault(workers, message));
        }
        let drain = server.drain.map_or(Duration::ZERO, |text| match duration::parse(text.get_ref()) {
            Ok(seconds) => Duration::from_secs(seconds.into()),
            Err(message) => {
                faults.push(fault(&text, message));
                Duration::ZERO
            }
        });
        let tls = server.tls.map(|tls| tls.check(folder, &mut faults));
        let retention = retention::check(self.retention, &mut faults);
        let witnesses = self.log.witnesses(&mut faults);
        let targets = target::check(self.target, folder, &mut faults);
        let known: Vec<(String, String)> =
            targets.iter().map(|t| (t.id.clone(), t.kind_name.to_owned())).collect();
        let catalogue = match Catalogue::build(&self.resource, &known) {
            Ok(catalogue) => catalogue,
            Err(more) => {
                faults.extend(more);
                Catalogue::default()
            }
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let data = folder.join(server.data.map_or_else(|| DATA.to_owned(), Spanned::into_inner));
        Ok(Config {
            file: file.to_owned(),
            name: server.name.into_inner(),
            listen: server.listen.map_or_else(|| LISTEN.to_owned(), Spanned::into_inner),
            public_url: server.public_url.map(|u| u.get_ref().trim_end_matches('/').to_owned()),
            log_key: self.log.key(folder, &data),
            witnesses,
            data,
            database,
            limits,
            trusted_proxies,
            drain,
            tls,
            spread,
            workers: server.workers.is_none_or(Spanned::into_inner),
            metrics_listen: server.metrics_listen.map(Spanned::into_inner),
            retention,
            targets: targets.into_iter().filter_map(target::Checked::usable).collect(),
            catalogue,
        })
    }
}

fn limits(section: Option<LimitsSection>, faults: &mut Vec<Fault>) -> Limits {
    let mut limits = Limits::default();
    let Some(section) = section else { return limits };
    for (given, place) in [(section.per_second, &mut limits.per_second), (section.burst, &mut limits.burst)] {
        if let Some(given) = given {
            if *given.get_ref() == 0 {
                faults.push(fault(&given, "0 would refuse everybody, expected at least 1"));
            }
            *place = *given.get_ref();
        }
    }
    limits
}

fn spread(given: Option<Spanned<String>>, faults: &mut Vec<Fault>) -> Duration {
    let Some(given) = given else { return SPREAD };
    let read = duration::parse(given.get_ref()).map(|s| Duration::from_secs(s.into()));
    match read {
        Ok(spread) if spread <= LONGEST_SPREAD => spread,
        Ok(_) => {
            faults.push(fault(&given, format!("“{}” is too long, expected at most 5m", given.get_ref())));
            SPREAD
        }
        Err(message) => {
            faults.push(fault(&given, message));
            SPREAD
        }
    }
}

/// How long one call of a target may take.
fn limit(given: Option<&Spanned<String>>, unset: Duration, faults: &mut Vec<Fault>) -> Duration {
    let Some(given) = given else { return unset };
    let message = match duration::parse(given.get_ref()) {
        Ok(seconds @ 1..=300) => return Duration::from_secs(seconds.into()),
        Ok(_) => format!("“{}” is out of bounds, expected 1s to 5m", given.get_ref()),
        Err(message) => message,
    };
    faults.push(fault(given, message));
    unset
}

/// `HOST:PORT`, the host a name or an address.
pub fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}
