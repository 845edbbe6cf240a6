//! The world of one grant, and what can happen in it.

use crate::jobs::{Held, Jobs, Kind};
use crate::life::{APPROVER, GRANT, HOLDER, Life, Which};
use crate::work::Step;
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::command::Command;
use gatepass_core::request::{Grant, Request};
use gatepass_core::text::Digest;
use gatepass_core::wire::{EndCause, GrantState, RequestState, Verdict};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// As long as the shortest access and a lease, and half as long as setting up is tried.
pub const TICK_S: u32 = 450;
const FAULTS: u8 = 2;

pub fn tick() -> TimeDelta {
    TimeDelta::seconds(TICK_S.into())
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// New logins get in.
    pub door: bool,
    /// One that is open.
    pub session: bool,
    /// The door was opened by a message whose sender had lost its lease by then.
    pub stray: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Worker {
    pub held: Option<(Held, Step)>,
    /// Stopped: it does nothing until it is let go on.
    pub stopped: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct World {
    pub now: Time,
    pub request: Option<Arc<Request>>,
    extension: Option<Arc<Request>>,
    pub jobs: Jobs,
    pub workers: [Worker; 2],
    pub target: Target,
    pub was_over: bool,
    pub faults: u8,
    /// Everybody tries each thing once.
    tried: Vec<Try>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Try {
    Approve,
    Return,
    Revoke,
    Extend,
    ApproveExtension,
    Login,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    Try(Try),
    Claim(usize, Kind),
    Step(usize),
    /// What it sends is lost, or the answer.
    Lost(usize, Lost),
    Die(usize),
    Stop(usize),
    GoOn(usize),
    /// Targets are compared with the grants.
    Look,
    Tick,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    Message,
    Answer,
}

/// Mistakes to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The end job is written when the access is there, not before.
    NoEndAtApproval,
    /// Giving back and revoking leave the end job where it is.
    NoEndAtEnding,
    /// Activation leaves it at the latest possible end.
    LeftAtTheLatest,
    /// A removal that failed is told as done.
    SettledWithoutRemoval,
    /// Sessions are left open.
    HalfRemoved,
    /// A removal that failed is not tried again.
    GivenUp,
    /// Whoever lost the lease may settle.
    FenceIgnored,
    /// A grant's jobs run beside each other.
    TwoAtOnce,
    /// Nobody compares the target with the grants.
    NoLook,
}

/// What can make a difference to what comes; not, for instance, the words in which a failure was told.
impl Hash for World {
    fn hash<H: Hasher>(&self, to: &mut H) {
        (self.now, &self.jobs, &self.target, self.was_over, self.faults).hash(to);
        // Which of the two workers it is makes none.
        let mut workers = self.workers.each_ref().map(digest);
        workers.sort_unstable();
        workers.hash(to);
        let mut tried: Vec<u8> = self.tried.iter().map(|t| *t as u8).collect();
        tried.sort_unstable();
        tried.hash(to);
        for request in [&self.request, &self.extension] {
            let Some(request) = request else { continue };
            (request.state, request.approvals.len(), request.decided_at).hash(to);
            let Some(grant) = &request.grant else { continue };
            (grant.state, grant.duration_s, grant.latest_end, grant.starts_at, grant.ends_at).hash(to);
            (grant.end.as_ref().map(|e| (e.cause, e.at)), grant.delay.is_some(), grant.ended_at).hash(to);
        }
    }
}

fn digest(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

impl World {
    pub fn new(now: Time) -> Self {
        Self {
            now,
            request: None,
            extension: None,
            jobs: Jobs::default(),
            workers: Default::default(),
            target: Target::default(),
            was_over: false,
            faults: 0,
            tried: Vec::new(),
        }
    }

    pub fn request(&mut self, which: Which) -> &mut Option<Arc<Request>> {
        match which {
            Which::First => &mut self.request,
            Which::Extension => &mut self.extension,
        }
    }

    pub fn grant(&self) -> Option<&Grant> {
        self.request.as_ref()?.grant.as_ref()
    }

    pub fn ended_by(&self, cause: EndCause) -> bool {
        self.grant().and_then(|g| g.end.as_ref()).is_some_and(|e| e.cause == cause)
    }

    pub fn extended(&self) -> bool {
        self.grant().is_some_and(|g| g.starts_at.zip(g.ends_at).is_some_and(|(a, b)| b - a > tick()))
    }

    /// When there may be no access any more.
    pub fn end(&self) -> Time {
        self.grant().map_or(self.now, |g| {
            let planned = g.ends_at.unwrap_or(g.latest_end);
            g.ended_at
                .or(g.end.as_ref().map(|e| e.at))
                .map_or(planned, |at| at.min(planned).max(g.ended_at.unwrap_or(at)))
        })
    }

    /// A worker that dies or stops holds a job up until its lease is over.
    pub fn grace(&self) -> TimeDelta {
        tick() * i32::from(self.faults) * 2
    }

    pub fn at_work(&self) -> bool {
        self.workers.iter().any(|w| w.held.is_some())
    }

    /// What reconciling would find.
    pub fn owes_a_look(&self) -> bool {
        self.target.open() && self.grant().is_none_or(Grant::over)
    }

    pub fn people(&self, acts: &mut Vec<Act>) {
        let ready = |what: &Try| match what {
            Try::Approve => true,
            Try::Return | Try::Revoke => self.grant().is_some_and(|g| !g.over()),
            Try::Extend => self.grant().is_some_and(|g| g.state == GrantState::Active),
            Try::ApproveExtension => {
                self.extension.as_ref().is_some_and(|r| r.state == RequestState::Pending)
            }
            Try::Login => self.target.door,
        };
        let all = [Try::Approve, Try::Return, Try::Revoke, Try::Extend, Try::ApproveExtension, Try::Login];
        acts.extend(all.into_iter().filter(|t| !self.tried.contains(t) && ready(t)).map(Act::Try));
    }

    /// What the server's own parts can do, faults among it.
    pub fn work(&self, life: &Life) -> Vec<Act> {
        let mut acts = Vec::new();
        let alone = life.mutant != Some(Mutant::TwoAtOnce);
        for (n, worker) in self.workers.iter().enumerate() {
            if worker.stopped {
                acts.push(Act::GoOn(n));
                continue;
            }
            match &worker.held {
                None => {
                    acts.extend(
                        Kind::ALL
                            .into_iter()
                            .filter(|k| self.jobs.may_claim(*k, self.now, alone))
                            .map(|k| Act::Claim(n, k)),
                    );
                }
                Some((_, step)) => {
                    acts.push(Act::Step(n));
                    if self.faults < FAULTS {
                        acts.extend([Act::Die(n), Act::Stop(n)]);
                        if matches!(step, Step::Sent { .. }) {
                            acts.extend([Act::Lost(n, Lost::Message), Act::Lost(n, Lost::Answer)]);
                        }
                    }
                }
            }
        }
        if self.owes_a_look() && life.mutant != Some(Mutant::NoLook) {
            acts.push(Act::Look);
        }
        let busy = acts.iter().any(|act| !matches!(act, Act::GoOn(_)));
        if !busy && self.jobs.wait(self.now) {
            acts.push(Act::Tick);
        }
        acts
    }

    pub fn act(mut self, life: &Life, act: Act) -> Option<Self> {
        match act {
            Act::Try(what) => {
                self.tried.push(what);
                return self.tries(life, what).then_some(self);
            }
            Act::Claim(n, kind) => {
                let alone = life.mutant != Some(Mutant::TwoAtOnce);
                let held = self.jobs.claim(kind, self.now, self.now + tick(), alone)?;
                self.workers[n].held = Some((held, Step::Begin));
            }
            Act::Step(n) => self.step(life, n, None),
            Act::Lost(n, lost) => {
                self.faults += 1;
                self.step(life, n, Some(lost));
            }
            Act::Die(n) => {
                self.faults += 1;
                self.workers[n].held = None;
            }
            Act::Stop(n) => {
                self.faults += 1;
                self.workers[n].stopped = true;
            }
            Act::GoOn(n) => self.workers[n].stopped = false,
            Act::Look => self.target = Target::default(),
            Act::Tick => self.now += tick(),
        }
        Some(self)
    }

    fn tries(&mut self, life: &Life, what: Try) -> bool {
        let (which, command, by) = match what {
            Try::Login => {
                self.target.session = true;
                return true;
            }
            Try::Approve | Try::ApproveExtension => {
                let which = if what == Try::Approve { Which::First } else { Which::Extension };
                let Some(request) = self.request(which) else { return false };
                let command = Command::Decide {
                    request: request.id,
                    revision: request.revision,
                    shown: request.shown(),
                    verdict: Verdict::Approve,
                    duration_s: None,
                    note: None,
                };
                (which, command, APPROVER)
            }
            Try::Return => (Which::First, Command::Return { grant: GRANT }, HOLDER),
            Try::Revoke => {
                (Which::First, Command::Revoke { grant: GRANT, reason: Digest::of(b"because") }, APPROVER)
            }
            Try::Extend => {
                (Which::Extension, Command::Extend { grant: GRANT, duration_s: TICK_S, reason: None }, HOLDER)
            }
        };
        life.command(self, which, &command, by)
    }
}
