//! OCSF 1.3.0, class User Access Management (3005) of the category Identity & Access Management (3), one event a line.
//! <https://schema.ocsf.io/1.3.0/classes/user_access>
//!
//! Only events about somebody's access have a place in that class: those of requests and grants, and of access that no
//! grant explains. Access that became active is *Assign Privileges*, what was removed and read back is *Revoke
//! Privileges*; what leads there is *Other*, with the event's kind as the activity's name.

use super::{About, Record, span, utc};
use crate::event::{By, Fact};
use serde_json::{Map, Value, json};

/// The version of the schema.
pub const VERSION: &str = "1.3.0";
const CATEGORY: u32 = 3;
const CLASS: u32 = 3005;

const ASSIGN: (u32, &str) = (1, "Assign Privileges");
const REVOKE: (u32, &str) = (2, "Revoke Privileges");
const OTHER: u32 = 99;

/// Empty for an event that is about nobody's access.
pub fn line(record: &Record) -> String {
    match &record.about {
        Some(about) => format!("{}\n", event(record, about)),
        None => String::new(),
    }
}

fn event(record: &Record, about: &About) -> Value {
    let Record { view, event, leaf, .. } = record;
    let (activity, name) = activity(&event.fact).unwrap_or((OTHER, event.fact.kind()));
    let (status, detail) = status(&event.fact);
    let span = span(&event.fact);
    let mut unmapped = Map::new();
    let mut more = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            unmapped.insert(key.to_owned(), value);
        }
    };
    more("leaf", Some(json!(leaf)));
    more("number", view.number.as_ref().map(|n| json!(n)));
    more("role", Some(json!(about.role)).filter(|_| !about.role.is_empty()));
    more("duration_s", span.duration_s.map(|s| json!(s)));
    more("starts_at", span.starts_at.map(|t| json!(utc(t))));
    more("ends_at", span.ends_at.map(|t| json!(utc(t))));
    more("cause", span.cause.map(|c| json!(c)));
    more("sessions_ended", removal(&event.fact).map(|r| json!(r.sessions_ended)));
    more("checked_at", removal(&event.fact).map(|r| json!(utc(r.checked_at))));
    for (field, text) in &view.texts {
        more(field, Some(json!(text)));
    }
    let mut out = json!({
        "activity_id": activity,
        "activity_name": name,
        "actor": actor(record),
        "category_name": "Identity & Access Management",
        "category_uid": CATEGORY,
        "class_name": "User Access Management",
        "class_uid": CLASS,
        "message": view.sentence,
        "metadata": {
            "event_code": view.kind,
            "log_name": "gatepass",
            "original_time": utc(view.at),
            "product": {
                "name": "Gatepass", "vendor_name": "Gatepass", "version": env!("CARGO_PKG_VERSION"),
            },
            "sequence": view.seq,
            "uid": view.id,
            "version": VERSION,
        },
        "privileges": about.privileges,
        "resource": {
            "labels": [format!("environment:{}", about.environment), format!("target:{}", about.target)],
            "name": about.resource_name,
            "type": about.kind,
            "uid": about.resource,
        },
        "severity": "Informational",
        "severity_id": 1,
        "status": if status == 1 { "Success" } else { "Failure" },
        "status_id": status,
        "time": view.at.timestamp_millis(),
        "type_name": format!("User Access Management: {}", if activity == OTHER { "Other" } else { name }),
        "type_uid": CLASS * 100 + activity,
        "unmapped": unmapped,
        "user": user(about),
    });
    if let Some(detail) = detail {
        out["status_detail"] = json!(detail);
    }
    if let Some(request) = view.request {
        out["metadata"]["correlation_uid"] = json!(request);
    }
    out
}

fn activity(fact: &Fact) -> Option<(u32, &'static str)> {
    match fact {
        Fact::GrantActive { .. } | Fact::GrantFailed { .. } => Some(ASSIGN),
        Fact::GrantEnded { .. } | Fact::AccessRemoved { .. } => Some(REVOKE),
        _ => None,
    }
}

