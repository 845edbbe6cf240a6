#![allow(clippy::unwrap_used)]

use chrono::TimeDelta;
use gatepass_client::ui::Failure;
use gatepass_core::Code;
use gatepass_core::wire::Trouble;

use super::*;
use crate::fixture::{grant, now, request, status};

fn draw(status: &Status, requests: &[RequestView], grants: &[GrantView]) -> Model {
    draw_at(status, requests, grants, now())
}

fn draw_at(status: &Status, requests: &[RequestView], grants: &[GrantView], now: Time) -> Model {
    model(&picture(status, requests, grants, now))
}

fn picture<'a>(
    status: &'a Status,
    requests: &'a [RequestView],
    grants: &'a [GrantView],
    now: Time,
) -> Picture<'a> {
    Picture { status, requests, grants, recent: &[], now, zone: FixedOffset::east_opt(3600).unwrap() }
}

/// Labels from top to bottom; a dash for a separator, brackets around what does nothing.
fn labels(model: &Model) -> Vec<String> {
    let text = |entry: &Entry| match entry {
        Entry::Go { label, .. } => label.clone(),
        Entry::Line(text) => format!("[{text}]"),
        Entry::Group { label, entries } => format!("{label} ({})", entries.len()),
        Entry::Separator => "-".to_owned(),
        Entry::Quit => "Quit".to_owned(),
    };
    model.entries.iter().map(text).collect()
}

