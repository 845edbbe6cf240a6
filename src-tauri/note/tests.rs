#![allow(clippy::unwrap_used)]

use chrono::TimeDelta;
use gatepass_core::wire::{DriftState, Given, Need, PersonRef, Removal, Trouble};

use super::*;
use crate::fixture::{grant, id, now, request};

fn zone() -> FixedOffset {
    FixedOffset::east_opt(3600).unwrap()
}

fn given(n: u32, by: &str, note: Option<&str>) -> Given {
    let by = PersonRef { id: id(n), handle: by.to_lowercase(), name: by.to_owned() };
    Given { by, at: now(), note: note.map(str::to_owned), duration_s: 1200 }
}

fn labels(note: &Note) -> Vec<&str> {
    note.actions.iter().map(|(label, _)| *label).collect()
}

fn opens(act: &Act) -> &str {
    match act {
        Act::Open(place) => place.as_str(),
        _ => "",
    }
}

#[test]
fn a_request_says_who_what_and_why() {
    let r = request(7);
    let note = needs_you(&r);
    assert_eq!(note.title, "Tomás Rivera asks for write");
    assert_eq!(
        note.body,
        "Orders database (production), 30 minutes. “Orders have been stuck in pending since the 09:50 deploy.”"
    );
    assert_eq!(labels(&note), ["Review", "Later"]);
    assert_eq!(opens(&note.default), format!("/review/{}", r.id));
    assert_eq!(note.actions[1].1, Act::Nothing);
}

#[test]
fn approvals_name_who_and_how_long() {
    let mut r = request(7);
    let need = |from: &str, by: Given| Need {
        from: vec![from.to_owned()],
        count: 1,
        given: vec![by],
        candidates: Vec::new(),
        yours: false,
    };
    r.needs =
        vec![need("dba", given(3, "Noor Haddad", None)), need("oncall", given(4, "Mara Lindqvist", None))];
    r.allowed_s = 1200;
    assert_eq!(approved(&r).title, "Approved: write on Orders database");
    assert_eq!(
        approved(&r).body,
        "By Noor Haddad and Mara Lindqvist, 20 minutes instead of 30. Being set up now."
    );
    r.duration_s = 5400;
    assert_eq!(
        approved(&r).body,
        "By Noor Haddad and Mara Lindqvist, 20 minutes instead of 1 hour 30 minutes. Being set up now."
    );
}

#[test]
fn an_extension_says_the_new_end() {
    let note = extended(&grant(1, GrantState::Active, 1380), zone());
    assert_eq!(note.title, "Extended: write on Orders database");
    assert_eq!(note.body, "It now ends 10:53 (09:53 UTC).");
}

#[test]
fn a_denial_says_why_and_offers_to_ask_again() {
    let mut r = request(7);
    r.denied_by = Some(given(3, "Kenji Sato", Some("Use the scale button in the deploy tool instead.")));
    let note = denied(&r);
    assert_eq!(note.title, "Denied: write on Orders database");
    assert_eq!(note.body, "By Kenji Sato: “Use the scale button in the deploy tool instead.”");
    assert_eq!(labels(&note), ["Open", "Ask again…"]);
    assert_eq!(opens(&note.actions[1].1), "/request?resource=orders-db&role=write");
    assert_eq!(lapsed(&r).body, "Nobody decided within 8 hours.");
}

#[test]
fn ready_and_ending_say_both_clocks() {
    let g = grant(1, GrantState::Active, 1380);
    let note = ready(&g, zone());
    assert_eq!(note.title, "Ready: write on Orders database");
    assert_eq!(note.body, "Until 10:53 (09:53 UTC). The command is one click away.");
    assert_eq!(note.actions[0], ("Copy command", Act::CopyCommand(g.id)));

    let end = now() + TimeDelta::seconds(299);
    let note = ends_soon(&g, end, now(), zone());
    assert_eq!(note.title, "Ends in 5 minutes: Orders database");
    assert_eq!(note.body, "Your write access ends 10:34 (09:34 UTC).");
    assert_eq!(labels(&note), ["Extend…", "Give back"]);
    assert_eq!(opens(&note.default), format!("/access/{}?step=extend", g.id));
    assert_eq!(opens(&note.actions[1].1), format!("/access/{}?step=return", g.id));
    let note = ends_soon(&g, now() + TimeDelta::seconds(30), now(), zone());
    assert_eq!(note.title, "Ends in 30 seconds: Orders database");
}

