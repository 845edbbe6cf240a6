#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! For tests: a server in the process, people with device keys, a target in memory and a clock of the test's own.

pub mod database;
pub mod forge;
mod someone;

pub use someone::{Someone, salted};

use crate::Time;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::invite::{Invitation, Invited, invite};
use crate::store::sqlite::SqliteOptions;
use crate::store::{Stored, postgres};
use crate::{Options, Running};
use async_trait::async_trait;
use chrono::TimeDelta;
use database::Database;
use gatepass_connectors::Connector;
use gatepass_connectors::fake::Fake;
use gatepass_core::event::Event;
use gatepass_core::wire::Enrolled;
use gatepass_log::{LogKey, origin};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::watch;

/// How long a test waits for something that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A catalogue over the target `pg`, which the harness makes a [`Fake`].
pub const CATALOGUE: &str = r#"
[[target]]
id = "pg"
kind = "fake"

[[resource]]
id = "orders-db"
name = "Orders database"
environment = "production"
target = "pg"

[[resource.role]]
id = "read"
name = "Read"
grants = ["orders_reader"]
ask = ["backend", "support"]
approve = []
default = "1h"
max = "8h"

[[resource.role]]
id = "write"
name = "Read and write"
grants = ["orders_writer"]
ask = ["backend"]
approve = [{ from = ["dba"], count = 1 }, { from = ["oncall"], count = 1 }]
default = "30m"
max = "2h"
lapse = "8h"
reason = "required"
ticket = '^INC-[0-9]+$'
"#;

/// A clock that only a test moves.
pub struct TestClock(watch::Sender<Time>);

impl TestClock {
    pub fn new(now: Time) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(now)))
    }

    pub fn advance(&self, by: TimeDelta) {
        self.0.send_modify(|now| *now += by);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Time {
        *self.0.borrow()
    }

    async fn sleep_until(&self, due: Time) {
        // The clock lives as long as its server.
        let _ = self.0.subscribe().wait_for(|now| *now >= due).await;
    }
}

/// What a test may choose about its server.
pub struct Setup {
    pub catalogue: String,
    pub clock: Arc<dyn Clock>,
    pub fake: Fake,
    /// More lines of `[server]`.
    pub server: String,
    pub sqlite: SqliteOptions,
    /// A database that is there already; otherwise one of the server's own, of the kind of [`shared`].
    pub database: Option<postgres::Options>,
}

/// Whether servers of this test program keep their state in PostgreSQL: the programs named `on_postgres…` do. The
/// same tests run in both kinds.
pub fn shared() -> bool {
    static SHARED: LazyLock<bool> = LazyLock::new(|| {
        let program = std::env::current_exe().expect("this program has a name");
        program.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("on_postgres"))
    });
    *SHARED
}

/// Lines of `[server]` for a database, its password in a file of `folder`.
pub fn database_lines(options: &postgres::Options, folder: &Path) -> String {
    std::fs::write(folder.join("database-password"), options.password.expose_secret())
        .expect("write the password");
    let direct = options.direct.as_ref().map(|url| format!(", direct = \"{url}\"")).unwrap_or_default();
    format!(
        "database = \"{}\"\npostgres = {{ password_file = \"database-password\", pooler = {}, connections = {}{direct} }}",
        options.url, options.pooler, options.connections
    )
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            catalogue: CATALOGUE.to_owned(),
            clock: Arc::new(SystemClock),
            fake: Fake::new(),
            server: String::new(),
            sqlite: SqliteOptions::default(),
            database: None,
        }
    }
}

/// A server in this process with a directory, and where they are shared a database, of its own.
pub struct TestServer {
    pub running: Option<Running>,
    pub config: Config,
    pub fake: Fake,
    pub clock: Arc<dyn Clock>,
    pub http: reqwest::Client,
    pub url: String,
    /// Taken at the next [`Self::up`].
    pub sqlite: SqliteOptions,
    /// Its own, when it keeps its state in one.
    pub database: Option<Database>,
    _directory: tempfile::TempDir,
    finished: bool,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await.expect("an answer is read whole");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    /// The body as `T`; fails the test unless the answer is a success.
    pub fn get<T: serde::de::DeserializeOwned>(&self) -> T {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        serde_json::from_value(self.body.clone()).expect("the answer has its type")
    }

    /// The problem's code.
    pub fn code(&self) -> &str {
        assert!(self.status >= 400, "{} {}", self.status, self.body);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["status"], self.status);
        self.body["code"].as_str().expect("a problem has a code")
    }
}

