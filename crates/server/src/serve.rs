//! Starting and stopping.

use crate::Time;
use crate::app::{App, Inner};
use crate::auth::Auth;
use crate::clock::{Clock, SteadyClock, SystemClock};
use crate::config::{Config, ConfigError};
use crate::connect::{self, Targets};
use crate::gate::Gate;
use crate::limits::RateLimits;
use crate::people::People;
use crate::seen::{self, Held};
use crate::signing::{KeyError, Signing, SigningError};
use crate::store::postgres::{self, PostgresStore};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Store, StoreError};
use crate::tls::{self, TlsError};
use crate::witness::{self, Witnesses};
use crate::{jobs, listen, publish, reconcile, retention, router, signing};
use gatepass_connectors::Connector;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

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
    #[error(transparent)]
    Signing(SigningError),
    #[error("the log’s witnesses can’t be asked: {0}")]
    Witnesses(#[from] reqwest::Error),
    #[error(
        "a worker works for the servers that share a PostgreSQL, and this configuration has none: set “database”, or \
         run “gatepass-server serve”, which does the work itself"
    )]
    Alone,
    #[error("another server already runs on {0}")]
    InUse(String),
    #[error("cannot listen on {0}: {1}")]
    Listen(String, std::io::Error),
}

impl From<SigningError> for StartError {
    fn from(error: SigningError) -> Self {
        match error {
            SigningError::Key(KeyError::Store(error)) => Self::Store(error),
            error => Self::Signing(error),
        }
    }
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
pub(crate) struct Tasks(pub Vec<JoinHandle<()>>);

impl Tasks {
    /// Waits until all have ended.
    pub async fn end(&mut self) {
        for task in &mut self.0 {
            // A task only fails by a panic, which is logged where it happens.
            let _ = task.await;
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

/// Opens the store of a configuration: SQLite in its data directory, made if need be, or the shared PostgreSQL.
pub async fn open_store(config: &Config, options: SqliteOptions) -> Result<Arc<dyn Store>, StoreError> {
    if let Some(options) = shared_database(config)? {
        return Ok(Arc::new(PostgresStore::open(&options).await?));
    }
    let store = SqliteStore::open(&config.data, options)?;
    match store.setting(MOVED).await? {
        None => Ok(Arc::new(store)),
        Some(to) => Err(StoreError::Failed(format!(
            "what is in {} was moved to {to}: set “database” in the configuration. To go back to what is here, and lose \
             what happened since, “backup” it and “restore” that",
            config.data.display()
        ))),
    }
}

/// The setting of a directory that was moved: where to.
pub(crate) const MOVED: &str = "moved_to";

/// How the PostgreSQL of a configuration is reached, if it has one.
pub fn shared_database(config: &Config) -> Result<Option<postgres::Options>, StoreError> {
    let Some(database) = &config.database else { return Ok(None) };
    let password =
        connect::read(database.password.as_ref()).map_err(|e| StoreError::Failed(e.to_string()))?;
    Ok(Some(postgres::Options {
        url: database.url.clone(),
        password,
        direct: database.direct.clone(),
        pooler: database.pooler,
        connections: database.connections,
    }))
}

/// Until the database is there: a node whose database is away, or goes away while it starts, waits for it.
async fn when_there<T, E: Away, F: Future<Output = Result<T, E>>>(what: impl Fn() -> F) -> Result<T, E> {
    loop {
        match what().await {
            Err(error) if error.away().is_some() => {
                tracing::warn!(why = error.away(), "the database is away; trying again");
                tokio::time::sleep(AWAY).await;
            }
            other => return other,
        }
    }
}

/// What may only say that the database is away.
trait Away {
    fn away(&self) -> Option<&str>;
}

impl Away for StoreError {
    fn away(&self) -> Option<&str> {
        match self {
            Self::Away(why) => Some(why),
            _ => None,
        }
    }
}

impl Away for SigningError {
    fn away(&self) -> Option<&str> {
        match self {
            Self::Key(KeyError::Store(error)) => error.away(),
            _ => None,
        }
    }
}

/// Between tries to reach a database that is away.
const AWAY: Duration = Duration::from_secs(1);

/// Starts a server and answers once it serves. Until then it listens already, and says that it starts.
pub async fn start(config: Config, options: Options) -> Result<Running, StartError> {
    crate::metrics::start(&config.data);
    let targets = Targets::new(&config, &options.connectors)?;
    connect::make_missing(&config)?;
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

    let (workers, drain) = (config.workers, config.drain);
    let clock = if given { Some(clock) } else { None };
    let (app, lock) = assemble(config, targets, clock, options.sqlite, stopping, true).await?;
    when_there(|| publish::publish(&app, &url)).await?;
    if let Some(signing) = &app.signing
        && let Err(error) = signing.sign(&app).await
    {
        // It serves all the same, and tries again.
        tracing::error!(%error, alarm = true, "the log is not signed yet");
    }
    tasks.0.push(tokio::spawn(signing::follow(app.clone())));
    tasks.0.push(tokio::spawn(witness::follow(app.clone())));
    tasks.0.extend([tokio::spawn(Auth::follow(app.clone())), tokio::spawn(follow(app.clone()))]);
    tasks.0.push(tokio::spawn(seen::follow(app.clone())));
    tasks.0.push(tokio::spawn(retention::run(app.clone())));
    if workers {
        tasks.0.extend(work(&app));
    }
    gate.open(router::router(app.clone()));
    tracing::info!(%addr, url, "listening");
    Ok(Running { addr, origin, url, app, drain, gate, stop, tasks, _lock: lock })
}

/// What every node is made of, once its store is there. `clock` instead of the store's or the machine's. A node that
/// serves nobody signs nothing.
pub(crate) async fn assemble(
    config: Config,
    targets: Targets,
    clock: Option<Arc<dyn Clock>>,
    sqlite: SqliteOptions,
    stopping: watch::Receiver<bool>,
    signs: bool,
) -> Result<(App, Option<rusqlite::Connection>), StartError> {
    let store = when_there(|| open_store(&config, sqlite)).await?;
    let lock = if config.database.is_none() { Some(lock(&config.data)?) } else { None };
    let clock = match clock {
        Some(given) => given,
        None => when_there(|| clock_of(&*store)).await?,
    };
    let signing = if signs {
        Some(when_there(|| Signing::of(&*store, &config.log_key, &config.name, &config.data)).await?)
    } else {
        None
    };
    let witnesses = if signs { Witnesses::of(&config.witnesses)? } else { None };
    let held = Held::new(&config.data, when_there(|| seen::lost(&*store, &config.data)).await?);
    if let Some(known) = seen::time(&config.data) {
        clock.at_least(known);
    }
    targets.remember_in(store.clone());
    when_there(|| store.reclaim()).await?;
    let people = when_there(|| People::load(&*store)).await?;
    let auth = when_there(|| Auth::load(&*store)).await?;
    let app = App(Arc::new(Inner {
        name: config.name,
        catalogue_hash: config.catalogue.hash(),
        catalogue: config.catalogue,
        retention: config.retention,
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
        suspects: Default::default(),
        away: Default::default(),
        clocks: Default::default(),
        held,
        signing,
        witnesses,
        stopping,
    }));
    if let Err(error) = seen::begin(&app).await {
        // It serves all the same: only an old copy of the database would not be noticed.
        tracing::error!(%error, alarm = true, "what was seen of the log is not kept");
    }
    Ok((app, lock))
}

/// The time that a node goes by: no earlier than the newest events, whatever the clock says at the start.
async fn clock_of(store: &dyn Store) -> Result<Arc<dyn Clock>, StoreError> {
    let clock = store.clock().unwrap_or_else(|| Arc::new(SteadyClock::new()));
    if let Some(newest) = crate::log::newest(store).await? {
        clock.at_least(newest);
    }
    Ok(clock)
}

/// Jobs and reconciling: what a node does by itself.
pub(crate) fn work(app: &App) -> [JoinHandle<()>; 2] {
    [tokio::spawn(jobs::run(app.clone())), tokio::spawn(reconcile::run(app.clone()))]
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
        self.tasks.end().await;
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
pub(crate) async fn follow(app: App) {
    let mut outside = app.store.outside();
    loop {
        tokio::select! {
            changed = outside.changed() => if changed.is_err() { return },
            () = app.stopped() => return,
        }
        if let Err(error) = app.people.reload(&*app.store).await {
            tracing::warn!(%error, "could not read the people again");
        }
        // It may also have left work to do.
        app.work.notify_one();
    }
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

    #[tokio::test(start_paused = true)]
    async fn a_database_that_goes_away_during_the_start_is_waited_for() {
        let left = std::sync::atomic::AtomicU32::new(3);
        let gone = || StoreError::Away("connection closed".to_owned());
        let started = when_there(|| async {
            match left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) {
                1 => Ok("there"),
                _ => Err(gone()),
            }
        });
        assert_eq!(started.await, Ok("there"));
        assert_eq!(when_there(|| async { Err::<(), _>(StoreError::Full) }).await, Err(StoreError::Full));
    }
}
