//! The log itself: dense, each leaf of its body, the root of the leaves, nothing twice.

use super::{Evidence, Placed};
use gatepass_core::event::Event;
use gatepass_core::wire::Head;
use gatepass_log::{Hash, Tree, canonical, verify};
use std::collections::{BTreeMap, BTreeSet};

/// Answers the events that could be read, with their positions.
pub fn check(evidence: &Evidence, wrong: &mut Vec<String>) -> Vec<(u64, Event)> {
    let mut events = Vec::new();
    let mut tree = Tree::default();
    let mut heads = BTreeMap::new();
    for (place, placed) in evidence.log.iter().enumerate() {
        let want = place as u64 + 1;
        if placed.seq != want {
            wrong.push(format!(
                "position {want} of the log is missing or taken twice: there is {}",
                placed.seq
            ));
        }
        events.extend(read(placed, wrong).map(|event| (placed.seq, event)));
        tree.append(Hash::leaf(placed.body.as_bytes()));
        heads.insert(tree.size(), tree.head());
    }
    if evidence.head.as_ref() != Some(&tree.head()) {
        wrong.push(format!("the head is {:?}, and the log makes it {:?}", evidence.head, tree.head()));
    }
    for view in &evidence.views {
        forked(&view.handle, view.head.as_ref(), &heads, wrong);
    }
    once(&events, wrong);
    signed(&events, wrong);
    events
}

fn read(placed: &Placed, wrong: &mut Vec<String>) -> Option<Event> {
    let seq = placed.seq;
    if Hash::leaf(placed.body.as_bytes()).digest().0 != placed.leaf {
        wrong.push(format!("the leaf at {seq} is not of its event"));
    }
    match serde_json::from_str::<Event>(&placed.body) {
        Ok(event) => {
            if canonical(&event).ok().as_deref() != Some(placed.body.as_bytes()) {
                wrong.push(format!("the event at {seq} is not in its canonical form"));
            }
            Some(event)
        }
        Err(error) => {
            wrong.push(format!("the event at {seq} cannot be read: {error}"));
            None
        }
    }
}

fn forked(handle: &str, head: Option<&Head>, heads: &BTreeMap<u64, Head>, wrong: &mut Vec<String>) {
    let Some(head) = head else {
        wrong.push(format!("{handle}’s device never checked a head"));
        return;
    };
    match heads.get(&head.size) {
        Some(ours) if ours == head => {}
        _ => wrong.push(format!("{handle}’s device checked {head:?}, which this log never was: a fork")),
    }
    if head.size != heads.len() as u64 {
        wrong.push(format!("{handle}’s device is at {} of {}", head.size, heads.len()));
    }
}

fn once(events: &[(u64, Event)], wrong: &mut Vec<String>) {
    let (mut ids, mut commands) = (BTreeSet::new(), BTreeSet::new());
    for (seq, event) in events {
        if !ids.insert(event.id) {
            wrong.push(format!("the event at {seq} is in the log twice"));
        }
        let Some(command) = &event.command else { continue };
        let id = command.body["id"].as_str().unwrap_or_default();
        if !commands.insert((command.body["device"].to_string(), id.to_owned())) {
            wrong.push(format!("the command {id} at {seq} was carried out twice"));
        }
    }
}

fn signed(events: &[(u64, Event)], wrong: &mut Vec<String>) {
    use gatepass_core::event::Fact;
    let mut keys = BTreeMap::new();
    for (seq, event) in events {
        if let Fact::DeviceEnrolled { device, signing_key, .. } = &event.fact {
            keys.insert(device.to_string(), signing_key.clone());
        }
        let Some(command) = &event.command else { continue };
        let kind = command.body["kind"].as_str().unwrap_or_default();
        let key = command.body["device"].as_str().and_then(|device| keys.get(device));
        if key.is_none_or(|key| verify(key, kind, command).is_err()) {
            wrong.push(format!("the command at {seq} is not signed by its device"));
        }
    }
}
