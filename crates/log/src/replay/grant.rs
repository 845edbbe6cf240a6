//! From the grant to its end, read back.

use super::Report;
use super::request::{role, word};
use super::world::{CLOCKS, Held, World, fault, hold};
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::command::Command;
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::{GrantId, PersonId, RequestId};
use gatepass_core::request::{Grant, Request, may_revoke};
use gatepass_core::wire::{EndCause, GrantState, Removal};

impl World {
    pub(super) fn grant_event(
        &mut self,
        request: &Request,
        event: &Event,
        command: Option<&Command>,
        report: &mut Report,
    ) -> Held {
        let number = request.number;
        let Some(grant) = &request.grant else {
            return fault("grant-state", format!("{number} was not granted before this"));
        };
        hold(named(&event.fact) == Some(grant.id), "grant", || {
            format!("{number} has the grant {}, and this is about another", grant.id)
        })?;
        let state = |of: &[GrantState]| {
            hold(of.contains(&grant.state), "grant-state", || {
                format!("the access of {number} was {} before this", word(grant.state))
            })
        };
        match &event.fact {
            Fact::GrantProvisioning { .. } => {
                state(&[GrantState::Scheduled])?;
                let ask = &request.rule.ask;
                hold(self.people(event.at, |d| d.in_any(request.by, ask)), "asker", || {
                    format!("{}, for whom {number} is set up, is in none of {}", request.by, ask.join(", "))
                })
            }
            Fact::GrantActive { starts_at, ends_at, .. } => {
                state(&[GrantState::Provisioning])?;
                report.grants += 1;
                active(request, grant, event.at, *starts_at, *ends_at)
            }
            Fact::GrantDelayed { .. } => state(&[GrantState::Provisioning, GrantState::Ending]),
            Fact::GrantExtended { ends_at, by_request, .. } => {
                state(&[GrantState::Active])?;
                self.extended(request, grant, *ends_at, *by_request)
            }
            Fact::GrantEnding { cause, reason, .. } => {
                state(&[GrantState::Scheduled, GrantState::Provisioning, GrantState::Active])?;
                match (event.by.person(), command) {
                    (Some(by), Some(command)) => self.ended_by(request, event.at, by, command),
                    _ => ends(request, grant, event.at, *cause, reason.is_some()),
                }
            }
            Fact::GrantEnded { cause, removal, .. } => {
                state(&[GrantState::Ending])?;
                let said = grant.end.as_ref().map(|e| e.cause);
                hold(said == Some(*cause) && *cause != EndCause::Failed, "cause", || {
                    format!("the access of {number} ended for another reason than this")
                })?;
                report.ended += u64::from(grant.starts_at.is_some());
                removed(request, grant, event.at, removal)
            }
            Fact::GrantFailed { removal, .. } => {
                state(&[GrantState::Ending])?;
                let failed = grant.end.as_ref().is_some_and(|e| e.cause == EndCause::Failed);
                hold(failed, "cause", || format!("the access of {number} did not end because it failed"))?;
                removed(request, grant, event.at, removal)
            }
            _ => Ok(()),
        }
    }

    /// A new decision moved the end.
    fn extended(&mut self, request: &Request, grant: &Grant, ends_at: Time, by: RequestId) -> Held {
        let number = request.number;
        match self.extensions.remove(&by) {
            Some((of, duration_s)) => {
                let ends = grant.ends_at.map(|end| end + TimeDelta::seconds(duration_s.into()));
                hold(of == grant.id && Some(ends_at) == ends, "extended", || {
                    format!("the end of {number} was moved to {ends_at}, which is not what was allowed")
                })
            }
            None if self.partial() && !self.seen(by) => {
                let whole = grant.starts_at.map_or(i64::MAX, |starts| (ends_at - starts).num_seconds());
                let later = grant.ends_at.is_some_and(|end| ends_at > end);
                hold(later && whole <= i64::from(request.rule.max_s), "extended", || {
                    format!(
                        "the end of {number} was moved to {ends_at}, and it may last {} s",
                        request.rule.max_s
                    )
                })
            }
            None => {
                fault("extended", format!("the end of {number} was moved, and no request {by} allowed that"))
            }
        }
    }

