//! The access review of a period, from the requests in the local copy.

use super::{Export, ExportFormat, Exported, STEP, unwritable};
use crate::ui::Failure;
use chrono::{FixedOffset, Local};
use gatepass_core::Time;
use gatepass_core::report::review::{Made, Period, Review, csv, page};
use std::io::Write;

/// This computer's own time, for pages.
pub(super) fn local(at: Time) -> chrono::DateTime<FixedOffset> {
    at.with_timezone(&Local).fixed_offset()
}

impl Export<'_> {
    pub(super) fn review(&mut self, out: &mut dyn Write) -> Result<Exported, Failure> {
        let (from, to) = (self.ask.after.unwrap_or_default(), self.ask.before.unwrap_or(self.now));
        let period = Period { from, to };
        self.progress.begin(self.reading.request_count()?);
        let mut review = Review::new(period, self.now);
        let mut last = 0;
        loop {
            let requests = self.reading.requests_after(last, STEP)?;
            let Some(newest) = requests.last() else { break };
            last = newest.number.0;
            self.reading.lens(|lens| requests.iter().for_each(|request| review.take(request, lens)))?;
            self.progress.step(requests.len() as u64)?;
        }
        let rows = review.finish();
        let text = if self.ask.format == ExportFormat::ReviewCsv {
            csv(&rows)
        } else {
            let me = self.reading.me();
            let made = Made {
                at: self.now,
                by: &me.person.name,
                whole: me.person.auditor || me.person.admin,
                verified: self.reading.position.verified.as_ref().map(|v| (v.head.size, v.at)),
                server: &me.server,
            };
            page(period, &rows, &made, &local)
        };
        out.write_all(text.as_bytes()).map_err(unwritable)?;
        Ok(Exported { events: rows.len() as u64, ..Exported::default() })
    }
}
