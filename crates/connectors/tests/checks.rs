//! The checks for anybody's connector: a good one passes all of them, and for each there is a connector that fails it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod holder;

use async_trait::async_trait;
use gatepass_connectors::checks::{CHECKS, Checks, Finding, Plan, Verdict};
use gatepass_connectors::{Access, Class, Connector, Found, Removed, Stranger, TargetError};
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::sleep;

/// Half of what a call takes.
const PACE: Duration = Duration::from_millis(10);

/// What is wrong with a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    ListsTwice,
    IsAway,
    ForgetsTheEnd,
    KeepsTheFirstEnd,
    GuardMakes,
    RemovesOnlyWhatIsThere,
    SaysRemoved,
    StumblesOverItsHalf,
    GoesOnAlone,
    ForgetsToRemove,
    RemovesAllOfThePerson,
    RemovesAllWithTheRole,
    WritesOverOthers,
    RemovesWhatWasThere,
    RemovesStrangers,
}

#[derive(Default)]
struct State {
    accesses: BTreeMap<GrantId, Access>,
    strangers: Vec<Stranger>,
    /// What a call began and did not end.
    half: BTreeSet<GrantId>,
}

#[derive(Clone)]
struct Flawed {
    flaw: Option<Flaw>,
    state: Arc<Mutex<State>>,
    /// There before the checks.
    standing: Access,
}

impl Flawed {
    fn new(flaw: Option<Flaw>) -> Self {
        let standing = holder::access(&["other"]);
        let root = Stranger { name: "root".into(), grants: vec!["role".into()] };
        let accesses = BTreeMap::from([(standing.grant, standing.clone())]);
        let state = State { accesses, strangers: vec![root], half: BTreeSet::new() };
        Self { flaw, state: Arc::new(Mutex::new(state)), standing }
    }

    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn give(self, access: Access) -> Result<Secret, TargetError> {
        let all = self.state().accesses.clone();
        if !self.state().half.insert(access.grant) && self.is(Flaw::StumblesOverItsHalf) {
            return Err(TargetError::Refused("it is there by half".into()));
        }
        sleep(PACE).await;
        self.keep(access, all);
        sleep(PACE).await;
        Ok(Secret::Command { details: serde_json::json!({}) })
    }

    fn keep(&self, mut access: Access, mut all: BTreeMap<GrantId, Access>) {
        match all.get(&access.grant) {
            Some(first) if self.is(Flaw::KeepsTheFirstEnd) => access.until = first.until,
            _ if self.is(Flaw::ForgetsTheEnd) => access.until += chrono::TimeDelta::hours(1),
            _ => {}
        }
        let mut state = self.state();
        state.half.remove(&access.grant);
        if self.is(Flaw::WritesOverOthers) {
            all.insert(access.grant, access);
            state.accesses = all;
        } else {
            state.accesses.insert(access.grant, access);
        }
    }
}

#[async_trait]
impl Connector for Flawed {
    fn class(&self) -> Class {
        Class::C
    }

    async fn provision(&self, access: &Access) -> Result<Secret, TargetError> {
        let work = self.clone().give(access.clone());
        if self.is(Flaw::GoesOnAlone) { tokio::spawn(work).await.unwrap() } else { work.await }
    }

    async fn guard(&self, access: &Access) -> Result<Option<Secret>, TargetError> {
        let mut state = self.state();
        match state.accesses.get_mut(&access.grant) {
            Some(kept) => kept.until = access.until,
            None if self.is(Flaw::GuardMakes) => drop(state.accesses.insert(access.grant, access.clone())),
            None => return Err(TargetError::Refused("there is none".into())),
        }
        Ok(None)
    }

    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError> {
        if self.is(Flaw::ForgetsToRemove) && !self.state().half.insert(grant) {
            // It takes what was begun for what was done.
            return Ok(Removed { sessions_ended: 0 });
        }
        sleep(PACE).await;
        let mut state = self.state();
        state.half.remove(&grant);
        let Some(gone) = state.accesses.get(&grant).cloned() else {
            let absent = TargetError::Refused("there is none".into());
            let refused = self.is(Flaw::RemovesOnlyWhatIsThere);
            return if refused { Err(absent) } else { Ok(Removed { sessions_ended: 0 }) };
        };
        let keep: &dyn Fn(&Access) -> bool = match self.flaw {
            Some(Flaw::SaysRemoved) => &|_| true,
            Some(Flaw::RemovesAllOfThePerson) => &|access| access.holder != gone.holder,
            Some(Flaw::RemovesAllWithTheRole) => &|access| {
                access.grant != grant && (access.grants != gone.grants || access.holder == gone.holder)
            },
            Some(Flaw::RemovesWhatWasThere) => {
                &|access| access.grants == gone.grants && access.grant != grant
            }
            _ => &|access| access.grant != grant,
        };
        state.accesses.retain(|_, access| keep(access));
        if self.is(Flaw::RemovesStrangers) {
            state.strangers.clear();
        }
        Ok(Removed { sessions_ended: 0 })
    }

