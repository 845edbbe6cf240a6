//! A private sshd, and somebody who logs in.

use crate::watch::Watched;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SCRIPT: &str = include_str!("../../../packaging/ssh/gatepass-host");
const CONFIG: &str = include_str!("../../../packaging/ssh/sshd_config");

/// The account that holders log in as, when this is root.
const ACCOUNT: &str = "deploy";

/// One sshd on 127.0.0.1 and a free port. As root, it runs where `/etc`, `/run`, `/var/lib` and `/usr/local/sbin` are its
/// own, so that accounts are made and files installed as on a real host, and nothing of it stays on this one; as anybody
/// else, it lets in only whoever runs it. Stopped and removed when dropped.
pub struct Sshd {
    /// The first two, so that they have ended when the directory goes.
    watch: Option<Watched>,
    running: Option<Watched>,
    dir: TempDir,
    port: u16,
    config: String,
}

/// Whether this may become other users, which a host with `gatepass-host` has to.
pub fn root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

impl Sshd {
    /// A host that trusts this authority, and has nothing else of Gatepass. `more` are lines of its configuration.
    pub fn start(authority: &str, more: &[&str]) -> Self {
        let mut config = vec!["TrustedUserCAKeys DIR/authority.pub"];
        config.extend(more);
        Self::launch(authority, &config.join("\n"), false)
    }

    /// A host as docs/connectors/ssh.md sets it up, `gatepass-host watch` included. Only for root.
    pub fn with_script(authority: &str) -> Self {
        assert!(root(), "only root can set a host up");
        let mut host = Self::launch(authority, CONFIG, true);
        host.start_watch();
        host
    }

    fn launch(authority: &str, config: &str, script: bool) -> Self {
        let dir = tempfile::Builder::new().prefix("gatepass-sshd-").tempdir().expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("a directory for all");
        fs::write(dir.path().join("authority.pub"), format!("{authority}\n")).expect("write the authority");
        keygen(&dir.path().join("host_key"));
        let home = dir.path().display().to_string();
        let config = config.replace("DIR", &home);
        let mut host = Self { watch: None, running: None, dir, port: 0, config };
        if root() {
            host.furnish(authority, script);
        }
        for _ in 0..5 {
            host.port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
            if host.run() {
                return host;
            }
        }
        panic!("sshd does not start:\n{}", host.log());
    }

