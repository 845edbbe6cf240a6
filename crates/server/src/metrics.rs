//! Counters and gauges. They are the process's: several servers in one process share them.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Starts counting. When something else in the process already does, `/metrics` stays empty.
pub fn start() {
    HANDLE.get_or_init(|| {
        let buckets = Matcher::Suffix("_seconds".to_owned());
        let recorder = PrometheusBuilder::new().set_buckets_for_metric(buckets, SECONDS);
        let recorder = recorder.map(PrometheusBuilder::build_recorder);
        let recorder = recorder.inspect_err(|error| tracing::warn!(%error, "no metrics")).ok()?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        describe();
        Some(handle)
    });
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_histogram!("gatepass_request_seconds", "Time to answer, by route and status");
    describe_counter!("gatepass_grants_active_total", "Accesses that were set up");
    describe_counter!("gatepass_grants_ended_total", "Accesses that were removed and read back");
    describe_counter!("gatepass_setup_failures_total", "Failed tries to set up");
    describe_counter!("gatepass_removal_failures_total", "Failed tries to remove");
    describe_counter!("gatepass_drift_total", "Accesses on targets that no live grant explains");
    describe_gauge!("gatepass_jobs", "Jobs that wait or run");
    describe_gauge!("gatepass_jobs_running", "Jobs that run");
    describe_gauge!("gatepass_removal_alarms", "Accesses whose removal failed three times or more");
    describe_gauge!("gatepass_log_size", "Events in the log");
}

/// All of them, in Prometheus' text format.
pub fn render() -> String {
    HANDLE.get().and_then(Option::as_ref).map(PrometheusHandle::render).unwrap_or_default()
}
