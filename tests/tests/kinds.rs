//! The other kinds of target at the command line, as a person uses them: a real sshd, slapd, and the examples of
//! connectors. MariaDB has its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_testkit::Postgres;
use gatepass_testkit::examples::{BuildHost, Receiver};
use gatepass_testkit::slapd::{self, Slapd};
use gatepass_testkit::sshd::Sshd;
use gatepass_tests::{Person, Server, bins, eventually};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// tomas, on a server with one more target and one role of it that nobody has to approve.
struct Place {
    tomas: Person,
    server: Server,
    home: TempDir,
    _orders: Postgres,
}

/// `[[target]]`, then a resource `thing` with the role `use`.
fn target(kind: &str, settings: &str, role: &str) -> String {
    format!(
        r#"
[[target]]
id = "there"
kind = "{kind}"
{settings}

[[resource]]
id = "thing"
name = "A thing"
environment = "production"
target = "there"

[[resource.role]]
id = "use"
name = "Use"
{role}
ask = ["backend"]
approve = []
default = "1m"
max = "1h"
"#
    )
}

impl Place {
    fn new(home: TempDir, handle: &str, more: &str) -> Self {
        Self::with_agent(home, handle, more, "")
    }

    /// `agent` is where an ssh-agent listens.
    fn with_agent(home: TempDir, handle: &str, more: &str, agent: &str) -> Self {
        let orders = Postgres::orders();
        let server = Server::start(&orders, more);
        let env = [("GATEPASS_KEYSTORE", "file"), ("SSH_AUTH_SOCK", agent)];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let tomas = Person::new(handle, "Tomás Rivera", "backend", home.path(), &env);
        tomas.join(&server);
        Self { tomas, server, home, _orders: orders }
    }

    fn ask(&self, length: &str) -> String {
        let asked = self.tomas.json(&["request", "thing/use", "--for", length, "--reason", "as tried"]);
        asked["id"].as_str().unwrap().to_owned()
    }

    async fn until(&self, request: &str, state: &str) -> Value {
        eventually(state, async || self.tomas.grant(request).filter(|g| g["state"] == state)).await
    }

    async fn get(&self, length: &str) -> (String, Value) {
        let request = self.ask(length);
        self.until(&request, "active").await;
        let credential = self.tomas.json(&["credential", &request]);
        assert!(credential["expires_at"].as_str().unwrap().ends_with('Z'), "{credential}");
        (request, credential)
    }
}

