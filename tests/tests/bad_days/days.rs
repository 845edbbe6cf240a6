//! Real nodes on one real PostgreSQL, the ways between them breakable, a target, and two people with a device each.

use crate::history;
use crate::load::{Load, Outcome};
use gatepass_core::Time;
use gatepass_core::command::Command as Wish;
use gatepass_core::id::PersonId;
use gatepass_core::wire::{Accepted, GrantState, GrantView, Verdict};
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::config::Config;
use gatepass_server::invite::{Invitation, invite};
use gatepass_server::store::Store;
use gatepass_server::testing::database::{SERVICE, SERVICE_PASSWORD, prepare};
use gatepass_server::testing::{Someone, code_of, salted};
use gatepass_testkit::Proxy;
use gatepass_testkit::postgres::{ADMIN_PASSWORD, Postgres};
use gatepass_tests::process::Process;
use gatepass_tests::{bins, eventually, until};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

/// How late an access may end once everything is well again, on a loaded machine.
pub const BOUND: Duration = Duration::from_secs(10);

/// One `gatepass-server serve`, its ways to the database, and its way to the target.
pub struct Node {
    pub database: Proxy,
    /// Where it listens for notifications.
    pub listening: Proxy,
    pub target: Proxy,
    pub process: Option<Process>,
    pub url: String,
    config: PathBuf,
    env: Vec<(String, String)>,
}

/// A database server and what is to become of it.
pub enum Database {
    /// Nobody breaks it; others use it too.
    Shared,
    Own(Postgres),
}

pub struct Days {
    pub nodes: Vec<Node>,
    pub http: reqwest::Client,
    pub tomas: Arc<Someone>,
    pub dana: Arc<Someone>,
    pub name: String,
    database: Option<Postgres>,
    target: String,
    dir: TempDir,
}

fn target() -> &'static Postgres {
    static TARGET: OnceLock<Postgres> = OnceLock::new();
    TARGET.get_or_init(Postgres::orders)
}

fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::start)
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://{SERVICE}@127.0.0.1:{port}/{database}")
}

impl Days {
    /// Nodes that serve, each with these variables of its environment more; tomas may ask, dana approve.
    pub async fn with(database: Database, environments: &[&[(&str, &str)]]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (name, at) = (format!("gatepass_{number}"), format!("orders_{number}"));
        let database = match database {
            Database::Shared => None,
            Database::Own(server) => Some(server),
        };
        let server = database.as_ref().unwrap_or_else(|| shared());
        {
            // The roles belong to the whole server.
            static PREPARING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
            let _one = PREPARING.lock().await;
            prepare(server, &name).await;
        }
        target().orders_again(&at);
        let dir = tempfile::Builder::new().prefix("gatepass-days-").tempdir().expect("a directory");
        fs::write(dir.path().join("service-password"), SERVICE_PASSWORD).expect("write the password");
        fs::write(dir.path().join("orders-password"), ADMIN_PASSWORD).expect("write the password");
        let mut nodes = Vec::new();
        for (number, env) in environments.iter().enumerate() {
            let [database, listening] = [(); 2].map(|()| Proxy::to(server.port()));
            let way = Proxy::to(target().port());
            let text = CONFIG
                .replace("NUMBER", &number.to_string())
                .replace("DATABASE", &url(database.port(), &name))
                .replace("LISTENING", &url(listening.port(), &name))
                .replace("TARGET", &format!("postgres://gatepass_admin@127.0.0.1:{}/{at}", way.port()));
            let config = dir.path().join(format!("node-{number}.toml"));
            fs::write(&config, text).expect("write the configuration");
            let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let mut node =
                Node { database, listening, target: way, process: None, url: String::new(), config, env };
            node.serve(dir.path());
            nodes.push(node);
        }
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let (tomas, dana) = {
            let config = nodes[0].read();
            let store = gatepass_server::open_store(&config, Default::default()).await.expect("the store");
            let person = async |handle: &str, group: &str| {
                join(&*store, &config, &http, &nodes[0].url, handle, group).await
            };
            (person("tomas", "backend").await, person("dana", "dba").await)
        };
        Self { nodes, http, tomas, dana, name, database, target: at, dir }
    }

    pub async fn two(database: Database) -> Self {
        Self::with(database, &[&[], &[]]).await
    }

    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub fn database(&mut self) -> &mut Postgres {
        self.database.as_mut().expect("a database of its own")
    }

    /// Runs SQL in the nodes' database as the superuser.
    pub fn psql(&self, sql: &str) -> String {
        self.database.as_ref().unwrap_or_else(|| shared()).psql(&self.name, sql)
    }

