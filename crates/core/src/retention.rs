//! How long texts are kept, per kind of event. The events themselves stay: they hold no names and no free text.

use crate::Time;
use crate::request::Request;
use crate::wire::RequestState;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kinds of events that come with texts of people. The catalogue's document is none: whoever checks the log needs it.
pub const KINDS: [&str; 10] = [
    "person.recorded",
    "person.revoked",
    "device.enrolled",
    "request.created",
    "request.approved",
    "request.denied",
    "grant.ending",
    "drift.found",
    "drift.known",
    "drift.unknown",
];

/// Applies to every kind that no other rule names.
pub const DEFAULT: &str = "default";

/// The shortest time that texts can be kept for: what is decided and ended within a day can be read on the next.
pub const SHORTEST_S: u32 = 86_400;

/// Seconds by kind (`request.created`), by the kinds that begin alike (`request.*`), or for all others (`default`). What
/// none of them names is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Retention(pub BTreeMap<String, u32>);

impl Retention {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For how many seconds texts of this kind are kept; `None`: for ever.
    pub fn seconds(&self, kind: &str) -> Option<u32> {
        if !KINDS.contains(&kind) {
            return None;
        }
        let family = kind.split_once('.').map(|(start, _)| format!("{start}.*"));
        let named = self.0.get(kind).or_else(|| self.0.get(&family?));
        named.or_else(|| self.0.get(DEFAULT)).copied()
    }

    /// Until when the texts of an event are kept, unless what it belongs to is not over by then.
    pub fn until(&self, kind: &str, at: Time) -> Option<Time> {
        self.seconds(kind).and_then(|s| at.checked_add_signed(TimeDelta::seconds(s.into())))
    }

    /// The shortest time of all.
    pub fn shortest(&self) -> Option<TimeDelta> {
        KINDS.iter().filter_map(|kind| self.seconds(kind)).min().map(|s| TimeDelta::seconds(s.into()))
    }

    /// Whether `pattern` names any kind; `Err` is a sentence that says what was expected.
    pub fn check(pattern: &str) -> Result<(), String> {
        let names = |kind: &&str| match pattern.strip_suffix(".*") {
            Some(start) => kind.split_once('.').is_some_and(|(family, _)| family == start),
            None => *kind == pattern,
        };
        if pattern == DEFAULT || KINDS.iter().any(names) {
            return Ok(());
        }
        Err(format!(
            "“{pattern}” names no kind of event that has texts, expected “default”, “request.*”, “grant.*”, \
             “drift.*”, “person.*”, “device.*” or one of {}",
            KINDS.join(", ")
        ))
    }
}

/// Whether nothing is left to happen to a request and its access: until then its texts are kept, however old. In the same
/// way, what no grant explains is called by its name for as long as it is there.
pub fn request_over(request: &Request) -> bool {
    request.state != RequestState::Pending && request.grant.as_ref().is_none_or(|grant| grant.over())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rule_counts() {
        let rules = [("request.*", 400), ("request.denied", 30), ("default", 90)];
        let kept = Retention(rules.map(|(kind, s)| (kind.to_owned(), s)).into());
        assert_eq!(kept.seconds("request.denied"), Some(30));
        assert_eq!(kept.seconds("request.created"), Some(400));
        assert_eq!(kept.seconds("drift.found"), Some(90));
        assert_eq!(kept.seconds("catalogue.published"), None, "what the log is checked by stays");
        assert_eq!(kept.shortest(), Some(TimeDelta::seconds(30)));
        assert_eq!(Retention::default().seconds("request.created"), None);
        assert_eq!(Retention::default().shortest(), None);
    }

    #[test]
    fn a_pattern_names_a_kind_that_has_texts() {
        for right in ["default", "request.*", "grant.ending", "device.*"] {
            assert_eq!(Retention::check(right), Ok(()), "{right}");
        }
        for wrong in ["requests.*", "*", "grant.active", "catalogue.published", "", "request."] {
            assert!(Retention::check(wrong).is_err(), "{wrong}");
        }
    }
}
