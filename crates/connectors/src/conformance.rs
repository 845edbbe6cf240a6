//! What every connector must do, as one suite to run against each.
#![allow(clippy::expect_used, clippy::panic)]

use crate::{Access, Connector, Found, Holder, Removed, TargetError};
use async_trait::async_trait;
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::catalogue::Session as Sessions;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;

/// A target for one check, and what the suite needs besides the port.
#[async_trait]
pub trait Subject: Send + Sync {
    fn connector(&self) -> &dyn Connector;

    /// `grants` that the target knows.
    fn grants(&self) -> Vec<String>;

    /// A grant id that was not used before.
    fn grant(&self) -> GrantId;

    /// Somebody the target knows, each time another.
    fn holder(&self) -> Holder;

    /// The target's time.
    fn now(&self) -> Time;

    /// What this kind of target can show.
    fn shows(&self) -> Shows {
        Shows::default()
    }

    /// Opens a session as the holder would; `None` when the target does not let it in.
    async fn open(&self, secret: &Secret) -> Option<Box<dyn Session>>;
}

/// What a kind of target can show; the suite asks for no more.
#[derive(Clone, Copy, Debug)]
pub struct Shows {
    /// Provisioning again makes the first secret worthless.
    pub new_secret: bool,
    /// `inspect` reads the guard back.
    pub until: bool,
    /// `inspect` counts open sessions, and `remove` ends them.
    pub sessions: bool,
}

impl Default for Shows {
    fn default() -> Self {
        Self { new_secret: true, until: true, sessions: true }
    }
}

/// A session that a holder keeps open. Closed when dropped.
#[async_trait]
pub trait Session: Send {
    /// Whether it still answers.
    async fn alive(&mut self) -> bool;
}

/// Runs every check, each on a new subject.
///
/// # Panics
/// When the connector does not do what the port's contract says.
pub async fn suite<S: Subject>(make: impl AsyncFn() -> S) {
    provision_twice_is_one_access(&make().await).await;
    removing_what_is_absent_succeeds(&make().await).await;
    removed_and_provisioned_again(&make().await).await;
    a_forgotten_answer(&make().await).await;
    the_guard_moves(&make().await).await;
    grants_for_the_same_roles_are_apart(&make().await).await;
    inspect_lists_exactly_ours(&make().await).await;
    removing_ends_open_sessions(&make().await).await;
    a_removal_interrupted(&make().await).await;
    many_at_once(&make().await).await;
}

fn access(subject: &impl Subject) -> Access {
    Access {
        grant: subject.grant(),
        holder: subject.holder(),
        grants: subject.grants(),
        session: Sessions::Cut,
        until: later(subject, 3600),
    }
}

fn later(subject: &impl Subject, seconds: i64) -> Time {
    subject.now() + TimeDelta::seconds(seconds)
}

async fn provision(subject: &impl Subject, access: &Access) -> Secret {
    subject.connector().provision(access).await.expect("provision")
}

async fn remove(subject: &impl Subject, grant: GrantId) -> Removed {
    subject.connector().remove(grant).await.expect("remove")
}

async fn found(subject: &impl Subject) -> Vec<Found> {
    subject.connector().inspect().await.expect("inspect")
}

async fn opens(subject: &impl Subject, secret: &Secret) -> bool {
    match subject.open(secret).await {
        Some(mut session) => session.alive().await,
        None => false,
    }
}

async fn provision_twice_is_one_access(subject: &impl Subject) {
    let mut access = access(subject);
    let first = provision(subject, &access).await;
    access.until = later(subject, 7200);
    let second = provision(subject, &access).await;
    if subject.shows().new_secret {
        assert!(!opens(subject, &first).await, "the first secret is good no more");
    }
    assert!(opens(subject, &second).await, "the new secret lets in");
    let found = found(subject).await;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].grant, access.grant);
    if subject.shows().until {
        assert_eq!(found[0].until, Some(access.until));
    }
    remove(subject, access.grant).await;
}

async fn removing_what_is_absent_succeeds(subject: &impl Subject) {
    let access = access(subject);
    assert_eq!(remove(subject, access.grant).await.sessions_ended, 0, "it never was");
    let secret = provision(subject, &access).await;
    assert_eq!(remove(subject, access.grant).await.sessions_ended, 0);
    assert!(!opens(subject, &secret).await, "a removed access lets nobody in");
    assert_eq!(remove(subject, access.grant).await.sessions_ended, 0, "it is gone already");
}

