//! A directory with groups, and Gatepass before it.

use async_trait::async_trait;
use gatepass_connectors::ldap::{Ldap, Settings};
use gatepass_connectors::{Access, Connector, Forgetful, Holder, Notes, TargetError};
use gatepass_core::catalogue::Session;
use gatepass_core::id::{GrantId, PersonId};
use gatepass_testkit::Slapd;
use gatepass_testkit::slapd::{ACCOUNT, ACCOUNT_PASSWORD, GROUPS, PEOPLE};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use uuid::Uuid;

pub struct Target {
    pub slapd: Slapd,
    pub notes: Arc<Flaky>,
    pub ldap: Ldap,
}

pub fn dn_of(name: &str) -> String {
    format!("uid={name},{PEOPLE}")
}

pub fn group(name: &str) -> String {
    format!("cn={name},{GROUPS}")
}

/// What stands in for the last member.
pub fn nobody(name: &str) -> String {
    format!("cn=gatepass-nobody,{}", group(name))
}

pub fn settings(url: &str) -> Settings {
    Settings {
        url: url.to_owned(),
        starttls: false,
        ca_file: None,
        bind_dn: ACCOUNT.to_owned(),
        base: PEOPLE.to_owned(),
        filter: "(mail={person})".to_owned(),
        placeholder: None,
    }
}

pub fn on(slapd: Slapd) -> Target {
    let notes = Arc::new(Flaky::default());
    let ldap = connector(&settings(&slapd.url()), notes.clone());
    Target { slapd, notes, ldap }
}

pub fn connector(settings: &Settings, notes: Arc<dyn Notes>) -> Ldap {
    Ldap::new(settings.clone(), &ACCOUNT_PASSWORD.into(), notes).unwrap()
}

/// `admins`, a groupOfNames whose only member is tomas, and `shell`, a posixGroup that is empty.
pub fn target() -> Target {
    let target = on(Slapd::start());
    target.slapd.change(&names("admins", &dn_of("tomas")));
    target
        .slapd
        .change(&format!("dn: {}\nobjectClass: posixGroup\ncn: shell\ngidNumber: 4711\n", group("shell")));
    target
}

pub fn names(name: &str, member: &str) -> String {
    format!("dn: {}\nobjectClass: groupOfNames\ncn: {name}\nmember: {member}\n", group(name))
}

impl Target {
    pub fn members(&self, name: &str) -> Vec<String> {
        self.slapd.values(&group(name), "member")
    }

    /// Another node's connector, which shares the notes.
    pub fn another(&self) -> Ldap {
        connector(&settings(&self.slapd.url()), self.notes.clone())
    }

    pub async fn give(&self, access: &Access) {
        self.ldap.provision(access).await.expect("provision");
    }

    pub async fn take(&self, access: &Access) {
        self.ldap.remove(access.grant).await.expect("remove");
    }
}

/// An access to `groups`, by their short names.
pub fn access(name: &str, groups: &[&str]) -> Access {
    Access {
        grant: GrantId(Uuid::now_v7()),
        holder: Holder {
            person: PersonId(Uuid::now_v7()),
            handle: format!("{name}@example.com"),
            ssh_key: None,
        },
        grants: groups.iter().map(|g| group(g)).collect(),
        session: Session::Leave,
        until: "2036-01-01T00:00:00Z".parse().unwrap(),
    }
}

/// Notes that fail when told, after having done what they were asked.
#[derive(Default)]
pub struct Flaky {
    kept: Forgetful,
    /// The next `put` is done and not confirmed.
    pub put: AtomicBool,
    /// After so many more readings, one fails; 0 for never.
    pub reading: AtomicUsize,
}

fn away<T>() -> Result<T, TargetError> {
    Err(TargetError::Unreachable("told to fail".into()))
}

#[async_trait]
impl Notes for Flaky {
    async fn put(&self, grant: GrantId, text: &str) -> Result<(), TargetError> {
        self.kept.put(grant, text).await?;
        if self.put.swap(false, Ordering::SeqCst) { away() } else { Ok(()) }
    }

    async fn delete(&self, grant: GrantId) -> Result<(), TargetError> {
        self.kept.delete(grant).await
    }

    async fn get(&self, grant: GrantId) -> Result<Option<String>, TargetError> {
        self.kept.get(grant).await
    }

    async fn all(&self) -> Result<BTreeMap<GrantId, String>, TargetError> {
        let left = self.reading.load(Ordering::SeqCst);
        self.reading.store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 1 { away() } else { self.kept.all().await }
    }
}
