//! What `audit export` and `audit review` take.

use crate::args::id;
use chrono::{DateTime, Days, NaiveDate, NaiveTime};
use clap::{Args, ValueEnum};
use gatepass_client::ExportFormat;
use gatepass_core::Time;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[arg(long, value_name = "F", value_enum)]
    pub format: Format,
    /// Only this access, with the requests to extend it
    #[arg(long, value_name = "ID", value_parser = id, required_if_eq("format", "html"))]
    pub grant: Option<String>,
    /// Only what `audit search` finds
    #[arg(long, value_name = "Q")]
    pub query: Option<String>,
    /// From this day or moment on (days are UTC)
    #[arg(long, value_name = "T", value_parser = moment)]
    pub after: Option<Time>,
    /// Until this day or moment
    #[arg(long, value_name = "T", value_parser = moment)]
    pub before: Option<Time>,
    /// Take it from the server, not from the local copy: csv, jsonl, ocsf
    #[arg(long, conflicts_with_all = ["grant", "query"])]
    pub from_server: bool,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    /// Where to write it; - for stdout
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct ReviewArgs {
    /// The first day, or the moment it begins (days are UTC)
    #[arg(long, value_name = "T", value_parser = moment)]
    pub from: Time,
    /// The last day, to its end, or the moment it ends
    #[arg(long, value_name = "T", value_parser = end)]
    pub to: Time,
    /// csv, or html; by FILE's ending unless given
    #[arg(long, value_name = "F", value_enum)]
    pub format: Option<ReviewFormat>,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    /// Where to write it; - for stdout
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Csv,
    Jsonl,
    Ocsf,
    Bundle,
    Html,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReviewFormat {
    Csv,
    Html,
}

impl From<Format> for ExportFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Csv => Self::Csv,
            Format::Jsonl => Self::Jsonl,
            Format::Ocsf => Self::Ocsf,
            Format::Bundle => Self::Bundle,
            Format::Html => Self::Html,
        }
    }
}

impl ReviewArgs {
    pub fn html(&self) -> bool {
        match self.format {
            Some(format) => format == ReviewFormat::Html,
            None => self.file.extension().is_some_and(|e| e.eq_ignore_ascii_case("html")),
        }
    }
}

/// A day's beginning, or a moment.
fn moment(text: &str) -> Result<Time, String> {
    match text.parse::<NaiveDate>() {
        Ok(day) => Ok(day.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => DateTime::parse_from_rfc3339(text)
            .map(|at| at.to_utc())
            .map_err(|_| "expected a time like 2026-11-17 or 2026-11-17T09:53:00Z".to_owned()),
    }
}

/// A day's end, or a moment.
fn end(text: &str) -> Result<Time, String> {
    let begins = moment(text)?;
    match text.parse::<NaiveDate>() {
        Ok(_) => begins.checked_add_days(Days::new(1)).ok_or_else(|| "that day has no end".to_owned()),
        Err(_) => Ok(begins),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_period_of_days_has_its_last_day_in_it() {
        assert_eq!(moment("2026-11-01").unwrap().to_rfc3339(), "2026-11-01T00:00:00+00:00");
        assert_eq!(end("2026-11-30").unwrap(), moment("2026-12-01").unwrap());
        assert_eq!(end("2026-11-30T12:00:00+01:00").unwrap(), moment("2026-11-30T11:00:00Z").unwrap());
        assert!(moment("yesterday").is_err());
    }
}
