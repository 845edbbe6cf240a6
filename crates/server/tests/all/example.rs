//! The configuration that the documentation shows, whole.

use gatepass_server::Config;
use gatepass_server::config::Kind;
use std::fs;

#[test]
fn it_passes_the_check_as_soon_as_its_secrets_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepass.toml");
    fs::write(&file, include_str!("example.toml")).unwrap();
    let faults = Config::load(&file).unwrap_err().lines;
    assert!(faults.iter().all(|f| f.contains("./secrets/") && f.contains("cannot be read")), "{faults:#?}");
    fs::create_dir(folder.path().join("secrets")).unwrap();
    let secret = |name: &str, text: &str| fs::write(folder.path().join("secrets").join(name), text).unwrap();
    for name in ["orders-pg", "ledger", "directory"] {
        secret(name, "a password\n");
    }
    secret("deploys", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw==\n");
    let config = Config::load(&file).unwrap();
    gatepass_server::check(&config, gatepass_core::Time::UNIX_EPOCH).unwrap();
    assert_eq!(config.targets.len(), 6);
    assert!(!folder.path().join("secrets/ssh-ca").exists(), "checking makes nothing");
    let notes: Vec<_> = config.targets.iter().filter_map(|target| target.kind.note()).collect();
    let build_host = config.targets.iter().find(|target| matches!(target.kind, Kind::Command(_))).unwrap();
    assert_eq!(build_host.id, "build-host");
    assert!(notes.iter().all(|note| note.starts_with("/usr/local/lib/gatepass/build-host ")), "{notes:?}");
}
