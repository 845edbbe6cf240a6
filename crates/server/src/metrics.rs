//! Counters and gauges. They are the process's: several servers in one process share them.
//!
//! Each is there from the start, so that a rule over it never waits for a first event, and the first event is an
//! increase. What a server on SQLite has no use for stands at what is well.

use crate::app::App;
use crate::store::{DriftFilter, DriftRow};
use gatepass_core::wire::DriftState;
use metrics::{
    counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, set_global_recorder,
};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

static HERE: OnceLock<Option<Here>> = OnceLock::new();
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const EVENTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];
/// Measured times wait in memory until they are put into their buckets: also when nobody reads `/metrics`.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// How long `/metrics` waits for the store; then it tells what it knew before, and that the store is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// By name. Labels are added where they are counted.
const COUNTERS: &[(&str, &str)] = &[
    ("gatepass_certificate_reload_failures_total", "Changed certificates or keys that could not be taken up"),
    ("gatepass_commit_conflicts_total", "Writes that were decided again because another came first"),
    ("gatepass_ends_held_total", "Ends put off because the target's clock is behind the server's"),
    ("gatepass_grants_active_total", "Accesses that were set up"),
    ("gatepass_grants_ended_total", "Accesses that were removed and read back"),
    ("gatepass_hints_total", "Hints sent on streams"),
    ("gatepass_leases_lost_total", "Jobs that another worker took over because a lease ran out"),
    ("gatepass_log_missed_total", "Commands of devices that saw more of the log than there is"),
    ("gatepass_log_went_back_total", "Times the log was found shorter than it had been"),
    ("gatepass_removal_failures_total", "Failed tries to remove"),
    ("gatepass_setup_failures_total", "Failed tries to set up"),
];
const LABELLED_COUNTERS: &[(&str, &str)] = &[
    ("gatepass_commits_total", "Writes that were committed, by store"),
    ("gatepass_log_witness_failures_total", "Times a witness did not cosign the log, by witness"),
    ("gatepass_drift_total", "Accesses with our tag that no live grant explains, by target"),
    ("gatepass_missing_total", "Accesses that were gone from their target before their end, by target"),
];
/// With what they stand at until something is measured.
const GAUGES: &[(&str, &str, f64)] = &[
    (
        "gatepass_certificate_expires_seconds",
        "When the server's certificate ends, unix time; 0 without TLS",
        0.0,
    ),
    ("gatepass_clock_set_back_seconds", "By how much the clock is behind what is known to have passed", 0.0),
    ("gatepass_clock_offset_seconds", "This machine's clock less the database's", 0.0),
    ("gatepass_database_up", "Whether the store answers", 1.0),
    ("gatepass_disk_free_bytes", "Room left where the data directory is", 0.0),
    ("gatepass_jobs", "Jobs that wait or run", 0.0),
    ("gatepass_jobs_overdue_seconds", "For how long the longest due end of an access is overdue", 0.0),
    ("gatepass_jobs_running", "Jobs that run", 0.0),
    ("gatepass_listen_up", "Whether changes by other nodes are heard at once", 1.0),
    ("gatepass_log_cosignatures", "Witnesses that cosigned the newest head they were asked about", 0.0),
    ("gatepass_log_held", "Whether nothing is written because the log is an older copy", 0.0),
    ("gatepass_log_size", "Events in the log", 0.0),
    (
        "gatepass_log_unwitnessed_seconds",
        "For how long signed heads have lacked the quorum of witnesses",
        0.0,
    ),
    ("gatepass_outbox_events", "Events that wait for their place in the log", 0.0),
    ("gatepass_poll_age_seconds", "Since the log's head was last read from the database", 0.0),
    ("gatepass_removal_alarms", "Accesses whose removal failed three times or more", 0.0),
    ("gatepass_streams", "Open streams", 0.0),
    ("process_resident_memory_bytes", "Memory of this process", 0.0),
];
const HISTOGRAMS: &[(&str, &str)] = &[
    ("gatepass_commit_seconds", "Time of a write, until it is durable"),
    ("gatepass_database_wait_seconds", "Time until a connection to the database was free"),
    ("gatepass_sequencer_batch_events", "Events that got their place in the log together"),
    ("gatepass_sequencer_seconds", "Time to give a batch of events its place"),
];

struct Here {
    handle: PrometheusHandle,
    /// Whose disk is watched: the first server's.
    data: PathBuf,
}

