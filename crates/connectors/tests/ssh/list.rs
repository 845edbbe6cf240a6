//! The revocation list, as OpenSSH reads it.

use crate::target::{certificate, soon, target};
use gatepass_connectors::{Connector, TargetError};
use gatepass_core::catalogue::Session;
use std::path::Path;
use std::process::Command;

/// Whether ssh-keygen finds the certificate on the list.
fn listed(list: &Path, certificate: &Path) -> bool {
    let done = Command::new("ssh-keygen").arg("-Q").arg("-f").args([list, certificate]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains(": ok") || said.contains(": REVOKED"), "it can be read: {said}");
    said.contains(": REVOKED")
}

#[tokio::test]
async fn ssh_keygen_and_sshd_go_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("krl");
    std::fs::write(&list, "").unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let target = target(&[&format!("RevokedKeys {}", list.display())], |_| ());
    let fetch = async || {
        let bytes = target.connector.revocations().await.unwrap().unwrap();
        std::fs::write(&list, &bytes).unwrap();
        bytes
    };
    let (one, mut other) = (target.access(Session::Leave), target.access(Session::Leave));
    let first = certificate(&target.provision(&one).await).to_owned();
    fetch().await;
    assert!(!listed(&list, &target.key.certificate()), "an empty list is one");
    assert!(target.says("true").is_ok());

    let removed = target.connector.remove(one.grant).await;
    assert!(matches!(removed, Err(TargetError::RunsOut { .. })), "{removed:?}");
    let bytes = fetch().await;
    assert!(listed(&list, &target.key.certificate()), "at once, not when a kept list is a second old");
    assert_eq!(fetch().await, bytes, "the same until something is revoked");
    let refused = target.says("true");
    assert!(refused.unwrap_err().contains("Permission denied"));
    assert!(target.host.log().contains("revoked"), "{}", target.host.log());

    // Another grant of the same person's, and one that is made again after it was taken back.
    other.until = soon(600);
    target.provision(&other).await;
    assert!(!listed(&list, &target.key.certificate()));
    target.provision(&one).await;
    fetch().await;
    assert!(!listed(&list, &target.key.certificate()));
    assert!(target.says("true").is_ok());
    target.key.certify(&first);
    assert!(listed(&list, &target.key.certificate()), "the first one stays on it");
}
