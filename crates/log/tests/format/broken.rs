//! Bundles that hold and bundles that do not, each with what a checker answers.

use crate::story::{self, Story};
use crate::vectors::{bundle, bundle_of};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::text::Digest;
use gatepass_log::LogKey;
use gatepass_log::bundle::Bundle;

/// Name, verdict (`holds`, `malformed`, `checkpoint`, or the rule and the position), and the bundle.
pub fn bundles() -> Vec<(&'static str, &'static str, Bundle)> {
    let story = Story::told();
    let whole = bundle(&story, |_| true);
    let mut rows = vec![("whole", "holds", whole.clone())];

    // Without the second request.
    rows.push(("part", "holds", bundle(&story, |seq| seq <= 15)));

    // Texts that were erased are no fault.
    let mut erased = whole.clone();
    erased.texts.retain(|text| !text.text.contains("Stuck orders"));
    rows.push(("erased", "holds", erased));

    let mut other = whole.clone();
    let key = LogKey::parse(&LogKey::generate(story::ORIGIN, &[0x4d; 32])).unwrap();
    other.checkpoint = key.sign(&story.head()).unwrap();
    rows.push(("other-key", "checkpoint", other));

    let mut other = whole.clone();
    let key = LogKey::parse(&LogKey::generate("example.org/other", &story::LOG_SEED)).unwrap();
    other.checkpoint = key.sign(&story.head()).unwrap();
    rows.push(("other-origin", "checkpoint", other));

    let mut cut = whole.clone();
    cut.events[2].proof.pop();
    rows.push(("proof-cut", "inclusion at 3", cut));

    let mut moved = whole.clone();
    moved.events[8].seq = 10;
    moved.events[9].seq = 9;
    rows.push(("moved", "inclusion at 10", moved));

    let mut changed = whole.clone();
    changed.events[7].leaf = changed.events[6].leaf.clone();
    rows.push(("changed", "inclusion at 8", changed));

    let mut swapped = whole.clone();
    swapped.events.swap(4, 5);
    rows.push(("order", "order at 5", swapped));

    // From here on the tree is right and signed by the log's key: whoever runs the server lies.
    rows.extend(lies().into_iter().map(|(name, verdict, story)| (name, verdict, bundle(&story, |_| true))));
    let mut contents = story.contents();
    contents[16].push(b' ');
    rows.push(("not-canonical", "event at 17", bundle_of(&contents, &story.texts, |_| true)));
    rows
}

/// The story with one event changed.
fn changed(seq: usize, change: impl FnOnce(&mut Event)) -> Story {
    let mut story = Story::told();
    change(&mut story.events[seq - 1]);
    story
}

/// The story without one of its events.
fn without(seq: usize) -> Story {
    let mut story = Story::told();
    story.events.remove(seq - 1);
    story.texts.remove(seq - 1);
    story
}

/// The people and a request, and then what `then` says.
fn asked(then: impl FnOnce(&mut Story, gatepass_core::id::RequestId)) -> Story {
    let mut story = Story::default();
    story.begin();
    let request = story.ask("Stuck orders.", "INC-4711");
    then(&mut story, request);
    story
}

fn lies() -> Vec<(&'static str, &'static str, Story)> {
    let mut swapped = Story::told();
    let (nine, ten) =
        (swapped.events[8].command.clone().unwrap(), swapped.events[9].command.clone().unwrap());
    swapped.events[8].command.as_mut().unwrap().signature = ten.signature;
    swapped.events[9].command.as_mut().unwrap().signature = nine.signature.clone();
    let resigned = changed(9, |event| {
        let body = nine.body.clone();
        event.command = Some(story::device_key(story::CEM).sign("request.decide", &body).unwrap());
    });
    vec![
        ("signatures-swapped", "signature at 9", swapped),
        ("signed-by-another", "signature at 9", resigned),
        ("device-unknown", "device at 9", without(7)),
        (
            "device-disabled",
            "device at 11",
            asked(|story, request| {
                let (person, device) = (story::person(story::BEA), story::device(story::BEA));
                let left = Fact::PersonRevoked { person, reason: Digest::of(b"left") };
                story.put(By::Gatepass, None, left, None, Vec::new());
                story.put(By::Gatepass, None, Fact::DeviceDisabled { person, device }, None, Vec::new());
                story.events[9].at = story.events[8].at;
                story.approve(story::BEA, request, None);
            }),
        ),
        (
            "approved-without-anybody",
            "author at 9",
            changed(9, |event| {
                (event.by, event.command) = (By::Gatepass, None);
            }),
        ),
        (
            "approved-for-longer",
            "command at 9",
            changed(9, |event| {
                event.fact = Fact::RequestApproved { duration_s: 1_800, note: None };
            }),
        ),
        (
            "group-changed",
            "approver at 9",
            changed(3, |event| {
                let Fact::PersonRecorded { groups, .. } = &mut event.fact else { panic!("a person") };
                *groups = vec!["support".to_owned()];
            }),
        ),
        (
            "catalogue-changed",
            "catalogue at 1",
            changed(1, |event| {
                let Fact::CataloguePublished { catalogue, .. } = &mut event.fact else {
                    panic!("a catalogue")
                };
                *catalogue = Digest::of(b"another");
            }),
        ),
        (
            "rule-changed",
            "rule at 8",
            changed(8, |event| {
                let Fact::RequestCreated { rule, .. } = &mut event.fact else { panic!("a request") };
                rule.approve.truncate(1);
            }),
        ),
        ("one-approval", "quorum at 10", without(10)),
        (
            "approved-twice",
            "twice at 10",
            asked(|story, request| {
                story.approve(story::BEA, request, None);
                story.approve(story::BEA, request, None);
            }),
        ),
        (
            "approved-by-oneself",
            "self at 9",
            asked(|story, request| story.approve(story::ADA, request, None)),
        ),
        (
            "granted-for-longer",
            "granted at 11",
            asked(|story, request| {
                story.approve(story::BEA, request, Some(600));
                story.approve(story::CEM, request, None);
                story.granted(request, 1_800);
            }),
        ),
        (
            "approved-after-denial",
            "pending at 10",
            asked(|story, request| {
                story.deny(story::BEA, request);
                story.approve(story::CEM, request, None);
            }),
        ),
        (
            "ended-without-removal",
            "removal at 15",
            changed(15, |event| {
                let Fact::GrantEnded { removal, .. } = &mut event.fact else { panic!("an end") };
                removal.checked_at -= chrono::TimeDelta::hours(1);
            }),
        ),
        (
            "active-again",
            "grant-state at 16",
            asked(|story, request| {
                story.approve(story::BEA, request, None);
                story.approve(story::CEM, request, None);
                let grant = story.granted(request, 1_800);
                story.ended(request, grant);
                story.put(By::Gatepass, Some(request), Fact::GrantProvisioning { grant }, None, Vec::new());
            }),
        ),
    ]
}