fn keys(document: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// The authority's line for hosts; the key is made where it is missing.
fn authority(home: &Path) -> String {
    let config = home.join("before.toml");
    let settings = format!("hosts = [\"127.0.0.1:1\"]\nca_key_file = {:?}", home.join("ssh-ca"));
    let server = "[server]\nname = \"example.com/gatepass\"\n";
    std::fs::write(&config, format!("{server}{}", target("ssh", &settings, "grants = [\"nobody\"]")))
        .unwrap();
    let mut command = Command::new(bins::path("gatepass-server"));
    command.args(["ssh-ca", "--config"]).arg(&config).args(["--target", "there"]);
    let said = command.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// Runs a line as a person pastes it into a shell, with what only a test needs.
fn paste(line: &str, host: &Sshd, remote: &str) -> Command {
    let test = format!("-F none -o BatchMode=yes -o UserKnownHostsFile='{}'", host.known_hosts().display());
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{} {test} {remote}", line)).env_remove("SSH_AUTH_SOCK");
    command.stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn a_session_over_ssh_ends_with_its_access() {
    let home = tempfile::tempdir().unwrap();
    let host = Sshd::start(&authority(home.path()), &[]);
    let account = host.account();
    let settings = format!("hosts = [\"{}\"]\nca_key_file = {:?}", host.host(), home.path().join("ssh-ca"));
    let role = format!("grants = [\"{account}\"]\nsession = \"cut\"");
    let place = Place::new(home, "tomas", &target("ssh", &settings, &role));

    let (request, credential) = place.get("6s").await;
    assert_eq!(keys(&credential), ["certificate_file", "command", "expires_at", "key_file", "kind"]);
    assert_eq!(credential["kind"], "ssh");
    let line = credential["command"].as_str().unwrap().to_owned();
    let said = paste(&line, &host, "id -un").output().unwrap();
    assert_eq!((said.status.success(), text(&said).trim()), (true, account.as_str()), "{}", host.log());

    let mut open = paste(&line, &host, "sleep 600").spawn().unwrap();
    place.until(&request, "ended").await;
    let over = eventually("the open session has ended", async || open.try_wait().unwrap()).await;
    assert!(!over.success());
    assert!(!paste(&line, &host, "true").output().unwrap().status.success(), "nobody gets in any more");
    let key = credential["key_file"].as_str().unwrap();
    eventually("the key’s file is gone", async || {
        place.tomas.run(&["audit", "list"]);
        (!Path::new(key).exists()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_given_back_over_ssh_is_revoked_at_once_and_over_when_it_ran_out() {
    let home = tempfile::tempdir().unwrap();
    let host = Sshd::start(&authority(home.path()), &["RevokedKeys DIR/krl"]);
    let settings = format!("hosts = [\"{}\"]\nca_key_file = {:?}", host.host(), home.path().join("ssh-ca"));
    let role = format!("grants = [\"{}\"]", host.account());
    let place = Place::new(home, "tomas", &target("ssh", &settings, &role));
    let krl = format!("{}/v1/ssh/there/krl", place.server.url());
    let fetch = async || {
        let list = reqwest::get(&krl).await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
        std::fs::write(host.known_hosts().with_file_name("krl"), &list).unwrap();
    };
    fetch().await;
    let (request, credential) = place.get("12s").await;
    let line = credential["command"].as_str().unwrap().to_owned();
    let said = paste(&line, &host, "true").output().unwrap();
    assert!(said.status.success(), "{}\n{}", text(&said), host.log());

    place.tomas.json(&["return", &request]);
    let waiting = eventually("it says what it waits for", async || {
        place.tomas.grant(&request).filter(|g| g["state"] == "ending" && !g["trouble"].is_null())
    })
    .await;
    assert_eq!(waiting["trouble"]["attempts"], 0, "{waiting}");
    fetch().await;
    assert!(!paste(&line, &host, "true").output().unwrap().status.success(), "the list keeps it out");
    place.until(&request, "ended").await;
}

/// Ended when dropped.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_agent_keeps_the_key_and_no_file_does() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("agent");
    let _agent = Agent(
        Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap(),
    );
    eventually("the agent listens", async || socket.exists().then_some(())).await;
    let host = Sshd::start(&authority(home.path()), &[]);
    let settings = format!("hosts = [\"{}\"]\nca_key_file = {:?}", host.host(), home.path().join("ssh-ca"));
    let role = format!("grants = [\"{}\"]", host.account());
    let socket = socket.to_str().unwrap().to_owned();
    let place = Place::with_agent(home, "tomas", &target("ssh", &settings, &role), &socket);

    let (_, credential) = place.get("1m").await;
    let key = credential["key_file"].as_str().unwrap();
    assert!(std::fs::read_to_string(key).unwrap().starts_with("ssh-ed25519 "), "the public one");
    let folder = Path::new(key).parent().unwrap();
    assert!(!folder.join("id").exists(), "the private one is in the agent only");
    let line = credential["command"].as_str().unwrap();
    let said = paste(line, &host, "id -un").env("SSH_AUTH_SOCK", &socket).output().unwrap();
    assert!(said.status.success(), "{}\n{}", text(&said), host.log());
    assert!(
        !paste(line, &host, "true").output().unwrap().status.success(),
        "without the agent there is no key"
    );
}

#[tokio::test]
async fn membership_is_given_and_ends_with_the_last_grant() {
    let directory = Slapd::start();
    let dn = |name: &str| format!("uid={name},{}", slapd::PEOPLE);
    let group = format!("cn=oncall,{}", slapd::GROUPS);
    let (tomas, other) = (dn("tomas"), dn("p1"));
    directory.change(&format!("dn: {group}\nobjectClass: groupOfNames\ncn: oncall\nmember: {other}\n"));
    let home = tempfile::tempdir().unwrap();
    let password = home.path().join("directory-password");
    std::fs::write(&password, slapd::ACCOUNT_PASSWORD).unwrap();
    let settings = format!(
        "url = \"{}\"\nbind_dn = \"{}\"\npassword_file = {password:?}\n\
         people = {{ base = \"{}\", filter = \"(uid={{person}})\" }}",
        directory.url(),
        slapd::ACCOUNT,
        slapd::PEOPLE
    );
    let more = target("ldap", &settings, &format!("grants = [\"{group}\"]"));
    let place = Place::new(home, "tomas", &more);
    let members = || directory.values(&group, "member");

    let (first, credential) = place.get("1m").await;
    assert_eq!(keys(&credential), ["expires_at", "groups", "kind"]);
    assert_eq!((&credential["kind"], &credential["groups"][0]), (&"ldap".into(), &group.as_str().into()));
    let (second, _) = place.get("1m").await;
    assert_eq!(members(), [other.clone(), tomas.clone()]);
    place.tomas.json(&["return", &first]);
    place.until(&first, "ended").await;
    assert_eq!(members(), [other.clone(), tomas.clone()], "the second still needs it");
    place.tomas.json(&["return", &second]);
    place.until(&second, "ended").await;
    assert_eq!(members(), [other]);
}

#[tokio::test]
async fn a_webhook_gives_and_takes() {
    let receiver = Receiver::start();
    let settings = format!("url = \"{}\"\nsecret_file = {:?}", receiver.url(), receiver.secrets());
    let home = tempfile::tempdir().unwrap();
    let place = Place::new(home, "tomas", &target("webhook", &settings, "grants = [\"deployer\"]"));
    let (request, credential) = place.get("1m").await;
    assert_eq!(keys(&credential), ["details", "expires_at", "kind"]);
    assert_eq!(credential["kind"], "webhook");
    assert!(credential["details"].is_object(), "{credential}");
    assert!(receiver.store().contains("tomas"), "{}", receiver.store());
    place.tomas.json(&["return", &request]);
    place.until(&request, "ended").await;
    assert!(!receiver.store().contains("tomas"), "{}", receiver.store());
    assert!(receiver.store().contains("root"), "what was there before stays");
}

#[tokio::test]
async fn a_program_gives_and_takes() {
    let host = BuildHost::install();
    let files = || std::fs::read_dir(host.accesses()).unwrap().count();
    let home = tempfile::tempdir().unwrap();
    let settings = format!("program = {:?}", host.program());
    let place = Place::new(home, "tomas", &target("command", &settings, "grants = [\"builder\"]"));
    let before = files();
    let (request, credential) = place.get("3s").await;
    assert_eq!(keys(&credential), ["details", "expires_at", "kind"]);
    assert_eq!((&credential["kind"], files()), (&"command".into(), before + 1));
    place.until(&request, "ended").await;
    assert_eq!(files(), before);
    assert!(place.home.path().exists());
}
