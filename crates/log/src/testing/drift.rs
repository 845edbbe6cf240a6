//! Access that no grant explains.

use super::{History, person, words};
use gatepass_core::Code;
use gatepass_core::command::Command;
use gatepass_core::drift::{Found, Who, apply, decide};
use gatepass_core::event::{By, Fact};
use gatepass_core::id::DriftId;
use gatepass_core::text::Digest;
use gatepass_core::wire::SignedCommand;

impl History {
    /// Drift is found, anew or again.
    pub fn found(&mut self, again: Option<usize>, grants: &[&str]) -> usize {
        let who = Who::Name(Digest::of(self.fresh().as_bytes()));
        let grants = grants.iter().map(|g| (*g).to_owned()).collect();
        let mut found = Found::of(&self.catalogue, "orders-db-target", who, grants);
        if let Some(before) = again.map(|i| &self.drift[i]) {
            found.groups.extend(before.found.groups.iter().cloned());
            found.groups.sort_unstable();
            found.groups.dedup();
        }
        let fresh = DriftId(self.fresh());
        let id = again.map_or(fresh, |i| self.drift[i].id);
        self.told(again, By::Gatepass, Fact::DriftFound { drift: id, found }, None)
    }

    pub fn gone(&mut self, index: usize) {
        let (drift, found) = (self.drift[index].id, self.drift[index].found.clone());
        self.told(Some(index), By::Gatepass, Fact::DriftGone { drift, found }, None);
    }

    /// Drift is marked as known, or no longer.
    pub fn mark(&mut self, n: u128, index: usize, known: bool) -> Result<(), Code> {
        let before = self.drift[index].clone();
        let (drift, revision, reason) = (before.id, before.revision, Digest::of(b"ours"));
        let command = if known {
            Command::DriftKnown { drift, revision, reason }
        } else {
            Command::DriftUnknown { drift, revision, reason }
        };
        let (by, _, signed) = self.sign(n, command.clone()).ok_or(Code::DeviceDisabled)?;
        let fact = decide(&before, &command, person(n), &self.directory, &words()).map_err(|r| r.code)?;
        self.told(Some(index), by, fact, Some(signed));
        Ok(())
    }

    fn told(&mut self, index: Option<usize>, by: By, fact: Fact, command: Option<SignedCommand>) -> usize {
        let event = self.put(by, None, fact, command, Vec::new());
        let after = apply(index.map(|i| self.drift[i].clone()), &event).unwrap();
        match index {
            Some(i) => {
                self.drift[i] = after;
                i
            }
            None => {
                self.drift.push(after);
                self.drift.len() - 1
            }
        }
    }
}
