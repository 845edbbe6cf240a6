//! Directories that are away, wrong, encrypted, or say no.

use crate::holder::{access, connector, dn_of, group, names, on, settings, target};
use gatepass_connectors::ldap::{Ldap, Settings};
use gatepass_connectors::{Connector, Forgetful, TargetError};
use gatepass_testkit::Slapd;
use gatepass_testkit::slapd::ACCOUNT_PASSWORD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_directory_that_is_away_is_told_quickly_and_used_again_when_it_is_back() {
    let mut target = target();
    let access = access("mara", &["admins"]);
    target.give(&access).await;
    target.slapd.stop();
    let started = Instant::now();
    for _ in 0..3 {
        assert!(matches!(target.ldap.remove(access.grant).await, Err(TargetError::Unreachable(_))));
        assert!(matches!(target.ldap.provision(&access).await, Err(TargetError::Unreachable(_))));
        assert!(matches!(target.ldap.inspect().await, Err(TargetError::Unreachable(_))));
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    target.slapd.start_again();
    assert_eq!(target.ldap.inspect().await.unwrap().len(), 1);
    target.take(&access).await;
    assert_eq!(target.members("admins"), [dn_of("tomas")]);
}

#[tokio::test]
async fn a_directory_that_says_nothing_is_not_waited_for() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", silent.local_addr().unwrap());
    let ldap = connector(&settings(&url), Arc::new(Forgetful::default()));
    let started = Instant::now();
    let waited = ldap.inspect().await;
    assert!(matches!(waited, Err(TargetError::Unreachable(_))), "{waited:?}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test]
async fn exactly_one_entry_is_the_persons() {
    let target = target();
    let told = |settings: Settings, handle: &'static str| {
        let notes = target.notes.clone();
        async move {
            let mut access = access("mara", &["admins"]);
            access.holder.handle = handle.to_owned();
            match connector(&settings, notes).provision(&access).await {
                Err(TargetError::Configuration(message)) => message,
                other => panic!("{handle}: {:?}", other.map(|_| ())),
            }
        }
    };
    let mail = settings(&target.slapd.url());
    let none = told(mail.clone(), "nobody@example.com").await;
    assert!(none.contains("(mail=nobody@example.com)") && none.contains("no entry"), "{none}");
    // A handle is a value: neither a filter nor a pattern.
    for handle in ["*)(uid=*", "*", "mara*", "mara@example.com)(|(uid=*", "\0", "(", "\\2a"] {
        let none = told(mail.clone(), handle).await;
        assert!(none.contains("no entry"), "{handle}: {none}");
    }
    let everybody = Settings { filter: "(|(mail={person})(uid=*))".into(), ..mail.clone() };
    let several = told(everybody, "mara").await;
    assert!(several.contains("uid=") && several.contains("and more"), "{several}");
    let two = Settings { filter: "(|(mail={person})(uid=tomas))".into(), ..mail.clone() };
    let several = told(two, "mara@example.com").await;
    assert!(several.contains(&dn_of("mara")) && several.contains(&dn_of("tomas")), "{several}");
    let nowhere = Settings { base: "ou=nowhere,dc=example,dc=com".into(), ..mail };
    match connector(&nowhere, target.notes.clone()).provision(&access("mara", &["admins"])).await {
        Err(TargetError::Refused(message)) => assert!(message.contains("nowhere"), "{message}"),
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert_eq!(target.members("admins"), [dn_of("tomas")], "and nobody was given anything");
}

#[tokio::test]
async fn what_the_configuration_has_wrong_is_said_without_the_password() {
    let target = target();
    let wrong =
        Ldap::new(settings(&target.slapd.url()), &"not the password".into(), Arc::new(Forgetful::default()));
    let error = wrong.unwrap().inspect().await.unwrap_err();
    assert!(matches!(error, TargetError::Configuration(_)), "{error:?}");
    assert!(!error.to_string().contains("not the password"), "{error}");

    let told = async |dn: &str| {
        let mut access = access("mara", &["admins"]);
        access.grants.push(dn.to_owned());
        match target.ldap.provision(&access).await {
            Err(TargetError::Configuration(message)) => message,
            other => panic!("{dn}: {:?}", other.map(|_| ())),
        }
    };
    let missing = told(&group("missing")).await;
    assert!(missing.contains("cn=missing"), "{missing}");
    assert!(told("ou=groups,dc=example,dc=com").await.contains("is no group"));
    told("no DN at all").await;
    assert!(target.members("admins") == [dn_of("tomas")], "nothing is given when not everything can be");
}

#[tokio::test]
async fn a_login_without_the_right_to_is_told_what_it_lacks() {
    let target = target();
    target.slapd.configure_again(
        "add: olcAccess\nolcAccess: {0}to dn.subtree=\"ou=groups,dc=example,dc=com\" attrs=member \
         by dn.exact=\"cn=gatepass,dc=example,dc=com\" read by * break",
    );
    let access = access("mara", &["admins"]);
    let refused = target.ldap.provision(&access).await;
    assert!(
        matches!(&refused, Err(TargetError::Configuration(m)) if m.contains("has no right")),
        "{:?}",
        refused.map(|_| ())
    );
    target.take(&access).await;
}

#[tokio::test]
async fn the_account_may_do_nothing_besides() {
    let target = target();
    let modify = |ldif: &str| target.slapd.change_as_account(ldif);
    let mara = dn_of("mara");
    assert!(
        modify(&format!("dn: {mara}\nchangetype: modify\nreplace: userPassword\nuserPassword: x\n")).is_err()
    );
    assert!(modify(&format!("dn: {mara}\nchangetype: delete\n")).is_err());
    assert!(modify(&format!("dn: {}\nchangetype: delete\n", group("admins"))).is_err());
    assert!(modify(&names("more", &mara)).is_err(), "it makes no groups");
    assert!(
        modify(&format!("dn: {}\nchangetype: modify\nadd: member\nmember: {mara}\n", group("admins")))
            .is_ok()
    );
}

fn ca() -> (String, KeyPair, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let key_again = KeyPair::from_pem(&key.serialize_pem()).unwrap();
    (pem, key, Issuer::new(params, key_again))
}

#[tokio::test]
async fn starttls_and_ldaps_are_verified() {
    let (authority, _, issuer) = ca();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let target = on(Slapd::encrypted(&certificate.pem(), &key.serialize_pem()));
    target.slapd.change(&names("admins", &dn_of("tomas")));
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, pem).unwrap();
        Some(path)
    };
    let (known, unknown) = (file("ca.pem", &authority), file("other.pem", &ca().0));
    let starttls = Settings { starttls: true, ..settings(&target.slapd.url()) };
    let ldaps = settings(&target.slapd.ldaps_url());
    // Nothing is said in the clear any more.
    target.slapd.configure_globally("replace: olcSecurity\nolcSecurity: simple_bind=128");
    let refused = target.ldap.inspect().await;
    assert!(
        matches!(&refused, Err(TargetError::Configuration(m)) if m.contains("encryption")),
        "{refused:?}"
    );
    for settings in [starttls, ldaps] {
        let access = access("mara", &["admins"]);
        let good = connector(&Settings { ca_file: known.clone(), ..settings.clone() }, target.notes.clone());
        good.provision(&access).await.unwrap();
        good.remove(access.grant).await.unwrap();
        for ca_file in [unknown.clone(), None] {
            let settings = Settings { ca_file, ..settings.clone() };
            let ldap = Ldap::new(settings, &ACCOUNT_PASSWORD.into(), target.notes.clone()).unwrap();
            let error = ldap.inspect().await.unwrap_err();
            assert!(matches!(&error, TargetError::Configuration(m) if m.contains("TLS")), "{error:?}");
        }
    }
}
