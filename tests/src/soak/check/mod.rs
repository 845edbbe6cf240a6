//! Whether what was kept, shown and done in a run can be true together. Pure: from the evidence to sentences about
//! what cannot.

mod ends;
mod log;
mod replay;
mod views;
mod writes;

#[cfg(test)]
mod sample;

use chrono::TimeDelta;
use gatepass_client::Notice;
use gatepass_core::catalogue::Catalogue;
use gatepass_core::directory::{Directory, Person};
use gatepass_core::event::Event;
use gatepass_core::id::{DeviceId, GrantId, PersonId, RequestId};
use gatepass_core::request::Request;
use gatepass_core::text::Digest;
use gatepass_core::wire::{GrantView, Head, RequestView};
use gatepass_core::{Code, Time};
use std::collections::BTreeMap;
use uuid::Uuid;

/// One position of the log as the database has it.
#[derive(Clone, Debug)]
pub struct Placed {
    pub seq: u64,
    /// Hex.
    pub leaf: String,
    pub body: String,
}

/// How a command was told to be one's own: by a text that only it has, or by what only it can be about.
#[derive(Clone, Debug, PartialEq)]
pub enum About {
    Mark(String),
    Subject(Uuid),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    Taken,
    Refused(Code),
    /// Nobody knows whether it was carried out.
    Lost(Code),
}

/// A command that somebody sent, and what they heard.
#[derive(Clone, Debug)]
pub struct Write {
    pub device: DeviceId,
    /// As it stands in the signed body.
    pub kind: &'static str,
    pub about: About,
    pub answer: Answer,
}

/// What one device shows when all is quiet, and what the server says to the same person.
#[derive(Clone, Debug)]
pub struct View {
    pub handle: String,
    pub person: PersonId,
    /// The newest head that the device checked.
    pub head: Option<Head>,
    /// Why the device does not trust the log, or cannot keep up with it.
    pub problem: Option<String>,
    pub requests: Vec<RequestView>,
    pub grants: Vec<GrantView>,
    pub server_requests: Vec<RequestView>,
    pub server_grants: Vec<GrantView>,
    pub notices: Vec<Notice>,
    /// Its app was ended in between: then what it was about to tell may not have been told.
    pub reopened: bool,
}

/// A time in which something was broken; `away` when it was the database itself.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub from: Time,
    pub to: Time,
    pub away: bool,
}

/// A login on the target, as it was looked at again and again.
#[derive(Clone, Debug)]
pub struct Login {
    pub grant: GrantId,
    /// When the login, or a session of it, was there last.
    pub last: Time,
    /// The latest end that the target itself held it to.
    pub until: Option<Time>,
}

/// All that is known after a run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub catalogue: Catalogue,
    pub people: Vec<Person>,
    pub log: Vec<Placed>,
    pub head: Option<Head>,
    pub rows: Vec<Request>,
    pub texts: BTreeMap<Digest, String>,
    pub writes: Vec<Write>,
    pub views: Vec<View>,
    pub troubles: Vec<Trouble>,
    pub logins: Vec<Login>,
    /// What is still on the target.
    pub left: Vec<String>,
    /// What was found wrong while it ran.
    pub complaints: Vec<String>,
}

/// What the log says, read.
struct Read {
    events: Vec<(u64, Event)>,
    /// The requests as the log makes them.
    states: BTreeMap<RequestId, Request>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// A sentence for each thing that cannot be.
    pub wrong: Vec<String>,
    /// How long after its end an access was there at most, and was known to be gone at most.
    pub latest: TimeDelta,
}

pub fn check(evidence: &Evidence) -> Verdict {
    let mut wrong = evidence.complaints.clone();
    let events = log::check(evidence, &mut wrong);
    let directory = Directory::new(evidence.people.iter().cloned());
    let states = replay::check(evidence, &events, &directory, &mut wrong);
    let read = Read { events, states };
    for row in &evidence.rows {
        match read.states.get(&row.id) {
            None => {
                wrong.push(format!("{}: the server has a row that the log does not speak of", row.number))
            }
            Some(state) if state != row => {
                wrong.push(format!("{}: the row is {row:?}, and the log makes it {state:?}", row.number));
            }
            Some(_) => {}
        }
    }
    for state in read.states.values().filter(|s| !evidence.rows.iter().any(|row| row.id == s.id)) {
        wrong.push(format!("{}: the log speaks of a request that the server has lost", state.number));
    }
    writes::check(evidence, &read, &mut wrong);
    views::check(evidence, &read, &mut wrong);
    let latest = ends::check(evidence, &read, &mut wrong);
    Verdict { wrong, latest }
}
