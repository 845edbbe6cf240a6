//! What the tray shows: a pure function of what is known and the time.

use std::time::Duration;

use chrono::FixedOffset;
use gatepass_client::ui::{RecentRole, Status};
use gatepass_core::Time;
use gatepass_core::wire::{GrantState, GrantView, RequestState, RequestView};

use crate::navigate::Place;
use crate::phrase::{self, SOON, line};

/// Rows of one kind before "and N more".
const ROWS: usize = 5;
/// Characters of a row; panels cut longer ones anywhere.
const ROW_CHARS: usize = 72;
/// Characters of a name inside a row.
const NAME_CHARS: usize = 32;

/// What is known when the tray is drawn.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    pub status: &'a Status,
    pub requests: &'a [RequestView],
    pub grants: &'a [GrantView],
    pub recent: &'a [RecentRole],
    /// The server's clock.
    pub now: Time,
    /// This computer's zone.
    pub zone: FixedOffset,
}

/// The icon; the first that is true wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Alarm,
    Offline,
    Ending,
    Waiting,
    Active,
    Idle,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Opens the window at a place, or where it was.
    Go {
        label: String,
        place: Option<Place>,
    },
    /// Says something and does nothing.
    Line(String),
    Group {
        label: String,
        entries: Vec<Entry>,
    },
    Separator,
    Quit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    pub shape: Shape,
    /// Beside the icon, on panels that show it: how many wait. Empty when none does.
    pub badge: String,
    /// The whole state in a line, for hovering and for screen readers.
    pub title: String,
    pub entries: Vec<Entry>,
}

/// The tray before anything is known.
pub fn starting(profile: &str) -> Model {
    let open = Entry::Go { label: "Open Gatepass".to_owned(), place: None };
    Model {
        shape: Shape::Idle,
        badge: String::new(),
        title: crate::windows::title(profile),
        entries: vec![open, Entry::Quit],
    }
}

/// The tray as it should be now.
pub fn model(p: &Picture<'_>) -> Model {
    let held: Vec<_> = p.grants.iter().filter(|g| g.mine && running(g)).collect();
    let open: Vec<_> = p.grants.iter().filter(|g| still_open(g)).collect();
    let waiting: Vec<_> =
        p.requests.iter().filter(|r| r.state == RequestState::Pending && r.can_decide).collect();
    let offline = p.status.me.is_some() && !p.status.online;

    let mut entries = Vec::new();
    problem_rows(p, &mut entries);
    access_rows(p, &held, &open, &mut entries);
    waiting_rows(&waiting, offline, p.status.me.is_some(), &mut entries);
    if p.status.me.is_some() {
        separate(&mut entries);
        entries.push(go("Request access…", Place::ask()));
        recent_rows(p.recent, &mut entries);
    }
    separate(&mut entries);
    entries.push(Entry::Go { label: "Open Gatepass".to_owned(), place: None });
    entries.push(Entry::Quit);

    Model {
        shape: shape(p, &held, !open.is_empty(), waiting.len(), offline),
        badge: if waiting.is_empty() || offline { String::new() } else { waiting.len().to_string() },
        title: title(p, &held, open.len(), waiting.len(), offline),
        entries,
    }
}

/// How long the model reads the same if nothing happens; `None` when no countdown is in it.
pub fn redraw_in(p: &Picture<'_>) -> Option<Duration> {
    let held = p.grants.iter().filter(|g| g.mine && g.state == GrantState::Active);
    held.filter_map(|g| g.ends_at).filter_map(|end| next_change(end, p.now)).min()
}

fn running(grant: &GrantView) -> bool {
    matches!(grant.state, GrantState::Provisioning | GrantState::Active | GrantState::Ending)
}

/// Its time is over and it could not be removed yet.
fn still_open(grant: &GrantView) -> bool {
    grant.state == GrantState::Ending && grant.trouble.is_some()
}

fn shape(p: &Picture<'_>, held: &[&GrantView], alarm: bool, waiting: usize, offline: bool) -> Shape {
    let active = || held.iter().filter(|g| g.state == GrantState::Active);
    let soon = |g: &&&GrantView| g.ends_at.is_some_and(|end| end - p.now <= SOON);
    if alarm || p.status.mismatch {
        Shape::Alarm
    } else if offline || (p.status.me.is_none() && p.status.problem.is_some()) {
        Shape::Offline
    } else if active().any(|g| soon(&g)) {
        Shape::Ending
    } else if waiting > 0 {
        Shape::Waiting
    } else if active().next().is_some() {
        Shape::Active
    } else {
        Shape::Idle
    }
}

