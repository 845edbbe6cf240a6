//! CSV by RFC 4180: CRLF after each record, cells with a comma, a quote or a line break in quotes, quotes doubled. UTF-8,
//! times in UTC.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a line break for a formula. Such a cell gets
//! an apostrophe before it, and so does one that begins with an apostrophe: to have what was written, take one leading
//! apostrophe away. Hidden characters are made visible.

use super::{Record, span, utc};
use crate::text::visible;

/// The columns of [`line`].
pub const COLUMNS: [&str; 22] = [
    "position",
    "time",
    "kind",
    "by",
    "by_name",
    "what",
    "request",
    "holder",
    "holder_name",
    "resource",
    "resource_name",
    "environment",
    "role",
    "duration_s",
    "starts_at",
    "ends_at",
    "cause",
    "reason",
    "ticket",
    "note",
    "event",
    "leaf",
];

/// The line with the names of the columns.
pub fn head() -> String {
    row(COLUMNS)
}

/// The line of one event.
pub fn line(record: &Record) -> String {
    let Record { view, event, about, .. } = record;
    let span = span(&event.fact);
    let text = |field: &str| view.texts.get(field).cloned().unwrap_or_default();
    let at = |time: Option<crate::Time>| time.map(utc).unwrap_or_default();
    let about = about.as_ref();
    let of = |field: fn(&super::About) -> &String| about.map(field).cloned().unwrap_or_default();
    row([
        view.seq.to_string(),
        utc(view.at),
        view.kind.clone(),
        view.by.clone(),
        view.by_name.clone(),
        view.sentence.clone(),
        view.number.clone().unwrap_or_default(),
        of(|a| &a.handle),
        of(|a| &a.name),
        of(|a| &a.resource),
        of(|a| &a.resource_name),
        of(|a| &a.environment),
        of(|a| &a.role),
        span.duration_s.map(|s| s.to_string()).unwrap_or_default(),
        at(span.starts_at),
        at(span.ends_at),
        span.cause.unwrap_or_default(),
        text("reason"),
        text("ticket"),
        text("note"),
        view.id.to_string(),
        record.leaf.to_string(),
    ])
}

/// One record.
pub fn row<T: AsRef<str>>(cells: impl IntoIterator<Item = T>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|c| cell(&visible(c.as_ref()))).collect();
    format!("{}\r\n", cells.join(","))
}

fn cell(text: &str) -> String {
    // The full-width signs are formulas too in some spreadsheets.
    let risky = ['=', '+', '-', '@', '\t', '\r', '\n', '\'', '＝', '＋', '－', '＠'];
    let guard = if text.starts_with(risky) { "'" } else { "" };
    // A semicolon divides cells where the comma is the decimal point; in quotes it does not.
    if text.contains([',', ';', '"', '\r', '\n', '\t']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::example;
    use proptest::prelude::*;

    /// As another reader of CSV has it.
    fn read(text: &str) -> Vec<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect()
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back_and_is_no_formula(
            rows in prop::collection::vec(prop::collection::vec("[=+@'\t\r\n\";,a-c\\-＝é]{0,8}", 3), 1..6)
        ) {
            let written: String = rows.iter().map(row).collect();
            let found = read(&written);
            prop_assert_eq!(found.len(), rows.len());
            for (found, row) in found.iter().flatten().zip(rows.iter().flatten()) {
                prop_assert!(!found.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝']), "{:?}", found);
                prop_assert_eq!(found.strip_prefix('\'').unwrap_or(found), visible(row));
            }
        }
    }

    #[test]
    fn every_record_ends_with_crlf_and_has_every_column() {
        let records = example::records();
        let whole = head() + &records.iter().map(line).collect::<String>();
        assert!(whole.lines().count() >= records.len() && whole.ends_with("\r\n"));
        let rows = read(&whole);
        assert_eq!(rows.len(), records.len() + 1);
        assert!(rows.iter().all(|r| r.len() == COLUMNS.len()));
        assert_eq!(rows[1][1], "2026-11-17T09:29:14.000Z");
    }

    #[test]
    fn a_whole_file() {
        let whole = head() + &example::records().iter().map(line).collect::<String>();
        insta::assert_snapshot!(whole);
    }
}
