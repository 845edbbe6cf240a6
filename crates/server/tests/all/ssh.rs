//! SSH targets as the server has them: configured, certified over the way of a request, revoked, listed.

use gatepass_core::command::Command as Signed;
use gatepass_core::wire::{Accepted, GrantState, GrantView, Secret};
use gatepass_server::Config;
use gatepass_server::testing::{CATALOGUE, Setup, TestServer};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

const SERVER: &str = env!("CARGO_BIN_EXE_gatepass-server");
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const BASTION: &str = r#"
[[target]]
id = "bastion"
kind = "ssh"
hosts = ["bastion-eu-1.example.com", "127.0.0.1:2222"]
ca_key_file = "./secrets/ssh-ca"
user = "deploy"
source_addresses = ["10.0.0.0/8"]

[[resource]]
id = "bastion"
name = "Bastion"
environment = "production"
target = "bastion"

[[resource.role]]
id = "login"
name = "Log in"
grants = ["ops"]
session = "cut"
ask = ["backend"]
approve = []
default = "1h"
max = "8h"
"#;

#[tokio::test]
async fn certified_taken_back_and_listed() {
    let catalogue = format!("{CATALOGUE}{BASTION}");
    let server = TestServer::with(Setup { catalogue, ..Setup::default() }).await;
    let tomas = server.person("tomas", &["backend"]).await;
    let root = server.admin("root").await;
    let list = async |tag: Option<&str>| {
        let mut asked = server.http.get(format!("{}/v1/ssh/bastion/krl", server.url));
        if let Some(tag) = tag {
            asked = asked.header("if-none-match", tag);
        }
        let answer = asked.send().await.unwrap();
        let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), tag, answer.bytes().await.unwrap())
    };
    let (status, empty, bytes) = list(None).await;
    assert!(status == 200 && bytes.starts_with(b"SSHKRL\n\0"));
    let (status, _, bytes) = list(Some(&format!("\"other\", W/{empty}"))).await;
    assert_eq!((status, bytes.len()), (304, 0));

    let command = Signed::Create {
        resource: "bastion".into(),
        role: "login".into(),
        duration_s: 600,
        reason: None,
        ticket: None,
        ssh_key: Some(KEY.into()),
    };
    let asked: Accepted = tomas.send("/v1/requests", command, Vec::new()).await.get();
    let grant = asked.grant.unwrap().id;
    server.until("grant.active", 1).await;
    let credential = tomas.get(&format!("/v1/grants/{grant}/credential")).await;
    let Secret::Ssh { certificate, hosts, user } = tomas.open(&credential.get()) else {
        panic!("not of ssh")
    };
    assert_eq!(hosts, ["bastion-eu-1.example.com", "127.0.0.1:2222"]);
    assert_eq!(user, "deploy");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key-cert.pub");
    std::fs::write(&file, certificate).unwrap();
    let keygen = |arguments: &[&str]| {
        let done = Command::new("ssh-keygen").args(arguments).arg(&file).output().unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let said = keygen(&["-L", "-f"]);
    for part in
        [&format!("gatepass:{grant}:"), ":tomas\"", "ops", "source-address 10.0.0.0/8", "force-command"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(list(None).await.1, empty, "nothing was taken back");

    root.revoke(grant).await.get::<Accepted>();
    server.until("grant.delayed", 1).await;
    let view: GrantView = tomas.get(&format!("/v1/grants/{grant}")).await.get();
    assert_eq!(view.state, GrantState::Ending, "it has not ended as long as a host may take it");
    let (status, tag, bytes) = list(Some(&empty)).await;
    assert_eq!(status, 200);
    assert_ne!(tag, empty);
    let krl = folder.path().join("krl");
    std::fs::write(&krl, bytes).unwrap();
    assert!(keygen(&["-Q", "-f", krl.to_str().unwrap()]).contains("REVOKED"));

    for (path, code) in [("/v1/ssh/pg/krl", "not_found"), ("/v1/ssh/nowhere/krl", "not_found")] {
        assert_eq!(tomas.get(path).await.code(), code);
    }
    server.finish_leaving(1).await;
}

#[test]
fn the_line_for_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepass.toml");
    std::fs::write(&file, format!("[server]\nname = \"test/gatepass\"\n{CATALOGUE}{BASTION}")).unwrap();
    let run = |arguments: &[&str]| -> Output {
        Command::new(SERVER).args(arguments).arg("--config").arg(&file).output().unwrap()
    };
    let key = folder.path().join("secrets/ssh-ca");
    assert!(run(&["check"]).status.success());
    run(&["doctor"]);
    assert!(!key.exists(), "looking makes nothing");
    let first = run(&["ssh-ca", "--target", "bastion"]);
    let line = String::from_utf8(first.stdout).unwrap();
    assert!(line.starts_with("ssh-ed25519 AAAA") && line.trim().lines().count() == 1, "{line}");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(run(&["ssh-ca", "--target", "bastion"]).stdout, line.as_bytes(), "the same again");
    for (target, says) in [("pg", "no authority"), ("other", "expected one of: bastion")] {
        let refused = run(&["ssh-ca", "--target", target]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(says), "{said}");
    }
    std::fs::write(&key, "no key").unwrap();
    let refused = run(&["check"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("as ssh-keygen writes it"));
}

#[test]
fn what_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("known"), "").unwrap();
    let parse = |from: &str, to: &str| {
        let text = format!("[server]\nname = \"test/gatepass\"\n{CATALOGUE}{BASTION}").replacen(from, to, 1);
        assert!(text.contains(to));
        Config::parse(&text, &folder.path().join("gatepass.toml")).map(|_| ()).map_err(|e| e.lines.join("\n"))
    };
    let user = "user = \"deploy\"";
    let with = |line: &str| parse(user, &format!("{user}\n{line}"));
    assert_eq!(parse(user, user), Ok(()));
    assert_eq!(with("extensions = [\"permit-pty\", \"permit-agent-forwarding\"]"), Ok(()));
    assert_eq!(with("control = { known_hosts = \"known\" }"), Ok(()));
    assert_eq!(
        with("control = { user = \"ends\", known_hosts = \"known\", ssh = \"/usr/bin/ssh\" }"),
        Ok(())
    );
    for (wrong, says) in [
        (with("extensions = [\"permit-everything\"]"), "expected some of: permit-pty, "),
        (with("control = { known_hosts = \"missing\" }"), "missing cannot be read"),
        (with("control = { known_hosts = \"known\", ssh = \"ssh -o x\" }"), "expected the whole path"),
        (with("control = { known_hosts = \"known\", user = \"-oProxyCommand=x\" }"), "is no account"),
        (with("control = {}"), "known_hosts"),
        (parse(user, "user = \"a b\""), "is no account"),
        (parse("\"10.0.0.0/8\"", "\"10.0.0.1/8\""), "“10.0.0.1/8” is no address"),
        (parse("\"127.0.0.1:2222\"", "\"me@host\""), "“me@host” is not a host"),
        (parse("[\"bastion-eu-1.example.com\", \"127.0.0.1:2222\"]", "[]"), "there is no host"),
    ] {
        let said = wrong.expect_err(says);
        let at = format!("{}:", Path::new(&folder.path().join("gatepass.toml")).display());
        assert!(said.starts_with(&at) && said.contains(says), "{says}: {said}");
    }
}
