//! The worked examples of connectors, as `examples/` has them.

use crate::watch::Watched;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What the receiver is started with: two secrets, as while they are changed.
pub const SECRETS: &str = "whsec_bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldw==\nwhsec_b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZA==\n";
/// Somebody who was given access by hand.
const STANDING: &str = r#"{"accesses": {}, "standing": [{"name": "root", "grants": ["deployer"]}]}"#;

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
}

/// A private `examples/webhook-receiver` on a free port of 127.0.0.1. Somebody called root has `deployer` there by hand.
/// Ended and removed when dropped, also when the process that started it dies.
pub struct Receiver {
    /// The first, so that it has ended when the directory goes.
    running: Option<Watched>,
    dir: TempDir,
    url: String,
}

impl Receiver {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Over HTTPS, with this certificate and key in PEM.
    pub fn start_tls(certificate: &str, key: &str) -> Self {
        Self::start_with(Some((certificate, key)))
    }

    fn start_with(tls: Option<(&str, &str)>) -> Self {
        let dir = TempDir::new().expect("a directory");
        let mut receiver = Self { running: None, dir, url: String::new() };
        receiver.write("secrets", SECRETS);
        receiver.write("store.json", STANDING);
        // As tests run it most often; python3 of a version manager takes a third of a second to start.
        let debian = Path::new("/usr/bin/python3");
        let mut program = Command::new(if debian.exists() { debian } else { Path::new("python3") });
        program.arg(example("webhook-receiver/receiver.py")).args(["--listen", "127.0.0.1:0"]);
        program.arg("--secret-file").arg(receiver.path("secrets"));
        program.arg("--store").arg(receiver.path("store.json"));
        if let Some((certificate, key)) = tls {
            receiver.write("certificate.pem", certificate);
            receiver.write("key.pem", key);
            program.arg("--certificate").arg(receiver.path("certificate.pem"));
            program.arg("--key").arg(receiver.path("key.pem"));
        }
        let log = receiver.path("receiver.log");
        let mut watched = Watched::start(&log, "TERM", [receiver.dir.path(); 2], &program);
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until && !watched.ended() {
            let said = receiver.log();
            if let Some(url) = said.lines().find_map(|line| line.strip_prefix("listening on ")) {
                receiver.url = format!("{url}/gatepass");
                receiver.running = Some(watched);
                return receiver;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the receiver does not start:\n{}", receiver.log());
    }

    /// As a target's `url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// As a target's `secret_file`.
    pub fn secrets(&self) -> PathBuf {
        self.path("secrets")
    }

    /// The accesses, in JSON.
    pub fn store(&self) -> String {
        fs::read_to_string(self.path("store.json")).expect("the receiver's store")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("receiver.log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("write a file of the receiver’s");
    }
}

/// `examples/command-connector`, installed in a directory of its own. Somebody called root has `builder` there by hand.
pub struct BuildHost(TempDir);

impl BuildHost {
    pub fn install() -> Self {
        Self::install_as(&fs::read_to_string(example("command-connector/build-host")).expect("the example"))
    }

    /// Another program in its place.
    pub fn install_as(program: &str) -> Self {
        let host = Self(TempDir::new().expect("a directory"));
        let accesses = host.accesses();
        fs::create_dir(&accesses).expect("the directory of the accesses");
        let by_hand = r#"{"handle": "root", "grants": ["builder"], "until": "2100-01-01T00:00:00Z"}"#;
        fs::write(accesses.join("root.json"), by_hand).expect("an access by hand");
        fs::write(host.0.path().join("build-host.conf"), accesses.display().to_string())
            .expect("its settings");
        fs::write(host.program(), program).expect("the program");
        fs::set_permissions(host.program(), Permissions::from_mode(0o755)).expect("make it executable");
        host
    }

    /// As a target's `program`.
    pub fn program(&self) -> PathBuf {
        self.0.path().join("build-host")
    }

    /// A file for each access.
    pub fn accesses(&self) -> PathBuf {
        self.0.path().join("accesses")
    }
}
