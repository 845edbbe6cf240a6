//! What any connector can be put through on its real target, by somebody who has only the connector: each check is one
//! promise of the port. It sees what `inspect` reads back; whether a session lives it can't see.
//!
//! It gives and takes away accesses under grants of its own, and touches nothing else.

mod lives;

use crate::{Access, Connector, Found, Holder, Removed, Stranger, TargetError};
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::catalogue::Session;
use gatepass_core::id::GrantId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Accesses last this long if nobody takes them away.
const LONG: TimeDelta = TimeDelta::minutes(10);
const SHORT: TimeDelta = TimeDelta::minutes(5);
/// How far a target may round an end.
const ROUNDED: TimeDelta = TimeDelta::seconds(1);
/// Tries to clean up.
const TRIES: u32 = 3;

/// What the checks are made with.
pub struct Plan {
    /// What each access gives; the target must know it.
    pub grants: Vec<String>,
    pub one: Holder,
    /// Another person; without one, what takes two is passed over.
    pub other: Option<Holder>,
    /// When they begin.
    pub now: Time,
    /// An id that was not used before, each time.
    pub grant: fn() -> GrantId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Fail,
    /// It could not be looked at.
    Skip,
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable.
    pub check: &'static str,
    pub verdict: Verdict,
    /// The promise.
    pub expected: &'static str,
    /// What was seen instead, or why it was not looked at; empty when it passed.
    pub found: String,
}

/// An access that could not be taken away again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub grant: GrantId,
    pub why: String,
}

/// The names of the checks, in their order, and what each expects.
pub const CHECKS: &[(&str, &str)] = &[
    ("inspect", "inspect answers, and names no grant twice"),
    ("provision", "what was provisioned is listed, once, with its end"),
    ("twice-provision", "provisioned again it is still one access, with the end as given last"),
    (
        "moved-end",
        "the end of an access can be moved; moving that of an absent one is refused and makes nothing",
    ),
    ("twice-remove", "what is removed is not listed; removing it again, or what never was, succeeds"),
    (
        "crash-in-provision",
        "a provision that was cut off can be repeated: one access, which can be removed for good",
    ),
    ("crash-in-remove", "a removal that was cut off can be repeated, and then it is gone"),
    ("overlap-one-person", "of two accesses of one person, removing one leaves the other"),
    ("overlap-two-people", "of the same access of two people, removing one leaves the other"),
    ("at-once", "calls for several grants, and twice for one, at the same time do not mix"),
    ("drift", "what was on the target before is on it still, and nothing else is"),
];

/// What is on the target that is not ours.
struct Before {
    found: BTreeMap<GrantId, Found>,
    strangers: Vec<Stranger>,
}

/// A run of the checks on one connector.
pub struct Checks<'a> {
    connector: &'a dyn Connector,
    plan: Plan,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Every grant that was used.
    used: BTreeSet<GrantId>,
    /// Those that may have an access now.
    open: BTreeSet<GrantId>,
    /// Of those, what ends by itself.
    runs_out: BTreeSet<GrantId>,
}

/// What was found instead, for people.
type Seen<T> = Result<T, String>;

impl<'a> Checks<'a> {
    pub fn new(connector: &'a dyn Connector, plan: Plan) -> Self {
        Self { connector, plan, state: Mutex::default() }
    }

