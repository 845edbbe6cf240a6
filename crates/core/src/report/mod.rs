//! What is taken out of the log: one event a line for other programs, and pages for people who ask. Pure writers, the
//! same on the server and in every client.

pub mod csv;
pub mod evidence;
pub mod html;
mod jsonl;
pub mod ocsf;
pub mod review;

use crate::Time;
use crate::event::{Event, Fact};
use crate::request::Request;
use crate::sentence::event_view;
use crate::text::Digest;
use crate::view::Lens;
use crate::wire::EventView;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// One event a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[ts(export)]
pub enum Lines {
    /// RFC 4180, with cells that no spreadsheet takes for formulas.
    Csv,
    /// One JSON object a line: the event as shown, and as it stands in the log.
    Jsonl,
    /// One OCSF event a line: User Access Management.
    Ocsf,
}

/// One event, as its reader sees it and as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub view: EventView,
    pub event: Event,
    /// The leaf's content: canonical JSON.
    pub raw: String,
    pub leaf: Digest,
    pub about: Option<About>,
}

/// The access that an event is about.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// Whose access. Drift has no person: what it is called on the target stands in `name`.
    pub uid: Option<String>,
    pub handle: String,
    pub name: String,
    pub resource: String,
    pub resource_name: String,
    pub environment: String,
    pub target: String,
    /// Kind of the target.
    pub kind: String,
    pub role: String,
    /// What it gives on the target.
    pub privileges: Vec<String>,
}

impl Record {
    /// `request` is the projection that the event belongs to.
    pub fn new(
        seq: u64,
        event: Event,
        raw: String,
        leaf: Digest,
        request: Option<&Request>,
        lens: &Lens<'_>,
    ) -> Self {
        let view = event_view(seq, &event, request, lens);
        let about = match request {
            Some(request) => Some(About::request(request, lens)),
            None => About::drift(&event, lens),
        };
        Self { view, event, raw, leaf, about }
    }
}

impl About {
    fn request(request: &Request, lens: &Lens<'_>) -> Self {
        let holder = lens.person(request.by);
        let resource = lens.catalogue.resource(&request.resource);
        Self {
            uid: Some(request.by.to_string()),
            handle: holder.handle,
            name: holder.name,
            resource: request.resource.clone(),
            resource_name: resource.map_or_else(|| request.resource.clone(), |r| r.name.clone()),
            environment: resource.map(|r| r.environment.clone()).unwrap_or_default(),
            target: request.rule.target.clone(),
            kind: request.rule.kind.clone(),
            role: request.role.clone(),
            privileges: request.rule.grants.clone(),
        }
    }

    fn drift(event: &Event, lens: &Lens<'_>) -> Option<Self> {
        let found = event.fact.found()?;
        let name = match &found.who {
            crate::drift::Who::Name(name) => (lens.text)(name).unwrap_or_else(|| "someone".to_owned()),
            crate::drift::Who::More(count) => format!("about {count} more"),
        };
        let id = found.resources.first().cloned().unwrap_or_default();
        let resource = lens.catalogue.resource(&id);
        Some(Self {
            uid: None,
            handle: String::new(),
            name,
            resource_name: resource.map_or_else(|| id.clone(), |r| r.name.clone()),
            environment: resource.map(|r| r.environment.clone()).unwrap_or_default(),
            target: found.target.clone(),
            kind: resource.map(|r| r.kind.clone()).unwrap_or_default(),
            resource: id,
            role: String::new(),
            privileges: found.grants.clone(),
        })
    }
}

impl Lines {
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Jsonl | Self::Ocsf => "application/jsonl",
        }
    }

    /// What a file's name ends with.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Ocsf => "ocsf.jsonl",
        }
    }

    /// What comes before the first event.
    pub fn head(self) -> String {
        match self {
            Self::Csv => csv::head(),
            Self::Jsonl | Self::Ocsf => String::new(),
        }
    }

    /// The line of an event with its end; nothing when the format has no place for it.
    pub fn line(self, record: &Record) -> String {
        match self {
            Self::Csv => csv::line(record),
            Self::Jsonl => jsonl::line(record),
            Self::Ocsf => ocsf::line(record),
        }
    }
}

/// `2026-11-17T09:53:00.120Z`
pub(crate) fn utc(at: Time) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// A state as it stands on the wire.
pub(crate) fn word<T: Serialize>(state: &T) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// When the access that the event tells of begins and ends, and why, as far as it says so.
struct Span {
    duration_s: Option<u32>,
    starts_at: Option<Time>,
    ends_at: Option<Time>,
    cause: Option<String>,
}

fn span(fact: &Fact) -> Span {
    let mut span = Span { duration_s: None, starts_at: None, ends_at: None, cause: None };
    match fact {
        Fact::RequestCreated { duration_s, .. }
        | Fact::RequestApproved { duration_s, .. }
        | Fact::RequestGranted { duration_s, .. } => span.duration_s = Some(*duration_s),
        Fact::GrantActive { starts_at, ends_at, .. } => {
            span.starts_at = Some(*starts_at);
            span.ends_at = Some(*ends_at);
        }
        Fact::GrantExtended { ends_at, .. } => span.ends_at = Some(*ends_at),
        Fact::GrantEnding { cause, .. } | Fact::GrantEnded { cause, .. } => span.cause = Some(word(cause)),
        _ => {}
    }
    span
}

#[cfg(test)]
pub(crate) mod example;
