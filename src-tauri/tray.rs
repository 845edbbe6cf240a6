//! Puts the tray's model on the screen, touching only what changed.

use std::sync::{Mutex, PoisonError};

use gatepass_client::Profile;
use tauri::image::Image;
use tauri::menu::{IsMenuItem, Menu, MenuEvent, MenuItem, PredefinedMenuItem, Submenu};
use tauri::tray::{TrayIcon, TrayIconBuilder};
use tauri::{AppHandle, Manager, Wry};

use crate::menu::{self, Entry, Model, Shape};
use crate::navigate::Place;
use crate::{panel, windows};

const QUIT: &str = "quit";
const OPEN: &str = "open";

/// The icon in the tray and what it shows now.
pub struct Tray {
    icon: TrayIcon,
    shown: Mutex<Shown>,
}

struct Shown {
    model: Option<Model>,
    /// What can be clicked, in the model's order, submenus in place.
    items: Vec<MenuItem<Wry>>,
}

/// Puts the icon into the tray, with what never changes in its menu.
pub fn start(app: &AppHandle, profile: &Profile) -> tauri::Result<()> {
    let icon = TrayIconBuilder::with_id(profile.name())
        // Two profiles must not write each other's icon.
        .temp_dir_path(profile.dir().join("tray"))
        .icon(picture(Shape::Idle)?)
        .menu(&Menu::new(app)?)
        .on_menu_event(clicked)
        .build(app)?;
    app.manage(Tray { icon, shown: Mutex::new(Shown { model: None, items: Vec::new() }) });
    draw(app, menu::starting(profile.name()))
}

/// Shows the model; from any thread.
pub fn show(app: &AppHandle, model: Model) {
    let handle = app.clone();
    let drawn = app.run_on_main_thread(move || {
        if let Err(error) = draw(&handle, model) {
            tracing::warn!(%error, "the tray could not be drawn");
        }
    });
    if let Err(error) = drawn {
        tracing::warn!(%error, "the tray could not be drawn");
    }
}

fn draw(app: &AppHandle, model: Model) -> tauri::Result<()> {
    let tray = app.state::<Tray>();
    let mut shown = tray.shown.lock().unwrap_or_else(PoisonError::into_inner);
    let before = shown.model.take();
    if before.as_ref().map(|m| m.shape) != Some(model.shape) {
        tray.icon.set_icon(Some(picture(model.shape)?))?;
    }
    if before.as_ref().map(|m| &m.badge) != Some(&model.badge) {
        tray.icon.set_title(Some(&model.badge))?;
    }
    if before.as_ref().map(|m| &m.title) != Some(&model.title) {
        tray.icon.set_tooltip(Some(&model.title))?;
    }
    match before {
        Some(before) if same_structure(&before.entries, &model.entries) => {
            let (old, new) = (labels(&before.entries), labels(&model.entries));
            for ((item, new), _) in
                shown.items.iter().zip(&new).zip(&old).filter(|((_, new), old)| new != old)
            {
                item.set_text(escape(new))?;
            }
        }
        _ => {
            let mut items = Vec::new();
            let built = build(app, &model.entries, &mut items)?;
            let entries: Vec<&dyn IsMenuItem<Wry>> = built.iter().map(AsRef::as_ref).collect();
            tray.icon.set_menu(Some(Menu::with_items(app, &entries)?))?;
            shown.items = items;
        }
    }
    shown.model = Some(model);
    Ok(())
}

type Built = Vec<Box<dyn IsMenuItem<Wry>>>;

fn build(app: &AppHandle, entries: &[Entry], items: &mut Vec<MenuItem<Wry>>) -> tauri::Result<Built> {
    let mut built: Built = Vec::new();
    for entry in entries {
        match entry {
            Entry::Separator => built.push(Box::new(PredefinedMenuItem::separator(app)?)),
            Entry::Group { label, entries } => {
                let inner = build(app, entries, items)?;
                let inner: Vec<&dyn IsMenuItem<Wry>> = inner.iter().map(AsRef::as_ref).collect();
                built.push(Box::new(Submenu::with_items(app, escape(label), true, &inner)?));
            }
            Entry::Go { .. } | Entry::Line(_) | Entry::Quit => {
                let (id, label, enabled) = clickable(entry);
                let item = MenuItem::with_id(app, id, escape(label), enabled, None::<&str>)?;
                items.push(item.clone());
                built.push(Box::new(item));
            }
        }
    }
    Ok(built)
}

