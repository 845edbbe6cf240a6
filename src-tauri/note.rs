//! What a notification says and offers: pure text from what is known.

use chrono::FixedOffset;
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::{DriftView, EndCause, GrantState, GrantView, RequestView};

use crate::navigate::{Place, Step};
use crate::phrase::{and, both_clocks, clock, cut, exact_clock, line, long_duration, seconds_left};

/// Most characters of a title, and of a body; longer ones are cut by us rather than by the desktop.
pub const TITLE: usize = 48;
pub const BODY: usize = 110;

/// What a click does. Nothing here decides, ends or signs: those are steps in the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Open(Place),
    CopyCommand(GrantId),
    Nothing,
}

/// One notification, as plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// All that is said while the screen is locked.
    pub kind: &'static str,
    pub title: String,
    pub body: String,
    /// What a click on the text does.
    pub default: Act,
    /// Buttons, from left to right.
    pub actions: Vec<(&'static str, Act)>,
    /// Stays until it is dismissed, even when notifications are quiet.
    pub urgent: bool,
}

impl Note {
    fn new(
        kind: &'static str,
        title: String,
        body: String,
        default: Act,
        actions: Vec<(&'static str, Act)>,
    ) -> Self {
        Self { kind, title: line(&title, TITLE), body: line(&body, BODY), default, actions, urgent: false }
    }
}

/// Someone asks for what this person may approve.
pub fn needs_you(r: &RequestView) -> Note {
    let verb = if r.extends.is_some() { "asks to extend" } else { "asks for" };
    let facts =
        format!("{} ({}), {}.", name(&r.resource_name), name(&r.environment), long_duration(r.duration_s));
    let body = match &r.reason {
        Some(reason) => format!("{facts} {}", quoted(reason, BODY.saturating_sub(facts.chars().count() + 1))),
        None => facts,
    };
    let review = Act::Open(Place::review(&r.id));
    Note::new(
        "A request needs you",
        format!("{} {verb} {}", name(&r.by_name), name(&r.role)),
        body,
        review.clone(),
        vec![("Review", review), ("Later", Act::Nothing)],
    )
}

/// Somebody holds what no grant explains, and this person may say that it is as it should be.
pub fn drift(d: &DriftView) -> Note {
    let who = d.name.as_deref().map_or_else(|| "Someone".to_owned(), name);
    let who = d.more.map_or(who, |more| format!("About {more} more"));
    let verb = if d.more.is_some() { "hold" } else { "holds" };
    let place = d.resource_names.first().map_or_else(|| name(&d.target), |n| name(n));
    let holds = if d.grants.is_empty() { "access".to_owned() } else { name(&d.grants.join(", ")) };
    let open = Act::Open(Place::drift(&d.id));
    Note::new(
        "Access without a grant",
        format!("No grant explains {who}"),
        format!("{who} {verb} {holds} on {place} ({}).", name(&d.environment)),
        open.clone(),
        vec![("Look", open), ("Later", Act::Nothing)],
    )
}

/// Much of it at once.
pub fn drifts(count: usize) -> Note {
    let open = Act::Open(Place::now());
    Note::new(
        "Access without a grant",
        format!("{count} accesses that no grant explains"),
        "They were found at about the same time.".to_owned(),
        open.clone(),
        vec![("Look", open), ("Later", Act::Nothing)],
    )
}

/// Many requests at about the same time.
pub fn several_need_you(count: usize) -> Note {
    let review = Act::Open(Place::inbox());
    Note::new(
        "Requests need you",
        format!("{count} requests need you"),
        "They came within a minute of each other.".to_owned(),
        review.clone(),
        vec![("Review", review), ("Later", Act::Nothing)],
    )
}

/// This person's request was approved.
pub fn approved(r: &RequestView) -> Note {
    let names: Vec<_> = r.needs.iter().flat_map(|n| &n.given).map(|g| name(&g.by.name)).collect();
    let by = if names.is_empty() { "Granted".to_owned() } else { format!("By {}", and(&names)) };
    let time = if r.allowed_s < r.duration_s {
        format!("{} instead of {}", long_duration(r.allowed_s), instead_of(r.duration_s, r.allowed_s))
    } else {
        long_duration(r.duration_s)
    };
    let open = Act::Open(r.grant.map_or_else(|| Place::request(&r.id), |g| Place::access(&g, None)));
    Note::new(
        "Your request was approved",
        format!("Approved: {}", access(&r.role, &r.resource_name)),
        format!("{by}, {time}. Being set up now."),
        open.clone(),
        vec![("Open", open)],
    )
}

/// The end of an access of this person was moved.
pub fn extended(g: &GrantView, zone: FixedOffset) -> Note {
    let ends = g.ends_at.map_or_else(|| "later".to_owned(), |end| both_clocks(end, zone));
    let open = Act::Open(Place::access(&g.id, None));
    Note::new(
        "Your access was extended",
        format!("Extended: {}", access(&g.role, &g.resource_name)),
        format!("It now ends {ends}."),
        open.clone(),
        vec![("Open", open)],
    )
}

/// This person's request was denied.
pub fn denied(r: &RequestView) -> Note {
    let by = r.denied_by.as_ref().map_or_else(|| "An approver".to_owned(), |d| name(&d.by.name));
    let body = match r.denied_by.as_ref().and_then(|d| d.note.as_ref()) {
        Some(note) => {
            let head = format!("By {by}: ");
            format!("{head}{}", quoted(note, BODY.saturating_sub(head.chars().count())))
        }
        None => format!("By {by}."),
    };
    let what = if r.extends.is_some() { "Not extended" } else { "Denied" };
    again("Your request was denied", r, what, body)
}

/// Nobody decided on this person's request in time.
pub fn lapsed(r: &RequestView) -> Note {
    let waited = u32::try_from((r.lapses_at - r.created_at).num_seconds()).unwrap_or(0);
    again(
        "Your request was not answered",
        r,
        "Not answered",
        format!("Nobody decided within {}.", long_duration(waited)),
    )
}

fn again(kind: &'static str, r: &RequestView, what: &str, body: String) -> Note {
    let open = Act::Open(Place::request(&r.id));
    let ask = match r.extends {
        Some(grant) => Act::Open(Place::access(&grant, Some(Step::Extend))),
        None => Act::Open(Place::ask_for(&r.resource, &r.role)),
    };
    let title = format!("{what}: {}", access(&r.role, &r.resource_name));
    Note::new(kind, title, body, open.clone(), vec![("Open", open), ("Ask again…", ask)])
}

/// An access of this person can be used.
pub fn ready(g: &GrantView, zone: FixedOffset) -> Note {
    let until = g.ends_at.map_or_else(String::new, |end| format!("Until {}. ", both_clocks(end, zone)));
    let open = Act::Open(Place::access(&g.id, None));
    Note::new(
        "Your access is ready",
        format!("Ready: {}", access(&g.role, &g.resource_name)),
        format!("{until}The command is one click away."),
        open.clone(),
        vec![("Copy command", Act::CopyCommand(g.id)), ("Open", open)],
    )
}

/// An access of this person ends before long.
pub fn ends_soon(g: &GrantView, end: Time, now: Time, zone: FixedOffset) -> Note {
    let seconds = u32::try_from(seconds_left(end, now)).unwrap_or(0);
    let left = long_duration(if seconds >= 60 { (seconds + 30) / 60 * 60 } else { seconds });
    let extend = Act::Open(Place::access(&g.id, Some(Step::Extend)));
    Note::new(
        "Your access ends soon",
        format!("Ends in {left}: {}", name(&g.resource_name)),
        format!("Your {} access ends {}.", name(&g.role), both_clocks(end, zone)),
        extend.clone(),
        vec![("Extend…", extend), ("Give back", Act::Open(Place::access(&g.id, Some(Step::Return))))],
    )
}

/// An access is over and gone from its target, or could never be set up.
pub fn ended(g: &GrantView, zone: FixedOffset) -> Note {
    let what =
        if g.state == GrantState::Failed || g.end == Some(EndCause::Failed) { "Not set up" } else { "Ended" };
    let who = match (&g.end, &g.ended_by) {
        (Some(EndCause::Revoked), Some(by)) => format!("By {}. ", name(by)),
        (Some(EndCause::Returned), _) => "Given back. ".to_owned(),
        (Some(EndCause::Missing), _) => "Someone took it away on the target. ".to_owned(),
        (Some(EndCause::Failed), _) => "The target did not take it. ".to_owned(),
        _ => String::new(),
    };
    let gone = match &g.removal {
        Some(removal) => format!("Removed from target, checked {}.", exact_clock(removal.checked_at, zone)),
        None => "Nothing had been set up on the target.".to_owned(),
    };
    let head = format!("{who}{gone}");
    let room = BODY.saturating_sub(head.chars().count() + 1);
    let body = match &g.end_reason {
        Some(reason) if room > 12 => format!("{head} {}", quoted(reason, room)),
        _ => head,
    };
    let open = Act::Open(Place::access(&g.id, None));
    let title = format!("{what}: {}{}", access(&g.role, &g.resource_name), holder(g));
    Note::new("An access has ended", title, body, open.clone(), vec![("Open", open)])
}

/// What was an alarm is over.
pub fn after_all(g: &GrantView, zone: FixedOffset) -> Note {
    let note = ended(g, zone);
    let title = format!("Ended after all: {}{}", access(&g.role, &g.resource_name), holder(g));
    Note { kind: "An access has ended after all", title: line(&title, TITLE), ..note }
}

/// Setting up or removing an access fails and goes on. What is still open after its time is an alarm.
pub fn delayed(g: &GrantView, zone: FixedOffset) -> Note {
    let (tried, said) = match &g.trouble {
        Some(t) if t.attempts == 1 => ("once".to_owned(), t.message.as_str()),
        Some(t) => (format!("{} times", t.attempts), t.message.as_str()),
        None => ("once".to_owned(), "no answer"),
    };
    let urgent = g.state == GrantState::Ending;
    let (kind, what, head) = if urgent {
        let head = match (&g.end, g.ends_at) {
            (Some(EndCause::Revoked | EndCause::Returned), _) | (_, None) => "It was ended".to_owned(),
            (_, Some(end)) => format!("It ended {}", clock(end, zone)),
        };
        let head = format!("{head} but could not be removed, tried {tried}");
        ("Alarm: an access could not be removed", "Still open", head)
    } else {
        ("An access could not be set up yet", "Not set up yet", format!("It goes on trying, tried {tried}"))
    };
    let open = Act::Open(if g.mine { Place::access(&g.id, None) } else { Place::now() });
    let title = format!("{what}: {}{}", access(&g.role, &g.resource_name), holder(g));
    Note { urgent, ..Note::new(kind, title, format!("{head}: {said}"), open.clone(), vec![("Show", open)]) }
}

fn holder(g: &GrantView) -> String {
    if g.mine { String::new() } else { format!(", {}", g.by_name) }
}

fn access(role: &str, resource: &str) -> String {
    format!("{role} on {resource}")
}

fn name(text: &str) -> String {
    line(text, 32)
}

/// In quotation marks, `room` characters with them.
fn quoted(text: &str, room: usize) -> String {
    if room < 4 { String::new() } else { format!("“{}”", cut(&line(text, BODY), room - 2)) }
}

/// `30` after "20 minutes instead of", when the unit is the same and stands alone.
fn instead_of(asked_s: u32, allowed_s: u32) -> String {
    let (asked, allowed) = (long_duration(asked_s), long_duration(allowed_s));
    match (asked.split_once(' '), allowed.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => number.to_owned(),
        _ => asked,
    }
}

#[cfg(test)]
mod tests;
