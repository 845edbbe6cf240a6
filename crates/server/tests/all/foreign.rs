//! Targets of kind webhook and command, as the configuration has them.

use gatepass_server::Config;
use gatepass_server::config::{CommandTarget, Kind, WebhookTarget};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

const SERVER: &str = "[server]\nname = \"example.com/gatepass\"\n[[target]]\nid = \"t\"\n";
const WEBHOOK: &str =
    "kind = \"webhook\"\nurl = \"https://deploys.example.com/gatepass\"\nsecret_file = \"secret\"\n";

/// A folder with what a target's files should be.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw\n");
    write("weak", "whsec_aHVudGVyMg==\n");
    write("none", "");
    write("program", "#!/bin/sh\n");
    write("open", "#!/bin/sh\n");
    let key = rcgen::KeyPair::generate().unwrap();
    write("ca.pem", &rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem());
    fs::set_permissions(folder.path().join("program"), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(folder.path().join("open"), Permissions::from_mode(0o777)).unwrap();
    folder
}

fn parse(folder: &Path, target: &str) -> Result<Kind, Vec<String>> {
    let config = Config::parse(&format!("{SERVER}{target}"), &folder.join("gatepass.toml"));
    config.map(|mut config| config.targets.remove(0).kind).map_err(|e| e.lines)
}

#[test]
fn what_is_written_is_what_counts() {
    let folder = folder();
    let Kind::Webhook(plain) = parse(folder.path(), WEBHOOK).unwrap() else { panic!() };
    let expected = WebhookTarget {
        url: "https://deploys.example.com/gatepass".into(),
        secret_file: folder.path().join("secret"),
        ca_file: None,
        private: vec![],
        timeout: Duration::from_secs(30),
    };
    assert_eq!(plain, expected);
    let more = "ca_file = \"ca.pem\"\nprivate = [\"deploys.example.com\"]\ntimeout = \"5s\"\n";
    let Kind::Webhook(whole) = parse(folder.path(), &format!("{WEBHOOK}{more}")).unwrap() else { panic!() };
    assert_eq!(whole.ca_file, Some(folder.path().join("ca.pem")));
    assert_eq!((whole.private, whole.timeout), (vec!["deploys.example.com".into()], Duration::from_secs(5)));

    let program = folder.path().join("program");
    let text = format!("kind = \"command\"\nprogram = \"{}\"\nenv = [\"HOME\"]\n", program.display());
    let Kind::Command(command) = parse(folder.path(), &text).unwrap() else { panic!() };
    assert_eq!(command.note(), None);
    let expected = CommandTarget { program, env: vec!["HOME".into()], timeout: Duration::from_secs(30) };
    assert_eq!(command, expected);
    let absent = parse(folder.path(), "kind = \"command\"\nprogram = \"/nowhere/build-host\"\n").unwrap();
    assert_eq!(absent.note().unwrap(), "/nowhere/build-host is not there yet; until it is, every call fails");
}

#[test]
fn a_fault_says_where_it_is_and_what_was_expected() {
    let folder = folder();
    let webhook = |from: &str, to: &str| WEBHOOK.replacen(from, to, 1);
    let command = |program: &str| format!("kind = \"command\"\nprogram = \"{program}\"\n");
    let open = folder.path().join("open");
    for (text, at, says) in [
        (webhook("https", "http"), "6:7", "http:// is for this machine only"),
        (webhook("https://", "https://user:hunter2@"), "6:7", "a user or a password"),
        (webhook("https://deploys.example.com", "deploys"), "6:7", "can’t be used"),
        (webhook("secret\"", "missing\""), "7:15", "cannot be read"),
        (webhook("secret\"", "weak\""), "7:15", "shorter than 16 bytes"),
        (webhook("secret\"", "none\""), "7:15", "there is none"),
        (format!("{WEBHOOK}ca_file = \"missing\"\n"), "8:11", "cannot be read"),
        (format!("{WEBHOOK}ca_file = \"secret\"\n"), "8:11", "no certificates in PEM"),
        (format!("{WEBHOOK}private = [\"other\"]\n"), "8:11", "names “other”"),
        (format!("{WEBHOOK}timeout = \"10m\"\n"), "8:11", "out of bounds"),
        (format!("{WEBHOOK}timeout = \"0s\"\n"), "8:11", "out of bounds"),
        (format!("{WEBHOOK}timeout = \"soon\"\n"), "8:11", "write it like 90s"),
        (format!("{WEBHOOK}env = [\"HOME\"]\n"), "8:7", "a webhook target has no “env”"),
        ("kind = \"webhook\"\n".to_owned(), "5:8", "needs “url”"),
        ("kind = \"command\"\n".to_owned(), "5:8", "needs “program”"),
        (command("bin/build-host"), "6:11", "not absolute"),
        (command("/etc/passwd"), "6:11", "not an executable file"),
        (command(&open.display().to_string()), "6:11", "can be changed by others"),
        (format!("{}env = [\"A=B\"]\n", command("/bin/true")), "7:7", "no environment variable"),
    ] {
        let faults = parse(folder.path(), &text).expect_err(&text);
        let place = format!("{}:{at}: ", folder.path().join("gatepass.toml").display());
        let found = faults.iter().any(|f| f.starts_with(&place) && f.contains(says));
        assert!(found, "{place}{says}: {faults:#?}");
        assert!(!faults.concat().contains("hunter2") && !faults.concat().contains("aHVud"), "{faults:#?}");
    }
}
