//! The worked examples of connectors, as `examples/` has them.

use crate::watch::Watched;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Somebody who was given access by hand.
const STANDING: &str = r#"{"accesses": {}, "standing": [{"name": "root", "grants": ["deployer"]}]}"#;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// One of the scripts that operators run.
fn script(name: &str, arguments: [&Path; 2]) {
    let mut script = Command::new("sh");
    script
        .arg(repository("docs/connectors").join(name))
        .args(arguments.iter().filter(|a| !a.as_os_str().is_empty()));
    let said = script.output().expect("run sh");
    assert!(said.status.success(), "{name}: {}", String::from_utf8_lossy(&said.stderr));
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
        // Two of them, as while they are changed.
        for _ in 0..2 {
            script("webhook-secret.sh", [&receiver.secrets(), Path::new("")]);
        }
        receiver.write("store.json", STANDING);
        // As tests run it most often; python3 of a version manager takes a third of a second to start.
        let debian = Path::new("/usr/bin/python3");
        let mut program = Command::new(if debian.exists() { debian } else { Path::new("python3") });
        program.arg(repository("examples/webhook-receiver/receiver.py")).args(["--listen", "127.0.0.1:0"]);
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
        Self::install_from(&repository("examples/command-connector/build-host"))
    }

    /// Another program in its place.
    pub fn install_as(program: &str) -> Self {
        let folder = TempDir::new().expect("a directory");
        let path = folder.path().join("build-host");
        fs::write(&path, program).expect("the program");
        Self::install_from(&path)
    }

    fn install_from(program: &Path) -> Self {
        let host = Self(TempDir::new().expect("a directory"));
        let accesses = host.accesses();
        fs::create_dir(&accesses).expect("the directory of the accesses");
        let by_hand = r#"{"handle": "root", "grants": ["builder"], "until": "2100-01-01T00:00:00Z"}"#;
        fs::write(accesses.join("root.json"), by_hand).expect("an access by hand");
        script("command-install.sh", [program, &host.folder()]);
        let settings = accesses.display().to_string();
        fs::write(host.folder().join("build-host.conf"), settings).expect("its settings");
        host
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("bin")
    }

    /// As a target's `program`.
    pub fn program(&self) -> PathBuf {
        self.folder().join("build-host")
    }

    /// A file for each access.
    pub fn accesses(&self) -> PathBuf {
        self.0.path().join("accesses")
    }
}
