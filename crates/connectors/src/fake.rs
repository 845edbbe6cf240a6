//! A target in memory, for tests and benchmarks. It can be told to fail, before or after doing what it was asked,
//! and to hang.

use crate::{Access, Class, Connector, Found, Removed, Stranger, TargetError};
use async_trait::async_trait;
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Provision,
    Guard,
    Remove,
    Inspect,
    Strangers,
}

/// What happens to one call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It fails and nothing was done.
    Before(TargetError),
    /// It was done, and yet the answer is this.
    After(TargetError),
    /// Nothing happens until the [`Hold`] is released or dropped; then the call goes on as usual.
    Hang(Held),
    /// It is done at once; the answer comes when the [`Hold`] is released or dropped.
    HangAfter(Held),
}

/// Keeps calls waiting. Released when dropped.
#[derive(Debug)]
pub struct Hold {
    released: watch::Sender<bool>,
    arrived: watch::Receiver<usize>,
}

/// A waiting call's side of a [`Hold`].
#[derive(Clone, Debug)]
pub struct Held {
    released: watch::Receiver<bool>,
    arrived: watch::Sender<usize>,
}

impl Hold {
    pub fn new() -> (Self, Held) {
        let (released, wait) = watch::channel(false);
        let (arrived, seen) = watch::channel(0);
        (Self { released, arrived: seen }, Held { released: wait, arrived })
    }

    /// Waits until `calls` calls hang on it.
    pub async fn reached(&mut self, calls: usize) {
        // The channel closes when no call can come any more; then there is nothing to wait for.
        let _ = self.arrived.wait_for(|arrived| *arrived >= calls).await;
    }

    pub fn release(self) {
        let _ = self.released.send(true);
    }
}

impl Held {
    async fn wait(mut self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        let _ = self.released.wait_for(|released| *released).await;
    }
}

/// One access as the fake target has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub grants: Vec<String>,
    pub until: Time,
    /// How often it was provisioned; a secret is good for the last time only.
    pub generation: u64,
    /// Ids of open sessions.
    pub sessions: Vec<u64>,
}

#[derive(Debug, Default)]
struct State {
    accesses: BTreeMap<GrantId, Kept>,
    next: u64,
    calls: HashMap<Verb, u64>,
    script: HashMap<(Verb, u64), Fault>,
    down: Option<TargetError>,
    strangers: BTreeMap<String, BTreeSet<String>>,
}

/// Clones share one target.
#[derive(Clone, Debug, Default)]
pub struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub fn new() -> Self {
        Self::default()
    }

    /// Does this to the next call of `verb` that has nothing scripted yet.
    pub fn next(&self, verb: Verb, fault: Fault) {
        let mut state = self.state();
        let mut call = state.calls.get(&verb).copied().unwrap_or(0) + 1;
        while state.script.contains_key(&(verb, call)) {
            call += 1;
        }
        state.script.insert((verb, call), fault);
    }

    /// Does this to the `call`th call of `verb`, counted from 1 over the fake's life.
    pub fn at(&self, verb: Verb, call: u64, fault: Fault) {
        self.state().script.insert((verb, call), fault);
    }

    /// Every call fails like this, nothing done, until it is `None` again.
    pub fn down(&self, error: Option<TargetError>) {
        self.state().down = error;
    }

    /// Calls of `verb` that have begun.
    pub fn calls(&self, verb: Verb) -> u64 {
        self.state().calls.get(&verb).copied().unwrap_or(0)
    }

    /// What is on the target.
    pub fn accesses(&self) -> BTreeMap<GrantId, Kept> {
        self.state().accesses.clone()
    }

    /// Puts an access there that nobody asked for.
    pub fn plant(&self, access: &Access) {
        self.state().give(access);
    }

    /// Takes an access away behind Gatepass's back.
    pub fn steal(&self, grant: GrantId) {
        self.state().accesses.remove(&grant);
    }

    /// Lets somebody have these entitlements, and no others, behind Gatepass's back.
    pub fn give_to(&self, name: &str, grants: &[&str]) {
        let strangers = &mut self.state().strangers;
        if grants.is_empty() {
            strangers.remove(name);
        } else {
            strangers.insert(name.to_owned(), grants.iter().map(|g| (*g).to_owned()).collect());
        }
    }

    /// Opens a session at `now`; `None` when the secret does not (or no longer) let in.
    pub fn open(&self, secret: &Secret, now: Time) -> Option<u64> {
        let Secret::Postgres { url } = secret else { return None };
        let mut state = self.state();
        state.next += 1;
        let session = state.next;
        let (_, kept) = state
            .accesses
            .iter_mut()
            .find(|(grant, kept)| now < kept.until && url_of(**grant, kept.generation) == *url)?;
        kept.sessions.push(session);
        Some(session)
    }

    /// Whether a session is still open.
    pub fn is_open(&self, session: u64) -> bool {
        self.state().accesses.values().any(|kept| kept.sessions.contains(&session))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the call and lets its script happen around `work`.
    async fn call<T>(
        &self,
        verb: Verb,
        work: impl FnOnce(&mut State) -> Result<T, TargetError> + Send,
    ) -> Result<T, TargetError> {
        let fault = {
            let mut state = self.state();
            let count = state.calls.entry(verb).or_default();
            *count += 1;
            let call = *count;
            if let Some(error) = &state.down {
                return Err(error.clone());
            }
            state.script.remove(&(verb, call))
        };
        match fault {
            None => work(&mut self.state()),
            Some(Fault::Before(error)) => Err(error),
            Some(Fault::After(error)) => work(&mut self.state()).and(Err(error)),
            Some(Fault::Hang(held)) => {
                held.wait().await;
                work(&mut self.state())
            }
            Some(Fault::HangAfter(held)) => {
                let answer = work(&mut self.state());
                held.wait().await;
                answer
            }
        }
    }
}

