//! The life of a request and of the access it gives: `decide` what follows from a command, `apply` what
//! happened, and the `effects` that the world owes to it. All pure.

mod analyse;
mod decide;
mod effects;
mod report;
mod revoke_all;

pub use analyse::{Analysis, analyse, analyse_extension};
pub use decide::{Context, Words, decide, may_revoke};
pub use effects::{Effect, effects};
pub use report::report;
pub use revoke_all::{Held, RevokedAll, revoke_all};

use crate::Time;
use crate::event::{By, Event, Fact, Rule};
use crate::id::{DeviceId, GrantId, Number, PersonId, RequestId};
use crate::text::Digest;
use crate::wire::{EndCause, GrantState, Removal, RequestState};
use serde::{Deserialize, Serialize};

/// How long setting an access up is tried after the last approval.
pub const SETUP_LIMIT_S: u32 = 15 * 60;

/// A request with its decisions and its grant. A projection of the log: built by [`apply`] only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub id: RequestId,
    pub number: Number,
    /// Counts changes of what is asked; a decision names the one it was shown.
    pub revision: u32,
    pub by: PersonId,
    pub device: DeviceId,
    pub resource: String,
    pub role: String,
    pub rule: Rule,
    pub duration_s: u32,
    pub reason: Option<Digest>,
    pub ticket: Option<Digest>,
    pub extends: Option<GrantId>,
    /// The device's OpenSSH public key, on an ssh target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<String>,
    pub created_at: Time,
    pub lapses_at: Time,
    pub state: RequestState,
    pub approvals: Vec<Approval>,
    /// Approvals that were given and count no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub voided: Vec<Approval>,
    pub denial: Option<Denial>,
    pub decided_at: Option<Time>,
    pub grant: Option<Grant>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    pub by: PersonId,
    pub at: Time,
    pub duration_s: u32,
    pub note: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Denial {
    pub by: PersonId,
    pub at: Time,
    pub note: Option<Digest>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    pub id: GrantId,
    pub state: GrantState,
    pub duration_s: u32,
    /// Over at the very latest, however long setting up takes.
    pub latest_end: Time,
    pub starts_at: Option<Time>,
    /// Fixed from activation; moved only by a new decision.
    pub ends_at: Option<Time>,
    pub end: Option<Ending>,
    pub ended_at: Option<Time>,
    pub removal: Option<Removal>,
    pub delay: Option<Delay>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    pub cause: EndCause,
    pub at: Time,
    /// Who ended it early.
    pub by: Option<PersonId>,
    pub reason: Option<Digest>,
}

/// Setting up or removing fails and goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delay {
    pub attempts: u32,
    pub message: String,
    pub since: Time,
}

impl Request {
    /// What a decision signs as shown: the digest of what was asked, by whom, under which rule.
    pub fn shown(&self) -> Digest {
        let asked = serde_json::json!({
            "by": self.by, "duration_s": self.duration_s, "extends": self.extends, "id": self.id,
            "reason": self.reason, "resource": self.resource, "revision": self.revision, "role": self.role,
            "rule": self.rule, "ticket": self.ticket,
        });
        Digest::of(asked.to_string().as_bytes())
    }

    /// The shortest time any approver allowed so far.
    pub fn allowed_s(&self) -> u32 {
        self.approvals.iter().map(|a| a.duration_s).fold(self.duration_s, u32::min)
    }

    /// Everybody who decided on it, also those whose approval counts no more.
    pub fn deciders(&self) -> impl Iterator<Item = PersonId> {
        let given = self.approvals.iter().chain(&self.voided).map(|a| a.by);
        given.chain(self.denial.iter().map(|d| d.by))
    }

    pub fn approvers(&self) -> Vec<PersonId> {
        self.approvals.iter().map(|a| a.by).collect()
    }

    /// The groups whose members may decide on this.
    pub fn approver_groups(&self) -> Vec<String> {
        self.rule.approve.iter().flat_map(|n| n.from.iter().cloned()).collect()
    }
}

