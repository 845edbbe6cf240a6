//! Three nodes on one PostgreSQL, each way between them breakable, and the faults of a plan done to them.

use super::balancer::Balancer;
use super::check::Trouble;
use super::plan::{Fault, NODES, PEOPLE};
use crate::bins;
use crate::process::Process;
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::config::Config;
use gatepass_server::invite::{Invitation, invite};
use gatepass_server::testing::database::{SERVICE, SERVICE_PASSWORD, prepare};
use gatepass_testkit::Proxy;
use gatepass_testkit::postgres::{ADMIN_PASSWORD, Postgres};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

const TEMPLATE: &str = "soak_template";
/// A node starts within this on a loaded machine, its database away for a while.
const START: Duration = Duration::from_secs(60);
/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(10);
/// What it then says, and its port.
const LISTENING: &str = "listening on http://127.0.0.1:";

/// What all runs of one program share: the PostgreSQL that the nodes keep their state in, and the one that they give
/// access to.
pub struct Machines {
    database: Arc<tokio::sync::Mutex<Postgres>>,
    port: u16,
    pub target: Postgres,
}

impl Machines {
    pub async fn start() -> Self {
        let [database, target] = [Postgres::start, Postgres::orders].map(tokio::task::spawn_blocking);
        let (database, target) = (database.await.expect("a database"), target.await.expect("a target"));
        prepare(&database, TEMPLATE).await;
        let port = database.port();
        Self { database: Arc::new(tokio::sync::Mutex::new(database)), port, target }
    }

    /// Where the nodes' role gets to a database, with its password.
    pub async fn url(&self, database: &str) -> String {
        self.database.lock().await.url(SERVICE, SERVICE_PASSWORD, database)
    }

    /// Runs SQL as the superuser, when no fault has the database.
    pub async fn psql(&self, database: &str, sql: &str) -> String {
        self.database.lock().await.psql(database, sql)
    }
}

struct Node {
    config: PathBuf,
    database: Proxy,
    listening: Proxy,
    process: tokio::sync::Mutex<Option<Process>>,
}

/// The nodes of one run. Their processes and their database are gone when it is dropped.
pub struct Fleet {
    dir: TempDir,
    pub machines: Arc<Machines>,
    pub database: String,
    pub config: Config,
    nodes: Vec<Node>,
    /// Where devices get to each node.
    doors: Arc<Vec<Proxy>>,
    pub balancer: Balancer,
    troubles: Mutex<Vec<Trouble>>,
}

impl Fleet {
    /// Three nodes that serve, and nobody who has joined.
    pub async fn start(machines: Arc<Machines>, run: &str) -> Arc<Self> {
        let database = format!("soak_{run}");
        machines.psql("postgres", &format!("CREATE DATABASE {database} TEMPLATE {TEMPLATE}")).await;
        let dir = tempfile::Builder::new().prefix("gatepass-soak-").tempdir().expect("a temporary directory");
        fs::write(dir.path().join("service-password"), SERVICE_PASSWORD).expect("write the password");
        fs::write(dir.path().join("orders-password"), ADMIN_PASSWORD).expect("write the password");
        // Nobody listens there until the nodes are up and say where they are.
        let doors: Arc<Vec<Proxy>> = Arc::new((0..NODES).map(|_| Proxy::to(1)).collect());
        let balancer = Balancer::over(doors.clone()).await;
        let nodes: Vec<Node> = (0..NODES)
            .map(|number| {
                let (way, listening) = (Proxy::to(machines.port), Proxy::to(machines.port));
                let text = CONFIG
                    .replace("NUMBER", &number.to_string())
                    .replace("PUBLIC", &balancer.port().to_string())
                    .replace("DATABASE", &url(&way, &database))
                    .replace("LISTENING", &url(&listening, &database))
                    .replace("TARGET", &machines.target.admin_url());
                let config = dir.path().join(format!("node-{number}.toml"));
                fs::write(&config, text).expect("write the configuration");
                Node { config, database: way, listening, process: tokio::sync::Mutex::new(None) }
            })
            .collect();
        let config = Config::load(&nodes[0].config).expect("the configuration is right");
        let troubles = Mutex::default();
        let fleet = Self { dir, machines, database, config, nodes, doors, balancer, troubles };
        for node in 0..NODES {
            fleet.serve(node).await;
        }
        Arc::new(fleet)
    }

    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// A link for each person, for their device to join by way of `port`.
    pub async fn links(&self, ports: &[u16]) -> Vec<String> {
        let store = gatepass_server::open_store(&self.config, Default::default()).await.expect("the store");
        let mut links = Vec::new();
        for ((handle, groups, auditor), port) in PEOPLE.iter().zip(ports) {
            let invitation = Invitation {
                handle: (*handle).to_owned(),
                name: (*handle).to_owned(),
                groups: groups.split(',').filter(|g| !g.is_empty()).map(str::to_owned).collect(),
                auditor: *auditor,
                admin: false,
            };
            let invited =
                invite(&*store, &self.config, invitation, SystemClock.now()).await.expect("an invite");
            let code = invited.link.split("code=").nth(1).expect("a link has a code");
            links.push(format!("gatepass://join?server=http%3A%2F%2F127.0.0.1%3A{port}&code={code}"));
        }
        links
    }