impl State {
    fn give(&mut self, access: &Access) -> Secret {
        self.next += 1;
        let sessions = self.accesses.remove(&access.grant).map(|kept| kept.sessions).unwrap_or_default();
        let kept =
            Kept { grants: access.grants.clone(), until: access.until, generation: self.next, sessions };
        self.accesses.insert(access.grant, kept);
        Secret::Postgres { url: url_of(access.grant, self.next) }
    }
}

fn name_of(grant: GrantId) -> String {
    format!("fake_{}", grant.0.simple())
}

fn url_of(grant: GrantId, generation: u64) -> String {
    format!("postgres://{}:secret{generation}@fake.invalid/fake", name_of(grant))
}

#[async_trait]
impl Connector for Fake {
    fn class(&self) -> Class {
        Class::B
    }

    async fn provision(&self, access: &Access) -> Result<Secret, TargetError> {
        self.call(Verb::Provision, |state| Ok(state.give(access))).await
    }

    async fn guard(&self, access: &Access) -> Result<Option<Secret>, TargetError> {
        self.call(Verb::Guard, |state| match state.accesses.get_mut(&access.grant) {
            Some(kept) => {
                kept.until = access.until;
                Ok(None)
            }
            None => Err(TargetError::Refused(format!("there is no {}", name_of(access.grant)))),
        })
        .await
    }

    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError> {
        self.call(Verb::Remove, |state| {
            let ended = state.accesses.remove(&grant).map_or(0, |kept| kept.sessions.len());
            Ok(Removed { sessions_ended: u32::try_from(ended).unwrap_or(u32::MAX) })
        })
        .await
    }

    async fn inspect(&self) -> Result<Vec<Found>, TargetError> {
        self.call(Verb::Inspect, |state| {
            let found = |(grant, kept): (&GrantId, &Kept)| Found {
                grant: *grant,
                name: name_of(*grant),
                until: Some(kept.until),
                sessions: u32::try_from(kept.sessions.len()).unwrap_or(u32::MAX),
            };
            Ok(state.accesses.iter().map(found).collect())
        })
        .await
    }

    async fn strangers(&self, grants: &[String]) -> Result<Vec<Stranger>, TargetError> {
        self.call(Verb::Strangers, |state| {
            let held = |(name, held): (&String, &BTreeSet<String>)| Stranger {
                name: name.clone(),
                grants: held.iter().filter(|g| grants.contains(g)).cloned().collect(),
            };
            Ok(state.strangers.iter().map(held).filter(|s| !s.grants.is_empty()).collect())
        })
        .await
    }
}