    fn seen(&self, request: RequestId) -> bool {
        !matches!(self.requests.get(&request), None | Some(super::world::Standing::Unseen))
    }

    /// Early, by a person.
    fn ended_by(&self, request: &Request, at: Time, by: PersonId, command: &Command) -> Held {
        let number = request.number;
        match command {
            Command::Return { .. } => hold(by == request.by, "returned", || {
                format!("{by} gave back the access of {}, {number}", request.by)
            }),
            Command::Revoke { .. } => {
                hold(self.people(at, |d| may_revoke(request, by, d)), "revoked", || {
                    format!(
                        "{by}, who revoked {number}, is no admin and in no group that approves {}",
                        role(request)
                    )
                })
            }
            // What follows from ending everything of a person was held against that order.
            _ => Ok(()),
        }
    }
}

fn named(fact: &Fact) -> Option<GrantId> {
    match fact {
        Fact::GrantProvisioning { grant }
        | Fact::GrantActive { grant, .. }
        | Fact::GrantDelayed { grant, .. }
        | Fact::GrantExtended { grant, .. }
        | Fact::GrantEnding { grant, .. }
        | Fact::GrantEnded { grant, .. }
        | Fact::GrantFailed { grant, .. } => Some(*grant),
        _ => None,
    }
}

fn active(request: &Request, grant: &Grant, at: Time, starts_at: Time, ends_at: Time) -> Held {
    let number = request.number;
    let granted = request.decided_at.unwrap_or(request.created_at);
    hold(starts_at + CLOCKS >= granted && starts_at <= at + CLOCKS, "active", || {
        format!("the access of {number} began at {starts_at}: it was granted at {granted} and told at {at}")
    })?;
    let ends = (starts_at + TimeDelta::seconds(grant.duration_s.into())).min(grant.latest_end);
    hold(ends_at == ends, "active", || {
        format!("the access of {number} ends at {ends_at}, and should at {ends}")
    })
}

/// By Gatepass: the time came, it could not be set up, or the target shows nothing of it.
fn ends(request: &Request, grant: &Grant, at: Time, cause: EndCause, reason: bool) -> Held {
    let number = request.number;
    match cause {
        EndCause::Expired => {
            hold(grant.ends_at.is_some_and(|end| at >= end), "expired", || match grant.ends_at {
                Some(end) => format!("the access of {number} expired at {at}, before its end at {end}"),
                None => format!("the access of {number} expired before it began"),
            })?;
        }
        EndCause::Failed => hold(grant.state != GrantState::Active, "cause", || {
            format!("the access of {number} was active and can’t fail to be set up")
        })?,
        EndCause::Missing => hold(grant.state == GrantState::Active, "cause", || {
            format!("the access of {number} was not active and can’t be missing")
        })?,
        // Ordered at the console, and held against that.
        EndCause::Revoked => return Ok(()),
        EndCause::Returned => return fault("returned", format!("nobody gave {number} back")),
    }
    hold(!reason, "cause", || format!("nobody said why {number} ends, and a reason is there"))
}

fn removed(request: &Request, grant: &Grant, at: Time, removal: &Removal) -> Held {
    let checked = removal.checked_at;
    let began = grant.end.as_ref().map_or(at, |e| e.at);
    hold(checked + CLOCKS >= began && checked <= at + CLOCKS, "removal", || {
        format!(
            "the access of {} was read back at {checked}: it began to end at {began}, and this is of {at}",
            request.number
        )
    })?;
    hold(removal.attempts > 0, "removal", || {
        format!("nobody tried to remove the access of {}", request.number)
    })
}
