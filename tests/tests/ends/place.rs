//! A server process of its own, a database of its own on a real PostgreSQL as its target, people with a device each, and
//! others on the target whom Gatepass has nothing to do with.

mod after;

use crate::observer::Observer;
use after::Strangers;
use chrono::{DateTime, TimeDelta, Utc};
use gatepass_connectors::points::Point;
use gatepass_core::command::Command as Wish;
use gatepass_core::id::{GrantId, RequestId};
use gatepass_core::wire::{Accepted, GrantState, GrantView, Secret, Submit, Verdict};
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::config::Config;
use gatepass_server::invite::{Invitation, invite};
use gatepass_server::testing::database::{SERVICE, SERVICE_PASSWORD, prepare};
use gatepass_server::testing::{Someone, code_of};
use gatepass_testkit::Proxy;
use gatepass_testkit::postgres::{ADMIN_PASSWORD, Postgres};
use gatepass_tests::process::Process;
use gatepass_tests::{bins, until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};

type Time = DateTime<Utc>;

/// How long somebody may have access after its end while the target is up.
pub const UP: TimeDelta = TimeDelta::seconds(2);
/// How long after the target came back.
pub const BACK: TimeDelta = TimeDelta::seconds(5);
/// For everything that has no bound of its own.
const PATIENCE: Duration = Duration::from_secs(90);
/// Cases at once: more would measure how long this machine's two cores take to start programs.
const AT_ONCE: usize = 3;

/// How the server is started: more of its environment.
pub type Env<'a> = &'a [(&'a str, &'a str)];

/// One `gatepass-server serve`.
pub struct Node {
    pub process: Option<Process>,
    pub url: String,
    pub config: PathBuf,
}

pub struct Place {
    pub nodes: Vec<Node>,
    /// The servers' way to the target. Others go straight there.
    pub way: Proxy,
    pub tomas: Someone,
    pub dana: Someone,
    /// The target's database.
    pub name: String,
    target: Target,
    strangers: Option<Strangers>,
    http: reqwest::Client,
    dir: TempDir,
    _turn: SemaphorePermit<'static>,
}

enum Target {
    Shared,
    Own(Postgres),
}

fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(Postgres::orders)
}

fn state() -> &'static Postgres {
    static STATE: OnceLock<Postgres> = OnceLock::new();
    STATE.get_or_init(Postgres::start)
}

impl Target {
    fn server(&self) -> &Postgres {
        match self {
            Self::Shared => shared(),
            Self::Own(server) => server,
        }
    }
}

/// What is chosen about a place.
#[derive(Default)]
pub struct Setup<'a> {
    /// Of each node. More than one share a PostgreSQL.
    pub nodes: &'a [Env<'a>],
    /// The nodes share a PostgreSQL even if there is only one.
    pub shared: bool,
    /// A target that nobody else uses: it may be stopped.
    pub own_target: bool,
}

/// Runs a case per point, each in a runtime of its own; panics with those that failed.
pub fn each<F: Future<Output = ()>>(points: &[Point], case: impl Fn(Point) -> F + Copy + Send + Sync) {
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(1).enable_all().build().expect("a runtime")
    };
    let failed: Vec<String> = std::thread::scope(|scope| {
        let run = |point| scope.spawn(move || runtime().block_on(case(point)));
        let cases: Vec<_> = points.iter().map(|point| (point.name(), run(*point))).collect();
        let said = |name, case: std::thread::ScopedJoinHandle<'_, ()>| {
            let cause = case.join().err()?;
            let text =
                cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
            Some(format!("{name}: {}", text.unwrap_or("?")))
        };
        cases.into_iter().filter_map(|(name, case)| said(name, case)).collect()
    });
    assert!(failed.is_empty(), "at these points something did not hold:\n{}", failed.join("\n"));
}

impl Place {
    pub async fn new() -> Self {
        Self::with(Setup { nodes: &[&[]], ..Setup::default() }).await
    }

    /// A server that is ended or stopped (`what`) at a point.
    pub async fn at(point: Point, what: &str) -> Self {
        let asked = format!("{}={what}", point.name());
        Self::with(Setup { nodes: &[&[("GATEPASS_POINT", asked.as_str())]], ..Setup::default() }).await
    }

