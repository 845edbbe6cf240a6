//! An access review: who held what in a period, how often, for how long, what was denied, and what is still open.

use super::csv::row;
use super::html::{self, Local, escape, grouped, moment};
use super::utc;
use crate::Time;
use crate::duration;
use crate::request::Request;
use crate::view::Lens;
use crate::wire::{PersonRef, RequestState};
use std::collections::BTreeMap;

/// From its first moment on, up to its last, which is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: Time,
    pub to: Time,
}

/// One person's access to one role.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub person: PersonRef,
    pub resource: String,
    pub resource_name: String,
    pub environment: String,
    pub role: String,
    /// Asked in the period; extensions are told apart.
    pub asked: u32,
    /// Accesses that were held in the period, if only for a part of it.
    pub held: u32,
    /// More time that was given in the period.
    pub extended: u32,
    pub denied: u32,
    /// Withdrawn or lapsed in the period: nobody decided.
    pub undecided: u32,
    /// Held within the period in all, until it was read back that nothing is left.
    pub seconds: u64,
    pub longest_s: u64,
    pub last_start: Option<Time>,
    /// Still held at the end of the period, or now when that is to come.
    pub open: u32,
}

/// Takes the requests one by one.
#[derive(Debug)]
pub struct Review {
    period: Period,
    /// What is not over yet counts up to here.
    until: Time,
    rows: BTreeMap<(String, String, String), Held>,
}

impl Review {
    pub fn new(period: Period, now: Time) -> Self {
        Self { period, until: period.to.min(now), rows: BTreeMap::new() }
    }

    fn within(&self, at: Time) -> bool {
        self.period.from <= at && at < self.period.to
    }

    pub fn take(&mut self, request: &Request, lens: &Lens<'_>) {
        let asked = self.within(request.created_at);
        let decided = request.decided_at.is_some_and(|at| self.within(at));
        let span = request.grant.as_ref().and_then(|g| Some((g.starts_at?, g.ended_at)));
        let over = |end: Option<Time>| end.is_none_or(|at| at > self.period.from);
        let span = span.filter(|(start, end)| *start < self.until && over(*end));
        if !asked && !decided && span.is_none() {
            return;
        }
        let until = self.until;
        let from = self.period.from;
        let row = self.row(request, lens);
        let extends = request.extends.is_some();
        row.asked += u32::from(asked && !extends);
        if decided {
            match request.state {
                RequestState::Denied => row.denied += 1,
                RequestState::Withdrawn | RequestState::Lapsed => row.undecided += 1,
                RequestState::Approved => row.extended += u32::from(extends),
                RequestState::Pending => {}
            }
        }
        if let Some((start, end)) = span {
            let end_within = end.map_or(until, |end| end.min(until));
            let seconds = (end_within - start.max(from)).num_seconds().try_into().unwrap_or(0);
            row.held += 1;
            row.seconds += seconds;
            row.longest_s = row.longest_s.max(seconds);
            row.last_start = row.last_start.max(Some(start));
            row.open += u32::from(end.is_none_or(|end| end > until));
        }
    }

    fn row(&mut self, request: &Request, lens: &Lens<'_>) -> &mut Held {
        let person = lens.person(request.by);
        // By name for people, apart for each id.
        let who = format!("{}\0{}", person.name.to_lowercase(), person.id);
        let key = (who, request.resource.clone(), request.role.clone());
        self.rows.entry(key).or_insert_with(|| {
            let resource = lens.catalogue.resource(&request.resource);
            Held {
                person,
                resource: request.resource.clone(),
                resource_name: resource.map_or_else(|| request.resource.clone(), |r| r.name.clone()),
                environment: resource.map(|r| r.environment.clone()).unwrap_or_default(),
                role: request.role.clone(),
                asked: 0,
                held: 0,
                extended: 0,
                denied: 0,
                undecided: 0,
                seconds: 0,
                longest_s: 0,
                last_start: None,
                open: 0,
            }
        })
    }