    /// A session of the superuser in the nodes' database.
    pub async fn session(&self) -> tokio_postgres::Client {
        let server = self.database.as_ref().unwrap_or_else(|| shared());
        server.psql("postgres", "ALTER ROLE postgres PASSWORD 'somebody'");
        let at = server.url("postgres", "somebody", &self.name);
        let (client, connection) =
            tokio_postgres::connect(&at, tokio_postgres::NoTls).await.expect("the superuser gets in");
        tokio::spawn(connection);
        client
    }

    /// From now on the nodes' ways lead to another server.
    pub fn lead_to(&self, port: u16) {
        for node in &self.nodes {
            node.database.lead_to(port);
            node.listening.lead_to(port);
        }
    }

    /// Every node gives up what it had signed and the database does not have, and starts again.
    pub fn recover(&mut self) {
        let folder = self.folder().to_owned();
        for node in &mut self.nodes {
            node.process = None;
            let mut command = Command::new(bins::path("gatepass-server"));
            command.args(["log", "recover", "--config"]).arg(&node.config);
            let said = String::from_utf8_lossy(&command.output().expect("it runs").stdout).into_owned();
            assert!(said.contains("What came after is given up"), "{said}");
            node.serve(&folder);
        }
    }

    /// `workers` devices' worth of writes at all nodes, until it is stopped.
    pub fn load(&self, workers: usize) -> Load {
        let urls = self.nodes.iter().map(|n| n.url.clone()).collect();
        Load::start(self.http.clone(), self.tomas.clone(), urls, workers)
    }

    /// Tomas gets access for so many seconds; answers it once it is set up.
    pub async fn access(&self, node: usize, seconds: u32) -> GrantView {
        let asked = self.ask(node, seconds).await;
        self.grant(node, &asked, GrantState::Active).await
    }

    /// Asks until it is taken: the database may still be refusing some.
    pub async fn ask(&self, node: usize, seconds: u32) -> Accepted {
        let tomas = self.at(node, &self.tomas);
        eventually("an access is asked for", async || {
            let answer = tomas.ask_because("read", seconds, None, None).await;
            (answer.status != 503).then(|| answer.get())
        })
        .await
    }

    /// Waits until the access is in `state`, as this node tells it.
    pub async fn grant(&self, node: usize, asked: &Accepted, state: GrantState) -> GrantView {
        let id = asked.grant.as_ref().expect("a grant").id;
        let tomas = self.at(node, &self.tomas);
        until(&format!("the access is {state:?}"), Duration::from_secs(60), async || {
            let answer = tomas.get(&format!("/v1/grants/{id}")).await;
            let view: GrantView = (answer.status == 200).then(|| answer.get())?;
            (view.state == state).then_some(view)
        })
        .await
    }

    /// Dana approves a request of the role `fix`; the answer's status and code.
    pub async fn approve(&self, node: usize, asked: &Accepted) -> (u16, Value) {
        let dana = self.at(node, &self.dana);
        let shown = dana.request(asked.request.id).await;
        let answer = dana.decide(&shown, Verdict::Approve, None).await;
        (answer.status, answer.body["code"].clone())
    }

    /// The person's device, speaking to this node.
    pub fn at(&self, node: usize, person: &Someone) -> Someone {
        person.at(&self.nodes[node].url)
    }

    /// How many logins are on the target.
    pub fn logins(&self) -> u32 {
        let sql = format!(
            "SELECT count(*) FROM pg_roles r JOIN pg_shdescription d ON d.objoid = r.oid
             WHERE d.description LIKE 'gatepass:% on {}'",
            self.target
        );
        target().psql("orders", &sql).parse().expect("a number")
    }

    /// Whether a secret lets somebody in at the target.
    pub fn opens(&self, secret: &gatepass_core::wire::Secret) -> bool {
        let gatepass_core::wire::Secret::Postgres { url } = secret else { panic!("of PostgreSQL") };
        // It names the way that the node took.
        let rest = url.split_once("@127.0.0.1:").and_then(|(_, rest)| rest.split_once('/'));
        let (port, _) = rest.expect("a port");
        let there = url.replace(&format!(":{port}/"), &format!(":{}/", target().port()));
        target().psql_at(&there, "SELECT count(*) FROM orders").is_ok()
    }

    /// Waits until nothing is left on the target, and sees that it was so in time after `end`.
    pub async fn nothing_left(&self, end: Time, bound: Duration) {
        until("nothing is left on the target", bound + Duration::from_secs(60), async || {
            (self.logins() == 0).then_some(())
        })
        .await;
        let late = SystemClock.now() - end;
        assert!(late <= chrono::TimeDelta::from_std(bound).expect("a bound"), "{late} late");
    }

