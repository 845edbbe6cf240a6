//! A gatepass-server process with its configuration and data in a directory of its own.

use crate::process::Process;
use crate::{bins, session::Session};
use gatepass_testkit::postgres::{ADMIN_PASSWORD, Postgres};
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The server, stopped when dropped.
pub struct Server {
    dir: TempDir,
    address: String,
    running: Option<Process>,
}

impl Server {
    /// A server with `orders` as its target; `more` is added to the configuration.
    pub fn start(orders: &Postgres, more: &str) -> Self {
        let dir =
            tempfile::Builder::new().prefix("gatepass-server-").tempdir().expect("a temporary directory");
        fs::write(dir.path().join("orders-password"), ADMIN_PASSWORD).expect("write the password");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        drop(listener);
        let config = CONFIG.replace("ADDRESS", &address).replace("TARGET", &orders.admin_url()) + more;
        fs::write(dir.path().join("gatepass.toml"), config).expect("write the configuration");
        let mut server = Self { dir, address, running: None };
        server.serve();
        server
    }

    /// Starts it on its data, as after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub fn serve(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg("serve").arg("--config").arg(self.config()).args(["--listen", &self.address]);
        let (process, line) = Process::start_until_line("server", &command, self.dir.path());
        assert_eq!(line, format!("listening on {}", self.url()));
        self.running = Some(process);
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.running.take() {
            process.kill();
        }
    }

    /// The running process.
    pub fn process(&mut self) -> &mut Process {
        self.running.as_mut().expect("the server runs")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("gatepass.toml")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A link that enrols one device of this person.
    pub fn invite(&self, person: &str, name: &str, groups: &str, more: &[&str]) -> String {
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg("invite").arg("--config").arg(self.config()).args(["--person", person, "--name", name]);
        if !groups.is_empty() {
            command.args(["--groups", groups]);
        }
        let output = command.arg("--json").args(more).output().expect("run gatepass-server invite");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "no invite for {person}: {said}");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON from invite --json");
        answer["link"].as_str().expect("a link").to_owned()
    }
}

impl Session {
    /// A Gatepass home of its own in this session.
    pub fn home(&self) -> PathBuf {
        self.dir().join("gatepass")
    }
}

const CONFIG: &str = r#"
[server]
name = "example.com/gatepass"
listen = "ADDRESS"
data = "./data"

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

[[resource.role]]
id = "fix"
name = "Fix one row"
grants = ["orders_writer"]
ask = ["backend"]
approve = [{ from = ["dba"], count = 1 }]
default = "10m"
max = "1h"
reason = "required"
"#;