    /// By person, resource and role.
    pub fn finish(self) -> Vec<Held> {
        self.rows.into_values().collect()
    }
}

/// As [`super::csv`] has it.
pub fn csv(rows: &[Held]) -> String {
    let head = [
        "person",
        "name",
        "resource",
        "resource_name",
        "environment",
        "role",
        "asked",
        "held",
        "extended",
        "denied",
        "undecided",
        "seconds",
        "longest_s",
        "last_start",
        "open",
    ];
    let cells = |held: &Held| {
        row([
            held.person.handle.clone(),
            held.person.name.clone(),
            held.resource.clone(),
            held.resource_name.clone(),
            held.environment.clone(),
            held.role.clone(),
            held.asked.to_string(),
            held.held.to_string(),
            held.extended.to_string(),
            held.denied.to_string(),
            held.undecided.to_string(),
            held.seconds.to_string(),
            held.longest_s.to_string(),
            held.last_start.map(utc).unwrap_or_default(),
            held.open.to_string(),
        ])
    };
    row(head) + &rows.iter().map(cells).collect::<String>()
}

/// What a page says of itself.
#[derive(Clone, Debug)]
pub struct Made<'a> {
    pub at: Time,
    pub by: &'a str,
    /// Who reads everything; otherwise the page says that it is not the whole.
    pub whole: bool,
    /// The log was checked up to this position, and when.
    pub verified: Option<(u64, Time)>,
    pub server: &'a str,
}

/// The review as a page.
pub fn page(period: Period, rows: &[Held], made: &Made<'_>, local: Local<'_>) -> String {
    let sum = |of: fn(&Held) -> u64| rows.iter().map(of).sum::<u64>();
    let people = rows.iter().map(|r| r.person.id).collect::<std::collections::BTreeSet<_>>().len();
    let lines: String = rows
        .iter()
        .map(|r| {
            let open = if r.open == 0 { String::new() } else { format!("<b>{}</b>", r.open) };
            let none_or = |n: u32| if n == 0 { String::new() } else { n.to_string() };
            format!(
                "<tr><td><b>{}</b> <span class=\"muted\">{}</span></td><td>{} on {} <span class=\"muted\">{}</span></td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{open}</td></tr>\n",
                escape(&r.person.name),
                escape(&r.person.handle),
                escape(&r.role),
                escape(&r.resource_name),
                escape(&r.environment),
                none_or(r.asked),
                none_or(r.held),
                none_or(r.extended),
                if r.seconds == 0 { String::new() } else { say(r.seconds) },
                none_or(r.denied),
                none_or(r.undecided),
            )
        })
        .collect();
    let empty =
        if rows.is_empty() { "<p>Nobody asked for or held anything in this period.</p>\n" } else { "" };
    let verified = match made.verified {
        Some((size, at)) => format!("log checked up to event {}, {}", grouped(size), moment(at, local)),
        None => "the log was not checked yet".to_owned(),
    };
    let whole = if made.whole {
        String::new()
    } else {
        format!("<p class=\"muted\">What {} may see, which is not everything.</p>\n", escape(made.by))
    };
    let body = format!(
        "<main class=\"report review\">\n<header class=\"report-head\">{MARK}<b>Gatepass</b>\
         <span class=\"muted\">Access review</span><span class=\"grow\"></span><span class=\"muted\">{}</span></header>\n\
         <h1>From <b>{}</b> until <b>{}</b></h1>\n\
         <p>{} held {} for {} in all; {} denied, {} still open. <span class=\"muted\">UTC {} until {}.</span></p>\n\
         {whole}{empty}<table><thead><tr><th scope=\"col\">Person</th><th scope=\"col\">Role</th>\
         <th scope=\"col\" class=\"n\">Asked</th><th scope=\"col\" class=\"n\">Held</th>\
         <th scope=\"col\" class=\"n\">Extended</th><th scope=\"col\" class=\"n\">Time held</th>\
         <th scope=\"col\" class=\"n\">Denied</th><th scope=\"col\" class=\"n\">Not decided</th>\
         <th scope=\"col\" class=\"n\">Still open</th></tr></thead>\n<tbody>\n{lines}</tbody></table>\n\
         <footer class=\"report-foot\"><span>Made {} ({}) by {}; {verified}</span></footer>\n</main>\n",
        escape(made.server),
        moment(period.from, local),
        moment(period.to, local),
        count(people as u64, "person", "people"),
        count(sum(|r| r.held.into()), "access", "accesses"),
        say(sum(|r| r.seconds)),
        sum(|r| r.denied.into()),
        sum(|r| r.open.into()),
        utc(period.from),
        utc(period.to),
        moment(made.at, local),
        html::in_utc(made.at, local),
        escape(made.by),
    );
    html::page("Access review · Gatepass", ".review tr { break-inside: avoid; }\n", &body)
}

