//! Gatepass on the desktop: the tray, the notifications and the window of one profile. What they show and do is
//! the client's; here is only how it reaches the screen.

mod bench;
mod navigate;
pub mod preflight;
mod tray;
mod windows;

use std::sync::Mutex;
use std::time::Instant;

use clap::Parser;
use tauri::{AppHandle, Manager, RunEvent};

use navigate::Place;

/// The tray app of Gatepass.
#[derive(Clone, Debug, Parser)]
#[command(name = "gatepass-desktop", version)]
pub struct Options {
    /// Whose data to use; each profile keeps its own, and runs once.
    #[arg(long, default_value = "default", value_name = "NAME", value_parser = profile_name)]
    pub profile: String,
    /// Start with the tray only.
    #[arg(long)]
    pub hidden: bool,
    /// A gatepass:// link to open; it never does anything by itself.
    #[arg(value_name = "LINK")]
    pub link: Option<String>,
}

/// The names that are safe as a folder and as a part of a bus name.
fn profile_name(name: &str) -> Result<String, String> {
    let fits = (1..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    if fits { Ok(name.to_owned()) } else { Err("use a-z, 0-9, - and _, up to 40 of them".to_owned()) }
}

/// What every part of the app can reach.
pub(crate) struct Desktop {
    pub profile_name: String,
    opened: Mutex<Option<Instant>>,
}

impl Desktop {
    /// The window was asked for at this moment.
    pub fn opening(&self, at: Instant) {
        if let Ok(mut opened) = self.opened.lock() {
            *opened = Some(at);
        }
    }

    /// Since when the window has been opening; only the first call after [`Self::opening`] gets it.
    pub fn opened(&self) -> Option<Instant> {
        self.opened.lock().ok().and_then(|mut opened| opened.take())
    }
}

/// Why the app did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the window system did not start: {0}")]
    Tauri(#[from] tauri::Error),
}

/// Runs until Quit in the tray. A second start of the same profile shows the first one's window and ends.
pub fn run(options: Options) -> Result<(), StartError> {
    let desktop = Desktop { profile_name: options.profile.clone(), opened: Mutex::new(None) };
    let name = options.profile.clone();
    let app = tauri::Builder::default()
        .plugin(
            tauri_plugin_single_instance::Builder::new()
                .callback(second_start)
                .dbus_id(format!("io.github.gatepass.desktop.p_{}", name.replace('-', "_0")))
                .build(),
        )
        .manage(desktop)
        .invoke_handler(tauri::generate_handler![bench::ui_ready])
        .setup(move |app| {
            tray::start(app.handle())?;
            if !options.hidden || options.link.is_some() {
                let place = options.link.as_deref().and_then(Place::from_link);
                windows::show(app.handle(), place);
            }
            Ok(())
        })
        .build(tauri::generate_context!())?;
    app.run(|_, event| {
        // Closing the window leaves the tray; only Quit, which gives a code, ends the app.
        if let RunEvent::ExitRequested { api, code: None, .. } = event {
            api.prevent_exit();
        }
    });
    Ok(())
}

fn second_start(app: &AppHandle, arguments: Vec<String>, _folder: String) {
    let Ok(options) = Options::try_parse_from(arguments) else { return };
    if !options.hidden || options.link.is_some() {
        windows::show(app, options.link.as_deref().and_then(Place::from_link));
    }
}
