//! What comes back, and what it means to the port.

use crate::{Found, Removed, Stranger, TargetError};
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What another's words may add to a message.
const LONGEST: usize = 300;

/// Every answer, whatever was asked. What is not known is passed over, so that answers can grow.
#[derive(Deserialize)]
pub(super) struct Answer {
    ok: Option<bool>,
    error: Option<Said>,
    details: Option<Map<String, Value>>,
    removed: Option<bool>,
    #[serde(default)]
    sessions_ended: u32,
    accesses: Option<Vec<Listed>>,
    #[serde(default)]
    strangers: Vec<Named>,
}

#[derive(Deserialize)]
struct Said {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Unreachable,
    Refused,
    Configuration,
}

#[derive(Deserialize)]
struct Listed {
    grant: GrantId,
    name: Option<String>,
    until: Option<Time>,
    #[serde(default)]
    sessions: u32,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    grants: Vec<String>,
}

impl Said {
    fn error(&self) -> TargetError {
        let message = printable(&self.message);
        match self.kind {
            Kind::Unreachable => TargetError::Unreachable(message),
            Kind::Refused => TargetError::Refused(message),
            Kind::Configuration => TargetError::Configuration(message),
        }
    }
}

/// One line of bounded length.
fn printable(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn not_understood(why: &str) -> TargetError {
    TargetError::Refused(format!("its answer is not understood: {why}"))
}

impl Answer {
    pub fn read(answer: &[u8]) -> Result<Self, TargetError> {
        // A parse error has the place, and of what was read only a wrong value's type: see the test below.
        let read: Self = serde_json::from_slice(answer).map_err(|e| {
            not_understood(&format!("line {}, column {}: {}", e.line(), e.column(), category(&e)))
        })?;
        match (&read.error, read.ok) {
            (Some(said), _) => Err(said.error()),
            (None, Some(false)) => Err(TargetError::Refused("it does not say why".to_owned())),
            (None, _) => Ok(read),
        }
    }

    pub fn details(self) -> Result<Value, TargetError> {
        if self.ok != Some(true) {
            return Err(not_understood("“ok” is missing"));
        }
        Ok(Value::Object(self.details.unwrap_or_default()))
    }

    pub fn removed(self) -> Result<Removed, TargetError> {
        match self.removed {
            Some(true) => Ok(Removed { sessions_ended: self.sessions_ended }),
            Some(false) => Err(TargetError::Refused("it says that the access is not removed".to_owned())),
            None => Err(not_understood("“removed” is missing")),
        }
    }

    pub fn accesses(self) -> Result<Vec<Found>, TargetError> {
        let listed = self.accesses.ok_or_else(|| not_understood("“accesses” is missing"))?;
        let found = listed.into_iter().map(|l| Found {
            grant: l.grant,
            name: l.name.map_or_else(|| l.grant.to_string(), |name| printable(&name)),
            until: l.until,
            sessions: l.sessions,
        });
        Ok(found.collect())
    }

    /// Those who hold any of `grants`, and of what they hold only these.
    pub fn strangers(self, grants: &[String]) -> Result<Vec<Stranger>, TargetError> {
        if self.accesses.is_none() {
            return Err(not_understood("“accesses” is missing"));
        }
        let asked: BTreeSet<&String> = grants.iter().collect();
        let known = self.strangers.into_iter().map(|named| {
            let mut held: Vec<_> = named.grants.into_iter().filter(|g| asked.contains(g)).collect();
            held.sort();
            held.dedup();
            Stranger { name: printable(&named.name), grants: held }
        });
        let mut strangers: Vec<_> = known.filter(|stranger| !stranger.grants.is_empty()).collect();
        strangers.sort();
        strangers.dedup();
        Ok(strangers)
    }
}

/// What is wrong, without a word of what was read, which may be a secret.
fn category(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax => "it is not JSON",
        _ => "a value that is missing or of another type than the documentation says",
    }
}

