//! What follows from a person's command: facts, or a refusal.

use super::analyse::{analyse, analyse_extension};
use super::{Request, SETUP_LIMIT_S};
use crate::Time;
use crate::catalogue::Catalogue;
use crate::command::Command;
use crate::directory::Directory;
use crate::duration;
use crate::error::{Code, Refusal};
use crate::event::{Fact, Rule};
use crate::id::{GrantId, Number, PersonId};
use crate::quorum;
use crate::text::Digest;
use crate::wire::{EndCause, GrantState, Problem, RequestState, Verdict};
use chrono::TimeDelta;

/// Everything a decision depends on besides the state and the command.
pub struct Context<'a> {
    pub catalogue: &'a Catalogue,
    /// Membership now.
    pub directory: &'a Directory,
    pub now: Time,
    /// The texts behind the command's digests; the edge has checked that they match.
    pub words: &'a Words,
    /// The number the next request gets.
    pub next_number: Number,
    /// An unused id, taken if this command completes an approval.
    pub fresh_grant: GrantId,
    /// For extensions: the request whose grant is (to be) extended.
    pub parent: Option<&'a Request>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    pub reason: Option<String>,
    pub ticket: Option<String>,
    pub note: Option<String>,
}

/// Decides a person's command. `state` is the request it is about, `None` for asking anew.
/// Refusals change nothing. The order of checks is: may this person do it at all, then is it possible now.
pub fn decide(
    state: Option<&Request>,
    command: &Command,
    by: PersonId,
    context: &Context<'_>,
) -> Result<Vec<Fact>, Refusal> {
    match (command, state) {
        (Command::Create { resource, role, duration_s, reason, ticket, ssh_key }, None) => {
            let analysis = analyse(resource, role, *duration_s, by, context);
            let rule = accepted(analysis.problems, analysis.rule)?;
            let ssh_key = certifiable(&rule.kind, ssh_key.as_deref())?;
            let asked = Asked {
                resource,
                role,
                rule,
                duration_s: *duration_s,
                lapses_at: context.now + TimeDelta::seconds(analysis.lapse_s.into()),
                reason,
                ticket: ticket.as_ref(),
                extends: None,
                ssh_key,
            };
            Ok(asked.facts(context))
        }
        (Command::Extend { grant, duration_s, reason }, None) => {
            let parent = context.parent.ok_or(Code::NotFound)?;
            let analysis = analyse_extension(parent, *duration_s, by, context);
            let rule = accepted(analysis.problems, analysis.rule)?;
            let lapse = context.now + TimeDelta::seconds(analysis.lapse_s.into());
            let asked = Asked {
                resource: &parent.resource,
                role: &parent.role,
                rule,
                duration_s: *duration_s,
                // There is nothing left to extend after the end.
                lapses_at: parent.grant.as_ref().and_then(|g| g.ends_at).map_or(lapse, |end| lapse.min(end)),
                reason,
                ticket: None,
                extends: Some(*grant),
                ssh_key: None,
            };
            Ok(asked.facts(context))
        }
        (Command::Decide { revision, shown, verdict, duration_s, note, .. }, Some(request)) => {
            verdict_allowed(request, by, context)?;
            if *revision != request.revision || *shown != request.shown() {
                return Err(Code::StaleRevision.into());
            }
            match verdict {
                Verdict::Deny => Ok(vec![Fact::RequestDenied { note: note.clone() }]),
                Verdict::Approve => approve(request, by, *duration_s, note.as_ref(), context),
            }
        }
        (Command::Withdraw { .. }, Some(request)) => {
            if request.by != by {
                return Err(Code::NotYours.into());
            }
            pending(request, context.now)?;
            Ok(vec![Fact::RequestWithdrawn])
        }
        (Command::Return { grant }, Some(request)) => {
            if request.by != by {
                return Err(Code::NotYours.into());
            }
            end(request, *grant, EndCause::Returned, None)
        }
        (Command::Revoke { grant, reason }, Some(request)) => {
            if !may_revoke(request, by, context.directory) {
                return Err(Code::MayNotRevoke.into());
            }
            if context.words.reason.as_deref().is_none_or(|r| r.trim().is_empty()) {
                return Err(Refusal::new(Code::ReasonRequired, "Say why this access is ended."));
            }
            end(request, *grant, EndCause::Revoked, Some(reason))
        }
        // About a person, not about a request: [`super::revoke_all`].
        (Command::RevokeAll { .. }, _) => Err(Code::NotFound.into()),
        (Command::Create { .. } | Command::Extend { .. }, Some(_)) => Err(Code::IdReused.into()),
        // Of no request; `crate::drift` decides it.
        (Command::DriftKnown { .. } | Command::DriftUnknown { .. }, _) => Err(Code::NotFound.into()),
        (_, None) => Err(Code::NotFound.into()),
    }
}

