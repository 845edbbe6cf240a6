//! `[retention]`: how long texts are kept, per kind of event.

use super::fault;
use gatepass_core::catalogue::Fault;
use gatepass_core::duration;
use gatepass_core::retention::{Retention, SHORTEST_S};
use std::collections::BTreeMap;
use toml::Spanned;

pub(super) type RetentionSection = BTreeMap<Spanned<String>, Spanned<String>>;

pub(super) fn check(section: RetentionSection, faults: &mut Vec<Fault>) -> Retention {
    let mut rules = BTreeMap::new();
    for (kind, kept) in section {
        if let Err(message) = Retention::check(kind.get_ref()) {
            faults.push(fault(&kind, message));
        }
        match duration::parse(kept.get_ref()) {
            Ok(seconds) if seconds >= SHORTEST_S => {
                rules.insert(kind.into_inner(), seconds);
            }
            Ok(_) => {
                let message = format!("“{}” is too short, expected at least 1d", kept.get_ref());
                faults.push(fault(&kept, message));
            }
            Err(message) => faults.push(fault(&kept, message)),
        }
    }
    Retention(rules)
}
