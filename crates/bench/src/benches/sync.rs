//! A new device pulls a long log into its encrypted cache, checking all of it on the way.

use super::sync_fill::fill;
use super::sync_rows::Rows;
use crate::place::Place;
use crate::report::{Bound, Measurement, Run};
use crate::{Outcome, stats};
use gatepass_client::{Client, KeyStore, Profile};
use std::time::Instant;

/// As a sync writes them.
const PAGE: usize = 5_000;

pub async fn measure(quick: bool) -> Outcome<Measurement> {
    let (runs, events) = if quick { (1, 7_000) } else { (3, 1_000_000) };
    let mut place = Place::with_fake()?;
    fill(&mut place, events).await?;
    // Known as an auditor to the log before a device of theirs joins.
    place.device("iris", "", &["--auditor"]).await?;
    let (mut measured, mut took, mut each) = (Vec::new(), Vec::new(), 0.0);
    for run in 0..runs {
        let profile = Profile::within(place.dir().join(format!("run-{run}")), "iris")?;
        let cache = profile.dir();
        let link = place.invite("iris", "", &["--auditor"])?;
        let client = Client::open(profile, KeyStore::File)?;
        let from = Instant::now();
        // Joining pulls everything; enrolling is the small part of it.
        let status = client.join(&link, Some("bench")).await?;
        let seconds = from.elapsed().as_secs_f64();
        let size = status.verified_to.ok_or("the log was not verified to its head")?;
        if size < events as u64 {
            return Err(format!("only {size} events came").into());
        }
        drop(client);
        let bytes = std::fs::metadata(cache.join("cache.db"))?.len() as f64 / size as f64;
        let rows = Rows::read(&cache)?;
        let bare = rows.write(&place.dir().join(format!("bare-{run}.db")), PAGE)?;
        let (ours, reference) = (size as f64 / seconds, size as f64 / bare);
        eprintln!("  {size} events: {seconds:.2} s synced, {bare:.2} s bare, {bytes:.0} bytes each");
        each = bytes;
        took.push(seconds);
        measured.push(Run { measured: ours, reference });
    }
    let note = format!(
        "all of it took {:.1} s, enrolment included; {each:.0} bytes on the disk for an event",
        stats::median(&took)
    );
    let name = "the same rows by a bare rusqlite loop into the same encrypted tables";
    Ok(Measurement::of("sync", "events/s", name, Bound::ShareOfReference(0.5), &measured, note))
}