/// Whether `by` may end this access for its holder: the approvers of its role, and admins.
pub fn may_revoke(request: &Request, by: PersonId, directory: &Directory) -> bool {
    directory.in_any(by, &request.approver_groups()) || directory.get(by).is_some_and(|p| p.admin)
}

fn accepted(problems: Vec<Problem>, rule: Option<Rule>) -> Result<Rule, Refusal> {
    match (problems.into_iter().next(), rule) {
        (Some(problem), _) => Err(Refusal::new(problem.code, problem.message)),
        (None, Some(rule)) => Ok(rule),
        (None, None) => Err(Code::UnknownRole.into()),
    }
}

struct Asked<'a> {
    resource: &'a str,
    role: &'a str,
    rule: Rule,
    duration_s: u32,
    lapses_at: Time,
    reason: &'a Option<Digest>,
    ticket: Option<&'a Digest>,
    extends: Option<GrantId>,
    ssh_key: Option<String>,
}

/// The key to certify, on the one kind of target that certifies. The bytes behind its base64 are the connector's to
/// check.
fn certifiable(kind: &str, key: Option<&str>) -> Result<Option<String>, Refusal> {
    if kind != "ssh" {
        return Ok(None);
    }
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    match key.and_then(|k| k.strip_prefix("ssh-ed25519 ")) {
        Some(rest) if rest.len() == 68 && rest.bytes().all(base64) => Ok(key.map(str::to_owned)),
        Some(_) => Err(Refusal::new(Code::Malformed, "The SSH key is not an OpenSSH Ed25519 public key.")),
        None => {
            let message =
                "This needs the device’s SSH key, which older versions of Gatepass don’t send: update it.";
            Err(Refusal::new(Code::Malformed, message))
        }
    }
}

impl Asked<'_> {
    fn facts(self, context: &Context<'_>) -> Vec<Fact> {
        let at_once = self.rule.approve.is_empty();
        let duration_s = self.duration_s;
        let extends = self.extends;
        let mut facts = vec![Fact::RequestCreated {
            number: context.next_number,
            resource: self.resource.to_owned(),
            role: self.role.to_owned(),
            rule: self.rule,
            duration_s,
            lapses_at: self.lapses_at,
            reason: self.reason.clone(),
            ticket: self.ticket.cloned(),
            extends,
            ssh_key: self.ssh_key,
        }];
        if at_once {
            facts.push(granted(extends.unwrap_or(context.fresh_grant), duration_s, context.now));
        }
        facts
    }
}

fn granted(grant: GrantId, duration_s: u32, now: Time) -> Fact {
    let latest_end = now + TimeDelta::seconds(i64::from(SETUP_LIMIT_S) + i64::from(duration_s));
    Fact::RequestGranted { grant, duration_s, latest_end }
}