/// 1 for success, 2 for failure, with what went wrong.
fn status(fact: &Fact) -> (u32, Option<&str>) {
    match fact {
        Fact::GrantFailed { .. } => {
            (2, Some("It could not be set up, and nothing of it is left on the target."))
        }
        Fact::GrantDelayed { attempts: 1.., message, .. } => (2, Some(message)),
        _ => (1, None),
    }
}

fn removal(fact: &Fact) -> Option<&crate::wire::Removal> {
    match fact {
        Fact::GrantEnded { removal, .. }
        | Fact::GrantFailed { removal, .. }
        | Fact::AccessRemoved { removal, .. } => Some(removal),
        _ => None,
    }
}

fn actor(record: &Record) -> Value {
    match record.event.by {
        By::Person { person, .. } => json!({"user": {
            "full_name": record.view.by_name, "name": record.view.by, "type": "User", "type_id": 1, "uid": person,
        }}),
        By::Gatepass => json!({"app_name": "Gatepass"}),
    }
}

fn user(about: &About) -> Value {
    match &about.uid {
        Some(uid) => json!({
            "full_name": about.name, "name": about.handle, "type": "User", "type_id": 1, "uid": uid,
        }),
        // Only its name on the target is known.
        None => json!({"name": about.name, "type": "Unknown", "type_id": 0}),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::example;

    type Is = fn(&Value) -> bool;

    /// What version 1.3.0 requires of this class, its base and the objects used here, with their types: `privileges` and
    /// `user` from events/iam/user_access.json, the rest from events/base_event.json, objects/metadata.json,
    /// objects/product.json and objects/user.json of github.com/ocsf/ocsf-schema (there, `user` needs one of account,
    /// name and uid).
    const REQUIRED: [(&str, Is); 11] = [
        ("/activity_id", Value::is_u64),
        ("/category_uid", Value::is_u64),
        ("/class_uid", Value::is_u64),
        ("/metadata/product/vendor_name", Value::is_string),
        ("/metadata/product/name", Value::is_string),
        ("/metadata/version", Value::is_string),
        ("/privileges", |v| v.as_array().is_some_and(|l| l.iter().all(Value::is_string))),
        ("/severity_id", Value::is_u64),
        ("/time", Value::is_i64),
        ("/type_uid", Value::is_u64),
        ("/user/name", Value::is_string),
    ];

    fn lines() -> Vec<Value> {
        let whole: String = example::records().iter().map(line).collect();
        whole.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    #[test]
    fn every_event_has_what_the_schema_requires() {
        for event in lines() {
            for (path, is) in REQUIRED {
                assert!(event.pointer(path).is_some_and(is), "{path} of {event:#}");
            }
            assert_eq!((&event["class_uid"], &event["category_uid"]), (&json!(3005), &json!(3)));
            let activity = event["activity_id"].as_u64().unwrap();
            assert!([1, 2, 99].contains(&activity));
            assert_eq!(event["type_uid"].as_u64().unwrap(), 300_500 + activity);
            // Seconds would be a thousand times less.
            assert!(event["time"].as_i64().unwrap() > 1_700_000_000_000);
        }
    }

    #[test]
    fn given_is_assigned_and_removed_is_revoked() {
        let of = |kind: &str| {
            let found = lines().into_iter().find(|e| e["metadata"]["event_code"] == kind);
            found.map(|e| (e["activity_id"].clone(), e["user"]["name"].clone()))
        };
        assert_eq!(of("grant.active"), Some((json!(1), json!("tomas"))));
        assert_eq!(of("grant.ended"), Some((json!(2), json!("tomas"))));
        assert_eq!(of("request.approved"), Some((json!(99), json!("tomas"))));
        assert_eq!(of("catalogue.published"), None);
    }

    #[test]
    fn a_whole_file() {
        let whole: String = example::records().iter().map(line).collect();
        insta::assert_snapshot!(whole);
    }
}
