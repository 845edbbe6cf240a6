//! `gatepass-server connector test`, on the examples, on a real PostgreSQL, and on a program that does not hold what it
//! promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_testkit::examples::{BuildHost, Receiver};
use gatepass_testkit::postgres::ADMIN_PASSWORD;
use gatepass_testkit::{Mariadb, Postgres, Slapd, mariadb, slapd};
use gatepass_tests::bins;
use gatepass_tests::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A configuration with one target, and a role that gives `grants` there.
fn configured(target: &str, grants: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[server]\nname = \"example.com/gatepass\"\n\n[[target]]\nid = \"tried\"\n{target}\n\n\
         [[resource]]\nid = \"tried\"\nname = \"Tried\"\nenvironment = \"test\"\ntarget = \"tried\"\n\n\
         [[resource.role]]\nid = \"use\"\nname = \"Use\"\ngrants = [{grants}]\nask = [\"all\"]\napprove = []\n\
         default = \"1h\"\nmax = \"1h\"\n"
    );
    fs::write(folder.path().join("gatepass.toml"), text).unwrap();
    folder
}

fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(bins::path("gatepass-server"));
    command.args(["connector", "test", "--config"]).arg(folder.join("gatepass.toml"));
    command.args(["--target", "tried"]).args(more);
    command
}

