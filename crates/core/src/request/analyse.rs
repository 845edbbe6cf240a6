//! One analysis behind the preview and the real submit: what would be accepted, what would be needed.

use super::{Context, Request};
use crate::catalogue::{Catalogue, Reason, Resource, Role};
use crate::duration;
use crate::error::Code;
use crate::event::Rule;
use crate::id::PersonId;
use crate::quorum;
use crate::text::MAX_TEXT_BYTES;
use crate::wire::{GrantState, Problem};

/// What would happen. Allowed exactly when `problems` is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    pub problems: Vec<Problem>,
    /// The rule the request would be made under; absent when there is no such role.
    pub rule: Option<Rule>,
    pub lapse_s: u32,
}

fn problem(code: Code, field: &str, message: impl Into<String>) -> Problem {
    Problem { code, field: field.to_owned(), message: message.into() }
}

/// Analyses asking for `resource/role` for `duration_s` by `by`; texts are in `context.words`.
pub fn analyse(resource: &str, role: &str, duration_s: u32, by: PersonId, context: &Context<'_>) -> Analysis {
    let catalogue = context.catalogue;
    let Some(found) = catalogue.resource(resource) else {
        return Analysis::nothing(problem(
            Code::UnknownResource,
            "resource",
            format!(
                "There is no resource “{resource}”. {}",
                expected(catalogue.resources.iter().map(|r| &*r.id))
            ),
        ));
    };
    let Some((resource, role)) = catalogue.role(resource, role) else {
        return Analysis::nothing(problem(
            Code::UnknownRole,
            "role",
            format!("“{}” has no role “{role}”. {}", found.id, expected(found.roles.iter().map(|r| &*r.id))),
        ));
    };
    let mut problems = Vec::new();
    let directory = context.directory;
    if !directory.in_any(by, &role.ask) {
        let groups = role.ask.join(", ");
        let message = format!("Only members of {groups} may ask for {} on {}.", role.id, resource.name);
        problems.push(problem(Code::NotAllowedToAsk, "role", message));
    }
    length(duration_s, role, &mut problems);
    words(role, context, &mut problems);
    if !quorum::possible(&role.approve, by, directory) {
        let message = "There are not enough people who could approve this; an admin has to change that.";
        problems.push(problem(Code::NoApprovers, "role", message));
    }
    Analysis { problems, rule: Some(rule(catalogue, resource, role)), lapse_s: role.lapse_s }
}

/// Analyses extending `parent`'s grant by `duration_s`.
pub fn analyse_extension(parent: &Request, duration_s: u32, by: PersonId, context: &Context<'_>) -> Analysis {
    let mut analysis = analyse(&parent.resource, &parent.role, duration_s, by, context);
    // The ticket stands in the request that is extended.
    analysis.problems.retain(|p| p.field != "ticket");
    match &parent.grant {
        Some(grant)
            if grant.state == GrantState::Active && grant.ends_at.is_none_or(|end| context.now < end) =>
        {
            if let (Some(starts), Some(ends), Some((_, role))) =
                (grant.starts_at, grant.ends_at, context.catalogue.role(&parent.resource, &parent.role))
            {
                let whole = (ends - starts).num_seconds() + i64::from(duration_s);
                if whole > i64::from(role.max_s) && !analysis.problems.iter().any(|p| p.field == "duration") {
                    let left = (i64::from(role.max_s) - (ends - starts).num_seconds()).max(0);
                    let left = duration::say(u32::try_from(left).unwrap_or(0));
                    let max = duration::say(role.max_s);
                    let message = format!("This access may last {max} in all; {left} more can be asked for.");
                    analysis.problems.push(problem(Code::DurationTooLong, "duration", message));
                }
            }
        }
        // Its time is over, or it was ended; also when the worker has not come to it yet.
        Some(grant) if !matches!(grant.state, GrantState::Scheduled | GrantState::Provisioning) => {
            analysis.problems.insert(0, problem(Code::GrantOver, "grant", Code::GrantOver.sentence()));
        }
        _ => analysis
            .problems
            .insert(0, problem(Code::GrantNotActive, "grant", Code::GrantNotActive.sentence())),
    }
    if parent.by != by {
        analysis
            .problems
            .insert(0, problem(Code::NotYours, "grant", "Only the holder can extend this access."));
    }
    analysis
}

impl Analysis {
    fn nothing(problem: Problem) -> Self {
        Self { problems: vec![problem], rule: None, lapse_s: 0 }
    }
}

fn expected<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let ids: Vec<&str> = ids.collect();
    if ids.is_empty() { String::new() } else { format!("Expected one of: {}.", ids.join(", ")) }
}

fn length(duration_s: u32, role: &Role, problems: &mut Vec<Problem>) {
    if duration_s > role.max_s {
        let message = format!("At most {} for {}.", duration::say(role.max_s), role.id);
        problems.push(problem(Code::DurationTooLong, "duration", message));
    } else if duration_s < role.min_s.max(1) {
        let message = format!("At least {} for {}.", duration::say(role.min_s.max(1)), role.id);
        problems.push(problem(Code::DurationTooShort, "duration", message));
    }
}

fn words(role: &Role, context: &Context<'_>, problems: &mut Vec<Problem>) {
    let filled = |text: Option<&str>| text.map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned);
    let reason = filled(context.words.reason.as_deref());
    let ticket = filled(context.words.ticket.as_deref());
    for (field, text) in [("reason", &reason), ("ticket", &ticket)] {
        if text.as_ref().is_some_and(|t| t.len() > MAX_TEXT_BYTES) {
            let message = format!("At most {MAX_TEXT_BYTES} bytes.");
            problems.push(problem(Code::TextTooLong, field, message));
        }
    }
    if role.reason == Reason::Required && reason.is_none() {
        problems.push(problem(Code::ReasonRequired, "reason", Code::ReasonRequired.sentence()));
    }
    if let Some(pattern) = &role.ticket {
        // A pattern that does not compile was refused with the catalogue; if one is here, nothing matches it.
        let matches = |t: &str| regex::Regex::new(pattern).is_ok_and(|r| r.is_match(t));
        match ticket {
            None => {
                let message = format!("This role needs a ticket like {pattern}.");
                problems.push(problem(Code::TicketRequired, "ticket", message));
            }
            Some(ticket) if !matches(&ticket) => {
                let message = format!("“{}” is not a ticket like {pattern}.", crate::text::visible(&ticket));
                problems.push(problem(Code::TicketMismatch, "ticket", message));
            }
            Some(_) => {}
        }
    }
}

fn rule(catalogue: &Catalogue, resource: &Resource, role: &Role) -> Rule {
    Rule {
        catalogue: catalogue.hash(),
        target: resource.target.clone(),
        kind: resource.kind.clone(),
        grants: role.grants.clone(),
        ask: role.ask.clone(),
        approve: role.approve.clone(),
        max_s: role.max_s,
        session: role.session,
    }
}
