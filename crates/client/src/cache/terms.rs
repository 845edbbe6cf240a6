//! What is typed into the search, as conditions. By itself, so that whatever anybody types can be tried on it.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime};
use gatepass_core::Time;
use gatepass_core::error::{Code, Refusal};
use std::str::Chars;

/// One condition of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    Word(String),
    Person(String),
    Resource(String),
    Role(String),
    Kind(String),
    Outcome(String),
    Environment(String),
    After(Time),
    Before(Time),
}

/// A condition, or its contrary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub term: Term,
    pub not: bool,
}

/// Reads a search. A quoted part is one word or value; an unknown `name:` is searched for as it stands.
pub fn parse(text: &str) -> Result<Vec<Wanted>, Refusal> {
    let mut terms = Vec::new();
    let mut rest = text.chars();
    while let Some(part) = next(&mut rest) {
        let Part { not, key, value } = part;
        let term = match key.as_deref() {
            None => Term::Word(value),
            Some("person") => Term::Person(value),
            Some("resource") => Term::Resource(value),
            Some("role") => Term::Role(value),
            Some("kind") => Term::Kind(value),
            Some("outcome") => Term::Outcome(value),
            Some("env") => Term::Environment(value),
            Some("after") => Term::After(time("after", &value)?),
            Some("before") => Term::Before(time("before", &value)?),
            Some(other) => Term::Word(format!("{other}:{value}")),
        };
        // A word of signs alone holds nothing the index knows; so does a filter that is being typed.
        let empty = match &term {
            Term::Word(text)
            | Term::Person(text)
            | Term::Resource(text)
            | Term::Role(text)
            | Term::Kind(text)
            | Term::Outcome(text)
            | Term::Environment(text) => !text.chars().any(char::is_alphanumeric),
            Term::After(_) | Term::Before(_) => false,
        };
        if !empty {
            terms.push(Wanted { term, not });
        }
    }
    Ok(terms)
}

struct Part {
    not: bool,
    key: Option<String>,
    value: String,
}

/// The next `key:value` or word, with a `-` before it or not.
fn next(rest: &mut Chars<'_>) -> Option<Part> {
    let (mut not, mut key, mut value) = (false, None, String::new());
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
                    return Some(Part { not, key, value });
                }
            }
            '-' if !any => {
                not = true;
                any = true;
            }
            ':' if key.is_none() && !quoted && !value.is_empty() => key = Some(std::mem::take(&mut value)),
            c => {
                value.push(c);
                any = true;
            }
        }
    }
    any.then_some(Part { not, key, value })
}

/// A day (its start, UTC) or a moment.
pub fn time(key: &str, text: &str) -> Result<Time, Refusal> {
    // Four digits of year: a sign before them, or more, is a slip.
    if let Ok(day) = text.parse::<NaiveDate>()
        && text.starts_with(|c: char| c.is_ascii_digit())
        && (0..=9_999).contains(&day.year())
    {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    let moment = DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.to_utc());
    moment.filter(|moment| (0..=9_999).contains(&moment.year())).ok_or_else(|| {
        let message = format!(
            "“{key}:{text}” is not a time; write it like {key}:2026-11-17 or {key}:2026-11-17T09:53:00Z"
        );
        Refusal::new(Code::Malformed, message)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_search_is_read_into_terms() {
        let is = |term| Wanted { term, not: false };
        let not = |term| Wanted { term, not: true };
        let word = |w: &str| Term::Word(w.into());
        assert_eq!(
            parse(r#"stuck person:tomas "in two words" resource:"orders db" INC:42 -outcome:denied -"x y" "#)
                .unwrap(),
            [
                is(word("stuck")),
                is(Term::Person("tomas".into())),
                is(word("in two words")),
                is(Term::Resource("orders db".into())),
                is(word("INC:42")),
                not(Term::Outcome("denied".into())),
                not(word("x y")),
            ]
        );
        let day = parse("after:2026-11-17").unwrap();
        let moment = parse("after:2026-11-17T01:00:00+01:00").unwrap();
        assert_eq!(day, moment);
        assert_eq!(parse(" \" \" * : - -- person: role:").unwrap(), []);
        assert_eq!(parse("R-12").unwrap(), [is(word("R-12"))]);
        assert!(parse("before:-06-11-17").is_err());
        assert!(parse("before:yesterday").unwrap_err().message.contains("before:2026"));
    }
}
