//! One JSON object a line: the event as its reader sees it, with `leaf`, and in `raw` the exact canonical bytes that hash
//! to it.

use super::Record;
use crate::wire::EventView;
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    view: &'a EventView,
    leaf: &'a str,
    raw: &'a str,
}

pub fn line(record: &Record) -> String {
    let line = Line { view: &record.view, leaf: &record.leaf.0, raw: &record.raw };
    // Plain fields: it can always be written.
    serde_json::to_string(&line).map(|line| line + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::example;

    #[test]
    fn a_whole_file() {
        let whole: String = example::records().iter().map(line).collect();
        for line in whole.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let raw: crate::event::Event = serde_json::from_str(value["raw"].as_str().unwrap()).unwrap();
            assert_eq!(value["kind"], raw.fact.kind());
        }
        insta::assert_snapshot!(whole);
    }
}
