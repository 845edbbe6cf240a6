//! The examples of docs/proxies, as they are but for addresses, run by the real proxies before two nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::process::Process;
use gatepass_tests::{Person, bins, eventually};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The server's stream says something at least this often.
const KEEP_ALIVE_S: u64 = 15;
/// The largest body that the server reads.
const MAX_BODY: usize = 256 * 1024;
const CHALLENGES: &str = "/v1/sessions/challenges";

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Nginx,
    Haproxy,
}

/// A free port, taken when its server starts.
fn address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// One server with data of its own.
struct Node {
    name: &'static str,
    dir: PathBuf,
    address: String,
    process: Option<Process>,
}

impl Node {
    fn new(name: &'static str, within: &Path, public_url: &str) -> Self {
        let dir = within.join(name);
        std::fs::create_dir(&dir).unwrap();
        let address = address();
        let config = CONFIG.replace("ADDRESS", &address).replace("PUBLIC", public_url);
        std::fs::write(dir.join("gatepass.toml"), config).unwrap();
        Self { name, dir, address, process: None }
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg(verb).arg("--config").arg(self.dir.join("gatepass.toml"));
        command
    }

    fn run(&self, verb: &str, args: &[&str]) -> String {
        let done = self.command(verb).args(args).output().unwrap();
        assert!(done.status.success(), "{verb}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn serve(&mut self) {
        let (process, _) = Process::start_until_line(self.name, &self.command("serve"), &self.dir);
        self.process = Some(process);
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    /// How many challenges it has given out.
    fn served(&mut self) -> usize {
        self.process().log().lines().filter(|l| l.contains(CHALLENGES) && l.contains("answered")).count()
    }
}

/// A proxy before two nodes, and people who know nothing of the nodes. The second node has the data of the first
/// and does not run yet.
struct Stage {
    a: Node,
    b: Node,
    tomas: Person,
    mara: Person,
    proxy: Process,
    url: String,
    http: reqwest::Client,
    dir: TempDir,
}

impl Stage {
    fn new(kind: Kind) -> Self {
        let dir = tempfile::Builder::new().prefix("gatepass-proxy-").tempdir().unwrap();
        let ca = certificates(dir.path());
        let front = address();
        let url = format!("https://{front}");
        let mut a = Node::new("a", dir.path(), &url);
        let b = Node::new("b", dir.path(), &url);
        a.serve();
        let proxy = start(kind, dir.path(), &front, &a, &b);
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes()).unwrap()])
            .timeout(Duration::from_secs(30));
        let env = [
            ("GATEPASS_KEYSTORE".to_owned(), "file".to_owned()),
            ("SSL_CERT_FILE".to_owned(), dir.path().join("ca.pem").to_str().unwrap().to_owned()),
        ];
        let person = |handle, name, groups| Person::new(handle, name, groups, &dir.path().join("home"), &env);
        let tomas = person("tomas", "Tomás Rivera", "backend");
        let mara = person("mara", "Mara Okafor", "dba");
        Self { a, b, tomas, mara, proxy, url, http: http.build().unwrap(), dir }
    }

    async fn join(&mut self) {
        eventually("the proxy lets through", async || {
            let answer = self.http.get(format!("{}/readyz", self.url)).send().await.ok()?;
            (answer.status() == 200).then_some(())
        })
        .await;
        for (person, groups) in [(&self.tomas, "backend"), (&self.mara, "dba")] {
            let args = ["--person", &person.handle, "--name", &person.name, "--groups", groups, "--json"];
            let invited: Value = serde_json::from_str(&self.a.run("invite", &args)).unwrap();
            person.json(&["join", invited["link"].as_str().unwrap()]);
        }
    }

    /// The second node gets what the first has.
    fn second(&mut self) {
        let copy = self.dir.path().join("copy.db");
        self.a.run("backup", &["--to", copy.to_str().unwrap()]);
        self.b.run("restore", &["--from", copy.to_str().unwrap()]);
        self.b.serve();
    }

    /// Waits until the proxy has seen that the second node is there.
    async fn found_again(&mut self) {
        eventually("the second node is used", async || {
            assert!(self.challenges().await);
            (self.b.served() > 0).then_some(())
        })
        .await;
    }

    /// Mara follows the stream; what she sees goes to the process's log.
    async fn watch(&self) -> Process {
        let watching = Process::start("watch", &self.mara.command(&["--json", "watch"]), self.dir.path());
        eventually("she is watching", async || watching.log().contains("watching").then_some(())).await;
        watching
    }

    fn ask(&self) -> String {
        let asked =
            self.tomas.json(&["request", "orders-db/write", "--for", "10m", "--reason", "Wrong totals"]);
        asked["id"].as_str().unwrap().to_owned()
    }

    /// A few requests at once, so that they go to whoever is free: whether all were answered well.
    async fn challenges(&self) -> bool {
        let one = || async {
            let request = self.http.post(format!("{}{CHALLENGES}", self.url)).json(&json!({}));
            request.send().await.is_ok_and(|answer| answer.status() == 200)
        };
        futures_util::future::join_all((0..4).map(|_| one())).await.iter().all(|well| *well)
    }
}