fn run(folder: &Path, more: &[&str]) -> Output {
    command(folder, more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn on_program(host: &BuildHost) -> TempDir {
    let program = host.program();
    configured(&format!("kind = \"command\"\nprogram = \"{}\"", program.display()), "\"builder\"")
}

fn files(host: &BuildHost) -> Vec<String> {
    let names = fs::read_dir(host.accesses()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn the_program_of_the_example_passes() {
    let host = BuildHost::install();
    let ran = run(on_program(&host).path(), &[]);
    let (said, told) = (text(&ran.stdout), text(&ran.stderr));
    assert!(ran.status.success(), "{said}{told}");
    assert_eq!(said.lines().filter(|line| line.starts_with("pass  ")).count(), 11, "{said}");
    assert!(said.ends_with("good: 11 of 11 checks passed on “tried”\n"), "{said}");
    assert!(told.contains("gatepass-test-1 and gatepass-test-2"), "first it says what it does: {told}");
    assert_eq!(files(&host), ["root.json"], "what was there before, and nothing else");
}

#[test]
fn the_receiver_of_the_example_passes() {
    let receiver = Receiver::start();
    let target = format!(
        "kind = \"webhook\"\nurl = \"{}\"\nsecret_file = \"{}\"",
        receiver.url(),
        receiver.secrets().display()
    );
    let ran = run(configured(&target, "\"deployer\"").path(), &["--json", "--person", "mara"]);
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&said["passed"], &said["complete"]), (&true.into(), &true.into()));
    assert_eq!(said["left"], serde_json::json!([]));
    for check in said["checks"].as_array().unwrap() {
        let expected = if check["check"] == "overlap-two-people" { "skip" } else { "pass" };
        assert_eq!(check["verdict"], expected, "{check}");
    }
    let store: Value = serde_json::from_str(&receiver.store()).unwrap();
    assert_eq!(store["accesses"], serde_json::json!({}));
    assert_eq!(store["standing"][0]["name"], "root", "who has access by hand keeps it");
}

#[test]
fn a_real_postgresql_passes() {
    let server = Postgres::orders();
    server.psql("orders", "CREATE ROLE standing LOGIN; GRANT orders_reader TO standing");
    let target =
        format!("kind = \"postgres\"\nurl = \"{}\"\npassword_file = \"password\"", server.admin_url());
    let folder = configured(&target, "\"orders_reader\", \"orders_writer\"");
    fs::write(folder.path().join("password"), ADMIN_PASSWORD).unwrap();
    let ran = run(folder.path(), &["--json"]);
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    assert_eq!(server.psql("orders", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gp\\_%'"), "0");
    assert_eq!(server.psql("orders", "SELECT count(*) FROM pg_roles WHERE rolname = 'standing'"), "1");
    assert!(!text(&ran.stderr).contains(ADMIN_PASSWORD));
}

#[test]
fn a_real_mariadb_passes() {
    let server = Mariadb::orders();
    let target =
        format!("kind = \"mariadb\"\nurl = \"{}\"\npassword_file = \"password\"", server.admin_url());
    let folder = configured(&target, "\"orders_reader\"");
    fs::write(folder.path().join("password"), mariadb::ADMIN_PASSWORD).unwrap();
    let accounts = || server.sql("SELECT count(*) FROM mysql.user");
    let before = accounts();
    let ran = run(folder.path(), &[]);
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    assert_eq!(accounts(), before, "every account is gone again");
}

#[test]
fn a_real_directory_passes() {
    let directory = Slapd::start();
    let group = format!("cn=oncall,{}", slapd::GROUPS);
    let standing = format!("uid=p1,{}", slapd::PEOPLE);
    directory.change(&format!("dn: {group}\nobjectClass: groupOfNames\ncn: oncall\nmember: {standing}\n"));
    let target = format!(
        "kind = \"ldap\"\nurl = \"{}\"\nbind_dn = \"{}\"\npassword_file = \"password\"\n\
         people = {{ base = \"{}\", filter = \"(uid={{person}})\" }}",
        directory.url(),
        slapd::ACCOUNT,
        slapd::PEOPLE
    );
    let folder = configured(&target, &format!("\"{group}\""));
    fs::write(folder.path().join("password"), slapd::ACCOUNT_PASSWORD).unwrap();
    let ran = run(folder.path(), &["--person", "tomas", "--person", "p2"]);
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    assert_eq!(
        directory.values(&group, "member"),
        [standing],
        "who was a member before still is, and nobody else"
    );
}

/// Without a way to its hosts, what a certificate gives ends when it runs out, and the test says so.
#[test]
fn certificates_pass_and_run_out() {
    let folder =
        configured("kind = \"ssh\"\nhosts = [\"127.0.0.1:1\"]\nca_key_file = \"ssh-ca\"", "\"deploy\"");
    let without_key = run(folder.path(), &[]);
    assert!(text(&without_key.stdout).contains("gatepass-server ssh-ca"), "it says what to do");
    let mut authority = Command::new(bins::path("gatepass-server"));
    authority.args(["ssh-ca", "--target", "tried", "--config"]).arg(folder.path().join("gatepass.toml"));
    assert!(authority.output().unwrap().status.success());
    let ran = run(folder.path(), &[]);
    let said = text(&ran.stdout);
    assert!(ran.status.success() && said.contains("run out by themselves"), "{said}{}", text(&ran.stderr));
}

#[test]
fn a_program_that_does_not_remove_fails_where_it_is_wrong() {
    let good = fs::read_to_string(bins::root().join("examples/command-connector/build-host")).unwrap();
    let bad = good.replacen("os.unlink(os.path.join(path, name))", "pass", 1);
    let bad = bad.replacen("not os.path.exists(os.path.join(path, f\"{grant}.json\"))", "True", 1);
    assert_eq!(bad.matches("os.unlink").count() + bad.matches("\"removed\": True").count(), 1);
    let host = BuildHost::install_as(&bad);
    let ran = run(on_program(&host).path(), &["--json"]);
    assert_eq!(ran.status.code(), Some(1));
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let verdict = |name: &str| {
        let checks = said["checks"].as_array().unwrap();
        checks.iter().find(|check| check["check"] == name).unwrap()["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!([verdict("provision"), verdict("twice-remove"), verdict("drift")], ["pass", "fail", "fail"]);
    let left = said["left"].as_array().unwrap().len();
    assert_eq!(left, files(&host).len() - 1, "it says what it could not take away");
    assert!(left > 0 && said["passed"] == false);
}

#[test]
fn stopped_in_the_middle_it_takes_away_what_it_gave() {
    let host = BuildHost::install();
    let folder = on_program(&host);
    let mut running = Process::start("connector-test", &command(folder.path(), &[]), folder.path());
    let limit = Instant::now() + Duration::from_secs(60);
    while files(&host).len() < 2 {
        assert!(Instant::now() < limit && !running.ended(), "{}", running.log());
        std::thread::yield_now();
    }
    kill_process(Pid::from_raw(running.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    while !running.ended() {
        assert!(Instant::now() < limit, "{}", running.log());
        std::thread::yield_now();
    }
    let said = running.log();
    assert!(said.contains("Stopped; taking away what was given"), "{said}");
    assert!(said.contains("not good: "), "{said}");
    assert_eq!(files(&host), ["root.json"], "{said}");
}

#[test]
fn what_is_asked_wrongly_is_told_with_a_way_on() {
    let folder = configured("kind = \"sample\"", "\"any\"");
    for (more, says) in [
        (&["--person", "a", "--person", "a"][..], "for one person or for two"),
        (&["--target", "other"][..], "cannot be used multiple times"),
    ] {
        let ran = run(folder.path(), more);
        assert!(!ran.status.success() && text(&ran.stderr).contains(says), "{}", text(&ran.stderr));
    }
    fs::write(folder.path().join("secret"), "x").unwrap();
    let directory = "kind = \"ldap\"\nurl = \"ldap://127.0.0.1:1\"\nbind_dn = \"cn=a\"\npassword_file = \"secret\"\n\
                     people = { base = \"dc=a\", filter = \"(mail={person})\" }";
    let folder = configured(directory, "\"cn=ops,dc=a\"");
    fs::write(folder.path().join("secret"), "x").unwrap();
    let ran = run(folder.path(), &[]);
    assert!(text(&ran.stderr).contains("--person HANDLE"), "{}", text(&ran.stderr));
    let ran = run(folder.path(), &["--person", "mara"]);
    assert_eq!(ran.status.code(), Some(1), "nobody answers there");
    let said = text(&ran.stdout);
    assert!(said.contains("FAIL  inspect: ") && said.contains("skip  drift: "), "{said}");
}
