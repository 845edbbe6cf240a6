//! What a countdown in the tray costs while nobody looks.

use super::memory::hold_access;
use crate::Outcome;
use crate::place::Place;
use crate::proc;
use crate::report::{Bound, Measurement, Run};
use crate::screen::{bare, join, start_hidden};
use gatepass_tests::Session;
use std::time::{Duration, Instant};

/// Before it counts, so that the start does not.
const SETTLE: Duration = Duration::from_secs(8);

pub async fn measure(quick: bool) -> Outcome<Measurement> {
    let (runs, settle, over) =
        if quick { (1, SETTLE / 4, Duration::from_secs(4)) } else { (3, SETTLE, Duration::from_secs(30)) };
    let place = Place::with_fake()?;
    let session = Session::start((800, 600)).await;
    join(&session, &place)?;
    // Under five minutes are left all the time: the countdown moves every second.
    hold_access(&place, 290).await?;
    let desktop = start_hidden(&session, &[]);
    session.tray.icon(desktop.id()).await.label(" left").await;
    let other = bare(&session, &["countdown"]);
    session.tray.icon(other.id()).await.menu().await;
    tokio::time::sleep(settle).await;
    let mut measured = Vec::new();
    for _ in 0..runs {
        let (from, ours, theirs) = (Instant::now(), proc::cpu_s(desktop.id())?, proc::cpu_s(other.id())?);
        tokio::time::sleep(over).await;
        let percent = |before: f64, after: f64| 100.0 * (after - before) / from.elapsed().as_secs_f64();
        measured.push(Run {
            measured: percent(ours, proc::cpu_s(desktop.id())?),
            reference: percent(theirs, proc::cpu_s(other.id())?),
        });
    }
    let label = session.tray.icon(desktop.id()).await.label(" left").await;
    let note = format!("{} s a run, the tray said “{label}” at the end", over.as_secs());
    let name = "a bare GTK 3 program that changes its tray menu each second";
    Ok(Measurement::of("tray-idle-cpu", "% of a core", name, Bound::Under(0.5), &measured, note))
}
