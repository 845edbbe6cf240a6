//! The suite that every connector passes.

use crate::holder::{Target, connector, dn_of, group, settings, target};
use async_trait::async_trait;
use gatepass_connectors::conformance::{Session, Shows, Subject, suite};
use gatepass_connectors::ldap::Ldap;
use gatepass_connectors::{Access, Class, Connector, Found, Holder, Removed, TargetError};
use gatepass_core::Time;
use gatepass_core::id::{GrantId, PersonId};
use gatepass_core::wire::Secret;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use uuid::Uuid;

/// There is no secret in the answer; so that the suite can tell holders apart, the holder is named in it here.
struct Named(Ldap);

#[async_trait]
impl Connector for Named {
    fn class(&self) -> Class {
        self.0.class()
    }
    async fn provision(&self, access: &Access) -> Result<Secret, TargetError> {
        let Secret::Ldap { mut groups } = self.0.provision(access).await? else { panic!("groups") };
        assert_eq!(groups, access.grants);
        groups.insert(0, access.holder.handle.clone());
        Ok(Secret::Ldap { groups })
    }
    async fn guard(&self, access: &Access) -> Result<Option<Secret>, TargetError> {
        self.0.guard(access).await
    }
    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError> {
        self.0.remove(grant).await
    }
    async fn inspect(&self) -> Result<Vec<Found>, TargetError> {
        self.0.inspect().await
    }
}

struct OneDirectory {
    target: Arc<Target>,
    named: Named,
    holders: AtomicUsize,
}

/// An application that asks the directory every time.
struct Asking {
    target: Arc<Target>,
    name: String,
    groups: Vec<String>,
}

impl Asking {
    fn is_member(&self) -> bool {
        let dn = dn_of(&self.name);
        self.groups.iter().all(|group| {
            self.target.slapd.values(group, "member").contains(&dn)
                || self.target.slapd.values(group, "memberUid").contains(&self.name)
        })
    }
}

#[async_trait]
impl Session for Asking {
    async fn alive(&mut self) -> bool {
        self.is_member()
    }
}

#[async_trait]
impl Subject for OneDirectory {
    fn connector(&self) -> &dyn Connector {
        &self.named
    }

    fn grants(&self) -> Vec<String> {
        vec![group("admins"), group("shell")]
    }

    fn grant(&self) -> GrantId {
        GrantId(Uuid::now_v7())
    }

    fn holder(&self) -> Holder {
        let number = 1 + self.holders.fetch_add(1, Ordering::Relaxed);
        let handle = format!("p{number}@example.com");
        Holder { person: PersonId(Uuid::now_v7()), handle, ssh_key: None }
    }

    fn now(&self) -> Time {
        // A directory has no end to go by.
        "2026-11-20T12:00:00Z".parse().unwrap()
    }

    fn shows(&self) -> Shows {
        Shows { new_secret: false, until: false, sessions: false }
    }

    async fn open(&self, secret: &Secret) -> Option<Box<dyn Session>> {
        let Secret::Ldap { groups } = secret else { panic!("groups") };
        let name = groups[0].trim_end_matches("@example.com").to_owned();
        let asking = Asking { target: self.target.clone(), name, groups: groups[1..].to_vec() };
        asking.is_member().then(|| Box::new(asking) as Box<dyn Session>)
    }
}

#[tokio::test]
async fn ldap_passes_the_suite() {
    suite(async || {
        let target = Arc::new(target());
        let named = Named(connector(&settings(&target.slapd.url()), target.notes.clone()));
        OneDirectory { target, named, holders: AtomicUsize::new(0) }
    })
    .await;
}
