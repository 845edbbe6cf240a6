//! A person says of access that no grant explains that it is as it should be, or no longer.

use crate::app::{App, fingerprint};
use crate::auth;
use crate::error::Problem;
use crate::flow;
use crate::store::{Change, DriftChange, DriftFilter, DriftRow, Recorded, StoreError};
use crate::views;
use gatepass_core::command::Command;
use gatepass_core::drift;
use gatepass_core::error::Code;
use gatepass_core::event::{By, Event};
use gatepass_core::id::{DriftId, EventId, PersonId};
use gatepass_core::wire::{Marked, Submit};
use std::net::IpAddr;
use uuid::Uuid;

/// How often it is decided again because a look at the target came first.
const TRIES: usize = 8;

impl App {
    /// Carries a signed command about drift out, once. `peer` pays for signatures that don't hold.
    pub async fn mark(
        &self,
        submit: Submit,
        kind: &str,
        id: DriftId,
        peer: IpAddr,
    ) -> Result<Marked, Problem> {
        let (body, people) = self.signed(&submit.command, kind, peer).await?;
        let device = people.device(body.device).ok_or(Code::UnknownDevice)?;
        let person = people.person(device.person).ok_or(Code::Internal)?;
        let recorded = Recorded { id: body.id, digest: fingerprint(&submit.command)?, request: None };
        if let Some(before) = self.store.load(Some(body.id), None).await?.recorded {
            return self.marked_before(&before, &recorded, id, person.id).await;
        }
        let now = self.clock.now();
        auth::check_skew(body.at, now)?;
        if named(&body.command) != Some(id) {
            return Err(Problem::malformed("The address names something else than the signed command."));
        }
        let (words, texts) = flow::words(&body.command, &submit.texts)?;
        for _ in 0..TRIES {
            let before = self.drift_row(id).await?.drift;
            if !before.seen_by(person) {
                return Err(Code::NotFound.into());
            }
            let fact = drift::decide(&before, &body.command, person.id, &people.directory, &words)?;
            let event = Event {
                id: EventId(Uuid::now_v7()),
                at: now,
                by: By::Person { person: person.id, device: device.id },
                request: None,
                fact,
                command: Some(submit.command.clone()),
            };
            let expected = before.revision;
            let drift = drift::apply(Some(before), &event).ok_or(Code::Internal)?;
            let change = Change {
                command: Some(recorded.clone()),
                signer: Some(device.id),
                events: vec![event],
                texts: texts.clone(),
                drift: vec![DriftChange { drift, expected }],
                ..Change::default()
            };
            match self.commit(change).await {
                Ok(done) => {
                    let row = self.drift_row(id).await?;
                    let drift = views::drift(self, &row, person.id).ok_or(Code::NotFound)?;
                    return Ok(Marked { drift, head: done.head });
                }
                Err(StoreError::Conflict) => {}
                Err(StoreError::Repeated(before)) => {
                    return self.marked_before(&before, &recorded, id, person.id).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Code::Unavailable.into())
    }

    pub async fn drift_row(&self, id: DriftId) -> Result<DriftRow, Problem> {
        let filter = DriftFilter { id: Some(id), gone: true, limit: 1, ..DriftFilter::default() };
        self.store.drift(filter).await?.pop().ok_or_else(|| Code::NotFound.into())
    }

    async fn marked_before(
        &self,
        before: &Recorded,
        now: &Recorded,
        id: DriftId,
        viewer: PersonId,
    ) -> Result<Marked, Problem> {
        if before.digest != now.digest {
            return Err(Code::IdReused.into());
        }
        let drift = views::drift(self, &self.drift_row(id).await?, viewer).ok_or(Code::NotFound)?;
        Ok(Marked { drift, head: self.store.head().await? })
    }
}

fn named(command: &Command) -> Option<DriftId> {
    match command {
        Command::DriftKnown { drift, .. } | Command::DriftUnknown { drift, .. } => Some(*drift),
        _ => None,
    }
}
