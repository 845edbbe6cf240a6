//! Speaking with hosts that run `gatepass-host`: over ssh itself, as its login, with a certificate that is good for two
//! minutes and for nothing but this.

use super::authority::{Authority, broken};
use super::certificate::CONTROL;
use super::{CLOCK_BOUND, ControlOptions, Host, note};
use crate::TargetError;
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use rand::rngs::OsRng;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::{Algorithm, LineEnding, PrivateKey};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// One conversation, connecting included. A host waits up to 8 s for what it ends.
const LIMIT: Duration = Duration::from_secs(20);
/// sshd refuses some of those that come at once; ten unless it is told otherwise.
const AT_ONCE: usize = 4;
/// How far the clocks may be apart for the certificate of a conversation.
const GOOD_FOR_S: u64 = 120;
/// An answer is a line for each access with open connections.
const MOST: u64 = 4 * 1024 * 1024;
/// What a host has to say first.
const GREETING: &str = "gatepass-host 1";
/// A watch that did not look for so long does not end anything.
const WATCH_S: i64 = 10;

pub struct Control {
    options: ControlOptions,
    hosts: Vec<(Host, Arc<Semaphore>)>,
}

/// What is open on the hosts, of one access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    pub sessions: u32,
    /// The end the hosts go by, of the certificates in use.
    pub until: Option<Time>,
}

impl Control {
    pub fn new(options: ControlOptions, hosts: Vec<Host>) -> Self {
        let hosts = hosts.into_iter().map(|host| (host, Arc::new(Semaphore::new(AT_ONCE)))).collect();
        Self { options, hosts }
    }

    /// Has every host refuse the certificates up to `number`, end their connections and read back that none is open.
    /// Answers how many there were.
    pub async fn end(
        &self,
        authority: &Authority,
        now: Time,
        grant: GrantId,
        number: u64,
        until: Time,
    ) -> Result<u32, TargetError> {
        let request = format!("end {grant} {number} {}", note::end(until));
        let mut ended = 0;
        for (host, answer) in self.ask(authority, now, &request).await? {
            let count = answer.trim().strip_prefix("ended ").and_then(|n| n.parse::<u32>().ok());
            ended += count.ok_or_else(|| strange(&host, &answer))?;
        }
        Ok(ended)
    }

    /// Has every host let what is open go on until then.
    pub async fn extend(
        &self,
        authority: &Authority,
        now: Time,
        grant: GrantId,
        until: Time,
    ) -> Result<(), TargetError> {
        let request = format!("extend {grant} {}", note::end(until));
        for (host, answer) in self.ask(authority, now, &request).await? {
            if answer.trim() != "extended" {
                return Err(strange(&host, &answer));
            }
        }
        Ok(())
    }

    /// What is open on the hosts. An error when one of them does not watch.
    pub async fn list(
        &self,
        authority: &Authority,
        now: Time,
    ) -> Result<BTreeMap<GrantId, Open>, TargetError> {
        let mut open: BTreeMap<GrantId, Open> = BTreeMap::new();
        for (host, answer) in self.ask(authority, now, "list").await? {
            let mut lines = answer.lines();
            let (clock, watched) = lines.next().and_then(clocks).ok_or_else(|| strange(&host, &answer))?;
            if clock - watched > WATCH_S {
                let why =
                    format!("{host}: “gatepass-host watch” does not run, so nothing ends sessions there");
                return Err(TargetError::Refused(why));
            }
            let apart = (now.timestamp() - clock).abs();
            if apart > CLOCK_BOUND.num_seconds() + LIMIT.as_secs().cast_signed() {
                tracing::warn!(%host, apart, "the host’s clock is wrong, and accesses end by it");
            }
            for line in lines {
                let (grant, end) = connection(line).ok_or_else(|| strange(&host, line))?;
                let of = open.entry(grant).or_default();
                of.sessions += 1;
                of.until = of.until.max(Time::from_timestamp(end, 0));
            }
        }
        Ok(open)
    }

