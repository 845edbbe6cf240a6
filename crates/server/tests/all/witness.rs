//! External witnesses: the log is cosigned by a program that is not ours (PyPI aics-witness, which `./dev setup` installs).

use gatepass_core::wire::{Head, LogPage};
use gatepass_log::LogVerifier;
use gatepass_log::witness::Witness;
use gatepass_server::testing::{CATALOGUE, PATIENCE, Setup, TestServer};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The program; `None` where setup could not install it, which is said.
fn program() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap();
    let tools = cache.join("gatepass/tools");
    if tools.join("python/installed").exists() {
        return Some(tools.join("python/bin/aics-witness"));
    }
    assert!(tools.join("python.missing").exists(), "run ./dev setup: the witness is not installed");
    eprintln!("SKIPPED: ./dev setup could not install aics-witness, so no witness was asked");
    None
}

/// A witness of its own, with its own key, on a port of its own.
struct Running {
    program: PathBuf,
    folder: tempfile::TempDir,
    listen: String,
    vkey: String,
    child: Option<Child>,
}

impl Running {
    fn new(name: &str) -> Option<Self> {
        let (program, folder) = (program()?, tempfile::tempdir().unwrap());
        // Free a moment ago; the server has to know it before the witness can know the log.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let mut witness = Self { program, folder, listen: listen.clone(), vkey: String::new(), child: None };
        witness.vkey = witness.run(&["init", "--name", name, "--listen", &listen]).trim().to_owned();
        Some(witness)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--config").arg(self.folder.path().join("witness.json"));
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let done = self.command(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn knows(&self, vkey: &str) {
        let origin = vkey.split('+').next().unwrap();
        self.run(&["add-log", "--origin", origin, "--vkey", vkey]);
    }

    fn up(&mut self) {
        let mut command = self.command(&["serve", "--log-level", "ERROR"]);
        self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn configured(&self) -> String {
        format!("[[log.witness]]\nvkey = \"{}\"\nurl = \"http://{}\"\n", self.vkey, self.listen)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.down();
    }
}

async fn server(quorum: u32, witnesses: &[&Running]) -> TestServer {
    let all: String = witnesses.iter().map(|witness| witness.configured()).collect();
    let catalogue = format!("{CATALOGUE}\n[log]\nquorum = {quorum}\n{all}");
    TestServer::with(Setup { catalogue, ..Setup::default() }).await
}

async fn get(server: &TestServer, path: &str) -> String {
    let answer = server.http.get(format!("{}{path}", server.url)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// The checkpoint, once it is of the log as it is and all of these cosigned it.
async fn cosigned(server: &TestServer, by: &[&Running]) -> (String, Head) {
    let verifier = LogVerifier::new(&get(server, "/v1/log/key").await).unwrap();
    let by: Vec<Witness> = by.iter().map(|witness| Witness::new(&witness.vkey).unwrap()).collect();
    let there = async {
        loop {
            let note = get(server, "/v1/log/checkpoint").await;
            let head = verifier.open(&note).unwrap();
            let all = by.iter().all(|witness| witness.cosigned(&note).is_some());
            if all && head == server.store().head().await.unwrap() {
                return (note, head);
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(2 * PATIENCE, there).await.expect("the log is cosigned")
}

#[tokio::test]
async fn two_witnesses_cosign_the_log_as_it_grows() {
    let (Some(mut one), Some(mut two)) = (Running::new("w.example/1"), Running::new("w.example/2")) else {
        return;
    };
    let server = server(2, &[&one, &two]).await;
    let vkey = get(&server, "/v1/log/key").await;
    for witness in [&mut one, &mut two] {
        witness.knows(vkey.trim());
        witness.up();
    }
    let iris = server.auditor("iris").await;
    server.placed().await;
    let (_, first) = cosigned(&server, &[&one, &two]).await;
    // From a size that they know to a new one, with its proof.
    server.invite("petra", &["support"], false, false).await;
    server.placed().await;
    let (note, grown) = cosigned(&server, &[&one, &two]).await;
    assert!(grown.size > first.size);
    let page: LogPage = iris.get("/v1/log/events?after=0").await.get();
    assert_eq!(page.checkpoint, Some(note));
    let status: serde_json::Value = serde_json::from_str(&one.run(&["status", "--json"])).unwrap();
    assert_eq!(status["logs"][0]["size"], grown.size);
    assert_eq!(status["logs"][0]["evidence"], 0);

    // Nothing waits for one that is away, and what came meanwhile is cosigned when it is back.
    one.down();
    server.invite("petra", &["backend"], false, false).await;
    server.placed().await;
    let seen = get(&server, "/v1/log/checkpoint").await;
    assert!(Witness::new(&two.vkey).unwrap().cosigned(&seen).is_some());
    one.up();
    let (_, newest) = cosigned(&server, &[&one, &two]).await;
    assert!(newest.size > grown.size);
    server.finish().await;
}

#[tokio::test]
async fn a_witness_does_not_cosign_another_log_under_the_same_name() {
    let Some(mut witness) = Running::new("w.example/1") else { return };
    let first = server(1, &[&witness]).await;
    let vkey = get(&first, "/v1/log/key").await;
    witness.knows(vkey.trim());
    witness.up();
    first.auditor("iris").await;
    first.placed().await;
    let (_, known) = cosigned(&first, &[&witness]).await;
    first.finish().await;

    // The same name and key, and other events, more of them.
    let second = server(1, &[&witness]).await;
    assert_eq!(get(&second, "/v1/log/key").await, vkey);
    for group in ["a", "b", "c", "d"] {
        second.invite("petra", &[group], false, false).await;
    }
    second.placed().await;
    let found = async {
        loop {
            let found: serde_json::Value = serde_json::from_str(&witness.run(&["evidence"])).unwrap();
            if let Some(one) = found.get(0) {
                return one.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let found = tokio::time::timeout(2 * PATIENCE, found).await.expect("it is found out");
    assert_eq!(found["witness_size"], known.size, "{found}");
    let note = get(&second, "/v1/log/checkpoint").await;
    assert_eq!(Witness::new(&witness.vkey).unwrap().cosigned(&note), None);
    second.finish().await;
}