    pub async fn with(setup: Setup<'_>) -> Self {
        static TURNS: [Semaphore; 2] = [Semaphore::const_new(AT_ONCE), Semaphore::const_new(2 * AT_ONCE)];
        // Where there are several nodes, one waits for the lease of another most of the time.
        let turns = &TURNS[usize::from(setup.nodes.len() > 1)];
        let turn = turns.acquire().await.expect("nobody closes it");
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ends_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let target = if setup.own_target { Target::Own(Postgres::orders()) } else { Target::Shared };
        let server = target.server();
        server.orders_again(&name);
        // So that holders can leave something behind.
        server.psql(&name, "GRANT CREATE ON SCHEMA public TO orders_writer");
        let strangers = Some(Strangers::settle(server, &name).await);
        let way = Proxy::to(server.port());
        let dir = tempfile::Builder::new().prefix("gatepass-ends-").tempdir().expect("a directory");
        fs::write(dir.path().join("orders-password"), ADMIN_PASSWORD).expect("write the password");
        let database = if setup.shared || setup.nodes.len() > 1 {
            {
                // The roles belong to the whole server.
                static PREPARING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
                let _one = PREPARING.lock().await;
                prepare(state(), &name).await;
            }
            fs::write(dir.path().join("service-password"), SERVICE_PASSWORD).expect("write the password");
            let url = format!("postgres://{SERVICE}@127.0.0.1:{}/{name}", state().port());
            format!(
                "database = \"{url}\"\npostgres = {{ password_file = \"./service-password\", connections = 6 }}"
            )
        } else {
            String::new()
        };
        let mut nodes = Vec::new();
        for (number, env) in setup.nodes.iter().enumerate() {
            let text = CONFIG
                .replace("NUMBER", &number.to_string())
                .replace("DATABASE", &database)
                .replace("TARGET", &format!("postgres://gatepass_admin@127.0.0.1:{}/{name}", way.port()));
            let config = dir.path().join(format!("node-{number}.toml"));
            fs::write(&config, text).expect("write the configuration");
            let mut node = Node { process: None, url: String::new(), config };
            node.serve(dir.path(), env);
            nodes.push(node);
        }
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let person = async |handle: &str, group: &str| join(&nodes[0], &http, handle, group).await;
        let (tomas, dana) = (person("tomas", "backend").await, person("dana", "dba").await);
        Self { nodes, way, tomas, dana, name, target, strangers, http, dir, _turn: turn }
    }

    pub fn target(&self) -> &Postgres {
        self.target.server()
    }

    /// The target, to stop it.
    pub fn own_target(&mut self) -> &mut Postgres {
        match &mut self.target {
            Target::Own(server) => server,
            Target::Shared => panic!("others use it"),
        }
    }

    /// Starts a node again, without anything in its way.
    pub fn serve(&mut self, node: usize, env: Env<'_>) {
        self.nodes[node].process = None;
        self.nodes[node].serve(self.dir.path(), env);
        let url = self.nodes[node].url.clone();
        if node == 0 {
            (self.tomas, self.dana) = (self.tomas.at(&url), self.dana.at(&url));
        }
    }

    /// Waits until a node ended by itself, and starts it again at once. It must have ended as by `kill -9`.
    pub async fn again_when_killed(&mut self, node: usize) {
        let process = self.nodes[node].process.as_mut().expect("it runs");
        until("the server ends at the point", PATIENCE, async || process.ended().then_some(())).await;
        self.serve(node, &[]);
    }

    /// Waits until a node stands still.
    pub async fn stands(&self, node: usize) {
        let id = self.nodes[node].process.as_ref().expect("it runs").id();
        until("the server stops at the point", PATIENCE, async || stopped(id).then_some(())).await;
    }

    /// Sends what was signed until it is answered: a server that ends in between answers nothing, and the same command
    /// again is the same command.
    pub async fn say(&self, node: usize, path: &str, submit: &Submit) -> Option<(u16, serde_json::Value)> {
        let url = format!("{}{path}", self.nodes[node].url);
        let sent = self.http.post(url).json(submit).timeout(Duration::from_secs(20)).send().await.ok()?;
        let status = sent.status().as_u16();
        Some((status, sent.json().await.ok()?))
    }

    /// A question of tomas, who gets no answer from a server that is gone.
    async fn ask(&self, node: usize, path: &str) -> Option<serde_json::Value> {
        let url = format!("{}{path}", self.nodes[node].url);
        let asked = self.http.get(url).bearer_auth(&self.tomas.token).timeout(Duration::from_secs(20));
        let answer = asked.send().await.ok()?;
        if answer.status().as_u16() != 200 {
            return None;
        }
        answer.json().await.ok()
    }

    /// Tomas asks for `fix`, which dana has to approve, or for `write`, which nobody has to.
    pub fn wish(&self, role: &str, seconds: u32) -> Submit {
        let command = Wish::Create {
            resource: "orders-db".to_owned(),
            role: role.to_owned(),
            duration_s: seconds,
            reason: None,
            ticket: None,
            ssh_key: None,
        };
        Submit { command: self.tomas.sign(command), texts: Vec::new() }
    }

