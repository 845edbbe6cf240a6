//! Starting and stopping.

use crate::Time;
use crate::app::{App, Inner};
use crate::auth::Auth;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::connect::{self, Targets};
use crate::gate::Gate;
use crate::invite::EFFECTIVE_URL;
use crate::limits::RateLimits;
use crate::people::People;
use crate::store::postgres::{self, PostgresStore};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Change, Store, StoreError};
use crate::tls::{self, TlsError};
use crate::{jobs, listen, reconcile, router};
use gatepass_connectors::Connector;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::EventId;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How a server is started beside its configuration.
#[derive(Default)]
pub struct Options {
    /// Instead of the configuration's `listen`; port 0 takes a free one.
    pub listen: Option<String>,
    /// The machine's clock unless given.
    pub clock: Option<Arc<dyn Clock>>,
    /// Connectors to use for these targets instead of those of their kinds.
    pub connectors: BTreeMap<String, Arc<dyn Connector>>,
    pub sqlite: SqliteOptions,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("another server already runs on {0}")]
    InUse(String),
    #[error("cannot listen on {0}: {1}")]
    Listen(String, std::io::Error),
}

/// A running server. Dropping it stops it without waiting; [`Running::shutdown`] lets it finish.
pub struct Running {
    pub addr: SocketAddr,
    /// How it is spoken to on `addr`, such as `https://127.0.0.1:7420`.
    pub origin: String,
    /// What devices connect to.
    pub url: String,
    app: App,
    /// How long it goes on, saying that it is about to stop.
    drain: Duration,
    gate: Arc<Gate>,
    stop: watch::Sender<bool>,
    tasks: Tasks,
    _lock: Option<rusqlite::Connection>,
}

/// Ended when dropped.
struct Tasks(Vec<JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Opens the store of a configuration: SQLite in its data directory, made if need be, or the shared PostgreSQL.
pub async fn open_store(config: &Config, options: SqliteOptions) -> Result<Arc<dyn Store>, StoreError> {
    let Some(database) = &config.database else {
        return Ok(Arc::new(SqliteStore::open(&config.data, options)?));
    };
    let password = connect::read(database.password.as_ref()).map_err(|e| StoreError::Failed(e.to_string()))?;
    let options = postgres::Options {
        url: database.url.clone(),
        password,
        direct: database.direct.clone(),
        pooler: database.pooler,
        connections: database.connections,
    };
    Ok(Arc::new(PostgresStore::open(&options).await?))
}

/// As [`open_store`], for a node that starts while its database is away: it waits.
async fn open_when_there(config: &Config, options: SqliteOptions) -> Result<Arc<dyn Store>, StoreError> {
    loop {
        match open_store(config, options).await {
            Err(StoreError::Away(why)) => {
                tracing::warn!(why, "the database is away; trying again");
                tokio::time::sleep(AWAY).await;
            }
            other => return other,
        }
    }
}

/// Between tries to reach a database that is away.
const AWAY: Duration = Duration::from_secs(1);

/// Starts a server and answers once it serves. Until then it listens already, and says that it starts.
pub async fn start(config: Config, options: Options) -> Result<Running, StartError> {
    crate::metrics::start(&config.data);
    let targets = Targets::new(&config, &options.connectors)?;
    let given = options.clock.is_some();
    let clock = options.clock.unwrap_or_else(|| Arc::new(SystemClock));
    let tls = config.tls.clone().map(|files| tls::Current::load(files, clock.now())).transpose()?;
    let acceptor = tls.as_ref().map(tls::Current::acceptor).transpose()?;
    let listen = options.listen.unwrap_or_else(|| config.listen.clone());
    let refused = |e| StartError::Listen(listen.clone(), e);
    let listener = TcpListener::bind(&listen).await.map_err(refused)?;
    let addr = listener.local_addr().map_err(refused)?;
    let url = config.url_for(&reachable(addr).to_string());
    let origin = config.origin(&addr.to_string());
    tracing::info!(%addr, url, "starting");
    let gate = Arc::new(Gate::default());
    let (stop, stopping) = watch::channel(false);
    let serving = listen::serve(listener, acceptor, gate.clone(), stopping.clone());
    let mut tasks = Tasks(vec![tokio::spawn(serving)]);
    if let Some(tls) = tls {
        tasks.0.push(tokio::spawn(tls.follow(clock.clone(), stopping.clone())));
    }

    let store = open_when_there(&config, options.sqlite).await?;
    let lock = if config.database.is_none() { Some(lock(&config.data)?) } else { None };
    let clock = if given { clock } else { store.clock().unwrap_or(clock) };
    store.reclaim().await?;
    let people = People::load(&*store).await?;
    let auth = Auth::load(&*store).await?;
    let drain = config.drain;
    let app = App(Arc::new(Inner {
        name: config.name,
        catalogue_hash: config.catalogue.hash(),
        catalogue: config.catalogue,
        store,
        tail: Default::default(),
        clock,
        people,
        auth,
        spread: config.spread,
        limits: RateLimits::new(config.limits),
        trusted_proxies: config.trusted_proxies,
        targets,
        work: Notify::new(),
        stopping,
    }));
    publish(&app, &url).await?;
    tasks.0.extend([
        tokio::spawn(jobs::run(app.clone())),
        tokio::spawn(reconcile::run(app.clone())),
        tokio::spawn(Auth::follow(app.clone())),
        tokio::spawn(follow(app.clone())),
    ]);
    gate.open(router::router(app.clone()));
    tracing::info!(%addr, url, "listening");
    Ok(Running { addr, origin, url, app, drain, gate, stop, tasks, _lock: lock })
}

/// “Every address” is no address to connect to; from this machine, loopback is.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match addr.ip() {
        ip if !ip.is_unspecified() => return addr,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, addr.port())
}