    /// Runs every check in its order, and cleans up after each. Dropped, it leaves what [`clean`](Self::clean) takes
    /// away.
    pub async fn run(&self, mut each: impl FnMut(Finding)) {
        let before = match self.before().await {
            Ok(before) => before,
            Err(seen) => {
                each(finding(0, Err(seen)));
                for at in 1..CHECKS.len() {
                    each(skipped(at, "inspect does not answer as it should"));
                }
                return;
            }
        };
        each(finding(0, Ok(())));
        for (at, (name, _)) in CHECKS.iter().enumerate().skip(1) {
            let outcome = match *name {
                "provision" => self.provision().await,
                "twice-provision" => self.twice_provision().await,
                "moved-end" => self.moved_end().await,
                "twice-remove" => self.twice_remove().await,
                "crash-in-provision" => self.crash_in_provision().await,
                "crash-in-remove" => self.crash_in_remove().await,
                "overlap-one-person" => self.overlap(&self.plan.one).await,
                "overlap-two-people" => match &self.plan.other {
                    Some(other) => self.overlap(other).await,
                    None => {
                        each(skipped(at, "there is only one person to do it with"));
                        continue;
                    }
                },
                "at-once" => self.at_once().await,
                _ => self.drift(&before).await,
            };
            each(finding(at, outcome));
            // The next one finds the target as this one did.
            self.clean().await;
        }
    }

    /// Takes away what the checks gave and did not take away themselves, and says what is left.
    pub async fn clean(&self) -> Vec<Left> {
        let mut left = Vec::new();
        for grant in self.remaining().await {
            if let Err(why) = self.removed_in_tries(grant).await {
                left.push(Left { grant, why });
            }
        }
        for grant in self.remaining().await {
            if !left.iter().any(|known| known.grant == grant) {
                left.push(Left {
                    grant,
                    why: "it is listed still although remove says that it is gone".to_owned(),
                });
            }
        }
        left
    }

    /// What may be there, and what is there whatever a removal said.
    async fn remaining(&self) -> BTreeSet<GrantId> {
        let listed = self.inspect().await.unwrap_or_default();
        let state = self.state();
        let ours = listed.iter().map(|found| found.grant).filter(|grant| state.used.contains(grant));
        let all: BTreeSet<_> = state.open.iter().copied().chain(ours).collect();
        all.difference(&state.runs_out).copied().collect()
    }

    /// What ends by itself and not before.
    pub fn running_out(&self) -> usize {
        self.state().runs_out.len()
    }

    async fn removed_in_tries(&self, grant: GrantId) -> Seen<()> {
        let mut tries = 1;
        loop {
            match self.remove(grant).await {
                Ok(_) => return Ok(()),
                Err(why) if tries == TRIES => return Err(why),
                Err(_) => sleep(Duration::from_millis(500) * tries).await,
            }
            tries += 1;
        }
    }

    async fn before(&self) -> Seen<Before> {
        let listed = self.inspect().await?;
        let count = listed.len();
        let found: BTreeMap<_, _> = listed.into_iter().map(|f| (f.grant, f)).collect();
        if found.len() != count {
            return Err("a grant is listed more than once".to_owned());
        }
        Ok(Before { found, strangers: self.strangers().await? })
    }