    /// Asks for an access; answers its grant.
    pub async fn access(&self, node: usize, seconds: u32) -> GrantId {
        let asked = self.wish("write", seconds);
        let (status, body) = self.say(node, "/v1/requests", &asked).await.expect("an answer");
        assert_eq!(status, 201, "{body}");
        let accepted: Accepted = serde_json::from_value(body).expect("accepted");
        accepted.grant.expect("a grant").id
    }

    /// The same by way of dana's approval: what may be extended needs one again.
    pub async fn fixed(&self, node: usize, seconds: u32) -> GrantId {
        let (status, body) =
            self.say(node, "/v1/requests", &self.wish("fix", seconds)).await.expect("an answer");
        assert_eq!(status, 201, "{body}");
        let accepted: Accepted = serde_json::from_value(body).expect("accepted");
        self.approved(accepted.request.id).await;
        self.tomas.request(accepted.request.id).await.grant.expect("granted")
    }

    /// Dana approves a request. She hears nothing when that is what ends the server.
    pub async fn approved(&self, request: RequestId) {
        let shown = self.dana.request(request).await;
        let (revision, shown) = (shown.revision, shown.shown.clone());
        let verdict = Verdict::Approve;
        let command = Wish::Decide { request, revision, shown, verdict, duration_s: None, note: None };
        let submit = Submit { command: self.dana.sign(command), texts: Vec::new() };
        if let Some((status, body)) = self.say(0, &format!("/v1/requests/{request}/decisions"), &submit).await
        {
            assert_eq!(status, 200, "{body}");
        }
    }

    /// Tomas asks for so much more, and dana agrees.
    pub async fn extended(&self, grant: GrantId, seconds: u32) {
        let asked = self.tomas.extend(grant, seconds).await;
        assert_eq!(asked.status, 201, "{}", asked.body);
        let accepted: Accepted = asked.get();
        self.approved(accepted.request.id).await;
    }

    /// The grant as this node tells it, if it answers.
    pub async fn view(&self, node: usize, grant: GrantId) -> Option<GrantView> {
        let answer = self.ask(node, &format!("/v1/grants/{grant}")).await?;
        Some(serde_json::from_value(answer).expect("a grant"))
    }

    pub async fn is(&self, node: usize, grant: GrantId, state: GrantState) -> GrantView {
        until(&format!("the access is {state:?}"), PATIENCE, async || {
            self.view(node, grant).await.filter(|view| view.state == state)
        })
        .await
    }

    /// What the holder has: a URL straight to the target.
    pub async fn secret(&self, node: usize, grant: GrantId) -> String {
        let sealed = until("there is a credential", PATIENCE, async || {
            self.ask(node, &format!("/v1/grants/{grant}/credential")).await
        })
        .await;
        let opened = self.tomas.open(&serde_json::from_value(sealed).expect("a sealed credential"));
        let Secret::Postgres { url } = opened else { panic!("of PostgreSQL") };
        url.replace(&format!(":{}/", self.way.port()), &format!(":{}/", self.target().port()))
    }

    /// Waits for the access and uses it.
    pub async fn observed(&self, node: usize, grant: GrantId) -> Observer {
        self.is(node, grant, GrantState::Active).await;
        Observer::start(&self.secret(node, grant).await).await
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }
}

impl Node {
    pub fn serve(&mut self, logs: &Path, env: Env<'_>) {
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg("serve").arg("--config").arg(&self.config).envs(env.iter().copied());
        let name = self.config.file_stem().expect("a name").to_string_lossy().into_owned();
        let (process, line) = Process::start_until_line(&name, &command, logs);
        self.url = line.strip_prefix("listening on ").expect("where it listens").to_owned();
        self.process = Some(process);
    }

    pub fn read(&self) -> Config {
        Config::load(&self.config).expect("a right configuration")
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }
}

/// Whether the kernel says that this process is stopped.
fn stopped(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

async fn join(node: &Node, http: &reqwest::Client, handle: &str, group: &str) -> Someone {
    let config = node.read();
    let store = gatepass_server::open_store(&config, Default::default()).await.expect("the store");
    let invitation = Invitation {
        handle: handle.to_owned(),
        name: handle.to_owned(),
        groups: [group.to_owned()].into(),
        auditor: false,
        admin: false,
    };
    let invited = invite(&*store, &config, invitation, SystemClock.now()).await.expect("invited");
    let mut someone = Someone::of(http.clone(), node.url.clone(), Arc::new(SystemClock));
    let joined = someone.enroll(code_of(&invited)).await;
    someone.id = joined.get::<gatepass_core::wire::Enrolled>().person.id;
    someone.sign_in().await;
    someone
}

const CONFIG: &str = include_str!("place/gatepass.toml");