fn place(model: &Model, wanted: &str) -> String {
    let found = model.entries.iter().find_map(|e| match e {
        Entry::Go { label, place: Some(place) } if label == wanted => Some(place.as_str().to_owned()),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn nothing_held_and_nothing_waiting_is_idle() {
    let model = draw(&status(), &[], &[]);
    assert_eq!(model.shape, Shape::Idle);
    assert_eq!(labels(&model), ["Request access…", "-", "Open Gatepass", "Quit"]);
    assert_eq!((model.title.as_str(), model.badge.as_str()), ("Gatepass", ""));
    assert_eq!(redraw_in(&picture(&status(), &[], &[], now())), None);
}

#[test]
fn before_joining_there_is_nothing_to_ask_for() {
    let mut status = status();
    status.me = None;
    status.online = false;
    let model = draw(&status, &[], &[]);
    assert_eq!(labels(&model), ["Open Gatepass", "Quit"]);
    assert_eq!(model.shape, Shape::Idle);
    status.problem =
        Some(Failure { code: Code::KeyringLocked, message: "The keyring is locked.".to_owned() });
    let model = draw(&status, &[], &[]);
    assert_eq!(labels(&model), ["The keyring is locked.", "-", "Open Gatepass", "Quit"]);
    assert_eq!(model.shape, Shape::Offline);
}

#[test]
fn accesses_count_down_and_reviews_open_the_inbox() {
    let grants = [grant(1, GrantState::Active, 750), grant(2, GrantState::Provisioning, 1800)];
    let model = draw(&status(), &[request(7)], &grants);
    assert_eq!(
        labels(&model),
        [
            "Orders database write · 12 min left",
            "Orders database write · setting up",
            "-",
            "1 waiting for you",
            "Tomás Rivera asks for write on Orders database",
            "-",
            "Request access…",
            "-",
            "Open Gatepass",
            "Quit",
        ]
    );
    assert_eq!(place(&model, "Orders database write · 12 min left"), format!("/access/{}", grants[0].id));
    assert_eq!(
        place(&model, "Tomás Rivera asks for write on Orders database"),
        format!("/review/{}", request(7).id)
    );
    assert_eq!(model.shape, Shape::Waiting);
    assert_eq!(model.badge, "1");
    assert_eq!(model.title, "Gatepass: 1 active, 12 min left, 1 waiting for you");
}

#[test]
fn the_first_true_state_gives_the_icon() {
    let trouble = Trouble { attempts: 3, message: "no answer".to_owned(), since: now() };
    let active = grant(1, GrantState::Active, 750);
    let ending = grant(2, GrantState::Active, 300);
    let mut open = grant(3, GrantState::Ending, -60);
    open.trouble = Some(trouble.clone());
    let mut offline = status();
    offline.online = false;
    let waiting = [request(7)];

    assert_eq!(draw(&status(), &[], std::slice::from_ref(&active)).shape, Shape::Active);
    assert_eq!(draw(&status(), &waiting, std::slice::from_ref(&active)).shape, Shape::Waiting);
    assert_eq!(draw(&status(), &waiting, &[active.clone(), ending.clone()]).shape, Shape::Ending);
    assert_eq!(draw(&offline, &waiting, &[active.clone(), ending.clone()]).shape, Shape::Offline);
    assert_eq!(draw(&offline, &waiting, &[active.clone(), ending, open]).shape, Shape::Alarm);

    let mut mismatch = status();
    mismatch.mismatch = true;
    assert_eq!(draw(&mismatch, &waiting, &[]).shape, Shape::Alarm);

    // Failing to set up is said in its row; nothing is open that should not be.
    let mut failing = grant(4, GrantState::Provisioning, 1800);
    failing.trouble = Some(trouble);
    let model = draw(&status(), &[], &[failing]);
    assert_eq!(model.shape, Shape::Idle);
    assert_eq!(labels(&model)[0], "Orders database write · could not be set up yet");
}

#[test]
fn offline_claims_nothing_about_what_waits() {
    let mut offline = status();
    offline.online = false;
    let model = draw(&offline, &[request(7)], &[grant(1, GrantState::Active, 750)]);
    assert_eq!(
        labels(&model)[..4],
        ["[Offline, as of 10:30]", "-", "Orders database write · 12 min left", "-"].map(str::to_owned)
    );
    assert_eq!(labels(&model)[4], "[Waiting for you: not known while offline]");
    assert_eq!(model.badge, "");
}

#[test]
fn others_accesses_show_only_when_still_open() {
    let mut theirs = grant(1, GrantState::Active, 750);
    theirs.mine = false;
    assert_eq!(draw(&status(), &[], &[theirs.clone()]).shape, Shape::Idle);
    theirs.state = GrantState::Ending;
    theirs.trouble = Some(Trouble { attempts: 1, message: "no answer".to_owned(), since: now() });
    let model = draw(&status(), &[], &[theirs]);
    assert_eq!(model.shape, Shape::Alarm);
    assert_eq!(labels(&model)[0], "Still open: Orders database write");
}

#[test]
fn long_and_deceiving_names_stay_bounded_and_visible() {
    let mut hostile = request(7);
    hostile.by_name = format!("\u{202e}{}\nQuit", "very long ".repeat(20));
    let model = draw(&status(), &[hostile], &[]);
    let label = &labels(&model)[1];
    assert!(label.starts_with("⟨U+202E⟩very long"), "{label}");
    assert!(label.chars().count() <= ROW_CHARS && !label.contains('\n'), "{label}");
}

#[test]
fn many_rows_become_a_count() {
    let many: Vec<_> = (1..=8).map(request).collect();
    let model = draw(&status(), &many, &[]);
    let labels = labels(&model);
    assert_eq!(labels[0], "8 waiting for you");
    assert_eq!(labels[6], "and 3 more");
}

#[test]
fn recent_roles_are_one_submenu() {
    let recent = [RecentRole {
        resource: "orders-db".to_owned(),
        resource_name: "Orders database".to_owned(),
        role: "write".to_owned(),
        role_name: "Read and write".to_owned(),
    }];
    let zone = FixedOffset::east_opt(0).unwrap();
    let status = status();
    let picture = Picture { status: &status, requests: &[], grants: &[], recent: &recent, now: now(), zone };
    let entries = model(&picture).entries;
    let Entry::Group { entries, .. } = &entries[1] else { unreachable!() };
    let wanted = Entry::Go {
        label: "Orders database, write".to_owned(),
        place: Some(Place::ask_for("orders-db", "write")),
    };
    assert_eq!(entries, &[wanted]);
}

/// Waking exactly when told redraws each text once: no wake without a change, no change without a wake.
#[test]
fn it_redraws_when_the_text_changes_and_not_before() {
    let status = status();
    let grants = [grant(1, GrantState::Active, 423)];
    let mut at = now() + TimeDelta::milliseconds(137);
    let mut shown = draw_at(&status, &[], &grants, at);
    let mut seen = vec![labels(&shown)[0].clone()];
    while let Some(wait) = redraw_in(&picture(&status, &[], &grants, at)) {
        let wait = TimeDelta::from_std(wait).unwrap();
        let before = draw_at(&status, &[], &grants, at + wait - TimeDelta::milliseconds(1));
        assert_eq!(labels(&before), labels(&shown));
        at += wait;
        let next = draw_at(&status, &[], &grants, at);
        assert_ne!(labels(&next), labels(&shown));
        seen.push(labels(&next)[0].clone());
        shown = next;
    }
    assert_eq!(seen.len(), 3 + 301);
    assert_eq!(
        seen[..4].iter().map(|s| s.split(" · ").nth(1).unwrap()).collect::<Vec<_>>(),
        ["7 min left", "6 min left", "5 min left", "5:00 left"]
    );
    assert!(seen.last().unwrap().ends_with("0:00 left"));
}