#[test]
fn the_end_claims_only_what_was_read_back() {
    let mut g = grant(1, GrantState::Ended, 0);
    g.end = Some(EndCause::Expired);
    assert_eq!(ended(&g, zone()).body, "Nothing had been set up on the target.");
    g.removal =
        Some(Removal { checked_at: "2026-11-17T13:02:07Z".parse().unwrap(), sessions_ended: 1, attempts: 1 });
    assert_eq!(ended(&g, zone()).title, "Ended: write on Orders database");
    assert_eq!(ended(&g, zone()).body, "Removed from target, checked 14:02:07.");
    g.end = Some(EndCause::Revoked);
    g.ended_by = Some("Noor Haddad".to_owned());
    g.end_reason = Some("Not needed any more.".to_owned());
    assert_eq!(
        ended(&g, zone()).body,
        "By Noor Haddad. Removed from target, checked 14:02:07. “Not needed any more.”"
    );
    g.mine = false;
    assert_eq!(ended(&g, zone()).title, "Ended: write on Orders database, Mara Lindqvist");
}

#[test]
fn what_is_still_open_is_urgent() {
    let mut g = grant(1, GrantState::Ending, 0);
    g.trouble = Some(Trouble { attempts: 3, message: "connection refused".to_owned(), since: now() });
    let note = delayed(&g, zone());
    assert!(note.urgent);
    assert_eq!(note.title, "Still open: write on Orders database");
    assert_eq!(note.body, "It ended 10:30 but could not be removed, tried 3 times: connection refused");
    g.end = Some(EndCause::Revoked);
    g.mine = false;
    let note = delayed(&g, zone());
    assert_eq!(note.body, "It was ended but could not be removed, tried 3 times: connection refused");
    assert_eq!(opens(&note.default), "/now", "who answers for it looks there");
    let note = after_all(&g, zone());
    assert_eq!(note.kind, "An access has ended after all");
    assert_eq!(note.title, "Ended after all: write on Orders database, Mara…");
    (g.end, g.mine) = (None, true);
    g.state = GrantState::Provisioning;
    let note = delayed(&g, zone());
    assert!(!note.urgent);
    assert_eq!(note.title, "Not set up yet: write on Orders database");
    assert_eq!(note.body, "It goes on trying, tried 3 times: connection refused");
}

#[test]
fn nothing_is_longer_than_a_notification_shows() {
    let mut r = request(7);
    r.by_name = "Nebukadnezar ".repeat(9);
    r.role = "role".repeat(30);
    r.resource_name = "resource ".repeat(30);
    r.reason = Some("because\n\u{202e}".repeat(60));
    r.denied_by = Some(given(3, &"Kenji ".repeat(20), Some(&"no ".repeat(100))));
    let mut g = grant(1, GrantState::Ended, 0);
    g.resource_name = r.resource_name.clone();
    g.end_reason = r.reason.clone();
    g.trouble = Some(Trouble { attempts: 3, message: "x".repeat(500), since: now() });
    let notes = [
        needs_you(&r),
        several_need_you(4),
        approved(&r),
        denied(&r),
        lapsed(&r),
        ready(&g, zone()),
        ends_soon(&g, now(), now(), zone()),
        ended(&g, zone()),
        delayed(&g, zone()),
    ];
    for note in notes {
        assert!(note.title.chars().count() <= TITLE, "{note:?}");
        assert!(note.body.chars().count() <= BODY, "{note:?}");
        assert!(!format!("{}{}", note.title, note.body).contains(['\n', '\u{202e}']), "{note:?}");
    }
}

#[test]
fn drift_says_who_holds_what_where() {
    let d = DriftView {
        id: id(9),
        revision: 1,
        state: DriftState::Open,
        target: "orders-pg".to_owned(),
        kind: "postgres".to_owned(),
        name: Some("metrics\u{202e}_ro".to_owned()),
        more: None,
        grants: vec!["orders_writer".to_owned()],
        resources: vec!["orders-db".to_owned()],
        resource_names: vec!["Orders database".to_owned()],
        environment: "production".to_owned(),
        found_at: now(),
        changed_at: now(),
        known: None,
        gone_at: None,
        can_mark: true,
    };
    let note = drift(&d);
    assert_eq!(note.kind, "Access without a grant");
    assert_eq!(note.body, "metrics⟨U+202E⟩_ro holds orders_writer on Orders database (production).");
    assert_eq!(opens(&note.default), format!("/now/{}", d.id));
    let many = drift(&DriftView { name: None, more: Some(2_900), grants: Vec::new(), ..d });
    assert_eq!(many.body, "About 2900 more hold access on Orders database (production).");
    assert_eq!(opens(&drifts(20).default), "/now");
}
