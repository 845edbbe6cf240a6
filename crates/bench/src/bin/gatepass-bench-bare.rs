//! The least a GTK program with a tray icon can be, as the measure for what the desktop adds. `tray` shows an icon
//! with a menu; `countdown` changes an entry of it each second; `window FILE` opens a WebKitGTK window from the menu
//! and adds a line to FILE when its page is loaded.

use gtk::prelude::*;
use libappindicator::{AppIndicator, AppIndicatorStatus};
use std::cell::Cell;
use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use webkit2gtk::{LoadEvent, WebView, WebViewExt as _};

fn main() -> ExitCode {
    if let Err(error) = gtk::init() {
        eprintln!("GTK does not start: {error}");
        return ExitCode::FAILURE;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut indicator = AppIndicator::new("gatepass-bench-bare", "applications-system");
    indicator.set_status(AppIndicatorStatus::Active);
    let mut menu = gtk::Menu::new();
    let (open, quit) = (gtk::MenuItem::with_label("Open bare window"), gtk::MenuItem::with_label("Quit"));
    menu.append(&open);
    menu.append(&quit);
    quit.connect_activate(|_| gtk::main_quit());
    match (args.first().map(String::as_str), args.get(1)) {
        (Some("tray"), None) => {}
        (Some("countdown"), None) => count_down(&open),
        (Some("window"), Some(file)) => {
            let file = file.clone();
            open.connect_activate(move |_| show(file.clone()));
        }
        _ => {
            eprintln!("usage: gatepass-bench-bare tray | countdown | window FILE");
            return ExitCode::from(2);
        }
    }
    menu.show_all();
    indicator.set_menu(&mut menu);
    gtk::main();
    ExitCode::SUCCESS
}

fn count_down(entry: &gtk::MenuItem) {
    let (entry, left) = (entry.clone(), Rc::new(Cell::new(3600_u32)));
    gtk::glib::timeout_add_local(Duration::from_secs(1), move || {
        left.set(left.get().saturating_sub(1));
        entry.set_label(&format!("{}:{:02} left", left.get() / 60, left.get() % 60));
        gtk::glib::ControlFlow::Continue
    });
}

fn show(file: String) {
    let asked = Instant::now();
    let window = gtk::Window::new(gtk::WindowType::Toplevel);
    window.set_title("Bare window");
    window.set_default_size(1120, 720);
    let page = WebView::new();
    window.add(&page);
    page.connect_load_changed(move |_, event| {
        if event == LoadEvent::Finished {
            let line =
                format!("{{\"name\":\"ui_ready_ms\",\"value\":{}}}\n", asked.elapsed().as_secs_f64() * 1e3);
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(&file);
            if let Err(error) = opened.and_then(|mut file| file.write_all(line.as_bytes())) {
                eprintln!("{file}: {error}");
            }
        }
    });
    page.load_html("<!doctype html><p>One line of text.</p>", None);
    window.show_all();
}