fn count(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(count), if count == 1 { one } else { many })
}

fn say(seconds: u64) -> String {
    duration::say(u32::try_from(seconds).unwrap_or(u32::MAX))
}

pub(super) const MARK: &str = "<svg class=\"mark\" viewBox=\"0 0 20 20\" aria-hidden=\"true\">\
    <rect width=\"20\" height=\"20\" rx=\"5\" fill=\"#3f5bbf\"/>\
    <path d=\"M6 15V9.2a4 4 0 0 1 8 0V15\" fill=\"none\" stroke=\"#fff\" stroke-width=\"1.8\" stroke-linecap=\"round\"/>\
    <circle cx=\"10\" cy=\"12\" r=\"1.5\" fill=\"#fff\"/></svg>";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::example::{self, at};

    fn review(from: i64, to: i64, now: i64, request: &Request) -> Vec<Held> {
        let mut review = Review::new(Period { from: at(from), to: at(to) }, at(now));
        example::look(|lens| review.take(request, lens));
        review.finish()
    }

    #[test]
    fn only_what_lies_in_the_period_counts() {
        let request = example::request().unwrap();
        let whole = &review(-10, 10_000, 20_000, &request)[0];
        // Active at 281, read back at 2,087.
        assert_eq!((whole.asked, whole.held, whole.seconds, whole.open), (1, 1, 1_806, 0));
        let part = &review(1_000, 1_100, 20_000, &request)[0];
        assert_eq!((part.asked, part.held, part.seconds, part.open), (0, 1, 100, 1));
        assert_eq!(review(2_087, 3_000, 20_000, &request), []);
        assert_eq!(review(-100, 0, 20_000, &request), []);
    }

    #[test]
    fn what_is_open_counts_until_now() {
        let mut events = example::events();
        events.truncate(5);
        let request = events.iter().fold(None, crate::request::apply).unwrap();
        let open = &review(-10, 10_000, 381, &request)[0];
        assert_eq!((open.held, open.seconds, open.open), (1, 100, 1));
    }

    #[test]
    fn a_denial_is_counted_when_it_was_said() {
        let mut events = example::events();
        events.truncate(2);
        events[1].fact = crate::event::Fact::RequestDenied { note: None };
        let request = events.iter().fold(None, crate::request::apply).unwrap();
        let denied = &review(100, 200, 20_000, &request)[0];
        assert_eq!((denied.asked, denied.held, denied.denied), (0, 0, 1));
    }

    #[test]
    fn whole_files() {
        let rows = review(-10, 10_000, 20_000, &example::request().unwrap());
        insta::assert_snapshot!("review_csv", csv(&rows));
        let made = Made {
            at: at(20_000),
            by: "Noor <b>",
            whole: false,
            verified: Some((48_215, at(19_000))),
            server: "gate.example",
        };
        let hour = chrono::FixedOffset::east_opt(3_600).unwrap();
        let local = move |at: Time| at.with_timezone(&hour);
        let page = page(Period { from: at(-10), to: at(10_000) }, &rows, &made, &local);
        assert!(!page.contains("<b>&") && page.contains("Noor &lt;b&gt;"));
        insta::assert_snapshot!("review_html", page);
    }
}
