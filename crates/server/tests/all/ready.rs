//! The real binary from its first moment to its last, as a load balancer and systemd see it.

use gatepass_server::testing::database::{SERVICE, SERVICE_PASSWORD, prepare};
use gatepass_server::testing::{PATIENCE, Setup, TestServer};
use gatepass_testkit::Postgres;
use serde_json::Value;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

const SERVER: &str = env!("CARGO_BIN_EXE_gatepass-server");

struct Server {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    logged: Lines<BufReader<ChildStderr>>,
}

impl Server {
    /// Runs `program ARGUMENTS… serve` over what `server` says of `[server]`.
    fn spawn(directory: &Path, server: &str, mut program: Command) -> Self {
        let text = format!("[server]\nname = \"test/gatepass\"\nlisten = \"127.0.0.1:0\"\n{server}\n");
        std::fs::write(directory.join("gatepass.toml"), text).unwrap();
        program.arg("serve").arg("--config").arg(directory.join("gatepass.toml"));
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = program.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let logged = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, said, logged }
    }

    /// Waits for a line on stderr with `text` in it.
    async fn logs(&mut self, text: &str) -> String {
        let mut before = Vec::new();
        let found = async {
            while let Some(line) = self.logged.next_line().await.unwrap() {
                if line.contains(text) {
                    return Some(line);
                }
                before.push(line);
            }
            None
        };
        let found = timeout(PATIENCE, found).await;
        found.ok().flatten().unwrap_or_else(|| panic!("no {text:?} in {before:#?}"))
    }

    /// `http://HOST:PORT`, as soon as it takes connections.
    async fn starts(&mut self) -> String {
        let line = self.logs("starting addr=").await;
        let addr = line.split("addr=").nth(1).unwrap().split(' ').next().unwrap();
        format!("http://{addr}")
    }

    /// `http://HOST:PORT`, once it is ready.
    async fn listens(&mut self) -> String {
        let line = timeout(PATIENCE, self.said.next_line()).await.unwrap().unwrap().expect("a line");
        line.strip_prefix("listening on ").expect("where it listens").to_owned()
    }

    async fn terminate(&self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").arg(id).status().await.unwrap().success());
    }

    async fn ends(mut self) -> Option<i32> {
        // What it still says must not block it.
        tokio::spawn(async move { while let Ok(Some(_)) = self.logged.next_line().await {} });
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}

/// Status and code, or that it is ok.
async fn at(url: &str, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{url}{path}")).await.unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (status, body.get("code").or(body.get("status")).unwrap().as_str().unwrap().to_owned())
}

async fn until_ready_says(url: &str, expected: (u16, &str)) {
    let mut last = None;
    let reached = async {
        loop {
            let (status, code) = at(url, "/readyz").await;
            if (status, code.as_str()) == expected {
                return;
            }
            last = Some((status, code));
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(PATIENCE, reached).await.is_err() {
        panic!("not {expected:?} but {last:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_how_it_is_with_its_database() {
    let mut postgres = Postgres::start();
    prepare(&postgres, "gatepass").await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("password"), SERVICE_PASSWORD).unwrap();
    let database = format!(
        "database = \"postgres://{SERVICE}@127.0.0.1:{}/gatepass\"\n[server.postgres]\npassword_file = \"./password\"",
        postgres.port()
    );

    postgres.stop();
    let mut server = Server::spawn(directory.path(), &database, Command::new(SERVER));
    let url = server.starts().await;
    assert_eq!(at(&url, "/healthz").await, (200, "ok".to_owned()));
    assert_eq!(at(&url, "/readyz").await, (503, "starting".to_owned()));
    assert_eq!(at(&url, "/v1/me").await, (503, "unavailable".to_owned()));
    // Told to stop while it waits, it does.
    let mut other = Server::spawn(directory.path(), &database, Command::new(SERVER));
    other.starts().await;
    other.terminate().await;
    assert_eq!(other.ends().await, Some(0));

    postgres.start_again();
    assert_eq!(server.listens().await, url);
    until_ready_says(&url, (200, "ok")).await;
    postgres.stop();
    until_ready_says(&url, (503, "database_away")).await;
    assert_eq!(at(&url, "/healthz").await, (200, "ok".to_owned()));
    postgres.start_again();
    until_ready_says(&url, (200, "ok")).await;
    server.terminate().await;
    assert_eq!(server.ends().await, Some(0));
}

#[tokio::test]
async fn draining_it_says_so_and_goes_on() {
    let setup = Setup { server: "drain = \"1s\"".to_owned(), ..Setup::default() };
    let mut server = TestServer::with(setup).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let running = server.running.take().unwrap();
    let began = tokio::time::Instant::now();
    let stopped = tokio::spawn(running.shutdown());
    until_ready_says(&server.url, (503, "draining")).await;
    assert_eq!(tomas.get("/v1/me").await.status, 200, "the others still get their answers");
    timeout(PATIENCE, stopped).await.unwrap().unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(reqwest::get(format!("{}/healthz", server.url)).await.is_err(), "nobody listens any more");
    server.up().await;
    server.finish().await;
}

#[tokio::test]
async fn systemd_is_told() {
    let abstract_name = format!("gatepass-{}", Uuid::now_v7());
    for by_path in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let (socket, name) = if by_path {
            let path = directory.path().join("notify");
            (std::os::unix::net::UnixDatagram::bind(&path).unwrap(), path.into_os_string())
        } else {
            let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
            let socket = std::os::unix::net::UnixDatagram::bind_addr(&address).unwrap();
            (socket, format!("@{abstract_name}").into())
        };
        socket.set_nonblocking(true).unwrap();
        let socket = UnixDatagram::from_std(socket).unwrap();
        let told = async || {
            let mut text = [0; 64];
            let read = timeout(PATIENCE, socket.recv(&mut text)).await.unwrap().unwrap();
            String::from_utf8(text[..read].to_vec()).unwrap()
        };
        let mut program = Command::new(SERVER);
        program.env("NOTIFY_SOCKET", name);
        let mut server = Server::spawn(directory.path(), "", program);
        assert_eq!(told().await, "READY=1");
        until_ready_says(&server.listens().await, (200, "ok")).await;
        server.terminate().await;
        assert_eq!(told().await, "STOPPING=1");
        assert_eq!(server.ends().await, Some(0));
    }
}

#[tokio::test]
async fn out_of_files_it_waits_until_there_are_some() {
    let directory = tempfile::tempdir().unwrap();
    // The hard limit too, or it would raise itself above.
    let mut program = Command::new("sh");
    program.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\"", SERVER]);
    let mut server = Server::spawn(directory.path(), "", program);
    let url = server.listens().await;
    let address = url.strip_prefix("http://").unwrap();
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    server.logs("cannot accept connections").await;
    drop(held);
    until_ready_says(&url, (200, "ok")).await;
    server.terminate().await;
    assert_eq!(server.ends().await, Some(0));
}