    /// A metric of this node; the sum over its labels.
    pub async fn metric(&self, node: usize, name: &str) -> f64 {
        let text = self.http.get(format!("{}/metrics", self.nodes[node].url)).send().await.expect("metrics");
        let text = text.text().await.expect("text");
        let of =
            text.lines().filter(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        of.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Everything is well again: the nodes write, nothing waits, and the log has what was acknowledged.
    pub async fn well(&self, outcome: &Outcome) {
        for node in 0..self.nodes.len() {
            eventually("the node writes again", async || {
                let tomas = self.at(node, &self.tomas);
                (tomas.ask("fix", 60).await.status == 201).then_some(())
            })
            .await;
        }
        eventually("every event has its place", async || {
            (self.psql("SELECT count(*) FROM outbox") == "0").then_some(())
        })
        .await;
        assert_eq!(outcome.lies, Vec::<String>::new(), "what devices were told");
        let store =
            gatepass_server::open_store(&self.nodes[0].read(), Default::default()).await.expect("the store");
        history::holds(&*store, outcome).await;
    }
}

impl Node {
    pub fn read(&self) -> Config {
        Config::load(&self.config).expect("a right configuration")
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// From its next start on it does no work on targets.
    pub fn leave_the_work(&self) {
        let text = fs::read_to_string(&self.config).expect("its configuration");
        fs::write(&self.config, text.replace("[server]\n", "[server]\nworkers = false\n")).expect("write it");
    }

    /// A `gatepass-server worker` with this node's configuration.
    pub fn work(&self, logs: &Path) -> Process {
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg("worker").arg("--config").arg(&self.config);
        let (process, line) = Process::start_until_line("worker", &command, logs);
        assert_eq!(line, "working");
        process
    }

    pub fn serve(&mut self, logs: &Path) {
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg("serve").arg("--config").arg(&self.config).envs(self.env.iter().cloned());
        let name = self.config.file_stem().expect("a name").to_string_lossy().into_owned();
        let (process, line) = Process::start_until_line(&name, &command, logs);
        self.url = line.strip_prefix("listening on ").expect("where it listens").to_owned();
        self.process = Some(process);
    }
}

async fn join(
    store: &dyn Store,
    config: &Config,
    http: &reqwest::Client,
    url: &str,
    handle: &str,
    group: &str,
) -> Arc<Someone> {
    let invitation = Invitation {
        handle: handle.to_owned(),
        name: handle.to_owned(),
        groups: [group.to_owned()].into(),
        auditor: false,
        admin: false,
    };
    let invited = invite(store, config, invitation, SystemClock.now()).await.expect("invited");
    let mut someone = Someone::of(http.clone(), url.to_owned(), Arc::new(SystemClock));
    let joined = someone.enroll(code_of(&invited)).await;
    someone.id = joined.get::<gatepass_core::wire::Enrolled>().person.id;
    assert_ne!(someone.id, PersonId(Uuid::nil()));
    someone.sign_in().await;
    Arc::new(someone)
}

/// What a device asks: the role that needs an approval, so that nothing else follows.
pub fn asking(someone: &Someone) -> gatepass_core::wire::Submit {
    let reason = salted("stuck orders");
    let command = Wish::Create {
        resource: "orders-db".to_owned(),
        role: "fix".to_owned(),
        duration_s: 60,
        reason: reason.digest(),
        ticket: None,
        ssh_key: None,
    };
    let texts = vec![reason];
    gatepass_core::wire::Submit { command: someone.sign(command), texts }
}

/// Problem codes, counted.
pub type Codes = BTreeMap<String, usize>;

const CONFIG: &str = r#"
[server]
name = "example.com/gatepass"
listen = "127.0.0.1:0"
data = "./data-NUMBER"
database = "DATABASE"
limits = { per_second = 10000, burst = 10000 }
[server.postgres]
password_file = "./service-password"
direct = "LISTENING"
connections = 8

[log]
key_file = "./log.key"

[[target]]
id = "orders-pg"
kind = "postgres"
url = "TARGET"
password_file = "./orders-password"

[[resource]]
id = "orders-db"
name = "Orders database"
environment = "production"
target = "orders-pg"

[[resource.role]]
id = "read"
name = "Read"
grants = ["orders_reader"]
ask = ["backend"]
approve = []
default = "1m"
max = "8h"

[[resource.role]]
id = "fix"
name = "Fix one row"
grants = ["orders_writer"]
ask = ["backend"]
approve = [{ from = ["dba"], count = 1 }]
default = "10m"
max = "1h"
lapse = "8h"
"#;