fn title(p: &Picture<'_>, held: &[&GrantView], open: usize, waiting: usize, offline: bool) -> String {
    let mut parts = Vec::new();
    if p.status.mismatch {
        parts.push("the log does not match".to_owned());
    }
    if open > 0 {
        parts.push(format!("{open} still open"));
    }
    if offline {
        parts.push("offline".to_owned());
    }
    let active = held.iter().filter(|g| g.state == GrantState::Active);
    let first_end = active.clone().filter_map(|g| g.ends_at).min();
    if let Some(end) = first_end {
        let left = phrase::left(phrase::seconds_left(end, p.now));
        parts.push(format!("{} active, {left}", active.count()));
    }
    if waiting > 0 && !offline {
        parts.push(format!("{waiting} waiting for you"));
    }
    let name = crate::windows::title(&p.status.profile);
    if parts.is_empty() { name } else { format!("{name}: {}", parts.join(", ")) }
}

fn problem_rows(p: &Picture<'_>, entries: &mut Vec<Entry>) {
    if p.status.mismatch {
        entries.push(go("The server’s log does not match", Place::audit()));
        return;
    }
    let offline = p.status.me.is_some() && !p.status.online;
    match (&p.status.problem, p.status.synced_at) {
        (_, Some(at)) if offline => {
            entries.push(Entry::Line(format!("Offline, as of {}", phrase::clock(at, p.zone))));
        }
        (Some(problem), _) => entries.push(Entry::Go { label: row(&problem.message), place: None }),
        _ if offline => entries.push(Entry::Line("Offline".to_owned())),
        _ => {}
    }
}

fn access_rows(p: &Picture<'_>, held: &[&GrantView], open: &[&GrantView], entries: &mut Vec<Entry>) {
    if held.is_empty() && open.is_empty() {
        return;
    }
    separate(entries);
    for grant in open.iter().take(ROWS) {
        entries.push(go(
            &format!("Still open: {} {}", name(&grant.resource_name), name(&grant.role)),
            Place::access(&grant.id, None),
        ));
    }
    let counted: Vec<_> = held.iter().filter(|g| !still_open(g)).collect();
    for grant in counted.iter().take(ROWS) {
        let state = match (grant.state, grant.ends_at) {
            (GrantState::Active, Some(end)) => phrase::left(phrase::seconds_left(end, p.now)),
            (GrantState::Provisioning, _) if grant.trouble.is_some() => "could not be set up yet".to_owned(),
            (GrantState::Provisioning, _) => "setting up".to_owned(),
            _ => "ending".to_owned(),
        };
        let label = format!("{} {} · {state}", name(&grant.resource_name), name(&grant.role));
        entries.push(go(&label, Place::access(&grant.id, None)));
    }
    let more = open.len().saturating_sub(ROWS) + counted.len().saturating_sub(ROWS);
    if more > 0 {
        entries.push(go(&format!("and {more} more"), Place::accesses()));
    }
}

fn waiting_rows(waiting: &[&RequestView], offline: bool, joined: bool, entries: &mut Vec<Entry>) {
    if offline && joined {
        separate(entries);
        entries.push(Entry::Line("Waiting for you: not known while offline".to_owned()));
        return;
    }
    if waiting.is_empty() {
        return;
    }
    separate(entries);
    entries.push(go(&format!("{} waiting for you", waiting.len()), Place::inbox()));
    for request in waiting.iter().take(ROWS) {
        let verb = if request.extends.is_some() { "asks to extend" } else { "asks for" };
        let label = format!(
            "{} {verb} {} on {}",
            name(&request.by_name),
            name(&request.role),
            name(&request.resource_name)
        );
        entries.push(go(&label, Place::review(&request.id)));
    }
    if waiting.len() > ROWS {
        entries.push(go(&format!("and {} more", waiting.len() - ROWS), Place::inbox()));
    }
}

fn recent_rows(recent: &[RecentRole], entries: &mut Vec<Entry>) {
    if recent.is_empty() {
        return;
    }
    let rows = recent
        .iter()
        .take(ROWS)
        .map(|r| {
            go(
                &format!("{}, {}", name(&r.resource_name), name(&r.role)),
                Place::ask_for(&r.resource, &r.role),
            )
        })
        .collect();
    entries.push(Entry::Group { label: "Request again".to_owned(), entries: rows });
}

fn go(label: &str, place: Place) -> Entry {
    Entry::Go { label: row(label), place: Some(place) }
}

fn row(text: &str) -> String {
    line(text, ROW_CHARS)
}

fn name(text: &str) -> String {
    line(text, NAME_CHARS)
}

fn separate(entries: &mut Vec<Entry>) {
    if !matches!(entries.last(), None | Some(Entry::Separator)) {
        entries.push(Entry::Separator);
    }
}

/// How long the countdown to `end` keeps reading the same; `None` once it stands at zero.
fn next_change(end: Time, now: Time) -> Option<Duration> {
    let ms = u64::try_from((end - now).num_milliseconds()).ok().filter(|ms| *ms > 0)?;
    let shown = u64::try_from(phrase::seconds_left(end, now)).ok()?;
    let soon = SOON.num_seconds().unsigned_abs();
    // The text changes when the seconds left drop below this many.
    let below = if shown <= soon { shown - 1 } else { (shown / 60 * 60 - 1).max(soon) };
    Some(Duration::from_millis(ms.saturating_sub(below * 1000).max(1)))
}

#[cfg(test)]
mod tests;
