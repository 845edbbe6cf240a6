//! A host, a connector for it, and what a holder does there.

use chrono::TimeDelta;
use gatepass_connectors::ssh::{Authority, ControlOptions, Options, Ssh, ensure};
use gatepass_connectors::{Access, Connector, Forgetful, Holder};
use gatepass_core::Time;
use gatepass_core::catalogue::Session;
use gatepass_core::id::{GrantId, PersonId};
use gatepass_core::wire::Secret;
use gatepass_testkit::Sshd;
use gatepass_testkit::sshd::Key;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uuid::Uuid;

pub struct Target {
    pub host: Sshd,
    pub connector: Ssh,
    /// The holder's device's.
    pub key: Key,
    options: Options,
    folder: TempDir,
}

/// A host that has nothing but `TrustedUserCAKeys` and these lines.
pub fn target(lines: &[&str], change: impl FnOnce(&mut Options)) -> Target {
    made(|authority| Sshd::start(authority, lines), |_, _| (), change)
}

/// A host with `gatepass-host`, and a connector that asks it.
pub fn watched() -> Target {
    watched_with(|_| ())
}

pub fn watched_with(change: impl FnOnce(&mut Options)) -> Target {
    let control = |options: &mut Options, host: &Sshd| {
        options.control = Some(ControlOptions {
            user: "gatepass-host".into(),
            known_hosts: host.known_hosts(),
            program: "ssh".into(),
        });
    };
    made(Sshd::with_script, control, change)
}

fn made(
    host: impl FnOnce(&str) -> Sshd,
    control: impl FnOnce(&mut Options, &Sshd),
    change: impl FnOnce(&mut Options),
) -> Target {
    let folder = tempfile::tempdir().unwrap();
    let ca_key_file = folder.path().join("ca");
    ensure(&ca_key_file).unwrap();
    let host = host(&Authority::read(&ca_key_file).unwrap().public_line().unwrap());
    let mut options = Options {
        hosts: vec![host.host().parse().unwrap()],
        ca_key_file,
        user: None,
        source_addresses: Vec::new(),
        extensions: vec!["permit-pty".into()],
        control: None,
    };
    control(&mut options, &host);
    change(&mut options);
    let connector = Ssh::new(options.clone(), Arc::new(Forgetful::default()), Arc::new(now));
    Target { host, connector, key: Key::new(), options, folder }
}

/// Whole milliseconds, as the product's times are.
#[allow(clippy::disallowed_methods, reason = "a test is an edge")]
pub fn now() -> Time {
    Time::from_timestamp_millis(chrono::Utc::now().timestamp_millis()).unwrap()
}

/// In so many seconds, and whole: when sshd's clock strikes it is exactly then.
pub fn soon(seconds: i64) -> Time {
    Time::from_timestamp(now().timestamp() + seconds, 0).unwrap()
}

pub async fn reached(time: Time) {
    while let Ok(left) = (time - now()).to_std() {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

impl Target {
    /// Another connector for the same, which remembers nothing.
    pub fn again(&self) -> Ssh {
        Ssh::new(self.options.clone(), Arc::new(Forgetful::default()), Arc::new(now))
    }

    pub fn holder(&self) -> Holder {
        let person = PersonId(Uuid::now_v7());
        Holder { person, handle: "tomas@example.com".into(), ssh_key: Some(self.key.public()) }
    }

    pub fn access(&self, session: Session) -> Access {
        Access {
            grant: GrantId(Uuid::now_v7()),
            holder: self.holder(),
            grants: vec![self.host.account()],
            session,
            until: now() + TimeDelta::hours(1),
        }
    }

    /// Certifies the device's key with what `provision` answers.
    pub async fn provision(&self, access: &Access) -> Secret {
        let secret = self.connector.provision(access).await.expect("provision");
        self.key.certify(certificate(&secret));
        secret
    }

    /// `ssh OPTIONS ACCOUNT@HOST COMMAND`, with the certificate given last.
    pub fn ssh(&self, options: &[&str], command: &[&str]) -> Command {
        let mut ssh = self.host.client(&self.key, options);
        ssh.arg(format!("{}@127.0.0.1", self.host.account())).args(command);
        ssh
    }

    pub fn run(&self, options: &[&str], command: &[&str]) -> Output {
        self.ssh(options, command).output().expect("start ssh")
    }

    /// What a command says on the host, when it may be run.
    pub fn says(&self, command: &str) -> Result<String, String> {
        let done = self.run(&[], &[command]);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    }

    /// An open session with `command` in it, which answers each line with a line.
    pub fn open(&self, options: &[&str], command: &[&str]) -> Open {
        Open::start(self.ssh(options, command))
    }

    /// A file of this target's, to write what goes with one session.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

pub fn certificate(secret: &Secret) -> &str {
    match secret {
        Secret::Ssh { certificate, .. } => certificate,
        other => panic!("not of ssh: {other:?}"),
    }
}

/// A client that stays connected.
pub struct Open {
    child: Child,
    lines: Receiver<String>,
    /// Of every line that is asked for, so that an answer is known.
    asked: u32,
}

impl Open {
    fn start(mut ssh: Command) -> Self {
        let child = ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("start ssh");
        let out = child.stdout.take().unwrap();
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                if line.is_err() || line.is_ok_and(|l| tell.send(l).is_err()) {
                    return;
                }
            }
        });
        Self { child, lines, asked: 0 }
    }

    pub fn type_in(&mut self, text: &str) {
        // A session that ended reads nothing any more, which the next line that is waited for shows.
        let stdin = self.child.stdin.as_mut().unwrap();
        let _ = stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush());
    }

    /// The next line that has this in it, from here on.
    pub fn line_with(&self, part: &str) -> Option<String> {
        let limit = Instant::now() + Duration::from_secs(15);
        loop {
            let left = limit.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            if line.contains(part) {
                return Some(line.trim_end().to_owned());
            }
        }
    }

    /// Whether `cat` answers.
    pub fn echoes(&mut self) -> bool {
        self.asked += 1;
        let word = format!("word-{}", self.asked);
        self.type_in(&format!("{word}\n"));
        self.line_with(&word).is_some()
    }

    /// When it ended, and with what status, if it does so in time.
    pub fn ended(&mut self) -> Option<(Time, Option<i32>)> {
        let limit = Instant::now() + Duration::from_secs(15);
        while Instant::now() < limit {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some((now(), status.code()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process of this number is there, and no zombie.
pub fn process(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

pub fn gone(pid: &str) -> bool {
    let limit = Instant::now() + Duration::from_secs(10);
    while process(pid) {
        if Instant::now() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}