    /// What the host has of its own, in directories that are put in their places when it starts.
    fn furnish(&self, authority: &str, script: bool) {
        let dir = self.dir.path();
        let done = Command::new("cp").args(["-a", "/etc"]).arg(dir).status().expect("start cp");
        assert!(done.success(), "copy /etc");
        fs::create_dir(dir.join("sbin")).expect("a directory");
        fs::create_dir(dir.join("home")).expect("a directory");
        fs::create_dir_all(dir.join("etc/ssh")).expect("a directory");
        fs::write(dir.join("etc/ssh/gatepass-ca.pub"), format!("{authority}\n")).expect("the authority");
        if script {
            let file = dir.join("sbin/gatepass-host");
            fs::write(&file, SCRIPT).expect("install");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("install");
        }
        let setup = if script { "/usr/local/sbin/gatepass-host setup" } else { ":" };
        // Kept from the setup to the start: what it makes below /var/lib.
        fs::create_dir(dir.join("lib")).expect("a directory");
        fs::create_dir(dir.join("run")).expect("a directory");
        let prepare = format!(
            r#"set -e
            mount --bind "$1/etc" /etc; mount --bind "$1/sbin" /usr/local/sbin
            mount --bind "$1/lib" /var/lib; mount --bind "$1/run" /run
            mkdir -p /run/sshd; chmod 755 /run/sshd
            useradd --uid 48123 --home-dir "$1/home" --shell /bin/bash {ACCOUNT}
            usermod -p '*' {ACCOUNT}; chown {ACCOUNT} "$1/home"
            {setup}"#
        );
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &prepare, "sh"]).arg(dir);
        let done = command.output().expect("start unshare");
        assert!(done.status.success(), "set the host up: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Whether it answers.
    fn run(&mut self) -> bool {
        let dir = self.dir.path().to_owned();
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {dir}/host_key\nPidFile {dir}/sshd.pid\n\
             LogLevel VERBOSE\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n\
             UsePAM {}\nSubsystem sftp internal-sftp\n{}\n",
            self.port,
            // As hosts have it: only root can.
            if root() { "yes" } else { "no" },
            self.config,
            dir = dir.display(),
        );
        fs::write(dir.join("sshd_config"), config).expect("write the configuration");
        let known = format!("[127.0.0.1]:{} {}", self.port, public(&dir.join("host_key")));
        fs::write(dir.join("known_hosts"), known).expect("write the host's key");
        let _ = fs::remove_file(dir.join("sshd.pid"));
        let sshd = "exec /usr/sbin/sshd -D -e -f \"$1/sshd_config\"";
        let places = r#"mount --bind "$1/etc" /etc && mount --bind "$1/sbin" /usr/local/sbin &&
            mount --bind "$1/lib" /var/lib && mount --bind "$1/run" /run &&"#;
        let mut command;
        if root() {
            command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", &format!("{places} {sshd}"), "sh"]);
        } else {
            command = Command::new("sh");
            command.args(["-c", sshd, "sh"]);
        }
        command.arg(&dir);
        self.running = Some(Watched::start(&dir.join("log"), "TERM", [&dir, &dir], &command));
        let limit = Instant::now() + Duration::from_secs(20);
        while Instant::now() < limit {
            if self.running.as_mut().is_none_or(Watched::ended) {
                self.running = None;
                return false;
            }
            if self.answers() && self.process().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn answers(&self) -> bool {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut line = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
        BufReader::new(stream).read_line(&mut line).is_ok_and(|_| line.starts_with("SSH-2.0-"))
    }

    /// The process that listens.
    fn process(&self) -> Option<u32> {
        fs::read_to_string(self.dir.path().join("sshd.pid")).ok()?.trim().parse().ok()
    }

    /// Starts `gatepass-host watch`, and waits until it looked.
    pub fn start_watch(&mut self) {
        let alive = self.path("/run/gatepass-host/alive");
        let _ = fs::remove_file(&alive);
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--target", &self.process().expect("sshd runs").to_string()]);
        command.args(["/usr/local/sbin/gatepass-host", "watch"]);
        let dir = self.dir.path();
        self.watch = Some(Watched::start(&dir.join("watch.log"), "TERM", [dir, dir], &command));
        let limit = Instant::now() + Duration::from_secs(20);
        while !alive.exists() {
            assert!(Instant::now() < limit, "the watch does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn stop_watch(&mut self) {
        self.watch = None;
    }

    /// Nobody can connect any more; connections that are open stay.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// As it was, on the same port.
    pub fn start_again(&mut self) {
        assert!(self.run(), "sshd does not start again:\n{}", self.log());
    }

    /// A file of the host, as it is called there.
    pub fn path(&self, there: &str) -> PathBuf {
        let dir = self.dir.path();
        for (place, here) in
            [("/etc", "etc"), ("/run", "run"), ("/var/lib", "lib"), ("/usr/local/sbin", "sbin")]
        {
            if let Some(rest) = there.strip_prefix(place) {
                return dir.join(here).join(rest.trim_start_matches('/'));
            }
        }
        PathBuf::from(there)
    }

    /// Who holders log in as.
    pub fn account(&self) -> String {
        if root() {
            return ACCOUNT.to_owned();
        }
        let me = Command::new("id").arg("-un").output().expect("start id");
        String::from_utf8_lossy(&me.stdout).trim().to_owned()
    }

    /// As the configuration of a target has it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// What sshd and the watch said.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        format!("{}\n-- watch --\n{}", read("log"), read("watch.log"))
    }

    /// OpenSSH's client on its way to this host. What is to be run there comes after; before that, more options.
    pub fn client(&self, key: &Key, options: &[&str]) -> Command {
        self.client_of("ssh", key, options)
    }

    /// `scp` or `sftp`, with the same options.
    pub fn client_of(&self, program: &str, key: &Key, options: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
        command.args(["-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"]);
        command.args(["-o", &format!("Port={}", self.port)]);
        command.args(["-o", &format!("UserKnownHostsFile={}", self.known_hosts().display())]);
        command.args(["-o", &format!("IdentityFile={}", key.file().display())]);
        command.args(options).stdin(Stdio::null());
        command
    }
}

/// A device's key, with the certificate that it was given last.
pub struct Key(TempDir);

impl Key {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        keygen(&dir.path().join("key"));
        Self(dir)
    }

    pub fn file(&self) -> PathBuf {
        self.0.path().join("key")
    }

    /// `ssh-ed25519 AAAA…`
    pub fn public(&self) -> String {
        let line = public(&self.file());
        line.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned()
    }

    /// Where OpenSSH looks for it, beside the key.
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("key-cert.pub")
    }

    pub fn certify(&self, certificate: &str) {
        fs::write(self.certificate(), format!("{certificate}\n")).expect("write the certificate");
    }
}

fn keygen(file: &Path) {
    let mut command = Command::new("ssh-keygen");
    let done = command.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(file).status();
    assert!(done.expect("start ssh-keygen").success(), "make {}", file.display());
}

fn public(file: &Path) -> String {
    fs::read_to_string(file.with_extension("pub")).expect("the public key")
}
