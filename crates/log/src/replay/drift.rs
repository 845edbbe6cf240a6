//! Access that no grant explains.

use super::request::word;
use super::world::{CLOCKS, Held, Known, Standing, World, fault, hold};
use gatepass_core::command::Command;
use gatepass_core::drift::{about, apply};
use gatepass_core::event::{Event, Fact};
use gatepass_core::wire::DriftState;

impl World {
    pub(super) fn drift_event(&mut self, event: &Event, command: Option<&Command>) -> Held {
        let (Some(id), Some(found)) = (about(&event.fact), event.fact.found()) else { return Ok(()) };
        let told = matches!(event.fact, Fact::DriftFound { .. });
        let Some(known) = self.drift.get(&id) else {
            if !told {
                return if self.partial() {
                    Ok(())
                } else {
                    fault("context", format!("the drift {id} was not found before"))
                };
            }
            let whole = self.extent == super::Extent::Whole && !self.unread;
            if let Some(drift) = apply(None, event) {
                self.drift.insert(id, Known { drift, whole });
            }
            return Ok(());
        };
        let drift = &known.drift;
        let state = |fits: bool| {
            hold(fits, "drift", || format!("the drift {id} was {} before this", word(drift.state)))
        };
        match &event.fact {
            Fact::DriftFound { .. } => {
                state(drift.state != DriftState::Gone)?;
                hold(drift.found.target == found.target, "drift", || {
                    format!("the drift {id} was on {} before this", drift.found.target)
                })?;
            }
            Fact::DriftKnown { .. } => state(drift.state == DriftState::Open)?,
            Fact::DriftUnknown { .. } => state(drift.state == DriftState::Known)?,
            _ => state(drift.state != DriftState::Gone)?,
        }
        if !told {
            hold(drift.found == *found, "drift", || format!("the drift {id} was another before this"))?;
        }
        if let (Some(by), Some(command)) = (event.by.person(), command) {
            let may = self.people(event.at, |d| d.get(by).is_some_and(|p| drift.marked_by(p)));
            hold(may, "marked", || format!("{by} may not mark the drift {id}"))?;
            let shown = match command {
                Command::DriftKnown { revision, .. } | Command::DriftUnknown { revision, .. } => *revision,
                _ => 0,
            };
            hold(!known.whole || shown == drift.revision, "marked", || {
                format!("{by} was shown revision {shown} of the drift {id}, and it was at {}", drift.revision)
            })?;
        }
        let whole = known.whole;
        if let Some(drift) = apply(Some(drift.clone()), event) {
            self.drift.insert(id, Known { drift, whole });
        }
        Ok(())
    }

    pub(super) fn access_removed(&mut self, event: &Event) -> Held {
        let Fact::AccessRemoved { grant, removal, .. } = &event.fact else { return Ok(()) };
        hold(removal.checked_at <= event.at + CLOCKS, "removal", || {
            format!("it was read back at {}, after it was told", removal.checked_at)
        })?;
        let of = self.grants.get(grant).copied();
        let standing = of.and_then(|request| self.requests.get(&request));
        let live = matches!(standing, Some(Standing::Open { .. }));
        hold(!live, "unexplained", || format!("the grant {grant} was not over"))?;
        match (of, event.request) {
            (Some(of), request) => hold(request == Some(of), "unexplained", || {
                format!("the grant {grant} is of another request")
            }),
            (None, Some(_)) if !self.partial() && self.extent == super::Extent::Whole => {
                fault("unexplained", format!("the grant {grant} is of no request here"))
            }
            _ => Ok(()),
        }
    }
}
