//! A measurement, as a row of the table or a line of JSON.

use crate::stats::{median, spread};
use serde::Serialize;
use std::fmt::Write as _;

/// What must hold, in the unit of what is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    AtMost(f64),
    /// Strictly less.
    Under(f64),
    /// At least this share of the reference.
    ShareOfReference(f64),
    /// At most what the reference came to.
    NoMoreThanReference,
    /// Measured to be known; nothing is promised.
    None,
}

/// One budget with what came out. `measured` and `reference` are medians over the runs, in `unit`; so is `bound`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    pub name: String,
    pub unit: &'static str,
    pub measured: f64,
    pub reference: f64,
    pub reference_name: &'static str,
    /// `measured` divided by `reference`; null when the reference is 0.
    pub ratio: Option<f64>,
    /// Null when nothing is promised.
    pub bound: Option<f64>,
    pub holds: bool,
    /// How to read `bound`: `<`, `<=` or `>=`; empty without one.
    pub sense: &'static str,
    /// The least and the greatest of the runs.
    pub spread: (f64, f64),
    pub reference_spread: (f64, f64),
    pub runs: usize,
    /// What else is worth knowing.
    pub note: String,
}

/// What one run gave.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub measured: f64,
    pub reference: f64,
}

impl Measurement {
    /// The median of `runs` against `bound`.
    pub fn of(
        name: impl Into<String>,
        unit: &'static str,
        reference_name: &'static str,
        bound: Bound,
        runs: &[Run],
        note: impl Into<String>,
    ) -> Self {
        let measured: Vec<f64> = runs.iter().map(|r| r.measured).collect();
        let references: Vec<f64> = runs.iter().map(|r| r.reference).collect();
        let (value, reference) = (median(&measured), median(&references));
        let (bound, sense, holds) = match bound {
            Bound::AtMost(most) => (Some(most), "<=", value <= most),
            Bound::Under(limit) => (Some(limit), "<", value < limit),
            Bound::ShareOfReference(share) => (Some(share * reference), ">=", value >= share * reference),
            Bound::NoMoreThanReference => (Some(reference), "<=", value <= reference),
            Bound::None => (None, "", true),
        };
        Self {
            name: name.into(),
            unit,
            measured: value,
            reference,
            reference_name,
            ratio: (reference != 0.0).then(|| value / reference),
            bound,
            // Nothing measured holds nothing.
            holds: holds && !runs.is_empty(),
            sense,
            spread: spread(&measured),
            reference_spread: spread(&references),
            runs: runs.len(),
            note: note.into(),
        }
    }
}

/// A table for people, in Markdown so that it can be kept as it is.
pub fn table(rows: &[Measurement]) -> String {
    let header = ["", "measured", "spread", "reference", "ratio", "bound", "holds"].map(str::to_owned);
    let mut cells = vec![header];
    for m in rows {
        let span = |(least, most): (f64, f64)| format!("{}–{}", number(least), number(most));
        cells.push([
            m.name.clone(),
            format!("{} {}", number(m.measured), m.unit),
            format!("{} in {}", span(m.spread), m.runs),
            format!("{} ({}): {}", number(m.reference), span(m.reference_spread), m.reference_name),
            m.ratio.map_or_else(String::new, number),
            m.bound.map_or_else(String::new, |bound| format!("{} {} {}", m.sense, number(bound), m.unit)),
            match (m.bound, m.holds) {
                (None, true) => "–",
                (_, true) => "yes",
                (_, false) => "NO",
            }
            .to_owned(),
        ]);
    }
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for (at, row) in cells.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "| {cell}{} ", " ".repeat(width - cell.chars().count()));
        }
        text.push_str("|\n");
        if at == 0 {
            for width in widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    for m in rows.iter().filter(|m| !m.note.is_empty()) {
        let _ = write!(text, "\n{}: {}", m.name, m.note);
    }
    text
}

/// Three digits that matter, no more than one can read.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn runs(values: &[(f64, f64)]) -> Vec<Run> {
        values
            .iter()
            .map(|(measured, reference)| Run { measured: *measured, reference: *reference })
            .collect()
    }

    #[test]
    fn the_median_is_held_against_the_bound() {
        let runs = runs(&[(90.0, 10.0), (200.0, 20.0), (100.0, 10.0)]);
        let held = Measurement::of("a", "ms", "bare", Bound::Under(150.0), &runs, "");
        assert_eq!((held.measured, held.ratio, held.holds), (100.0, Some(10.0), true));
        assert_eq!(held.spread, (90.0, 200.0));
        assert!(!Measurement::of("a", "ms", "bare", Bound::Under(100.0), &runs, "").holds);
        assert!(Measurement::of("a", "ms", "bare", Bound::AtMost(100.0), &runs, "").holds);
        assert!(!Measurement::of("a", "ms", "bare", Bound::AtMost(1.0), &[], "").holds);
    }

    #[test]
    fn a_share_of_the_reference_becomes_a_bound_in_the_unit() {
        let slow =
            Measurement::of("s", "/s", "bare", Bound::ShareOfReference(0.5), &runs(&[(49.0, 100.0)]), "");
        assert_eq!((slow.bound, slow.holds), (Some(50.0), false));
    }

    #[test]
    fn a_line_of_json_has_the_promised_fields_first() {
        let m = Measurement::of("a", "ms", "bare", Bound::None, &runs(&[(1.0, 0.0)]), "");
        let line = serde_json::to_string(&m).unwrap();
        assert!(line.starts_with(
            r#"{"name":"a","unit":"ms","measured":1.0,"reference":0.0,"reference_name":"bare","ratio":null,"bound":null,"holds":true,"#
        ));
    }

    #[test]
    fn the_table_lines_up() {
        let m = Measurement::of("a", "ms", "bare", Bound::Under(2.0), &runs(&[(1.0, 4.0)]), "as it is");
        let text = table(&[m]);
        let widths: Vec<usize> = text.lines().take(3).map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|w| *w == widths[0]), "{text}");
        assert!(text.ends_with("a: as it is"));
    }
}
