//! Audit's search: words, and `person:` `resource:` `kind:` `outcome:` `env:` `after:` `before:`.

use super::Cache;
use super::documents::Documents;
use super::read::collect_events;
use crate::ui::{EventPage, EventQuery, Failure};
use chrono::{DateTime, NaiveDate, NaiveTime};
use gatepass_core::{Code, Time};
use rusqlite::types::Value;
use std::str::Chars;

/// Most events one page holds.
const PAGE: u32 = 5_000;

/// One condition of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Word(String),
    Person(String),
    Resource(String),
    Kind(String),
    Outcome(String),
    Environment(String),
    After(Time),
    Before(Time),
}

impl Cache {
    /// One page, newest first, and how many match in all. Empty before the first sync.
    pub fn events(&self, query: &EventQuery, now: Time) -> Result<EventPage, Failure> {
        let terms = parse(&query.text)?;
        let found = self.seen(now, |seen, conn| {
            let documents = self.documents_with(conn)?;
            let Filter { sql, mut values } = Filter::of(&terms, documents.as_deref());
            let total: u64 = conn
                .prepare_cached(&format!("SELECT count(*) {sql}"))?
                .query_row(rusqlite::params_from_iter(&values), |row| row.get(0))?;
            let below = query.before.and_then(|b| i64::try_from(b).ok()).unwrap_or(i64::MAX);
            values.push(Value::Integer(below));
            values.push(Value::Integer(query.limit.min(PAGE).into()));
            let page = format!(
                "SELECT e.seq, (SELECT json FROM bodies WHERE bodies.seq = e.seq) {sql} AND e.seq < ?
                 ORDER BY e.seq DESC LIMIT ?"
            );
            let mut statement = conn.prepare_cached(&page)?;
            let items = collect_events(seen, statement.query(rusqlite::params_from_iter(&values))?)?;
            Ok(EventPage { items, total })
        })?;
        Ok(found.unwrap_or_else(|| EventPage { items: Vec::new(), total: 0 }))
    }
}

/// SQL after SELECT; every value is bound, none spliced.
struct Filter {
    sql: String,
    values: Vec<Value>,
}

impl Filter {
    fn of(terms: &[Term], documents: Option<&Documents>) -> Self {
        let mut conditions = String::new();
        let mut values = Vec::new();
        let mut words = Vec::new();
        let mut joined = false;
        for term in terms {
            match term {
                Term::Word(word) => words.push(phrase(word)),
                Term::Person(text) => {
                    let ids = people(text, documents);
                    let marks = marks(ids.len());
                    conditions.push_str(&format!(" AND (e.by IN ({marks}) OR r.by IN ({marks}))"));
                    values.extend(ids.iter().chain(&ids).map(|id| Value::Blob(id.clone())));
                    joined = true;
                }
                Term::Resource(text) => {
                    conditions.push_str(" AND r.resource = ? COLLATE NOCASE");
                    values.push(Value::Text(text.clone()));
                    joined = true;
                }
                Term::Kind(text) => {
                    // `request` finds all of `request.…`, `approved` finds `request.approved`.
                    conditions.push_str(" AND (e.kind = ? OR e.kind GLOB ? OR e.kind GLOB ?)");
                    let text = text.to_lowercase().replace(['*', '?', '['], "");
                    values.push(Value::Text(text.clone()));
                    values.push(Value::Text(format!("{text}.*")));
                    values.push(Value::Text(format!("*.{text}")));
                }
                Term::Outcome(text) => {
                    conditions.push_str(" AND (r.state = ? OR r.grant_state = ? OR r.cause = ?)");
                    values.extend(std::iter::repeat_n(Value::Text(text.to_lowercase()), 3));
                    joined = true;
                }
                Term::Environment(text) => {
                    let ids = resources_in(text, documents);
                    conditions.push_str(&format!(" AND r.resource IN ({})", marks(ids.len())));
                    values.extend(ids.into_iter().map(Value::Text));
                    joined = true;
                }
                Term::After(at) => {
                    conditions.push_str(" AND e.at >= ?");
                    values.push(Value::Integer(at.timestamp_millis()));
                }
                Term::Before(at) => {
                    conditions.push_str(" AND e.at < ?");
                    values.push(Value::Integer(at.timestamp_millis()));
                }
            }
        }
        if !words.is_empty() {
            conditions.push_str(" AND e.seq IN (SELECT rowid FROM search WHERE search MATCH ?)");
            values.push(Value::Text(words.join(" ")));
        }
        let join = if joined { " LEFT JOIN requests r ON r.id = e.request" } else { "" };
        Self { sql: format!("FROM events e{join} WHERE e.kind IS NOT NULL{conditions}"), values }
    }
}