/// A private authority, and a certificate of its for this machine; answers the authority's.
fn certificates(dir: &Path) -> String {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap().pem();
    std::fs::write(dir.join("ca.pem"), ca.pem()).unwrap();
    std::fs::write(dir.join("fullchain.pem"), &certificate).unwrap();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(dir.join("both.pem"), certificate + &key.serialize_pem()).unwrap();
    ca.pem()
}

fn example(name: &str) -> String {
    std::fs::read_to_string(bins::root().join("docs/proxies").join(name)).unwrap()
}

fn start(kind: Kind, dir: &Path, front: &str, a: &Node, b: &Node) -> Process {
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let mut changes = vec![("10.0.0.11:7420", a.address.clone()), ("10.0.0.12:7420", b.address.clone())];
    let (file, command) = match kind {
        Kind::Nginx => {
            changes.extend([
                ("listen 443 ssl", format!("listen {front} ssl")),
                ("/etc/ssl/gatepass/fullchain.pem", path("fullchain.pem")),
                ("/etc/ssl/gatepass/key.pem", path("key.pem")),
            ]);
            std::fs::write(dir.join("nginx.conf"), AROUND.replace("DIR", dir.to_str().unwrap())).unwrap();
            let mut command = Command::new(bins::system("nginx"));
            command.args(["-e", "stderr", "-p"]).arg(dir).arg("-c").arg(dir.join("nginx.conf"));
            ("nginx.conf", command)
        }
        Kind::Haproxy => {
            changes.extend([
                ("bind :443", format!("bind {front}")),
                ("/etc/ssl/gatepass/both.pem", path("both.pem")),
                // A test is not started by root everywhere, and may not open as many files.
                ("    maxconn 32768\n", "    maxconn 1024\n".to_owned()),
                ("    user haproxy\n    group haproxy\n", String::new()),
            ]);
            let mut command = Command::new(bins::system("haproxy"));
            command.arg("-db").arg("-f").arg(dir.join("gatepass.conf"));
            ("haproxy.cfg", command)
        }
    };
    let mut text = example(file);
    for (from, to) in changes {
        assert!(text.contains(from), "{file} has {from}");
        text = text.replace(from, &to);
    }
    std::fs::write(dir.join("gatepass.conf"), text).unwrap();
    Process::start("proxy", &command, dir)
}

async fn streams_and_bodies_pass(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.join().await;
    let watching = stage.watch().await;
    let from = Instant::now();
    let request = stage.ask();
    eventually("the hint arrives", async || watching.log().contains("request.created").then_some(())).await;
    let took = from.elapsed();
    println!("seen {} ms after it was begun to ask", took.as_millis());
    assert!(
        took < Duration::from_secs(10),
        "a hint that is held back comes with the poll of a minute: {took:?}"
    );
    stage.mara.json(&["approve", &request]);
    eventually("the access is there", async || {
        stage.tomas.grant(&request).filter(|grant| grant["state"] == "active")
    })
    .await;

    // It is the server that says what it takes.
    for (size, code) in [(MAX_BODY, "malformed"), (MAX_BODY + 1, "body_too_large")] {
        let mut body = json!({ "filler": "" }).to_string();
        body.insert_str(body.len() - 2, &"x".repeat(size - body.len()));
        assert_eq!(body.len(), size);
        let request = stage.http.post(format!("{}/v1/requests", stage.url)).body(body);
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{size} bytes");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], code, "{size} bytes");
    }
    let metrics = stage.http.get(format!("{}/metrics", stage.url)).send().await.unwrap();
    assert_eq!(metrics.status(), 404, "not for everybody");
    stage.proxy.assert_running();
}

