//! Who gets in, where and until when, on a host that has nothing but the authority's line.

use crate::target::{certificate, now, reached, soon, target};
use chrono::TimeDelta;
use gatepass_connectors::{Class, Connector, Removed, TargetError};
use gatepass_core::catalogue::Session;
use gatepass_core::wire::Secret;
use std::process::Command;

#[tokio::test]
async fn as_the_principals_of_the_role_and_nobody_else() {
    let target = target(&[], |_| ());
    assert_eq!(target.connector.class(), Class::B);
    assert!(target.says("true").is_err(), "a key alone is nothing");
    let mut access = target.access(Session::Leave);
    let secret = target.provision(&access).await;
    assert_eq!(target.says("id -un"), Ok(target.host.account()));
    let Secret::Ssh { hosts, user, .. } = &secret else { panic!("not of ssh") };
    assert_eq!((hosts, user), (&vec![target.host.host()], &target.host.account()));
    let id = format!("gatepass:{}:", access.grant);
    assert!(target.host.log().contains(&id), "sshd's log names the grant");
    assert!(target.host.log().contains("tomas@example.com"), "and the person");
    assert!(!certificate(&secret).contains('\n'));

    access.grants = vec!["somebody-else".into()];
    target.provision(&access).await;
    assert!(target.says("true").unwrap_err().contains("Permission denied"));
}

#[tokio::test]
async fn another_authority_is_not_trusted() {
    let (host, other) = (target(&[], |_| ()), target(&[], |_| ()));
    let mut access = other.access(Session::Leave);
    access.holder = host.holder();
    let secret = other.connector.provision(&access).await.unwrap();
    host.key.certify(certificate(&secret));
    assert!(host.says("true").is_err());
}

#[tokio::test]
async fn from_the_configured_addresses() {
    for (addresses, in_) in [(vec!["10.0.0.0/8", "::1"], false), (vec!["10.0.0.0/8", "127.0.0.0/8"], true)] {
        let target = target(&[], |options| {
            options.source_addresses = addresses.iter().map(ToString::to_string).collect();
        });
        target.provision(&target.access(Session::Leave)).await;
        assert_eq!(target.says("true").is_ok(), in_, "{addresses:?}");
    }
}

#[tokio::test]
async fn with_the_configured_extensions() {
    let target = target(&[], |options| options.extensions.clear());
    target.provision(&target.access(Session::Leave)).await;
    assert!(target.says("true").is_ok());
    let done = target.run(&["-tt"], &["tty"]);
    assert!(!String::from_utf8_lossy(&done.stdout).contains("/dev/pts"), "no terminal");
}

#[tokio::test]
async fn no_forwarded_ports_unless_configured() {
    for permitted in [false, true] {
        let target = target(&[], |options| {
            if permitted {
                options.extensions.push("permit-port-forwarding".into());
            }
        });
        target.provision(&target.access(Session::Leave)).await;
        let forward = ["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"];
        assert_eq!(target.run(&forward, &["true"]).status.success(), permitted);
    }
}

#[tokio::test]
async fn until_the_second_and_not_after() {
    let target = target(&[], |_| ());
    let mut access = target.access(Session::Leave);
    // Ends are in milliseconds; the certificate's is never later.
    access.until = soon(4) + TimeDelta::milliseconds(700);
    target.provision(&access).await;
    let mut last = None;
    while now() < access.until + TimeDelta::seconds(1) {
        let asked = now();
        if target.says("true").is_ok() {
            last = Some(asked);
        }
    }
    let last = last.expect("it let in before the end");
    assert!(last < access.until, "{last} {}", access.until);
    assert!(
        last > access.until - TimeDelta::seconds(3),
        "it let in until near the end: {last} {}",
        access.until
    );
}

#[tokio::test]
async fn removal_answers_when_the_certificate_is_over() {
    let target = target(&[], |_| ());
    let mut access = target.access(Session::Leave);
    target.provision(&access).await;
    let early = target.connector.remove(access.grant).await;
    let Err(TargetError::RunsOut { until, .. }) = early else { panic!("{early:?}") };
    assert!(until >= access.until && until <= access.until + TimeDelta::seconds(3), "{until}");
    assert_eq!(
        target.connector.inspect().await.unwrap().len(),
        1,
        "it is there as long as hosts may take it"
    );
    assert!(matches!(target.connector.guard(&access).await, Err(TargetError::Refused(_))), "no new one");

    access = target.access(Session::Leave);
    access.until = soon(3);
    target.provision(&access).await;
    reached(access.until).await;
    assert_eq!(target.connector.remove(access.grant).await, Ok(Removed { sessions_ended: 0 }));
    assert!(now() >= access.until + TimeDelta::seconds(2), "clocks may be apart");
    assert!(target.says("true").is_err());
    assert_eq!(target.connector.remove(access.grant).await, Ok(Removed { sessions_ended: 0 }));
    assert_eq!(target.connector.inspect().await.unwrap().len(), 1, "the first one alone");
}

#[tokio::test]
async fn an_extension_is_a_new_certificate() {
    let target = target(&[], |_| ());
    let mut access = target.access(Session::Leave);
    access.until = soon(3);
    target.provision(&access).await;
    let first = access.until;
    access.until = soon(3600);
    let secret = target.connector.guard(&access).await.unwrap().expect("a new one");
    reached(first).await;
    assert!(target.says("true").is_err(), "the old one is good until its own end");
    target.key.certify(certificate(&secret));
    assert!(target.says("true").is_ok());
    assert_eq!(target.connector.inspect().await.unwrap()[0].until, Some(access.until));
}

#[tokio::test]
async fn ssh_keygen_reads_the_same() {
    let target = target(&[], |options| options.source_addresses = vec!["127.0.0.1".into()]);
    let access = target.access(Session::Cut);
    target.provision(&access).await;
    let done = Command::new("ssh-keygen").args(["-L", "-f"]).arg(target.key.certificate()).output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    for part in [
        "user certificate",
        &target.host.account(),
        "source-address 127.0.0.1",
        "force-command",
        "permit-pty",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("permit-port-forwarding") && !said.contains("UNKNOWN"), "{said}");
}
