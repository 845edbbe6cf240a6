//! The one window: made when asked for, gone when closed, so that the tray alone stays small.

use std::time::Instant;

use tauri::webview::{Color, NewWindowResponse};
use tauri::{AppHandle, Emitter, Manager, Theme, Url, WebviewUrl, WebviewWindowBuilder};
use tauri_plugin_window_state::{AppHandleExt as _, StateFlags};

use crate::desktop::Desktop;
use crate::navigate::Place;

/// The label of the only window; capabilities name it too.
pub const LABEL: &str = "main";

/// Shows the window at `place`, or where it was; makes it when there is none. From any thread.
pub fn show(app: &AppHandle, place: Option<Place>) {
    let asked = Instant::now();
    let handle = app.clone();
    let shown = app.run_on_main_thread(move || {
        if let Err(error) = show_here(&handle, place, asked) {
            tracing::error!(%error, "the window could not be shown");
        }
    });
    if let Err(error) = shown {
        tracing::error!(%error, "the window could not be shown");
    }
}

fn show_here(app: &AppHandle, place: Option<Place>, asked: Instant) -> tauri::Result<()> {
    let desktop = app.state::<Desktop>();
    if let Some(window) = app.get_webview_window(LABEL) {
        if let Some(place) = place.filter(|place| !desktop.go_later(place)) {
            go(app, &place);
        }
        window.unminimize()?;
        window.show()?;
        return window.set_focus();
    }
    desktop.opening_window(asked);
    let page = match &place {
        Some(place) => format!("index.html#{}", place.as_str()),
        None => "index.html".to_owned(),
    };
    let window = WebviewWindowBuilder::new(app, LABEL, WebviewUrl::App(page.into()))
        .title(title(desktop.profile.name()))
        .inner_size(1120.0, 720.0)
        .min_inner_size(880.0, 560.0)
        .center()
        // Not `incognito`: the second such window of a process finds no page, and tests could not drive it.
        .data_directory(desktop.profile.dir().join("webview"))
        .devtools(cfg!(debug_assertions))
        .on_navigation(own_page)
        .on_new_window(|_, _| NewWindowResponse::Deny)
        .build()?;
    let theme = desktop.profile.settings().map(|settings| settings.theme).unwrap_or_default();
    let dark = match theme.as_str() {
        "dark" => true,
        "light" => false,
        _ => window.theme().is_ok_and(|theme| theme == Theme::Dark),
    };
    // The page's own ground, so that it does not flash while it loads.
    window.set_background_color(Some(if dark { Color(17, 19, 22, 255) } else { Color(255, 255, 255, 255) }))
}

/// Takes the open window to a place.
pub fn go(app: &AppHandle, place: &Place) {
    if let Err(error) = app.emit_to(LABEL, "navigate", serde_json::json!({ "to": place.as_str() })) {
        tracing::warn!(%error, "the window was not taken to its place");
    }
}

/// Keeps the window's size and place, for the next one.
pub fn remember(app: &AppHandle) {
    if let Err(error) = app.save_window_state(StateFlags::all()) {
        tracing::warn!(%error, "the window's place was not kept");
    }
}

/// Only the embedded page, or the development server of a debug build.
fn own_page(url: &Url) -> bool {
    (url.scheme() == "tauri" && url.host_str() == Some("localhost"))
        || (cfg!(debug_assertions)
            && url.scheme() == "http"
            && url.host_str() == Some("127.0.0.1")
            && url.port() == Some(1420))
}

/// Tells whose window it is when there is more than one profile.
pub fn title(profile: &str) -> String {
    if profile == "default" { "Gatepass".to_owned() } else { format!("Gatepass – {profile}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_title_names_another_profile() {
        assert_eq!(title("default"), "Gatepass");
        assert_eq!(title("tomas"), "Gatepass – tomas");
    }

    #[test]
    fn the_window_never_leaves_its_page() {
        assert!(own_page(&"tauri://localhost/index.html#/review".parse().unwrap()));
        for away in [
            "https://example.com/",
            "tauri://elsewhere/",
            "file:///etc/passwd",
            "http://localhost/",
            "data:text/html,x",
        ] {
            assert!(!own_page(&away.parse().unwrap()), "{away}");
        }
    }
}
