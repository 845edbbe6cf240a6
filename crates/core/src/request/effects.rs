//! What the world owes to an event. Written as jobs in the same transaction.

use crate::Time;
use crate::event::{Event, Fact};
use crate::id::{GrantId, RequestId};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Set the access up, now.
    Provision { grant: GrantId },
    /// End the access at `due` and remove it. There is one end job per grant: this writes it, or moves it
    /// earlier. It never moves it later.
    End { grant: GrantId, due: Time },
    /// Move the grant's end job to `due`, later than it was: a new decision allowed it.
    Postpone { grant: GrantId, due: Time },
    /// Move the target-side guard to the grant's end.
    Guard { grant: GrantId },
    /// Let the request lapse at `due` if it is still undecided.
    Lapse { request: RequestId, due: Time },
    /// Report [`crate::command::Report::Extended`] to this grant, in the same transaction.
    Extend { grant: GrantId, by: RequestId, duration_s: u32 },
    /// The grant is over: delete its sealed secret and its jobs.
    Forget { grant: GrantId },
}

/// `extends` is the extended grant when the event's request is an extension.
pub fn effects(event: &Event, extends: Option<GrantId>) -> Vec<Effect> {
    match (&event.fact, event.request) {
        (Fact::RequestCreated { lapses_at, .. }, Some(request)) => {
            vec![Effect::Lapse { request, due: *lapses_at }]
        }
        (Fact::RequestGranted { duration_s, .. }, Some(by)) if extends.is_some() => {
            extends.map(|grant| Effect::Extend { grant, by, duration_s: *duration_s }).into_iter().collect()
        }
        (Fact::RequestGranted { grant, latest_end, .. }, _) => {
            vec![Effect::End { grant: *grant, due: *latest_end }, Effect::Provision { grant: *grant }]
        }
        (Fact::GrantActive { grant, ends_at, .. }, _) => vec![Effect::End { grant: *grant, due: *ends_at }],
        (Fact::GrantExtended { grant, ends_at, .. }, _) => {
            vec![Effect::Postpone { grant: *grant, due: *ends_at }, Effect::Guard { grant: *grant }]
        }
        (Fact::GrantEnding { grant, .. }, _) => vec![Effect::End { grant: *grant, due: event.at }],
        (Fact::GrantEnded { grant, .. } | Fact::GrantFailed { grant, .. }, _) => {
            vec![Effect::Forget { grant: *grant }]
        }
        _ => Vec::new(),
    }
}
