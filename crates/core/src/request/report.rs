//! What follows from what the server's own work reports: the clock, the workers, the other request.

use super::{Context, Request};
use crate::command::Report;
use crate::error::{Code, Refusal};
use crate::event::Fact;
use crate::wire::{EndCause, GrantState, Removal, RequestState};
use chrono::TimeDelta;

/// Decides a report on `request`. A refusal means: it no longer applies, and the reporter must not act on it
/// (for [`Report::SetUp`]: what was set up has to be removed again, which the grant's end job does).
pub fn report(request: &Request, report: &Report, context: &Context<'_>) -> Result<Vec<Fact>, Refusal> {
    let now = context.now;
    if let Report::LapseDue = report {
        let due = request.state == RequestState::Pending && now >= request.lapses_at;
        return if due { Ok(vec![Fact::RequestLapsed]) } else { Err(Code::AlreadyDecided.into()) };
    }
    let held = request.grant.as_ref().ok_or(Code::NotFound)?;
    let grant = held.id;
    match (report, held.state) {
        (Report::SetupStarted, GrantState::Scheduled) => {
            if context.directory.in_any(request.by, &request.rule.ask) {
                Ok(vec![Fact::GrantProvisioning { grant }])
            } else {
                // Membership was lost between approval and now.
                Ok(vec![Fact::GrantEnding { grant, cause: EndCause::Failed, reason: None }])
            }
        }
        // A worker that died after it had started.
        (Report::SetupStarted, GrantState::Provisioning) => Ok(Vec::new()),
        (Report::SetUp { since }, GrantState::Provisioning) => {
            let ends_at = (*since + TimeDelta::seconds(held.duration_s.into())).min(held.latest_end);
            Ok(vec![Fact::GrantActive { grant, starts_at: *since, ends_at }])
        }
        (Report::SetupFailed { message, attempts, last }, GrantState::Provisioning) => {
            let mut facts = vec![Fact::GrantDelayed { grant, attempts: *attempts, message: message.clone() }];
            if *last {
                facts.push(Fact::GrantEnding { grant, cause: EndCause::Failed, reason: None });
            }
            Ok(facts)
        }
        (Report::EndDue, GrantState::Active) => {
            if held.ends_at.is_some_and(|end| now >= end) {
                Ok(vec![Fact::GrantEnding { grant, cause: EndCause::Expired, reason: None }])
            } else {
                Err(Refusal::new(Code::GrantNotActive, "The end was moved."))
            }
        }
        // Never set up in all that time.
        (Report::EndDue, GrantState::Scheduled | GrantState::Provisioning) if now >= held.latest_end => {
            Ok(vec![Fact::GrantEnding { grant, cause: EndCause::Failed, reason: None }])
        }
        (Report::EndDue, GrantState::Ending) => Ok(Vec::new()),
        (Report::Missing, GrantState::Active) => {
            Ok(vec![Fact::GrantEnding { grant, cause: EndCause::Missing, reason: None }])
        }
        (Report::RemovalFailed { message, attempts }, GrantState::Ending) => {
            Ok(vec![Fact::GrantDelayed { grant, attempts: *attempts, message: message.clone() }])
        }
        (Report::Removed { checked_at, sessions_ended, attempts }, GrantState::Ending) => {
            let cause = held.end.as_ref().map_or(EndCause::Expired, |e| e.cause);
            let removal =
                Removal { checked_at: *checked_at, sessions_ended: *sessions_ended, attempts: *attempts };
            Ok(vec![if cause == EndCause::Failed {
                Fact::GrantFailed { grant, removal }
            } else {
                Fact::GrantEnded { grant, cause, removal }
            }])
        }
        (Report::Extended { by, duration_s }, GrantState::Active) => {
            let end = held.ends_at.ok_or(Code::GrantNotActive)?;
            let ends_at = end + TimeDelta::seconds((*duration_s).into());
            Ok(vec![Fact::GrantExtended { grant, ends_at, by_request: *by }])
        }
        (_, GrantState::Ended | GrantState::Failed) => Err(Code::GrantOver.into()),
        _ => Err(Code::GrantNotActive.into()),
    }
}
