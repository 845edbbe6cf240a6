//! "Try on this machine": a server inside this app.

use gatepass_client::Client;
use gatepass_client::ui::{Failure, Status};
use gatepass_core::Code;
use tauri::AppHandle;

/// Starts the embedded server and joins it.
pub async fn begin(_app: &AppHandle, _client: &Client) -> Result<Status, Failure> {
    Err(Failure::new(Code::Unavailable, "The embedded server is not part of this build."))
}

/// Starts the embedded server again for a profile that joined it.
pub async fn resume(_app: &AppHandle, _client: &Client) {}

/// Stops the embedded server.
pub async fn end(_app: &AppHandle) {}