    /// What went wrong and when, as far as it moves the bounds of an end.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.troubles.lock().expect("nobody panicked").clone()
    }

    /// Starts a node and waits until it serves.
    async fn serve(&self, number: usize) {
        let node = &self.nodes[number];
        let mut held = node.process.lock().await;
        if held.is_some() {
            return;
        }
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg("serve").arg("--config").arg(&node.config).env("RUST_LOG", "warn");
        let mut process = Process::start(&format!("node-{number}"), &command, self.dir.path());
        let from = Instant::now();
        let port = loop {
            process.assert_running();
            let said = process.log();
            if let Some(port) = said.lines().find_map(|line| line.strip_prefix(LISTENING)?.parse().ok()) {
                break port;
            }
            assert!(from.elapsed() < START, "node {number} does not serve after {START:?}:\n{said}");
            tokio::time::sleep(LOOK).await;
        };
        self.doors[number].lead_to(port);
        *held = Some(process);
    }

    /// Does what a fault says and mends it again; answers when it is mended.
    pub async fn suffer(&self, fault: &Fault) {
        let from = SystemClock.now();
        match *fault {
            Fault::Kill { node, back } => {
                self.take(node, Process::kill).await;
                tokio::time::sleep(back).await;
                self.serve(node).await;
            }
            Fault::Bounce { node } => {
                self.take(node, Process::end).await;
                self.serve(node).await;
            }
            Fault::Freeze { node, length } => {
                let frozen = self.nodes[node].process.lock().await.as_ref().map(|process| {
                    process.freeze();
                    process.id()
                });
                tokio::time::sleep(length).await;
                let held = self.nodes[node].process.lock().await;
                if let Some(process) = held.as_ref().filter(|process| Some(process.id()) == frozen) {
                    process.thaw();
                }
            }
            Fault::Cut { node } => {
                for way in [&self.nodes[node].database, &self.nodes[node].listening, &self.doors[node]] {
                    way.reset();
                }
            }
            Fault::Isolate { node, length } => {
                let node = &self.nodes[node];
                node.database.blackhole();
                node.listening.blackhole();
                tokio::time::sleep(length).await;
                node.database.restore();
                node.listening.restore();
            }
            Fault::Stall { node, length } => {
                self.nodes[node].database.stall();
                tokio::time::sleep(length).await;
                self.nodes[node].database.restore();
            }
            Fault::Deafen { node, length } => {
                self.nodes[node].listening.cut();
                tokio::time::sleep(length).await;
                self.nodes[node].listening.restore();
            }
            Fault::Restart { down } => {
                let mut database = self.machines.database.clone().lock_owned().await;
                let restarted = tokio::task::spawn_blocking(move || {
                    database.stop();
                    std::thread::sleep(down);
                    database.start_again();
                });
                restarted.await.expect("the database starts again");
            }
            // Of devices, not of the nodes.
            Fault::CutPerson { .. } | Fault::LosePerson { .. } | Fault::Reopen { .. } => return,
        }
        let to = SystemClock.now();
        let away = matches!(fault, Fault::Restart { .. });
        self.troubles.lock().expect("nobody panicked").push(Trouble { from, to, away });
    }

    /// Ends a node in this way.
    async fn take(&self, node: usize, how: fn(&mut Process)) {
        let taken = self.nodes[node].process.lock().await.take();
        if let Some(mut process) = taken {
            tokio::task::spawn_blocking(move || how(&mut process)).await.expect("it ends");
        }
    }

    /// Ends the nodes and drops their database.
    pub async fn end(&self) {
        for node in 0..NODES {
            self.take(node, Process::end).await;
        }
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.database);
        self.machines.psql("postgres", &sql).await;
    }

    /// The last words of each node.
    pub fn last_words(&self) -> String {
        let mut words = String::new();
        for file in fs::read_dir(self.dir.path()).into_iter().flatten().flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            if name.ends_with(".log") {
                let log = fs::read_to_string(file.path()).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(30)..].join("\n");
                words.push_str(&format!("---- {name}\n{last}\n"));
            }
        }
        words
    }
}

fn url(way: &Proxy, database: &str) -> String {
    format!("postgres://{SERVICE}@127.0.0.1:{}/{database}", way.port())
}

const CONFIG: &str = r#"
[server]
name = "example.com/gatepass"
listen = "127.0.0.1:0"
public_url = "http://127.0.0.1:PUBLIC"
data = "./data-NUMBER"
database = "DATABASE"
spread = "1s"

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
default = "2s"
max = "10s"

[[resource.role]]
id = "fix"
name = "Fix one row"
grants = ["orders_writer"]
ask = ["backend"]
approve = [{ from = ["dba"], count = 1 }]
default = "2s"
max = "10s"
lapse = "3s"
reason = "required"

[[resource.role]]
id = "write"
name = "Read and write"
grants = ["orders_writer"]
ask = ["backend"]
approve = [{ from = ["dba"], count = 1 }, { from = ["oncall"], count = 1 }]
default = "2s"
max = "10s"
lapse = "5s"
reason = "required"
"#;
