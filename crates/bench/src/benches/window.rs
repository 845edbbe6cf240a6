//! From the click in the tray to the first view of the window, each time a new window.

use crate::Outcome;
use crate::place::Place;
use crate::report::{Bound, Measurement, Run};
use crate::screen::{bare, join, start_hidden};
use crate::stats::{median, percentile};
use gatepass_tests::Session;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

const PATIENCE: Duration = Duration::from_secs(20);
/// Between two windows: the web process of the last one ends.
const BETWEEN: Duration = Duration::from_millis(500);

pub async fn measure(quick: bool) -> Outcome<Measurement> {
    let (runs, windows) = if quick { (1, 3) } else { (3, 20) };
    let place = Place::with_fake()?;
    let session = Session::start((1280, 800)).await;
    join(&session, &place)?;
    let (ours, theirs) = (session.dir().join("ready.jsonl"), session.dir().join("bare.jsonl"));
    let log = ours.display().to_string();
    let desktop = start_hidden(&session, &[("GATEPASS_BENCH_LOG", &log)]);
    let icon = session.tray.icon(desktop.id()).await;
    icon.label("Request access").await;
    let other = bare(&session, &["window", &theirs.display().to_string()]);
    let bare_icon = session.tray.icon(other.id()).await;
    let (mut measured, mut slow, mut first) = (Vec::new(), Vec::new(), None);
    for _ in 0..runs {
        let (mut own, mut within, mut reference) = (Vec::new(), Vec::new(), Vec::new());
        while own.len() < windows {
            let clicked = open(&icon, &ours).await.map_err(|e| format!("{e}\n{}", desktop.log()))?;
            close(&session)?;
            tokio::time::sleep(BETWEEN).await;
            // The very first finds nothing in any cache, and there is only one of it.
            if first.is_none() {
                first = Some(clicked);
                continue;
            }
            own.push(clicked);
            within.extend(inner(&ours));
            reference.push(open(&bare_icon, &theirs).await?);
            close(&session)?;
            tokio::time::sleep(BETWEEN).await;
        }
        eprintln!(
            "  {windows} windows: median {:.0} ms, p95 {:.0} ms; {:.0} ms of it in the program",
            median(&own),
            percentile(&own, 0.95),
            median(&within)
        );
        slow.push(percentile(&own, 0.95));
        measured.push(Run { measured: median(&own), reference: median(&reference) });
    }
    let note = format!(
        "median of {windows} windows a run, p95 {:.0} ms; the very first took {:.0} ms",
        median(&slow),
        first.unwrap_or_default()
    );
    let name = "a bare WebKitGTK window with one line of text, loaded";
    Ok(Measurement::of("window-open", "ms", name, Bound::Under(300.0), &measured, note))
}

/// Clicks “Open …” and waits for the line that says the view is on the screen; milliseconds.
async fn open(icon: &gatepass_tests::tray::Icon<'_>, log: &Path) -> Outcome<f64> {
    let lines = ready(log);
    let entry = icon.menu().await.ok_or("the tray has no menu")?;
    let found = entry.all().into_iter().find(|e| e.label.starts_with("Open")).map(|e| e.label.clone());
    let label = found.ok_or("the tray offers no “Open”")?;
    let from = Instant::now();
    icon.click(&label).await;
    while ready(log) == lines {
        if from.elapsed() > PATIENCE {
            return Err("the window's first view did not come".into());
        }
        // The runtime's own timer is no finer than this.
        thread::sleep(Duration::from_millis(1));
    }
    Ok(from.elapsed().as_secs_f64() * 1000.0)
}

/// What the program itself says that the last window took, from the click's arrival; milliseconds.
fn inner(log: &Path) -> Option<f64> {
    let text = fs::read_to_string(log).ok()?;
    serde_json::from_str::<Value>(text.lines().last()?).ok()?["value"].as_f64()
}

/// How many times a view was ready.
fn ready(log: &Path) -> usize {
    let text = fs::read_to_string(log).unwrap_or_default();
    let named = |line: &&str| serde_json::from_str::<Value>(line).is_ok_and(|v| v["name"] == "ui_ready_ms");
    text.lines().filter(named).count()
}

/// Closes the window as its person would, and waits until it is gone.
fn close(session: &Session) -> Outcome<()> {
    let run = |args: &[&str]| -> Outcome<String> {
        let output = with_env(session, "xdotool").args(args).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let from = Instant::now();
    while !run(&["search", "--onlyvisible", "--name", "Gatepass|Bare"])?.is_empty() {
        if from.elapsed() > PATIENCE {
            return Err("the window does not close".into());
        }
        run(&["key", "--clearmodifiers", "alt+F4"])?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn with_env(session: &Session, program: &str) -> Command {
    session.command(Path::new(program))
}
