//! Exports that the window starts: into the person's Downloads, in the background.

use crate::desktop::Desktop;
use gatepass_client::ui::Failure;
use gatepass_client::{ExportAsk, ExportState};
use gatepass_core::Code;
use std::path::PathBuf;
use tauri::{AppHandle, Manager as _, State};

type App<'a> = State<'a, Desktop>;

/// Where the person's files go.
pub fn downloads(handle: &AppHandle) -> Result<PathBuf, Failure> {
    let path = handle.path();
    // A system without such a folder has a home at least.
    let folder = path.download_dir().or_else(|_| path.home_dir());
    let folder = folder.map_err(|e| {
        Failure::new(Code::Internal, format!("There is no Downloads folder to write to: {e}."))
    })?;
    std::fs::create_dir_all(&folder)
        .map_err(|e| Failure::new(Code::Internal, format!("{} can’t be made: {e}.", folder.display())))?;
    Ok(folder)
}

#[tauri::command]
pub async fn export_start(handle: AppHandle, app: App<'_>, ask: ExportAsk) -> Result<u64, Failure> {
    app.client().await?.export_start(ask, downloads(&handle)?)
}

#[tauri::command]
pub async fn export_state(app: App<'_>, id: u64) -> Result<ExportState, Failure> {
    app.client().await?.export_state(id)
}

#[tauri::command]
pub async fn export_cancel(app: App<'_>, id: u64) -> Result<(), Failure> {
    app.client().await?.export_cancel(id)
}
