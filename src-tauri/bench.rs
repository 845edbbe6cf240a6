//! When the window was ready, for `./dev bench`.

use std::fs::OpenOptions;
use std::io::Write;

use tauri::{AppHandle, State};

use crate::desktop::Desktop;
use crate::windows;

/// The page calls this once its first view is on the screen. The time since the window was asked for goes to
/// the log, and as a line of JSON to the file that `GATEPASS_BENCH_LOG` names.
#[tauri::command]
pub fn ui_ready(app: AppHandle, desktop: State<'_, Desktop>) {
    let Some((asked, then)) = desktop.window_ready() else { return };
    let ms = asked.elapsed().as_secs_f64() * 1000.0;
    tracing::debug!(ms, "the window is ready");
    record("ui_ready_ms", ms);
    if let Some(place) = then {
        windows::go(&app, &place);
    }
}

/// Appends one measurement; without `GATEPASS_BENCH_LOG` it does nothing.
pub fn record(name: &str, value: f64) {
    let Some(path) = std::env::var_os("GATEPASS_BENCH_LOG") else { return };
    let line = serde_json::json!({ "name": name, "value": value });
    let written =
        OpenOptions::new().create(true).append(true).open(path).and_then(|mut f| writeln!(f, "{line}"));
    if let Err(error) = written {
        tracing::warn!(%error, "the measurement was not written");
    }
}