/// Id, label and whether it does something; ids are places, so a click needs no table.
fn clickable(entry: &Entry) -> (&str, &str, bool) {
    match entry {
        Entry::Go { label, place } => (place.as_ref().map_or(OPEN, Place::as_str), label, true),
        Entry::Line(text) => ("", text, false),
        Entry::Group { label, .. } => ("", label, true),
        Entry::Separator => ("", "", false),
        Entry::Quit => (QUIT, "Quit", true),
    }
}

fn clicked(app: &AppHandle, event: MenuEvent) {
    match event.id().as_ref() {
        QUIT => app.exit(0),
        OPEN => windows::show(app, None),
        path => {
            let tray = app.state::<Tray>();
            let shown = tray.shown.lock().unwrap_or_else(PoisonError::into_inner);
            let place = shown.model.as_ref().and_then(|model| find(&model.entries, path));
            drop(shown);
            if place.is_some() {
                windows::show(app, place);
            }
        }
    }
}

fn find(entries: &[Entry], path: &str) -> Option<Place> {
    entries.iter().find_map(|entry| match entry {
        Entry::Go { place: Some(place), .. } if place.as_str() == path => Some(place.clone()),
        Entry::Group { entries, .. } => find(entries, path),
        _ => None,
    })
}

/// Whether only labels differ.
fn same_structure(a: &[Entry], b: &[Entry]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| match (a, b) {
            (Entry::Go { place: a, .. }, Entry::Go { place: b, .. }) => a == b,
            (Entry::Line(_), Entry::Line(_)) => true,
            (Entry::Group { label: a, entries: c }, Entry::Group { label: b, entries: d }) => {
                a == b && same_structure(c, d)
            }
            (a, b) => a == b,
        })
}

fn labels(entries: &[Entry]) -> Vec<&str> {
    let mut all = Vec::new();
    for entry in entries {
        match entry {
            Entry::Separator => {}
            Entry::Group { entries, .. } => all.extend(labels(entries)),
            other => all.push(clickable(other).1),
        }
    }
    all
}

/// An ampersand would mark the next letter as a shortcut.
fn escape(label: &str) -> String {
    label.replace('&', "&&")
}

fn picture(shape: Shape) -> tauri::Result<Image<'static>> {
    macro_rules! pair {
        ($name:literal) => {
            (
                include_bytes!(concat!("../icons/tray/tray-", $name, "-on-dark.png")).as_slice(),
                include_bytes!(concat!("../icons/tray/tray-", $name, "-on-light.png")).as_slice(),
            )
        };
    }
    let (on_dark, on_light) = match shape {
        Shape::Alarm => pair!("alarm"),
        Shape::Offline => pair!("offline"),
        Shape::Ending => pair!("ending"),
        Shape::Waiting => pair!("waiting"),
        Shape::Active => pair!("active"),
        Shape::Idle => pair!("idle"),
    };
    Image::from_bytes(if panel::is_dark() { on_dark } else { on_light })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go(label: &str, place: Place) -> Entry {
        Entry::Go { label: label.to_owned(), place: Some(place) }
    }

    #[test]
    fn a_countdown_changes_labels_only() {
        let menu = |left: &str| {
            let group = Entry::Group { label: "Again".to_owned(), entries: vec![go("a", Place::ask())] };
            vec![go(left, Place::accesses()), Entry::Separator, group, Entry::Quit]
        };
        assert!(same_structure(&menu("5:00 left"), &menu("4:59 left")));
        assert_eq!(labels(&menu("5:00 left")), ["5:00 left", "a", "Quit"]);
        let mut moved = menu("5:00 left");
        moved.remove(1);
        assert!(!same_structure(&moved, &menu("5:00 left")));
        let other = vec![go("5:00 left", Place::inbox())];
        assert!(!same_structure(&menu("5:00 left")[..1], &other));
    }

    #[test]
    fn a_place_is_found_in_a_submenu_too() {
        let entries =
            [Entry::Group { label: "Again".to_owned(), entries: vec![go("a", Place::ask_for("r", "w"))] }];
        assert_eq!(find(&entries, "/request?resource=r&role=w"), Some(Place::ask_for("r", "w")));
        assert_eq!(find(&entries, "/settings"), None);
    }

    #[test]
    fn names_with_an_ampersand_stay_whole() {
        assert_eq!(escape("R&D"), "R&&D");
    }
}