/// A word for FTS5: quoted, so that nothing in it is syntax; a prefix matches.
fn phrase(word: &str) -> String {
    format!("\"{}\"*", word.replace('"', "\"\""))
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(",")
}

/// Ids of people by handle (whole) or name (part).
fn people(text: &str, documents: Option<&Documents>) -> Vec<Vec<u8>> {
    let text = text.to_lowercase();
    let Some(documents) = documents else { return Vec::new() };
    let matching = documents
        .directory
        .people()
        .filter(|p| p.handle.to_lowercase() == text || p.name.to_lowercase().contains(&text));
    matching.map(|p| p.id.0.as_bytes().to_vec()).collect()
}

fn resources_in(environment: &str, documents: Option<&Documents>) -> Vec<String> {
    let Some(documents) = documents else { return Vec::new() };
    let resources = documents.catalogue.resources.iter();
    resources.filter(|r| r.environment.eq_ignore_ascii_case(environment)).map(|r| r.id.clone()).collect()
}

/// Reads a search. A quoted part is one word or value; an unknown `name:` is searched for as it stands.
fn parse(text: &str) -> Result<Vec<Term>, Failure> {
    let mut terms = Vec::new();
    let mut rest = text.chars();
    while let Some((key, value)) = next(&mut rest) {
        let term = match key.as_deref() {
            None => Term::Word(value),
            Some("person") => Term::Person(value),
            Some("resource") => Term::Resource(value),
            Some("kind") => Term::Kind(value),
            Some("outcome") => Term::Outcome(value),
            Some("env") => Term::Environment(value),
            Some("after") => Term::After(time("after", &value)?),
            Some("before") => Term::Before(time("before", &value)?),
            Some(other) => Term::Word(format!("{other}:{value}")),
        };
        // A word of signs alone holds nothing the index knows.
        if !matches!(&term, Term::Word(word) if !word.chars().any(char::is_alphanumeric)) {
            terms.push(term);
        }
    }
    Ok(terms)
}

/// The next `key:value` or word.
fn next(rest: &mut Chars<'_>) -> Option<(Option<String>, String)> {
    let mut key = None;
    let mut value = String::new();
    let mut quoted = false;
    let mut any = false;
    for c in rest.by_ref() {
        match c {
            '"' => {
                quoted = !quoted;
                any = true;
            }
            c if c.is_whitespace() && !quoted => {
                if any {
                    return Some((key, value));
                }
            }
            ':' if key.is_none() && !quoted && !value.is_empty() => key = Some(std::mem::take(&mut value)),
            c => {
                value.push(c);
                any = true;
            }
        }
    }
    any.then_some((key, value))
}

/// A day (its start, UTC) or a moment.
fn time(key: &str, text: &str) -> Result<Time, Failure> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text).map(|t| t.to_utc()).map_err(|_| {
        let message = format!(
            "“{key}:{text}” is not a time; write it like {key}:2026-11-17 or {key}:2026-11-17T09:53:00Z"
        );
        Failure::new(Code::Malformed, message)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_search_is_read_into_terms() {
        let word = |w: &str| Term::Word(w.into());
        assert_eq!(
            parse(r#"stuck person:tomas "in two words" resource:"orders db" INC:42 "#).unwrap(),
            [
                word("stuck"),
                Term::Person("tomas".into()),
                word("in two words"),
                Term::Resource("orders db".into()),
                word("INC:42"),
            ]
        );
        let day = parse("after:2026-11-17").unwrap();
        let moment = parse("after:2026-11-17T01:00:00+01:00").unwrap();
        assert_eq!(day, moment);
        assert_eq!(parse(" \" \" * :").unwrap(), []);
        assert!(parse("before:yesterday").unwrap_err().message.contains("before:2026"));
    }

    #[test]
    fn nothing_in_a_word_is_syntax() {
        assert_eq!(phrase(r#"a" OR b*"#), r#""a"" OR b*"*"#);
    }
}
