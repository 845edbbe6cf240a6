//! The real server, with a configuration of one's own.

use crate::Outcome;
use crate::device::Device;
use crate::shared::Shared;
use gatepass_testkit::Postgres;
use gatepass_testkit::postgres::ADMIN_PASSWORD;
use gatepass_tests::bins;
use gatepass_tests::process::Process;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A server on a free port with its data in a temporary directory; ended and removed when dropped.
pub struct Place {
    dir: TempDir,
    address: String,
    running: Option<Process>,
}

/// Where a server keeps its state.
#[derive(Clone, Copy)]
pub enum Keep<'a> {
    Sqlite,
    Postgres(&'a Shared),
}

/// Access that one approval gives, and access that needs none; for as short as a second.
const ROLES: &str = r#"
[[resource]]
id = "orders-db"
name = "Orders database"
environment = "production"
target = "orders"

[[resource.role]]
id = "read"
name = "Read"
grants = ["orders_reader"]
ask = ["backend"]
approve = []
default = "2s"
max = "8h"
reason = "optional"

[[resource.role]]
id = "write"
name = "Read and write"
grants = ["orders_writer"]
ask = ["backend"]
approve = [{ from = ["dba"], count = 1 }]
default = "30m"
max = "8h"
reason = "required"
"#;

impl Place {
    /// With a target in the server's own memory.
    pub fn with_fake() -> Outcome<Self> {
        Self::keeping(Keep::Sqlite, "")
    }

    /// The same, its state kept there, with more lines of `[server]`.
    pub fn keeping(keep: Keep<'_>, more: &str) -> Outcome<Self> {
        let mut place = Self::prepare("kind = \"fake\"", None, keep, more)?;
        place.serve()?;
        Ok(place)
    }

    /// With a real PostgreSQL.
    pub fn with_postgres(orders: &Postgres) -> Outcome<Self> {
        let target =
            format!("kind = \"postgres\"\nurl = \"{}\"\npassword_file = \"./password\"", orders.admin_url());
        let mut place = Self::prepare(&target, Some(ADMIN_PASSWORD), Keep::Sqlite, "")?;
        place.serve()?;
        Ok(place)
    }

    fn prepare(target: &str, password: Option<&str>, keep: Keep<'_>, more: &str) -> Outcome<Self> {
        let dir = tempfile::Builder::new().prefix("gatepass-bench-").tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let (database, section) = match keep {
            Keep::Sqlite => (String::new(), String::new()),
            Keep::Postgres(shared) => shared.settings(dir.path())?,
        };
        // What is measured is the work, not the limit per device.
        let config = format!(
            "[server]\nname = \"example.com/bench\"\nlisten = \"{address}\"\ndata = \"./data\"\n\
             limits = {{ per_second = 100000, burst = 100000 }}\n{more}\n{database}\n{section}\n\
             [[target]]\nid = \"orders\"\n{target}\n{ROLES}"
        );
        fs::write(dir.path().join("gatepass.toml"), config)?;
        if let Some(password) = password {
            fs::write(dir.path().join("password"), password)?;
        }
        Ok(Self { dir, address, running: None })
    }

    /// Starts it and waits until it answers.
    pub fn serve(&mut self) -> Outcome<()> {
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg("serve").arg("--config").arg(self.config()).args(["--listen", &self.address]);
        command.env("RUST_LOG", "warn");
        self.running = Some(Process::start_until_line("server", &command, self.dir.path()).0);
        Ok(())
    }

    /// Its process, while it serves.
    pub fn process(&mut self) -> Outcome<&mut Process> {
        self.running.as_mut().ok_or_else(|| "the server does not run".into())
    }

    /// `HOST:PORT`
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) {
        self.running = None;
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("gatepass.toml")
    }

    /// Where the server keeps its SQLite file.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A link that enrols one device of this person.
    pub fn invite(&self, person: &str, groups: &str, more: &[&str]) -> Outcome<String> {
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg("invite").arg("--config").arg(self.config());
        command.args(["--person", person, "--name", person, "--json"]);
        if !groups.is_empty() {
            command.args(["--groups", groups]);
        }
        let output = command.args(more).output()?;
        if !output.status.success() {
            return Err(format!("no invite for {person}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        Ok(answer["link"].as_str().ok_or("the invite has no link")?.to_owned())
    }

    /// A new device of this person.
    pub async fn device(&self, person: &str, groups: &str, more: &[&str]) -> Outcome<Device> {
        Device::join(&self.invite(person, groups, more)?).await
    }
}
