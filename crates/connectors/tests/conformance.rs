//! The suite of the port on every implementation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod holder;

use async_trait::async_trait;
use gatepass_connectors::conformance::{Session, Subject, suite};
use gatepass_connectors::fake::{Fake, Fault, Hold, Verb};
use gatepass_connectors::{Connector, Holder, TargetError};
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;

#[tokio::test]
async fn postgres() {
    let _keeps_the_server = holder::target();
    suite(async || holder::target()).await;
}

#[tokio::test]
async fn fake() {
    suite(async || Faked(Fake::new())).await;
}

struct Faked(Fake);

#[async_trait]
impl Subject for Faked {
    fn connector(&self) -> &dyn Connector {
        &self.0
    }

    fn grants(&self) -> Vec<String> {
        vec!["any".into()]
    }

    fn grant(&self) -> GrantId {
        holder::grant()
    }

    fn holder(&self) -> Holder {
        holder::somebody()
    }

    fn now(&self) -> Time {
        holder::now()
    }

    async fn open(&self, secret: &Secret) -> Option<Box<dyn Session>> {
        let session = self.0.open(secret, holder::now())?;
        Some(Box::new(Open(self.0.clone(), session)))
    }
}

struct Open(Fake, u64);

#[async_trait]
impl Session for Open {
    async fn alive(&mut self) -> bool {
        self.0.is_open(self.1)
    }
}

#[tokio::test]
async fn the_fake_fails_before_and_after_and_hangs_as_told() {
    let fake = Fake::new();
    let access = holder::access(&["any"]);
    let down = TargetError::Unreachable("cut".into());
    fake.next(Verb::Provision, Fault::Before(down.clone()));
    fake.next(Verb::Provision, Fault::After(down.clone()));
    fake.at(Verb::Remove, 2, Fault::After(down.clone()));

    assert_eq!(fake.provision(&access).await.unwrap_err(), down);
    assert!(fake.accesses().is_empty(), "failed before");
    assert_eq!(fake.provision(&access).await.unwrap_err(), down);
    assert_eq!(fake.accesses().len(), 1, "failed after");

    let (mut hold, held) = Hold::new();
    fake.next(Verb::Remove, Fault::Hang(held));
    let removal = tokio::spawn({
        let fake = fake.clone();
        async move { fake.remove(access.grant).await }
    });
    hold.reached(1).await;
    assert_eq!(fake.accesses().len(), 1, "it hangs before it does anything");
    hold.release();
    removal.await.unwrap().unwrap();
    assert!(fake.accesses().is_empty());
    assert_eq!(fake.remove(access.grant).await.unwrap_err(), down, "the second call");
    assert_eq!((fake.calls(Verb::Provision), fake.calls(Verb::Remove)), (2, 2));

    let (mut hold, held) = Hold::new();
    fake.next(Verb::Provision, Fault::HangAfter(held));
    let provision = tokio::spawn({
        let (fake, access) = (fake.clone(), access.clone());
        async move { fake.provision(&access).await }
    });
    hold.reached(1).await;
    assert_eq!(fake.accesses().len(), 1, "it is done, and not answered");
    assert!(!provision.is_finished());
    drop(hold);
    provision.await.unwrap().unwrap();

    fake.down(Some(down.clone()));
    assert_eq!(fake.inspect().await.unwrap_err(), down);
    fake.down(None);
    assert_eq!(fake.inspect().await.unwrap().len(), 1);
}