    async fn inspect(&self) -> Result<Vec<Found>, TargetError> {
        if self.is(Flaw::IsAway) {
            return Err(TargetError::Unreachable("it sleeps".into()));
        }
        let found = |access: &Access| Found {
            grant: access.grant,
            name: access.holder.handle.clone(),
            until: Some(access.until),
            sessions: 0,
        };
        let state = self.state();
        let again = state.accesses.values().filter(|_| self.is(Flaw::ListsTwice));
        Ok(state.accesses.values().chain(again).map(found).collect())
    }

    async fn strangers(&self, _grants: &[String]) -> Result<Vec<Stranger>, TargetError> {
        Ok(self.state().strangers.clone())
    }
}

fn plan(people: usize) -> Plan {
    Plan {
        grants: vec!["role".into()],
        one: holder::somebody(),
        other: (people > 1).then(holder::somebody),
        now: holder::now(),
        grant: holder::grant,
    }
}

async fn run(connector: &Flawed, people: usize) -> Vec<Finding> {
    let checks = Checks::new(connector, plan(people));
    let mut findings = Vec::new();
    checks.run(|finding| findings.push(finding)).await;
    findings
}

fn named(findings: &[Finding], verdict: Verdict) -> Vec<&'static str> {
    findings.iter().filter(|f| f.verdict == verdict).map(|f| f.check).collect()
}

fn all() -> Vec<&'static str> {
    CHECKS.iter().map(|(name, _)| *name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_good_connector_passes_all_and_is_left_as_it_was() {
    let good = Flawed::new(None);
    assert_eq!(named(&run(&good, 2).await, Verdict::Pass), all());
    assert_eq!(good.state().accesses.keys().copied().collect::<Vec<_>>(), [good.standing.grant]);
    let alone = run(&good, 1).await;
    assert_eq!(named(&alone, Verdict::Skip), ["overlap-two-people"]);
    assert_eq!(named(&alone, Verdict::Fail), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn every_check_has_a_connector_that_fails_it() {
    let mut failed = BTreeSet::new();
    for (flaw, check, says) in [
        (Flaw::ListsTwice, "inspect", "more than once"),
        (Flaw::IsAway, "inspect", "it sleeps"),
        (Flaw::ForgetsTheEnd, "provision", "listed with its end at"),
        (Flaw::KeepsTheFirstEnd, "twice-provision", "listed with its end at"),
        (Flaw::GuardMakes, "moved-end", "of an absent one succeeded"),
        (Flaw::RemovesOnlyWhatIsThere, "twice-remove", "that never was"),
        (Flaw::SaysRemoved, "twice-remove", "although remove said"),
        (Flaw::StumblesOverItsHalf, "crash-in-provision", "there by half"),
        (Flaw::GoesOnAlone, "crash-in-provision", "come back"),
        (Flaw::ForgetsToRemove, "crash-in-remove", "although remove said"),
        (Flaw::RemovesAllOfThePerson, "overlap-one-person", "not at all"),
        (Flaw::RemovesAllWithTheRole, "overlap-two-people", "not at all"),
        (Flaw::WritesOverOthers, "at-once", "not at all"),
        (Flaw::RemovesWhatWasThere, "drift", "that were there before are gone"),
        (Flaw::RemovesStrangers, "drift", "root (role)"),
    ] {
        let findings = run(&Flawed::new(Some(flaw)), 2).await;
        let found = findings.iter().find(|f| f.check == check).unwrap();
        assert_eq!(found.verdict, Verdict::Fail, "{flaw:?}: {findings:#?}");
        assert!(found.found.contains(says), "{flaw:?}: {found:?}");
        assert_eq!(findings.len(), CHECKS.len(), "{flaw:?}: each is told of");
        failed.insert(check);
        if matches!(flaw, Flaw::ListsTwice | Flaw::IsAway) {
            assert_eq!(named(&findings, Verdict::Skip), all()[1..]);
        }
    }
    assert_eq!(failed, all().into_iter().collect(), "every check can fail");
}

#[tokio::test(start_paused = true)]
async fn what_a_run_leaves_is_taken_away_or_told() {
    let good = Flawed::new(None);
    let checks = Checks::new(&good, plan(2));
    // Stopped somewhere in the middle.
    tokio::select! {
        () = checks.run(|_| {}) => panic!("it takes longer"),
        () = sleep(PACE * 15) => {}
    }
    assert_eq!(checks.clean().await, []);
    assert_eq!(good.state().accesses.len(), 1);

    let liar = Flawed::new(Some(Flaw::SaysRemoved));
    let checks = Checks::new(&liar, plan(2));
    checks.run(|_| {}).await;
    let left = checks.clean().await;
    let there: BTreeSet<_> =
        liar.state().accesses.keys().copied().filter(|g| *g != liar.standing.grant).collect();
    assert!(!left.is_empty());
    assert_eq!(left.iter().map(|left| left.grant).collect::<BTreeSet<_>>(), there, "exactly what is there");
    assert!(left[0].why.contains("although remove says"), "{left:?}");
}