impl TestServer {
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let database =
            if shared() && setup.database.is_none() { Some(Database::fresh().await) } else { None };
        let options = setup.database.or_else(|| database.as_ref().map(Database::options));
        let lines = options.map(|o| database_lines(&o, directory.path())).unwrap_or_default();
        let text = format!(
            "[server]\nname = \"test/gatepass\"\nlisten = \"127.0.0.1:0\"\ndata = \"./data\"\n{lines}\n{}\n{}",
            setup.server, setup.catalogue
        );
        let config = Config::parse(&text, &directory.path().join("gatepass.toml")).expect("a configuration");
        log_key(&config);
        let mut server = Self {
            running: None,
            config,
            fake: setup.fake,
            clock: setup.clock,
            http: reqwest::Client::new(),
            url: String::new(),
            sqlite: setup.sqlite,
            database,
            _directory: directory,
            finished: false,
        };
        server.up().await;
        server
    }

    /// Starts it, again over the same data.
    pub async fn up(&mut self) {
        let fake: Arc<dyn Connector> = Arc::new(self.fake.clone());
        let options = Options {
            listen: None,
            clock: Some(self.clock.clone()),
            connectors: BTreeMap::from([("pg".to_owned(), fake)]),
            sqlite: self.sqlite,
        };
        let running = crate::start(self.config.clone(), options).await.expect("the server starts");
        self.url = running.url.clone();
        self.running = Some(running);
    }

    pub async fn down(&mut self) {
        if let Some(running) = self.running.take() {
            tokio::time::timeout(PATIENCE, running.shutdown()).await.expect("the server stops in time");
        }
    }

    pub fn store(&self) -> &Arc<dyn crate::store::Store> {
        self.running.as_ref().expect("the server runs").store()
    }

    pub async fn invite(&self, handle: &str, groups: &[&str], auditor: bool, admin: bool) -> Invited {
        let invitation = Invitation {
            handle: handle.to_owned(),
            name: format!("{}{}", handle[..1].to_uppercase(), &handle[1..]),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            auditor,
            admin,
        };
        let now = self.clock.now();
        invite(&**self.store(), &self.config, invitation, now).await.expect("invited")
    }

    /// A person in `groups` with one device that joined.
    pub async fn person(&self, handle: &str, groups: &[&str]) -> Someone {
        let invited = self.invite(handle, groups, false, false).await;
        self.join(&invited).await
    }

    pub async fn auditor(&self, handle: &str) -> Someone {
        let invited = self.invite(handle, &[], true, false).await;
        self.join(&invited).await
    }

    pub async fn admin(&self, handle: &str) -> Someone {
        let invited = self.invite(handle, &[], false, true).await;
        self.join(&invited).await
    }

    /// The invited person's new device joins and signs in.
    pub async fn join(&self, invited: &Invited) -> Someone {
        let mut someone = Someone::new(self);
        let joined = someone.enroll(code_of(invited)).await;
        someone.id = joined.get::<Enrolled>().person.id;
        someone.sign_in().await;
        someone
    }

    /// Every event of the log, with positions.
    pub async fn events(&self) -> Vec<(u64, Event)> {
        let slice = self.store().entries(0, usize::MAX >> 1).await.expect("the log reads");
        let read = |e: Stored| (e.seq, serde_json::from_str(e.body.get()).expect("an event reads back"));
        slice.entries.into_iter().map(read).collect()
    }

    /// The kinds of the events so far.
    pub async fn kinds(&self) -> Vec<&'static str> {
        self.events().await.iter().map(|(_, e)| e.fact.kind()).collect()
    }

    /// Waits until everything that was committed is in the log.
    pub async fn placed(&self) {
        if let Some(database) = &self.database {
            database.placed().await;
        }
    }

    /// Waits until the log has `count` events of `kind`.
    pub async fn until(&self, kind: &str, count: usize) {
        let mut heads = self.store().heads();
        let reached = async {
            while self.kinds().await.iter().filter(|k| **k == kind).count() < count {
                heads.changed().await.expect("the store is open");
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("no {count} × {kind} in {:?}", self.kinds().await);
        }
    }

    /// Ends the test: nothing may be left to do.
    pub async fn finish(self) {
        self.finish_leaving(0).await;
    }

    /// As [`Self::finish`], for a test that means to leave so many jobs.
    pub async fn finish_leaving(mut self, jobs: u64) {
        self.finished = true;
        let store = self.store().clone();
        self.down().await;
        let backlog = store.backlog().await.expect("the store reads");
        assert_eq!(backlog.jobs, jobs, "jobs left behind");
        if jobs == 0 {
            assert!(self.fake.accesses().is_empty(), "accesses left on the target");
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        assert!(self.finished || std::thread::panicking(), "a test ends with finish()");
    }
}

/// Puts the key of every test's log where the configuration has it: nodes that share a database have it in common.
pub fn log_key(config: &Config) {
    let (file, folder) = (&config.log_key, config.log_key.parent().expect("it is in a folder"));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).expect("the folder is made");
    let key = LogKey::generate(&origin(&config.name), &[7; 32]);
    let mut new = std::fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(file)
        .expect("a file");
    new.write_all(key.as_bytes()).expect("the key is written");
}

/// The code in an invite's link.
pub fn code_of(invited: &Invited) -> &str {
    invited.link.split("code=").nth(1).expect("a link has a code")
}
