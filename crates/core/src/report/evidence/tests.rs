#![allow(clippy::unwrap_used)]
use super::*;
use crate::report::example::{self, at};

const HOSTILE: &str = "</style><script>alert(1)</script><img src=x onerror=a()>\"'&\u{202e}\u{200b}";

fn evidence(text: &str) -> Evidence {
    let request = example::request().unwrap();
    let grant = request.grant.clone().unwrap();
    let person = |id| example::look(|lens| PersonRef { name: text.to_owned(), ..lens.person(id) });
    let key = || Key { name: Some(text.to_owned()), fingerprint: "91:c7:0d:4a".to_owned() };
    let records = example::records();
    Evidence {
        number: "R-3187".to_owned(),
        holder: person(request.by),
        device: key(),
        resource_name: text.to_owned(),
        environment: text.to_owned(),
        role: text.to_owned(),
        target: text.to_owned(),
        kind: "postgres".to_owned(),
        asked_at: request.created_at,
        asked_s: request.duration_s,
        state: request.state,
        reason: Words::Text(text.to_owned()),
        ticket: Words::Gone,
        decisions: vec![Decided {
            by: person(request.approvals[0].by),
            approved: true,
            groups: vec![text.to_owned()],
            device: key(),
            at: request.approvals[0].at,
            signature: "i0HQ9yqcAAAAAAAAAAAAAAAAAAAAAAAA6e15==".to_owned(),
        }],
        rule: RuleText {
            catalogue: request.rule.catalogue.clone(),
            approve: request.rule.approve.clone(),
            max_s: 7_200,
        },
        starts_at: grant.starts_at,
        ends_at: grant.ends_at,
        end: grant.end.map(|e| e.cause),
        ended_at: grant.ended_at,
        removal: grant.removal,
        steps: records[..7]
            .iter()
            .map(|r| Step {
                at: r.view.at,
                what: r.view.sentence.clone(),
                seq: r.view.seq,
                leaf: r.leaf.clone(),
            })
            .collect(),
        pack: Pack {
            name: "R-3187.evidence.json".to_owned(),
            sha256: Digest("e2".repeat(32)),
            events: 13,
            signatures: 2,
            held: Ok(()),
            head: Head { size: 48_391, root: Digest("91".repeat(32)) },
            origin: text.to_owned(),
            vkey: "gate.example+0a1b2c3d+AAAA".to_owned(),
            hashes: 16,
        },
        made_at: at(16_000),
        made_by: text.to_owned(),
    }
}

fn hour(at: Time) -> chrono::DateTime<chrono::FixedOffset> {
    at.with_timezone(&chrono::FixedOffset::east_opt(3_600).unwrap())
}

#[test]
fn a_whole_page() {
    insta::assert_snapshot!(page(&evidence("Noor"), &hour));
}

#[test]
fn nothing_in_a_text_becomes_markup_or_hides() {
    let hostile = page(&evidence(HOSTILE), &hour);
    assert!(!hostile.contains("<script") && !hostile.contains("<img") && !hostile.contains("onerror=a()>"));
    assert!(!hostile.contains(['\u{202e}', '\u{200b}']));
    assert_eq!(hostile.matches("</style>").count(), 1);
    // The same elements, whatever the texts are.
    let tags = |page: &str| page.matches('<').count();
    assert_eq!(tags(&hostile), tags(&page(&evidence("x"), &hour)));
}

#[test]
fn a_page_asks_for_nothing_from_elsewhere() {
    let page = page(&evidence("Noor"), &hour);
    for wrong in ["http:", "https:", "<script", "<link", "<a ", "src=", "url(", "@import", "href="] {
        assert!(!page.contains(wrong), "{wrong}");
    }
}

#[test]
fn what_does_not_hold_is_said_first() {
    let mut wrong = evidence("Noor");
    wrong.pack.held = Err("position 5: the event is not the one that was recorded".to_owned());
    let page = page(&wrong, &hour);
    assert!(page.contains("The pack does not hold") && !page.contains("signatures valid"));
}

#[test]
fn every_end_of_a_request_is_told() {
    for (state, says) in [
        (RequestState::Denied, "it was denied"),
        (RequestState::Withdrawn, "withdrew it"),
        (RequestState::Lapsed, "nobody decided in time"),
        (RequestState::Pending, "asks for"),
    ] {
        let none = Evidence { state, starts_at: None, ended_at: None, removal: None, ..evidence("Noor") };
        let page = page(&none, &hour);
        assert!(page.contains(says) && page.contains("Nothing was given"), "{says}");
    }
}