    async fn drift(&self, before: &Before) -> Seen<()> {
        let found: BTreeMap<_, _> = self.inspect().await?.into_iter().map(|f| (f.grant, f)).collect();
        let lost: Vec<_> = before.found.keys().filter(|grant| !found.contains_key(grant)).collect();
        if let Some(grant) = lost.first() {
            return Err(format!(
                "{} accesses that were there before are gone, one is of grant {grant}",
                lost.len()
            ));
        }
        let runs_out = self.state().runs_out.clone();
        let more = found.keys().find(|g| !before.found.contains_key(g) && !runs_out.contains(g));
        if let Some(grant) = more {
            let whose = if self.state().used.contains(grant) { "one of ours" } else { "none of ours" };
            return Err(format!("an access of grant {grant} is listed that was not there before, {whose}"));
        }
        let strangers = self.strangers().await?;
        let names = |strangers: &[Stranger]| {
            strangers.iter().map(|s| format!("{} ({})", s.name, s.grants.join(", "))).collect::<Vec<_>>()
        };
        if strangers != before.strangers {
            let (now, then) = (names(&strangers).join("; "), names(&before.strangers).join("; "));
            return Err(format!("who else has access is now “{now}”, and was “{then}”"));
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An access nobody has yet. It counts as open from here on.
    fn access(&self, holder: &Holder, lasts: TimeDelta) -> Access {
        let grant = (self.plan.grant)();
        let mut state = self.state();
        state.used.insert(grant);
        state.open.insert(grant);
        Access {
            grant,
            holder: holder.clone(),
            grants: self.plan.grants.clone(),
            session: Session::Cut,
            until: self.plan.now + lasts,
        }
    }

    async fn give(&self, access: &Access) -> Seen<()> {
        self.state().open.insert(access.grant);
        let given = self.connector.provision(access).await;
        given.map(drop).map_err(|error| told("provision", &error))
    }

    /// `None` when what is left of it ends by itself.
    async fn remove(&self, grant: GrantId) -> Seen<Option<Removed>> {
        match self.connector.remove(grant).await {
            Ok(removed) => {
                self.state().open.remove(&grant);
                Ok(Some(removed))
            }
            Err(TargetError::RunsOut { .. }) => {
                self.state().runs_out.insert(grant);
                Ok(None)
            }
            Err(error) => Err(told("remove", &error)),
        }
    }

    async fn inspect(&self) -> Seen<Vec<Found>> {
        self.connector.inspect().await.map_err(|error| told("inspect", &error))
    }

    async fn strangers(&self) -> Seen<Vec<Stranger>> {
        let strangers = self.connector.strangers(&self.plan.grants).await;
        strangers.map_err(|error| told("inspect for who else has access", &error))
    }

    /// The access is listed once, and with its end if the target tells ends.
    async fn listed(&self, access: &Access) -> Seen<()> {
        let found = self.inspect().await?;
        let ours: Vec<_> = found.iter().filter(|f| f.grant == access.grant).collect();
        let [one] = ours.as_slice() else {
            return Err(format!("it is listed {}", times(ours.len())));
        };
        match one.until {
            Some(until) if (until - access.until).abs() > ROUNDED => {
                Err(format!("it is listed with its end at {until}, and was given until {}", access.until))
            }
            _ => Ok(()),
        }
    }

    /// It is not listed, unless it is known to end by itself.
    async fn absent(&self, access: &Access) -> Seen<()> {
        if self.state().runs_out.contains(&access.grant) {
            return Ok(());
        }
        match self.inspect().await?.iter().any(|f| f.grant == access.grant) {
            true => Err("it is listed although remove said that it is gone".to_owned()),
            false => Ok(()),
        }
    }

    /// Removes it and sees that it is gone.
    async fn gone(&self, access: &Access) -> Seen<()> {
        self.remove(access.grant).await?;
        self.absent(access).await
    }

    /// How long a provision takes, and a removal.
    async fn pace(&self) -> Seen<(Duration, Duration)> {
        let access = self.access(&self.plan.one, SHORT);
        let from = Instant::now();
        self.give(&access).await?;
        let given = from.elapsed();
        self.remove(access.grant).await?;
        Ok((given, from.elapsed() - given))
    }
}

fn told(verb: &str, error: &TargetError) -> String {
    format!("{verb} failed: {error}")
}

fn times(count: usize) -> String {
    match count {
        0 => "not at all".to_owned(),
        count => format!("{count} times"),
    }
}

fn of(at: usize) -> (&'static str, &'static str) {
    CHECKS.get(at).copied().unwrap_or_default()
}

fn finding(at: usize, outcome: Seen<()>) -> Finding {
    let (check, expected) = of(at);
    match outcome {
        Ok(()) => Finding { check, verdict: Verdict::Pass, expected, found: String::new() },
        Err(found) => Finding { check, verdict: Verdict::Fail, expected, found },
    }
}

fn skipped(at: usize, why: &str) -> Finding {
    let (check, expected) = of(at);
    Finding { check, verdict: Verdict::Skip, expected, found: why.to_owned() }
}