/// The state after an event. Events of other requests, and events that don't concern requests, change
/// nothing. Total: a log that `decide` made is applied without loss; anything else leaves the state as it is.
pub fn apply(state: Option<Request>, event: &Event) -> Option<Request> {
    let Some(mut request) = state else { return create(event) };
    if event.request != Some(request.id) {
        return Some(request);
    }
    match &event.fact {
        Fact::RequestApproved { duration_s, note } => {
            if let Some(by) = event.by.person() {
                request.approvals.push(Approval {
                    by,
                    at: event.at,
                    duration_s: *duration_s,
                    note: note.clone(),
                });
            }
        }
        Fact::ApprovalVoided { person } => {
            let (gone, kept) =
                std::mem::take(&mut request.approvals).into_iter().partition(|a| a.by == *person);
            request.approvals = kept;
            request.voided.extend::<Vec<Approval>>(gone);
        }
        Fact::RequestGranted { grant, duration_s, latest_end } => {
            request.state = RequestState::Approved;
            request.decided_at = Some(event.at);
            if request.extends.is_none() {
                request.grant = Some(Grant::scheduled(*grant, *duration_s, *latest_end));
            }
        }
        Fact::RequestDenied { note } => {
            request.state = RequestState::Denied;
            request.decided_at = Some(event.at);
            if let Some(by) = event.by.person() {
                request.denial = Some(Denial { by, at: event.at, note: note.clone() });
            }
        }
        Fact::RequestWithdrawn => {
            request.state = RequestState::Withdrawn;
            request.decided_at = Some(event.at);
        }
        Fact::RequestLapsed => {
            request.state = RequestState::Lapsed;
            request.decided_at = Some(event.at);
        }
        fact => {
            if let Some(grant) = &mut request.grant {
                grant.apply(fact, event);
            }
        }
    }
    Some(request)
}

fn create(event: &Event) -> Option<Request> {
    let Fact::RequestCreated {
        number,
        resource,
        role,
        rule,
        duration_s,
        lapses_at,
        reason,
        ticket,
        extends,
        ssh_key,
    } = &event.fact
    else {
        return None;
    };
    let By::Person { person, device } = event.by else { return None };
    Some(Request {
        id: event.request?,
        number: *number,
        revision: 1,
        by: person,
        device,
        resource: resource.clone(),
        role: role.clone(),
        rule: rule.clone(),
        duration_s: *duration_s,
        reason: reason.clone(),
        ticket: ticket.clone(),
        extends: *extends,
        ssh_key: ssh_key.clone(),
        created_at: event.at,
        lapses_at: *lapses_at,
        state: RequestState::Pending,
        approvals: Vec::new(),
        voided: Vec::new(),
        denial: None,
        decided_at: None,
        grant: None,
    })
}

impl Grant {
    fn scheduled(id: GrantId, duration_s: u32, latest_end: Time) -> Self {
        Self {
            id,
            state: GrantState::Scheduled,
            duration_s,
            latest_end,
            starts_at: None,
            ends_at: None,
            end: None,
            ended_at: None,
            removal: None,
            delay: None,
        }
    }

    fn apply(&mut self, fact: &Fact, event: &Event) {
        match fact {
            Fact::GrantProvisioning { .. } => self.state = GrantState::Provisioning,
            Fact::GrantActive { starts_at, ends_at, .. } => {
                self.state = GrantState::Active;
                self.starts_at = Some(*starts_at);
                self.ends_at = Some(*ends_at);
                self.delay = None;
            }
            Fact::GrantExtended { ends_at, .. } => self.ends_at = Some(*ends_at),
            Fact::GrantDelayed { attempts, message, .. } => {
                let since = self.delay.as_ref().map_or(event.at, |d| d.since);
                self.delay = Some(Delay { attempts: *attempts, message: message.clone(), since });
            }
            Fact::GrantEnding { cause, reason, .. } => {
                self.state = GrantState::Ending;
                self.delay = None;
                let by = event.by.person();
                self.end = Some(Ending { cause: *cause, at: event.at, by, reason: reason.clone() });
            }
            Fact::GrantEnded { removal, .. } => self.close(GrantState::Ended, removal, event.at),
            Fact::GrantFailed { removal, .. } => self.close(GrantState::Failed, removal, event.at),
            _ => {}
        }
    }

    fn close(&mut self, state: GrantState, removal: &Removal, at: Time) {
        self.state = state;
        self.removal = Some(removal.clone());
        self.ended_at = Some(at);
        self.delay = None;
    }

    /// Nothing of it is or can come to be on the target.
    pub fn over(&self) -> bool {
        matches!(self.state, GrantState::Ended | GrantState::Failed)
    }
}