impl Running {
    /// Says that it stops for as long as is configured; then ends streams and connections, lets running jobs finish
    /// for a while, and answers when all is still.
    pub async fn shutdown(mut self) {
        self.gate.drain();
        tokio::time::sleep(self.drain).await;
        let _ = self.stop.send(true);
        for task in &mut self.tasks.0 {
            // A task only fails by a panic, which is logged where it happens.
            let _ = task.await;
        }
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.app.store
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// Reads the people again when another process changed them.
async fn follow(app: App) {
    let mut outside = app.store.outside();
    loop {
        tokio::select! {
            changed = outside.changed() => if changed.is_err() { return },
            () = app.stopped() => return,
        }
        if let Err(error) = app.people.reload(&*app.store).await {
            tracing::warn!(%error, "could not read the people again");
        }
    }
}

/// Logs the catalogue when it is another than last time, and keeps where this server listens.
async fn publish(app: &App, url: &str) -> Result<(), StoreError> {
    const PUBLISHED: &str = "catalogue";
    let mut change = Change { settings: vec![(EFFECTIVE_URL, url.to_owned())], ..Change::default() };
    if app.store.setting(PUBLISHED).await?.as_deref() != Some(app.catalogue_hash.0.as_str()) {
        change.settings.push((PUBLISHED, app.catalogue_hash.0.clone()));
        change.events.push(Event {
            id: EventId(Uuid::now_v7()),
            at: app.clock.now(),
            by: By::Gatepass,
            request: None,
            fact: Fact::CataloguePublished { catalogue: app.catalogue_hash.clone() },
            command: None,
        });
    }
    app.commit(change).await.map(|_| ())
}

/// One server per data directory. SQLite's own lock ends with the process, however it ends.
pub(crate) fn lock(data: &Path) -> Result<rusqlite::Connection, StartError> {
    let in_use = |_| StartError::InUse(data.display().to_string());
    let db = rusqlite::Connection::open(data.join("serving.lock")).map_err(in_use)?;
    db.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;").map_err(in_use)?;
    Ok(db)
}

/// Checks that a configuration can be served, without connecting to anything.
pub fn check(config: &Config, now: Time) -> Result<(), ConfigError> {
    Targets::new(config, &BTreeMap::new())?;
    let ended = config.tls.as_ref().map_or(Ok(()), |files| tls::check_end(files, now));
    ended.map_err(|error| ConfigError { lines: vec![format!("{}: {error}", config.file.display())] })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_link_names_an_address_that_can_be_connected_to() {
        for (listen, link) in
            [("0.0.0.0:7420", "127.0.0.1:7420"), ("[::]:7420", "[::1]:7420"), ("10.1.2.3:80", "10.1.2.3:80")]
        {
            assert_eq!(reachable(listen.parse().unwrap()), link.parse().unwrap());
        }
    }
}