    /// Asks all hosts at once. Their answers, after the greeting, or the first error.
    async fn ask(
        &self,
        authority: &Authority,
        now: Time,
        request: &str,
    ) -> Result<Vec<(Host, String)>, TargetError> {
        let folder = Arc::new(self.credential(authority, now)?);
        // Dropped, and with it the programs ended, when nobody waits for the answer any more.
        let mut asked = JoinSet::new();
        for (host, turns) in &self.hosts {
            let mut command = self.command(folder.path(), host, request);
            let (host, turns, folder) = (host.clone(), turns.clone(), folder.clone());
            asked.spawn(async move {
                let _turn = turns.acquire().await;
                let answer = match timeout(LIMIT, run(&mut command)).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        Err(TargetError::Unreachable(format!("no answer within {} s", LIMIT.as_secs())))
                    }
                };
                drop(folder);
                (host, answer)
            });
        }
        let mut answers = Vec::new();
        while let Some(joined) = asked.join_next().await {
            let (host, answer) = joined.map_err(|e| TargetError::Unreachable(e.to_string()))?;
            let answer = answer.map_err(|e| of(&host, e))?;
            let answer = answer.strip_prefix(GREETING).and_then(|rest| rest.strip_prefix('\n'));
            let Some(answer) = answer else {
                let why =
                    format!("{host} does not answer as gatepass-host does: is it the forced command there?");
                return Err(TargetError::Refused(why));
            };
            answers.push((host, answer.to_owned()));
        }
        Ok(answers)
    }

    /// A key of this conversation only, and its certificate, where only we can read.
    fn credential(&self, authority: &Authority, now: Time) -> Result<TempDir, TargetError> {
        let now = u64::try_from(now.timestamp()).unwrap_or_default();
        let build = || {
            let key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519)?;
            let (since, until) = (now.saturating_sub(GOOD_FOR_S), now + GOOD_FOR_S);
            let mut builder = Builder::new_with_random_nonce(
                &mut OsRng,
                key.public_key().key_data().clone(),
                since,
                until,
            )?;
            builder.cert_type(CertType::User)?.key_id(CONTROL)?.valid_principal(CONTROL)?;
            builder.critical_option("force-command", "/usr/local/sbin/gatepass-host control")?;
            Ok((key.to_openssh(LineEnding::LF)?, builder.sign(&authority.0)?.to_openssh()?))
        };
        let (key, certificate) = build().map_err(broken)?;
        let write = || {
            let folder = tempfile::Builder::new().prefix("gatepass-ssh-").tempdir()?;
            private(&folder.path().join("key"), key.as_bytes())?;
            private(&folder.path().join("certificate"), certificate.as_bytes())?;
            Ok::<_, std::io::Error>(folder)
        };
        write().map_err(|e| TargetError::Unreachable(format!("no place for a key of a minute: {e}")))
    }

    fn command(&self, folder: &Path, host: &Host, request: &str) -> Command {
        let option = |name: &str, file: &Path| {
            let mut option = OsString::from(format!("{name}=\""));
            option.push(file);
            option.push("\"");
            option
        };
        let mut command = Command::new(&self.options.program);
        command.args([
            "-F",
            "none",
            "-T",
            "-a",
            "-x",
            "-p",
            &host.port.to_string(),
            "-l",
            &self.options.user,
        ]);
        for fixed in [
            "BatchMode=yes",
            "ClearAllForwardings=yes",
            "ConnectTimeout=5",
            "ControlPath=none",
            "GlobalKnownHostsFile=none",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "LogLevel=ERROR",
            "PreferredAuthentications=publickey",
            "ServerAliveInterval=5",
            "ServerAliveCountMax=2",
            "StrictHostKeyChecking=yes",
            "UpdateHostKeys=no",
        ] {
            command.args(["-o", fixed]);
        }
        command.arg("-o").arg(option("UserKnownHostsFile", &self.options.known_hosts));
        command.arg("-o").arg(option("IdentityFile", &folder.join("key")));
        command.arg("-o").arg(option("CertificateFile", &folder.join("certificate")));
        command.args(["--", &host.name, request]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

/// What the host answered on stdout.
async fn run(command: &mut Command) -> Result<String, TargetError> {
    let missing =
        |e: std::io::Error| TargetError::Configuration(format!("OpenSSH’s client does not start: {e}"));
    let mut child = command.spawn().map_err(missing)?;
    let (out, err) = (read(child.stdout.take()), read(child.stderr.take()));
    let (out, err, status) = tokio::join!(out, err, child.wait());
    let status = status.map_err(missing)?;
    if status.success() {
        return Ok(out);
    }
    let said = err.lines().last().unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
    // 255 is ssh's own; everything else is the host's word.
    Err(match status.code() {
        Some(255) | None => TargetError::Unreachable(said),
        Some(_) => TargetError::Refused(said),
    })
}

async fn read(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        // What can't be read is missing in the answer, and noticed there.
        let _ = from.take(MOST).read_to_end(&mut bytes).await;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `clock SECONDS watched SECONDS`
fn clocks(line: &str) -> Option<(i64, i64)> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["clock", clock, "watched", watched] = words.as_slice() else { return None };
    Some((clock.parse().ok()?, watched.parse().ok()?))
}

/// `open GRANT END`
fn connection(line: &str) -> Option<(GrantId, i64)> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["open", grant, end] = words.as_slice() else { return None };
    Some((grant.parse().ok()?, end.parse().ok()?))
}

fn strange(host: &Host, answer: &str) -> TargetError {
    let start: String = answer.chars().filter(|c| !c.is_control()).take(80).collect();
    TargetError::Refused(format!("{host} answers what nobody asked: “{start}”"))
}

fn of(host: &Host, error: TargetError) -> TargetError {
    match error {
        TargetError::Unreachable(why) => TargetError::Unreachable(format!("{host}: {why}")),
        TargetError::Refused(why) => TargetError::Refused(format!("{host}: {why}")),
        other => other,
    }
}

fn private(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(bytes)
}