async fn removed_and_provisioned_again(subject: &impl Subject) {
    let access = access(subject);
    let old = provision(subject, &access).await;
    remove(subject, access.grant).await;
    let new = provision(subject, &access).await;
    if subject.shows().new_secret {
        assert!(!opens(subject, &old).await);
    }
    assert!(opens(subject, &new).await);
    remove(subject, access.grant).await;
    assert_eq!(found(subject).await, []);
}

async fn a_forgotten_answer(subject: &impl Subject) {
    let access = access(subject);
    drop(provision(subject, &access).await);
    let found_before = found(subject).await;
    assert_eq!(found_before.len(), 1, "what a crash left is found by its tag");
    let secret = provision(subject, &access).await;
    assert!(opens(subject, &secret).await);
    remove(subject, access.grant).await;
}

async fn the_guard_moves(subject: &impl Subject) {
    let mut access = access(subject);
    let mut secret = provision(subject, &access).await;
    for until in [later(subject, 60), later(subject, 7200)] {
        access.until = until;
        if let Some(new) = subject.connector().guard(&access).await.expect("guard") {
            secret = new;
        }
        if subject.shows().until {
            assert_eq!(found(subject).await[0].until, Some(until));
        }
        assert!(opens(subject, &secret).await, "the secret stays, or is replaced");
    }
    remove(subject, access.grant).await;
    let absent = subject.connector().guard(&access).await;
    assert!(matches!(absent, Err(TargetError::Refused(_))), "{absent:?}");
    assert_eq!(found(subject).await, [], "a guard makes nothing");
}

async fn grants_for_the_same_roles_are_apart(subject: &impl Subject) {
    let (one, two) = (access(subject), access(subject));
    let first = provision(subject, &one).await;
    let second = provision(subject, &two).await;
    let mut session = subject.open(&second).await.expect("the second lets in");
    remove(subject, one.grant).await;
    assert!(!opens(subject, &first).await);
    assert!(session.alive().await, "the other's session stays");
    assert!(opens(subject, &second).await, "the other's secret stays");
    remove(subject, two.grant).await;
}

async fn inspect_lists_exactly_ours(subject: &impl Subject) {
    assert_eq!(found(subject).await, [], "a new target");
    let accesses = [access(subject), access(subject)];
    for access in &accesses {
        provision(subject, access).await;
    }
    let mut grants: Vec<_> = found(subject).await.iter().map(|f| f.grant).collect();
    grants.sort();
    let mut expected: Vec<_> = accesses.iter().map(|a| a.grant).collect();
    expected.sort();
    assert_eq!(grants, expected);
    for access in &accesses {
        remove(subject, access.grant).await;
    }
    assert_eq!(found(subject).await, []);
}

async fn removing_ends_open_sessions(subject: &impl Subject) {
    let access = access(subject);
    let secret = provision(subject, &access).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let mut session = subject.open(&secret).await.expect("a session");
        assert!(session.alive().await);
        sessions.push(session);
    }
    if !subject.shows().sessions {
        remove(subject, access.grant).await;
        return;
    }
    assert_eq!(found(subject).await[0].sessions, 3);
    assert_eq!(remove(subject, access.grant).await.sessions_ended, 3);
    for session in &mut sessions {
        assert!(!session.alive().await, "an open session ends with its access");
    }
    assert_eq!(found(subject).await, []);
}

/// A call that is dropped half way leaves something that the next one completes.
async fn a_removal_interrupted(subject: &impl Subject) {
    let access = access(subject);
    for polls in [1, 2, 3, 5, 8] {
        let secret = provision(subject, &access).await;
        let mut removal = subject.connector().remove(access.grant);
        for _ in 0..polls {
            let once = std::future::poll_fn(|context| std::task::Poll::Ready(removal.as_mut().poll(context)));
            if once.await.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(removal);
        remove(subject, access.grant).await;
        assert!(!opens(subject, &secret).await);
        assert_eq!(found(subject).await, []);
    }
}

async fn many_at_once(subject: &impl Subject) {
    const MANY: usize = 12;
    let accesses: Vec<_> = (0..MANY).map(|_| access(subject)).collect();
    let connector = subject.connector();
    // Every second one is asked for twice at the same time.
    let calls = accesses.iter().chain(accesses.iter().step_by(2)).map(|a| connector.provision(a));
    for secret in all(calls).await {
        secret.expect("provision");
    }
    assert_eq!(found(subject).await.len(), MANY);
    for removed in all(accesses.iter().map(|a| connector.remove(a.grant))).await {
        removed.expect("remove");
    }
    assert_eq!(found(subject).await, []);
}

/// Runs futures at once, on this task.
async fn all<F: Future + Unpin>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(Some).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        for slot in &mut waiting {
            let Some(future) = slot else { continue };
            if let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context) {
                done.push(output);
                *slot = None;
            }
        }
        if waiting.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done
}
