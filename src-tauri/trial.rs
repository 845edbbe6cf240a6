//! "Try on this machine": the real server inside this app, with a sample target. Nobody approves their own
//! request here either, so a second person joins from a second profile.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatepass_client::ui::{Failure, Status};
use gatepass_client::{Client, Clock};
use gatepass_core::Code;
use gatepass_server::invite::{Invitation, invite};
use gatepass_server::{Config, Options, Running, StartError, start};
use serde::Serialize;
use tauri::{AppHandle, Manager};
use tokio::sync::Mutex;

const CONFIG: &str = include_str!("trial.toml");
/// Who may ask and approve in the trial.
const GROUP: &str = "trial";
/// What running jobs may take when the app quits; what is left is done at the next start.
const PATIENCE: Duration = Duration::from_secs(3);

/// The embedded server, while it runs.
#[derive(Default)]
pub struct Trial(Mutex<Option<(Config, Running)>>);

/// A link for the second person.
#[derive(Clone, Debug, Serialize)]
pub struct TrialInvite {
    pub link: String,
    /// What to run to open the second person's window.
    pub command: String,
}

/// Starts the embedded server and joins it.
pub async fn begin(app: &AppHandle, client: &Client) -> Result<Status, Failure> {
    if client.profile().device()?.is_some() {
        return Err(Code::AlreadyJoined.into());
    }
    serve(app, client).await?;
    let link = invited(app, "you", &own_name()).await?;
    let joined = client.join_trial(&link, None).await;
    if joined.is_err() {
        stop(app).await;
    }
    joined
}

/// Starts the embedded server again for a profile that joined it.
pub async fn resume(app: &AppHandle, client: &Client) {
    let of_trial = client.profile().device().ok().flatten().filter(|device| device.trial);
    let Some(device) = of_trial else { return };
    let resumed = async {
        let url = serve(app, client).await?;
        if device.server_url.trim_end_matches('/') == url { Ok(()) } else { client.point_at(&url).await }
    };
    if let Err(failure) = resumed.await {
        tracing::error!(%failure, "the embedded server did not start");
    }
}

/// A fresh invite for a second person, to be used in another profile.
pub async fn second_person(app: &AppHandle, client: &Client) -> Result<TrialInvite, Failure> {
    if client.profile().device()?.is_none_or(|device| !device.trial) {
        return Err(Failure::new(
            Code::NotAllowed,
            "Only the trial on this machine gives out its own invites.",
        ));
    }
    let link = invited(app, "second", "Second person").await?;
    Ok(TrialInvite { link, command: "gatepass-desktop --profile second".to_owned() })
}

/// Stops the embedded server, letting it finish what it does. What it keeps stays on the disk.
pub async fn stop(app: &AppHandle) {
    let running = app.state::<Trial>().0.lock().await.take();
    if let Some((_, running)) = running
        && tokio::time::timeout(PATIENCE, running.shutdown()).await.is_err()
    {
        tracing::warn!("the embedded server was stopped before it was done");
    }
}

async fn serve(app: &AppHandle, client: &Client) -> Result<String, Failure> {
    let trial = app.state::<Trial>();
    let mut held = trial.0.lock().await;
    if let Some((_, running)) = &*held {
        return Ok(running.url.clone());
    }
    let folder = client.profile().dir().join("trial");
    let (config, running) = start_in(&folder).await?;
    let url = running.url.clone();
    *held = Some((config, running));
    Ok(url)
}

async fn invited(app: &AppHandle, handle: &str, name: &str) -> Result<String, Failure> {
    let trial = app.state::<Trial>();
    let held = trial.0.lock().await;
    let (config, running) = held.as_ref().ok_or_else(|| Failure::from(Code::Unavailable))?;
    let invitation = Invitation {
        handle: handle.to_owned(),
        name: name.to_owned(),
        groups: BTreeSet::from([GROUP.to_owned()]),
        auditor: false,
        admin: false,
    };
    let invited = invite(&**running.store(), config, invitation, Clock::system().now()).await;
    invited.map(|i| i.link).map_err(|e| failed("The invite could not be made", e))
}

/// Keeps its port over restarts when it can, since another profile may have joined by it.
async fn start_in(folder: &Path) -> Result<(Config, Running), Failure> {
    let file = prepare(folder).map_err(|e| failed("The trial’s folder can’t be used", e))?;
    let config = Config::load(&file).map_err(|e| failed("The trial’s configuration can’t be used", e))?;
    let port_file = folder.join("port");
    let port: u16 =
        fs::read_to_string(&port_file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let at = |port: u16| Options { listen: Some(format!("127.0.0.1:{port}")), ..Options::default() };
    let started = match start(config.clone(), at(port)).await {
        Err(StartError::Listen(..)) if port != 0 => start(config.clone(), at(0)).await,
        other => other,
    };
    let running = started.map_err(|e| failed("The embedded server did not start", e))?;
    fs::write(&port_file, running.addr.port().to_string())
        .map_err(|e| failed("The trial’s port can’t be kept", e))?;
    Ok((config, running))
}

/// Makes the folder and its configuration, unless they are there.
fn prepare(folder: &Path) -> std::io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let file = folder.join("gatepass.toml");
    if !file.exists() {
        fs::write(&file, CONFIG)?;
    }
    Ok(file)
}

fn failed(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Internal, format!("{what}: {error}"))
}

/// The name of the account on this computer, as a person would write it.
fn own_name() -> String {
    let account = std::env::var("USER").unwrap_or_default();
    let mut letters = account.chars();
    match letters.next() {
        Some(first) if account != "root" => first.to_uppercase().chain(letters).collect(),
        _ => "First person".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn the_embedded_server_comes_back_on_its_port_with_what_it_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (_, first) = start_in(folder.path()).await.unwrap();
        let (url, addr) = (first.url.clone(), first.addr);
        first.shutdown().await;
        let (_, second) = start_in(folder.path()).await.unwrap();
        assert_eq!(second.url, url);
        second.shutdown().await;

        // Another program took the port meanwhile.
        let _taken = std::net::TcpListener::bind(addr).unwrap();
        let (_, third) = start_in(folder.path()).await.unwrap();
        assert_ne!(third.url, url);
        third.shutdown().await;
    }
}
