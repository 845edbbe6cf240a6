//! The jobs of one grant, as the store keeps them (`crates/server/src/store/sqlite/job.rs`).

use gatepass_core::Time;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Provision,
    Guard,
    End,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Provision, Self::Guard, Self::End];
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Job {
    pub due: Time,
    pub leased_until: Option<Time>,
    pub fence: u8,
    pub puts: u8,
}

/// What a worker holds of a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    pub kind: Kind,
    pub fence: u8,
    pub puts: u8,
    pub until: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Hold,
    Done,
    Again(Time),
}

/// Someone else has the job.
#[derive(Debug)]
pub struct LeaseLost;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Jobs {
    all: BTreeMap<Kind, Job>,
    /// Raised by every claim, and kept by none that is gone: a job that is made again begins above it.
    fence: u8,
}

impl Jobs {
    pub fn end(&self) -> Option<&Job> {
        self.all.get(&Kind::End)
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// `held` is the job that is being held on to: what it is doing need not be put.
    pub fn put(&mut self, kind: Kind, due: Time, held: Option<Kind>) {
        if held == Some(kind) && self.all.contains_key(&kind) {
            return;
        }
        match self.all.get_mut(&kind) {
            Some(job) => {
                job.due = job.due.min(due);
                job.puts += 1;
            }
            None => drop(self.all.insert(kind, Job { due, leased_until: None, fence: self.fence, puts: 0 })),
        }
    }

    pub fn postpone(&mut self, due: Time) {
        if let Some(job) = self.all.get_mut(&Kind::End) {
            job.due = due;
            job.puts += 1;
        }
    }

    pub fn forget(&mut self) {
        self.all.clear();
    }

    pub fn settle(&mut self, held: &Held, how: Settled, fenced: bool) -> Result<(), LeaseLost> {
        let job = self.all.get_mut(&held.kind).filter(|job| !fenced || job.fence == held.fence);
        let Some(job) = job else { return Err(LeaseLost) };
        match how {
            Settled::Hold => {}
            Settled::Done if job.puts == held.puts => drop(self.all.remove(&held.kind)),
            Settled::Done => job.leased_until = None,
            Settled::Again(due) => {
                job.leased_until = None;
                if job.puts == held.puts {
                    job.due = due;
                }
            }
        }
        Ok(())
    }

    /// `alone`: all of one grant's jobs run one after the other.
    pub fn may_claim(&self, kind: Kind, now: Time, alone: bool) -> bool {
        let leased = |job: &Job| job.leased_until.is_some_and(|until| until >= now);
        let free = self.all.get(&kind).is_some_and(|job| job.due <= now && !leased(job));
        free && !(alone && self.all.values().any(leased))
    }

    pub fn claim(&mut self, kind: Kind, now: Time, until: Time, alone: bool) -> Option<Held> {
        if !self.may_claim(kind, now, alone) {
            return None;
        }
        self.fence += 1;
        let job = self.all.get_mut(&kind)?;
        job.leased_until = Some(until);
        job.fence = self.fence;
        Some(Held { kind, fence: job.fence, puts: job.puts, until })
    }

    /// Whether time alone makes one of them claimable.
    pub fn wait(&self, now: Time) -> bool {
        self.all.values().any(|job| job.due > now || job.leased_until.is_some_and(|until| until >= now))
    }
}