async fn a_node_that_drains_gets_nothing_new(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.join().await;
    let watching = stage.watch().await;
    stage.second();
    stage.found_again().await;
    // One stream each, so that the next request may go to either.
    let other = Process::start("watch", &stage.tomas.command(&["--json", "watch"]), stage.dir.path());
    let before = stage.a.served();
    eventually("the first node is used beside the second", async || {
        assert!(stage.challenges().await);
        (stage.a.served() > before + 5).then_some(())
    })
    .await;

    let pid = Pid::from_raw(stage.a.process().id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let mut last = (stage.a.served(), 0);
    while !stage.a.process().ended() {
        assert!(stage.challenges().await, "no request is lost while a node goes");
        let served = stage.a.served();
        last = if served == last.0 { (served, last.1 + 1) } else { (served, 0) };
    }
    println!("{} times four requests went elsewhere before it was gone", last.1);
    // nginx has no health checks of its own: it goes on until the node listens no more.
    if kind == Kind::Haproxy {
        assert!(last.1 > 20, "it gets nothing new while it drains: {last:?}");
    }
    assert!(stage.challenges().await);
    // The stream was told to come back, and does, over the other node.
    stage.ask();
    eventually("the stream is back", async || watching.log().contains("request.created").then_some(())).await;
    let events: Vec<Value> =
        watching.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let created = events.iter().filter(|e| e["kind"] == "request.created").count();
    assert_eq!(created, 1, "nothing is shown twice");
    drop(other);
}

async fn a_node_that_is_killed_is_not_missed(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.join().await;
    let watching = stage.watch().await;
    stage.second();
    stage.found_again().await;
    stage.a.process().kill();
    // Not even the first request after it fails: it is sent again to the other.
    for _ in 0..10 {
        assert!(stage.challenges().await);
    }
    stage.ask();
    eventually("the stream is back", async || watching.log().contains("request.created").then_some(())).await;
}

#[tokio::test]
async fn nginx_passes_streams_and_bodies() {
    streams_and_bodies_pass(Kind::Nginx).await;
}

#[tokio::test]
async fn haproxy_passes_streams_and_bodies() {
    streams_and_bodies_pass(Kind::Haproxy).await;
}

#[tokio::test]
async fn nginx_loses_nothing_when_a_node_drains() {
    a_node_that_drains_gets_nothing_new(Kind::Nginx).await;
}

#[tokio::test]
async fn haproxy_loses_nothing_when_a_node_drains() {
    a_node_that_drains_gets_nothing_new(Kind::Haproxy).await;
}

#[tokio::test]
async fn nginx_does_not_miss_a_node_that_is_killed() {
    a_node_that_is_killed_is_not_missed(Kind::Nginx).await;
}

#[tokio::test]
async fn haproxy_does_not_miss_a_node_that_is_killed() {
    a_node_that_is_killed_is_not_missed(Kind::Haproxy).await;
}

/// A quiet stream is kept: whatever ends one for silence is more patient than the server is quiet, twice over.
#[test]
fn a_quiet_stream_outlives_every_timeout() {
    let seconds = |text: &str, key: &str| -> Vec<u64> {
        let lines = text.lines().map(str::trim).filter_map(|l| l.strip_prefix(key));
        lines.map(|v| v.trim().trim_end_matches(';').strip_suffix('s').unwrap().parse().unwrap()).collect()
    };
    let nginx = example("nginx.conf");
    let (_, stream) = nginx.split_once("location = /v1/stream {").unwrap();
    let (stream, _) = stream.split_once('}').unwrap();
    let haproxy = example("haproxy.cfg");
    for (text, key) in [
        (stream, "proxy_read_timeout"),
        (stream, "send_timeout"),
        (haproxy.as_str(), "timeout client"),
        (haproxy.as_str(), "timeout server"),
    ] {
        let found = seconds(text, key);
        assert!(found.len() == 1 && found[0] > 2 * KEEP_ALIVE_S, "{key}: {found:?}");
    }
    let server = bins::root().join("crates/server/src/routes/stream.rs");
    let said = std::fs::read_to_string(server).unwrap();
    assert!(said.contains(&format!("KEEP_ALIVE: Duration = Duration::from_secs({KEEP_ALIVE_S})")));
}

/// What stands around a file of conf.d; without rights that only root has.
const AROUND: &str = "
daemon off;
master_process off;
pid DIR/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path DIR/body;
    proxy_temp_path DIR/proxied;
    fastcgi_temp_path DIR/fastcgi;
    uwsgi_temp_path DIR/uwsgi;
    scgi_temp_path DIR/scgi;
    include DIR/gatepass.conf;
}
";

const CONFIG: &str = r#"
[server]
name = "example.com/gatepass"
listen = "ADDRESS"
public_url = "PUBLIC"
data = "./data"
trusted_proxies = ["127.0.0.1"]
drain = "4s"
spread = "1s"
limits = { per_second = 1000, burst = 10000 }

[log]
key_file = "../log.key"

[[target]]
id = "orders"
kind = "sample"

[[resource]]
id = "orders-db"
name = "Orders database"
environment = "production"
target = "orders"

[[resource.role]]
id = "write"
name = "Read and write"
grants = ["orders_writer"]
ask = ["backend"]
approve = [{ from = ["dba"], count = 1 }]
default = "30m"
max = "2h"
reason = "required"
"#;