fn pending(request: &Request, now: Time) -> Result<(), Refusal> {
    let number = request.number;
    match request.state {
        RequestState::Pending if now >= request.lapses_at => Err(Code::Lapsed.into()),
        RequestState::Pending => Ok(()),
        RequestState::Lapsed => Err(Code::Lapsed.into()),
        state => {
            let how = match state {
                RequestState::Approved => "approved",
                RequestState::Denied => "denied",
                _ => "withdrawn",
            };
            Err(Refusal::new(Code::AlreadyDecided, format!("{number} was already {how}.")))
        }
    }
}

fn verdict_allowed(request: &Request, by: PersonId, context: &Context<'_>) -> Result<(), Refusal> {
    if request.by == by {
        return Err(Code::SelfApproval.into());
    }
    if !context.directory.in_any(by, &request.approver_groups()) {
        return Err(Code::NotAnApprover.into());
    }
    pending(request, context.now)?;
    if request.approvals.iter().any(|a| a.by == by) {
        return Err(Code::DecidedTwice.into());
    }
    Ok(())
}

fn approve(
    request: &Request,
    by: PersonId,
    duration_s: Option<u32>,
    note: Option<&Digest>,
    context: &Context<'_>,
) -> Result<Vec<Fact>, Refusal> {
    let duration_s = duration_s.unwrap_or(request.duration_s);
    if duration_s > request.duration_s {
        return Err(Refusal::new(
            Code::DurationTooLong,
            "An approval can shorten what was asked for, not lengthen it.",
        ));
    }
    if duration_s == 0 {
        return Err(Code::DurationTooShort.into());
    }
    // Only those who still belong to an approving group count.
    let given = request.approvers();
    if !quorum::helps(&request.rule.approve, &given, by, context.directory) {
        return Err(Code::NotNeeded.into());
    }
    let mut facts = vec![Fact::RequestApproved { duration_s, note: note.cloned() }];
    let mut with = given;
    with.push(by);
    if quorum::complete(&request.rule.approve, &with, context.directory) {
        if !context.directory.in_any(request.by, &request.rule.ask) {
            return Err(Refusal::new(
                Code::NotAllowedToAsk,
                "The person who asked is no longer in a group that may have this.",
            ));
        }
        let allowed = request.allowed_s().min(duration_s);
        if request.extends.is_some() {
            fits(request, allowed, context)?;
        }
        facts.push(granted(request.extends.unwrap_or(context.fresh_grant), allowed, context.now));
    }
    Ok(facts)
}

/// Whether the access that `request` extends still runs, and may last so much longer: meanwhile another request may have
/// extended it.
fn fits(request: &Request, duration_s: u32, context: &Context<'_>) -> Result<(), Refusal> {
    let running = context.parent.and_then(|p| p.grant.as_ref()).filter(|g| g.state == GrantState::Active);
    let (Some(starts), Some(ends)) = (running.and_then(|g| g.starts_at), running.and_then(|g| g.ends_at))
    else {
        return Err(Refusal::new(Code::GrantOver, "The access to extend has already ended."));
    };
    let left = i64::from(request.rule.max_s) - (ends - starts).num_seconds();
    if i64::from(duration_s) <= left {
        return Ok(());
    }
    let max = duration::say(request.rule.max_s);
    let left = duration::say(u32::try_from(left).unwrap_or(0));
    let message = format!("This access may last {max} in all; {left} more can be given.");
    Err(Refusal::new(Code::DurationTooLong, message))
}

fn end(
    request: &Request,
    grant: GrantId,
    cause: EndCause,
    reason: Option<&Digest>,
) -> Result<Vec<Fact>, Refusal> {
    let held = request.grant.as_ref().filter(|g| g.id == grant).ok_or(Code::NotFound)?;
    match held.state {
        GrantState::Scheduled | GrantState::Provisioning | GrantState::Active => {
            Ok(vec![Fact::GrantEnding { grant, cause, reason: reason.cloned() }])
        }
        GrantState::Ending | GrantState::Ended | GrantState::Failed => Err(Code::GrantOver.into()),
    }
}