/// Starts counting, for a server with this data directory. When something else in the process already counts,
/// `/metrics` stays empty.
pub fn start(data: &Path) {
    HERE.get_or_init(|| {
        let recorder = recorder().inspect_err(|error| tracing::warn!(%error, "no metrics")).ok()?;
        let handle = recorder.handle();
        set_global_recorder(recorder).ok()?;
        describe();
        let tidied = handle.clone();
        let tidy = move || {
            loop {
                std::thread::sleep(TIDY_EVERY);
                tidied.run_upkeep();
            }
        };
        let thread = std::thread::Builder::new().name("gatepass-metrics".to_owned()).spawn(tidy);
        if let Err(error) = thread {
            tracing::warn!(%error, "times are only tidied up when /metrics is read");
        }
        Some(Here { handle, data: data.to_owned() })
    });
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let batches = Matcher::Full("gatepass_sequencer_batch_events".to_owned());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(batches, EVENTS)?;
    let seconds = Matcher::Suffix("_seconds".to_owned());
    Ok(builder.set_buckets_for_metric(seconds, SECONDS)?.build_recorder())
}

fn describe() {
    for (name, what) in COUNTERS {
        describe_counter!(*name, *what);
        counter!(*name).increment(0);
    }
    for (name, what) in LABELLED_COUNTERS {
        describe_counter!(*name, *what);
    }
    for (name, what, at_first) in GAUGES {
        describe_gauge!(*name, *what);
        gauge!(*name).set(*at_first);
    }
    for (name, what) in HISTOGRAMS {
        describe_histogram!(*name, *what);
        // Asking for it makes it.
        drop(histogram!(*name));
    }
    describe_histogram!("gatepass_request_seconds", "Time to answer, by route and status");
    describe_gauge!(
        "gatepass_database_connections",
        "Connections of the pool that are used or idle; callers waiting"
    );
    for state in ["used", "idle", "waiting"] {
        gauge!("gatepass_database_connections", "state" => state).set(0.0);
    }
    describe_gauge!(
        "gatepass_drift_open",
        "Accesses that no grant explains and nobody marked as known, by target"
    );
    describe_gauge!("gatepass_target_clock_offset_seconds", "The server's clock less the target's");
    describe_gauge!("gatepass_build_info", "1; its version is a label");
    gauge!("gatepass_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Measures what is only known by looking, and answers all in Prometheus' text format. While the store is away,
/// what it would have said stands as it was.
pub async fn gather(app: &App) -> String {
    let Some(here) = HERE.get().and_then(Option::as_ref) else { return String::new() };
    let backlog = tokio::time::timeout(PATIENCE, app.store.backlog()).await;
    gauge!("gatepass_database_up").set(if matches!(backlog, Ok(Ok(_))) { 1.0 } else { 0.0 });
    if let Ok(Ok(backlog)) = backlog {
        let overdue = backlog.oldest_end.map_or(0, |due| (app.clock.now() - due).num_milliseconds().max(0));
        gauge!("gatepass_jobs").set(backlog.jobs as f64);
        gauge!("gatepass_jobs_overdue_seconds").set(overdue as f64 / 1000.0);
        gauge!("gatepass_removal_alarms").set(backlog.alarms as f64);
    }
    let all = DriftFilter { limit: usize::MAX, ..DriftFilter::default() };
    let drift = tokio::time::timeout(PATIENCE, app.store.drift(all)).await;
    for (target, _) in app.targets.iter() {
        counter!("gatepass_drift_total", "target" => target.clone()).increment(0);
        counter!("gatepass_missing_total", "target" => target.clone()).increment(0);
        if let Ok(Ok(rows)) = &drift {
            let open =
                |row: &&DriftRow| row.drift.state == DriftState::Open && row.drift.found.target == *target;
            gauge!("gatepass_drift_open", "target" => target.clone())
                .set(rows.iter().filter(open).count() as f64);
        }
    }
    if let Some(witnesses) = &app.witnesses {
        witnesses.measure();
    }
    gauge!("gatepass_log_size").set(*app.store.heads().borrow() as f64);
    // What can't be measured keeps what it stood at.
    if let Ok(disk) = rustix::fs::statvfs(&here.data) {
        gauge!("gatepass_disk_free_bytes").set(disk.f_bavail as f64 * disk.f_frsize as f64);
    }
    if let Some(bytes) = resident() {
        gauge!("process_resident_memory_bytes").set(bytes as f64);
    }
    here.handle.render()
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_this_process_is_known() {
        assert!(resident().is_some_and(|bytes| bytes > 1024 * 1024));
    }
}