/// The error that an answer speaks of, if it is one: for a way that already knows that the call failed.
pub(crate) fn spoken_error(answer: &[u8]) -> Option<TargetError> {
    serde_json::from_slice::<Answer>(answer).ok()?.error.map(|said| said.error())
}

/// Every text in the details of an answer, which must not be logged.
#[cfg(feature = "command")]
pub(crate) fn texts(answer: &[u8]) -> Vec<String> {
    fn collect(value: Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text),
            Value::Array(values) => values.into_iter().for_each(|v| collect(v, into)),
            Value::Object(map) => map.into_iter().for_each(|(_, v)| collect(v, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    if let Some(details) = serde_json::from_slice::<Answer>(answer).ok().and_then(|a| a.details) {
        collect(Value::Object(details), &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn read(answer: Value) -> Result<Answer, TargetError> {
        Answer::read(&serde_json::to_vec(&answer).unwrap())
    }

    #[test]
    fn an_error_keeps_its_kind_and_becomes_one_line() {
        for (kind, expected) in [
            ("unreachable", TargetError::Unreachable("it  sleeps".into())),
            ("refused", TargetError::Refused("it  sleeps".into())),
            ("configuration", TargetError::Configuration("it  sleeps".into())),
        ] {
            let said = json!({"ok": false, "error": {"kind": kind, "message": "it\r\nsleeps"}});
            assert_eq!(read(said).err(), Some(expected));
        }
        let long = json!({"error": {"kind": "refused", "message": "ü".repeat(9000)}});
        assert!(read(long).err().unwrap().to_string().len() < 700);
        // Whatever else it says: an error is one.
        let both = json!({"ok": true, "removed": true, "error": {"kind": "refused", "message": "no"}});
        assert_eq!(read(both).err(), Some(TargetError::Refused("no".into())));
        assert!(matches!(read(json!({"ok": false, "removed": true})), Err(TargetError::Refused(_))));
    }

    #[test]
    fn only_what_says_so_is_done() {
        for not in [json!({}), json!({"removed": false}), json!({"ok": true}), json!({"sessions_ended": 3})] {
            let removed = read(not.clone()).unwrap().removed();
            assert!(matches!(removed, Err(TargetError::Refused(_))), "{not}: {removed:?}");
        }
        let removed = read(json!({"removed": true, "sessions_ended": 2})).unwrap().removed();
        assert_eq!(removed, Ok(Removed { sessions_ended: 2 }));
        assert!(read(json!({"details": {"token": "x"}})).unwrap().details().is_err(), "ok is missing");
        assert_eq!(read(json!({"ok": true})).unwrap().details(), Ok(json!({})));
        assert!(read(json!({"ok": true})).unwrap().accesses().is_err());
    }

    #[test]
    fn what_is_not_understood_is_not_repeated() {
        for answer in [
            r#"{"ok": true, "details": "hunter2"}"#,
            r#"{"accesses": [{"grant": "hunter2"}]}"#,
            r#"{"ok": "hunter2"}"#,
            "hunter2",
            r#"{"details": {"token": "hunter2"#,
        ] {
            let error = Answer::read(answer.as_bytes()).err().unwrap().to_string();
            assert!(error.contains("not understood") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn strangers_are_told_of_what_was_asked() {
        let answer = json!({"accesses": [], "strangers": [
            {"name": "zoe", "grants": ["write", "read", "read"]},
            {"name": "ada", "grants": ["admin"]},
            {"name": "bob", "grants": ["read"]},
        ]});
        let strangers = read(answer).unwrap().strangers(&["read".into(), "write".into()]).unwrap();
        let of = |name: &str, grants: &[&str]| Stranger {
            name: name.into(),
            grants: grants.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(strangers, [of("bob", &["read"]), of("zoe", &["read", "write"])]);
    }

    #[cfg(feature = "command")]
    #[test]
    fn every_text_of_the_details_is_found() {
        let answer = json!({"ok": true, "details": {"token": "a", "more": [{"key": "b"}, 3]}});
        let mut found = texts(&serde_json::to_vec(&answer).unwrap());
        found.sort();
        assert_eq!(found, ["a", "b"]);
    }
}
