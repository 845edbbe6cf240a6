//! Starting with the session, as a setting.

use gatepass_client::ui::Failure;
use gatepass_core::Code;
use tauri::plugin::TauriPlugin;
use tauri::{AppHandle, Wry};
use tauri_plugin_autostart::ManagerExt as _;

/// Each profile has its own entry; it starts with the tray only.
pub fn plugin(profile: &str) -> TauriPlugin<Wry> {
    tauri_plugin_autostart::Builder::new()
        .app_name(format!("gatepass-{profile}"))
        .args(["--hidden", "--profile", profile])
        .build()
}

/// Makes or removes the entry; nothing is touched when it is right already.
pub fn apply(app: &AppHandle, wanted: bool) -> Result<(), Failure> {
    let entry = app.autolaunch();
    let set = match (entry.is_enabled().unwrap_or(false), wanted) {
        (false, true) => entry.enable(),
        (true, false) => entry.disable(),
        _ => Ok(()),
    };
    set.map_err(|e| {
        Failure::new(Code::Internal, format!("Starting with the session could not be changed: {e}"))
    })
}
