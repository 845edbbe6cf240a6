//! Gatepass on the desktop: the tray, the notifications and the window of one profile. What they show and do is
//! the client's; here is only how it reaches the screen.

mod autostart;
mod bench;
mod clipboard;
mod commands;
mod daemon;
mod desktop;
mod ending;
mod evidence;
mod exports;
#[cfg(test)]
mod fixture;
mod follow;
mod menu;
mod navigate;
mod note;
mod notify;
mod panel;
mod phrase;
pub mod preflight;
mod session;
mod tray;
mod trial;
mod windows;

use clap::Parser;
use gatepass_client::ui::Failure;
use gatepass_client::{DEFAULT_PROFILE, KeyStore, Profile};
use gatepass_core::text::Digest;
use tauri::{AppHandle, RunEvent};
use tauri_plugin_window_state::StateFlags;

use desktop::Desktop;
use navigate::Place;

/// The tray app of Gatepass.
#[derive(Clone, Debug, Parser)]
#[command(name = "gatepass-desktop", version)]
pub struct Options {
    /// Whose data to use; each profile keeps its own, and runs once.
    #[arg(long, default_value = DEFAULT_PROFILE, value_name = "NAME")]
    pub profile: String,
    /// Start with the tray only.
    #[arg(long)]
    pub hidden: bool,
    /// A gatepass:// link to open; it never does anything by itself.
    #[arg(value_name = "LINK")]
    pub link: Option<String>,
}

/// Why the app did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Profile(#[from] Failure),
    #[error("the window system did not start: {0}")]
    Tauri(#[from] tauri::Error),
}

/// Runs until Quit in the tray. A second start of the same profile shows the first one's window and ends.
pub fn run(options: Options) -> Result<(), StartError> {
    let profile = Profile::named(&options.profile)?;
    profile.ensure()?;
    let desktop = Desktop::new(profile.clone(), KeyStore::from_env()?);
    let app = tauri::Builder::default()
        .plugin(
            tauri_plugin_single_instance::Builder::new()
                .callback(second_start)
                .dbus_id(bus_name(&profile))
                .build(),
        )
        .plugin(
            tauri_plugin_window_state::Builder::new()
                .with_filename(profile.dir().join("window.json").to_string_lossy())
                .with_state_flags(StateFlags::SIZE | StateFlags::POSITION | StateFlags::MAXIMIZED)
                .build(),
        )
        .plugin(autostart::plugin(profile.name()))
        .manage(desktop)
        .manage(trial::Trial::default())
        .invoke_handler(handler())
        .setup(move |app| {
            tray::start(app.handle(), &profile)?;
            if !options.hidden || options.link.is_some() {
                windows::show(app.handle(), options.link.as_deref().and_then(Place::from_link));
            }
            tauri::async_runtime::spawn(follow::follow(app.handle().clone()));
            tauri::async_runtime::spawn(follow::end_when_told(app.handle().clone()));
            Ok(())
        })
        .build(tauri::generate_context!())?;
    app.run(|app, event| match event {
        // Closing the window leaves the tray; only Quit, which gives a code, ends the app.
        RunEvent::ExitRequested { api, code: None, .. } => api.prevent_exit(),
        RunEvent::WindowEvent { event: tauri::WindowEvent::CloseRequested { .. }, .. } => {
            windows::remember(app)
        }
        RunEvent::Exit => tauri::async_runtime::block_on(trial::stop(app)),
        _ => {}
    });
    Ok(())
}

fn handler() -> impl Fn(tauri::ipc::Invoke) -> bool + Send + Sync + 'static {
    tauri::generate_handler![
        bench::ui_ready,
        commands::status,
        commands::join,
        commands::try_here,
        commands::trial_invite,
        commands::catalogue,
        commands::recent_roles,
        commands::preview,
        commands::submit_request,
        commands::requests,
        commands::request,
        commands::timeline,
        commands::grants,
        commands::drift,
        commands::mark_known,
        commands::mark_unknown,
        commands::prepare_decision,
        commands::send_prepared,
        commands::withdraw,
        commands::return_grant,
        commands::revoke_grant,
        commands::people,
        commands::holdings,
        commands::revoke_all,
        commands::extend_grant,
        commands::credential,
        commands::reveal_password,
        commands::copy_password,
        commands::copy_text,
        commands::events,
        commands::event_slice,
        commands::event_map,
        commands::event_counts,
        commands::event_at,
        commands::event_numbered,
        commands::saved_searches,
        commands::save_search,
        commands::rename_search,
        commands::delete_search,
        commands::event,
        commands::verify,
        commands::verify_progress,
        commands::verify_cancel,
        commands::mismatch,
        commands::verify_again,
        evidence::export_evidence,
        exports::export_start,
        exports::export_state,
        exports::export_cancel,
        commands::sync_now,
        commands::settings,
        commands::set_settings,
        commands::leave,
    ]
}

/// One name for each profile of each home, so that a trial beside the real one is not taken for it.
fn bus_name(profile: &Profile) -> String {
    let digest = Digest::of(profile.dir().as_os_str().as_encoded_bytes()).to_string();
    format!("io.github.gatepass.desktop.p{}", &digest[..16])
}

fn second_start(app: &AppHandle, arguments: Vec<String>, _folder: String) {
    let Ok(options) = Options::try_parse_from(arguments) else { return };
    if !options.hidden || options.link.is_some() {
        windows::show(app, options.link.as_deref().and_then(Place::from_link));
    }
}
