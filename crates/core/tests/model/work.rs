//! What a worker does, step by step, as in `crates/server/src/jobs`.

use crate::jobs::{Held, Kind, Settled};
use crate::life::{Life, Not};
use crate::world::{Lost, Mutant, World};
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::command::Report;
use gatepass_core::request::SETUP_LIMIT_S;
use gatepass_core::wire::GrantState;

/// Where a worker is with its job. Each is a message that is on its way, to the store or to the target: nobody calls
/// it back when the lease runs out meanwhile. The store looks at the fence; the target can't, so the worker looks at its
/// lease before it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Begin,
    /// On its way; of a removal, `half` is done: the door is shut.
    Sent {
        began: Time,
        half: bool,
    },
    Answered {
        began: Time,
        well: bool,
    },
}

enum Next {
    Step(Step),
    Idle,
}

impl World {
    pub fn step(&mut self, life: &Life, worker: usize, lost: Option<Lost>) {
        let Some((held, step)) = self.workers[worker].held.take() else { return };
        let next = match held.kind {
            Kind::Provision => self.provision(life, &held, step, lost),
            Kind::Guard => self.guard(life, &held),
            Kind::End => self.remove(life, &held, step, lost),
        };
        // Someone else has it: what this one found no longer matters.
        let next = next.unwrap_or(Next::Idle);
        if let Next::Step(step) = next {
            self.workers[worker].held = Some((held, step));
        }
    }

    fn provision(&mut self, life: &Life, held: &Held, step: Step, lost: Option<Lost>) -> Result<Next, Not> {
        let idle = |world: &mut Self, settled: Settled| -> Result<Next, Not> {
            life.settle(world, held, settled)?;
            Ok(Next::Idle)
        };
        match step {
            Step::Begin => match life.report(self, &Report::SetupStarted, held, Settled::Hold) {
                Ok(()) if self.state() == Some(GrantState::Provisioning) => Ok(self.send(held)),
                Ok(()) | Err(Not::Refused) => idle(self, Settled::Done),
                Err(Not::Lost) => Err(Not::Lost),
            },
            Step::Sent { began, .. } => {
                if lost != Some(Lost::Message) {
                    self.target.door = true;
                    self.target.stray |= self.now >= held.until;
                }
                Ok(Next::Step(Step::Answered { began, well: lost.is_none() }))
            }
            Step::Answered { began, well } => {
                let decided = self.request.as_ref().and_then(|r| r.decided_at).unwrap_or(self.now);
                let last = self.now - decided >= TimeDelta::seconds(SETUP_LIMIT_S.into());
                let (said, how) = if well {
                    (Report::SetUp { since: began }, Settled::Done)
                } else {
                    let how =
                        if last { Settled::Done } else { Settled::Again(self.now + crate::world::tick()) };
                    (Report::SetupFailed { message: "lost".into(), attempts: 1, last }, how)
                };
                match life.report(self, &said, held, how) {
                    Ok(()) => Ok(Next::Idle),
                    // Revoked while it was set up: the end job, which waits for this one, removes it.
                    Err(Not::Refused) => idle(self, Settled::Done),
                    Err(Not::Lost) => Err(Not::Lost),
                }
            }
        }
    }

    /// Whether the target's own guard is moved makes no difference to what is promised here.
    fn guard(&mut self, life: &Life, held: &Held) -> Result<Next, Not> {
        life.settle(self, held, Settled::Done)?;
        Ok(Next::Idle)
    }

    fn remove(&mut self, life: &Life, held: &Held, step: Step, lost: Option<Lost>) -> Result<Next, Not> {
        match step {
            Step::Begin => match life.report(self, &Report::EndDue, held, Settled::Hold) {
                Ok(()) => Ok(self.send(held)),
                Err(Not::Refused) => {
                    let later = self.grant().filter(|g| !g.over()).map(|g| g.ends_at.unwrap_or(g.latest_end));
                    life.settle(self, held, later.map_or(Settled::Done, Settled::Again))?;
                    Ok(Next::Idle)
                }
                Err(Not::Lost) => Err(Not::Lost),
            },
            Step::Sent { began, half } => Ok(Next::Step(match (lost, half) {
                (Some(Lost::Message), _) => Step::Answered { began, well: false },
                (_, false) => {
                    self.target.door = false;
                    match lost {
                        Some(_) => Step::Answered { began, well: false },
                        None if life.mutant == Some(Mutant::HalfRemoved) => {
                            Step::Answered { began, well: true }
                        }
                        None => Step::Sent { began, half: true },
                    }
                }
                (_, true) => {
                    self.target.session = false;
                    // Somebody may have come in once more, had the door been opened again.
                    self.target.stray &= self.target.door;
                    Step::Answered { began, well: lost.is_none() }
                }
            })),
            Step::Answered { well, .. } => {
                let attempts = 1;
                let (said, how) = if well || life.mutant == Some(Mutant::SettledWithoutRemoval) {
                    let said = Report::Removed { checked_at: self.now, sessions_ended: 0, attempts };
                    (said, Settled::Done)
                } else {
                    let given_up = life.mutant == Some(Mutant::GivenUp);
                    let how = if given_up { Settled::Done } else { Settled::Again(self.now) };
                    (Report::RemovalFailed { message: "lost".into(), attempts }, how)
                };
                match life.report(self, &said, held, how) {
                    Ok(()) => Ok(Next::Idle),
                    Err(Not::Refused) => {
                        life.settle(self, held, Settled::Done)?;
                        Ok(Next::Idle)
                    }
                    Err(Not::Lost) => Err(Not::Lost),
                }
            }
        }
    }

    fn send(&self, held: &Held) -> Next {
        if self.now < held.until {
            Next::Step(Step::Sent { began: self.now, half: false })
        } else {
            Next::Idle
        }
    }

    fn state(&self) -> Option<GrantState> {
        self.grant().map(|g| g.state)
    }
}
