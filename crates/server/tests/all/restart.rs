//! The real binary: killed between steps, invited beside, stopped.

use gatepass_core::command::{Body, Command as Wish, Enroll, OpenSession};
use gatepass_core::id::{CommandId, DeviceId};
use gatepass_core::text::Digest;
use gatepass_core::wire::{Accepted, Challenge, EnrollSubmit, GrantState, GrantView, Session, Submit};
use gatepass_log::Key;
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::testing::database::Database;
use gatepass_server::testing::{PATIENCE, database_lines, salted, shared};
use serde_json::{Value, json};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use uuid::Uuid;

const SERVER: &str = env!("CARGO_BIN_EXE_gatepass-server");

/// A directory with a configuration, and what the server keeps.
struct Home {
    directory: TempDir,
    database: Option<Database>,
}

impl Home {
    /// `target` is more of the target.
    async fn new(target: &str) -> Self {
        let database = if shared() { Some(Database::fresh().await) } else { None };
        let home = Self { directory: tempfile::tempdir().unwrap(), database };
        home.configure(target);
        home
    }

    /// Answers how many lines come before those of `target`.
    fn configure(&self, target: &str) -> usize {
        let database = self.database.as_ref().map(|d| database_lines(&d.options(), self.directory.path()));
        let head = format!(
            r#"
[server]
name = "test/gatepass"
listen = "127.0.0.1:0"
data = "./data"
{}
[[target]]
id = "pg"
kind = "fake"
"#,
            database.unwrap_or_default()
        );
        let catalogue = r#"
[[resource]]
id = "orders-db"
name = "Orders database"
environment = "production"
target = "pg"
[[resource.role]]
id = "read"
name = "Read"
grants = ["orders_reader"]
ask = ["backend"]
approve = []
default = "1m"
max = "1h"
"#;
        std::fs::write(self.directory.path().join("gatepass.toml"), format!("{head}{target}{catalogue}"))
            .unwrap();
        head.lines().count()
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(SERVER);
        command.arg(what).arg("--config").arg(self.directory.path().join("gatepass.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }

    /// As if it were as long ago as a lease lasts that a node died. The only node of a directory takes over at once.
    fn leases_end(&self) {
        if let Some(database) = &self.database {
            database.psql("UPDATE job SET leased_until = clock_timestamp() WHERE leased_until IS NOT NULL");
        }
    }

    /// Starts it and reads where it listens.
    async fn serve(&self) -> (Child, String) {
        let mut child = self.command("serve").spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("a line");
        let url = line.strip_prefix("listening on ").expect("where it listens").to_owned();
        (child, url)
    }

    async fn invite(&self) -> Value {
        let mut command = self.command("invite");
        command.args(["--person", "tomas", "--name", "Tomas", "--groups", "backend", "--json"]);
        let done = command.output().await.unwrap();
        assert!(done.status.success());
        serde_json::from_slice(&done.stdout).expect("one JSON document")
    }
}

struct Client {
    http: reqwest::Client,
    key: Key,
    device: DeviceId,
    url: String,
    token: String,
}

impl Client {
    async fn post<T: serde::de::DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> T {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    async fn join(url: &str, code: &str) -> Self {
        let key = Key::from_bytes(&[7; 32]);
        let mut client = Self {
            http: reqwest::Client::new(),
            key,
            device: DeviceId(Uuid::now_v7()),
            url: url.to_owned(),
            token: String::new(),
        };
        let name = salted("laptop");
        let body = Enroll {
            id: CommandId(Uuid::now_v7()),
            device: client.device,
            at: SystemClock.now(),
            kind: "device.enroll".to_owned(),
            invite: Digest::of(code.as_bytes()),
            signing_key: client.key.public(),
            seal_key: base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [9; 32]),
            name: name.digest().unwrap(),
        };
        let command = client.key.sign("device.enroll", &body).unwrap();
        let submit = EnrollSubmit { command, code: code.to_owned(), name };
        client.post::<Value>("/v1/enroll", &submit).await;
        client.sign_in().await;
        client
    }

    async fn sign_in(&mut self) {
        let challenge: Challenge = self.post("/v1/sessions/challenges", &json!({})).await;
        let body = OpenSession {
            device: self.device,
            kind: "session.open".to_owned(),
            challenge: challenge.challenge,
        };
        let signed = self.key.sign("session.open", &body).unwrap();
        self.token = self.post::<Session>("/v1/sessions", &signed).await.token;
    }

    async fn ask(&self, duration_s: u32) -> Accepted {
        let command = Wish::Create {
            resource: "orders-db".into(),
            role: "read".into(),
            duration_s,
            reason: None,
            ticket: None,
            ssh_key: None,
        };
        let body = Body {
            id: CommandId(Uuid::now_v7()),
            device: self.device,
            at: SystemClock.now(),
            head: None,
            command,
        };
        let command = self.key.sign("request.create", &body).unwrap();
        self.post("/v1/requests", &Submit { command, texts: Vec::new() }).await
    }

    async fn grant(&self) -> GrantView {
        let request = self.http.get(format!("{}/v1/grants/R-1", self.url)).bearer_auth(&self.token);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// A read with the token that it holds.
    async fn me(&self) -> u16 {
        let request = self.http.get(format!("{}/v1/me", self.url)).bearer_auth(&self.token);
        request.send().await.unwrap().status().as_u16()
    }

    /// Follows the stream until the grant is in `state`.
    async fn until(&self, state: GrantState) {
        let request = self.http.get(format!("{}/v1/stream", self.url)).bearer_auth(&self.token);
        let mut hints = request.send().await.unwrap().error_for_status().unwrap();
        let reached = async {
            while self.grant().await.state != state {
                hints.chunk().await.unwrap().expect("the stream goes on");
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the grant gets there");
    }
}

fn code(invited: &Value) -> &str {
    invited["link"].as_str().unwrap().split("code=").nth(1).unwrap()
}

#[tokio::test]
async fn killed_between_any_two_steps_it_goes_on() {
    for state in [GrantState::Scheduled, GrantState::Provisioning, GrantState::Active, GrantState::Ending] {
        let home = Home::new("delay = \"700ms\"").await;
        let (mut server, url) = home.serve().await;
        let mut client = Client::join(&url, code(&home.invite().await)).await;
        client.ask(1).await;
        // Killed as soon as it is asked for, or while the slow target is at it.
        if state != GrantState::Scheduled {
            client.until(state).await;
        }
        server.start_kill().unwrap();
        server.wait().await.unwrap();
        home.leases_end();
        let (mut server, url) = home.serve().await;
        client.url = url;
        client.sign_in().await;
        client.until(GrantState::Ended).await;
        let ended = client.grant().await;
        assert_eq!(ended.end, Some(gatepass_core::wire::EndCause::Expired), "killed at {state:?}");
        assert!(ended.ended_at >= ended.ends_at);
        server.start_kill().unwrap();
        server.wait().await.unwrap();
    }
}

#[tokio::test]
async fn invited_with_the_server_running_or_not() {
    let home = Home::new("").await;
    // It takes a free port: before it ever listened there is no address for a link.
    let early = home.command("invite").args(["--person", "a", "--name", "A"]).output().await.unwrap();
    assert!(!early.status.success());

    let (mut server, url) = home.serve().await;
    let invited = home.invite().await;
    let link = invited["link"].as_str().unwrap();
    let encoded = url.replace(':', "%3A").replace('/', "%2F").replace('.', "%2E");
    assert!(link.starts_with(&format!("gatepass://join?server={encoded}&code=")), "{link}");
    assert_eq!(invited["person"], "tomas");
    let client = Client::join(&url, code(&invited)).await;

    // The running server sees groups that another process changed.
    let mut again = home.command("invite");
    again.args(["--person", "tomas", "--name", "Tomas T", "--groups", "backend,dba"]);
    let printed = again.output().await.unwrap();
    assert!(String::from_utf8(printed.stdout).unwrap().starts_with("gatepass://join?"));
    let seen = async {
        loop {
            let request = client.http.get(format!("{url}/v1/me")).bearer_auth(&client.token);
            let me: Value = request.send().await.unwrap().json().await.unwrap();
            if me["person"]["groups"] == json!(["backend", "dba"]) {
                return me;
            }
            tokio::task::yield_now().await;
        }
    };
    let me = tokio::time::timeout(PATIENCE, seen).await.expect("the server notices");
    assert_eq!(me["person"]["name"], "Tomas T");

    // A second server over the same directory is refused, and one over the same database is another node.
    if shared() {
        let (_second, other) = home.serve().await;
        let request = client.http.get(format!("{other}/v1/me")).bearer_auth(&client.token);
        assert_eq!(request.send().await.unwrap().json::<Value>().await.unwrap(), me);
    } else {
        let second = home.command("serve").output().await.unwrap();
        assert!(!second.status.success());
    }
    // Asked to stop, it ends well.
    let pid = i32::try_from(server.id().unwrap()).unwrap();
    assert!(Command::new("kill").arg(pid.to_string()).status().await.unwrap().success());
    let status = tokio::time::timeout(PATIENCE, server.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    // Stopped, it can still be invited to.
    assert_eq!(home.invite().await["person"], "tomas");
}

#[tokio::test]
async fn the_token_key_is_changed_beside_a_running_server() {
    let home = Home::new("").await;
    let (mut server, url) = home.serve().await;
    let mut client = Client::join(&url, code(&home.invite().await)).await;
    let status = async |token: &str| {
        let request = client.http.get(format!("{url}/v1/me")).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    // What the first key stamped is good beside the second, and not beside the third.
    let mut changed = client.token.clone();
    changed.replace_range(8..9, if changed[8..9] == *"A" { "B" } else { "A" });
    for known in [true, false] {
        let done = home.command("rotate-token-key").output().await.unwrap();
        assert!(done.status.success());
        assert_eq!(done.stdout, b"changed; tokens stamped before stay good until they end\n");
        if known {
            assert_eq!(status(&client.token).await, 200);
        }
    }
    let noticed = async {
        // A stamp that it does not know has it look at the keys.
        loop {
            assert_eq!(status(&changed).await, 401);
            if status(&client.token).await == 401 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.expect("the running server takes the key up");
    client.sign_in().await;
    assert_eq!(client.me().await, 200);
    server.start_kill().unwrap();
    server.wait().await.unwrap();
    let (_server, url) = home.serve().await;
    client.url = url;
    assert_eq!(client.me().await, 200, "the session outlives the server");
}

#[tokio::test]
async fn checked_before_it_is_served() {
    let home = Home::new("").await;
    let good = home.command("check").output().await.unwrap();
    assert!(good.status.success());
    assert_eq!(String::from_utf8(good.stdout).unwrap(), "ok: 1 targets, 1 resources, 1 roles\n");
    let line = home.configure("dleay = \"1s\"") + 1;
    for what in ["check", "serve"] {
        let bad = home.command(what).stderr(Stdio::piped()).output().await.unwrap();
        let said = String::from_utf8(bad.stderr).unwrap();
        assert!(!bad.status.success());
        let place = format!("gatepass.toml:{line}:1: unknown field dleay, expected one of");
        assert!(said.contains(&place), "{said}");
    }
}
