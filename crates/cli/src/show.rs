//! What people read: aligned and short, no colours, text from people with its hidden characters made visible.

use chrono::Local;
use gatepass_client::ui::EventDetail;
use gatepass_core::text::visible;
use gatepass_core::wire::{
    DriftView, EventView, GrantView, Me, Need, Preview, RequestView, ResourceView, Verdict,
};
use gatepass_core::{Time, duration};

/// Rows under headings, each column as wide as it needs.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|h| h.chars().count()).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|c| line(c)).collect()).collect();
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let heads: Vec<String> = headings.iter().map(|h| (*h).to_owned()).collect();
    for row in std::iter::once(&heads).chain(&cells) {
        let mut text = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// Names and values, one a line.
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = facts.iter().filter(|(_, value)| !value.is_empty());
    lines.map(|(name, value)| format!("{name:width$}  {}\n", line(value))).collect()
}

/// One line of it, hidden characters made visible.
pub fn line(text: &str) -> String {
    visible(text).replace('\n', " ⏎ ").replace('\t', " ")
}

pub fn time(at: Time) -> String {
    at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string()
}

fn word<T: serde::Serialize>(state: &T) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

pub fn me(me: &Me) -> String {
    let person = &me.person;
    let mut parts = person.groups.iter().cloned().collect::<Vec<_>>();
    parts.extend(person.auditor.then(|| "(auditor)".to_owned()));
    parts.extend(person.admin.then(|| "(admin)".to_owned()));
    facts(&[
        ("Person", format!("{} ({})", person.name, person.handle)),
        ("Groups", parts.join(", ")),
        ("Device", format!("{} {}", me.device_name, me.device_fingerprint)),
        ("Server", me.server.clone()),
    ])
}

pub fn catalogue(resources: &[ResourceView]) -> String {
    let mut rows = Vec::new();
    for resource in resources {
        for role in &resource.roles {
            let approval = if role.at_once { "at once" } else { "approved" };
            rows.push(vec![
                format!("{}/{}", resource.id, role.id),
                resource.name.clone(),
                role.name.clone(),
                resource.environment.clone(),
                format!("{}, at most {}", duration::say(role.default_s), duration::say(role.max_s)),
                if role.may_ask { approval.to_owned() } else { "not yours to ask".to_owned() },
            ]);
        }
    }
    table(&["ROLE", "RESOURCE", "NAME", "ENVIRONMENT", "TIME", "HOW"], &rows)
}

pub fn preview(preview: &Preview) -> String {
    if !preview.allowed {
        let problems = preview.problems.iter().map(|p| format!("  {}\n", line(&p.message)));
        return format!("It would be refused:\n{}", problems.collect::<String>());
    }
    let how = if preview.at_once { "granted at once".to_owned() } else { waiting(&preview.needs) };
    facts(&[
        ("Would be", how),
        ("Time", duration::say(preview.duration_s)),
        ("Gives", preview.grants.join(", ")),
        ("Lapses", preview.lapses_at.map(time).unwrap_or_default()),
    ])
}

/// Who still has to approve.
fn waiting(needs: &[Need]) -> String {
    let open = needs.iter().filter(|n| n.given.len() < n.count as usize).map(|need| {
        let names = need.candidates.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
        let count = need.count as usize - need.given.len();
        format!("{count} of {} ({names})", need.from.join(" or "))
    });
    let open = open.collect::<Vec<_>>().join("; ");
    if open.is_empty() { String::new() } else { format!("waiting for {open}") }
}

pub fn requests(requests: &[RequestView]) -> String {
    if requests.is_empty() {
        return "No requests.\n".to_owned();
    }
    let rows = requests.iter().map(|r| {
        vec![
            r.number.clone(),
            word(&r.state),
            format!("{}/{}", r.resource, r.role),
            duration::say(r.duration_s),
            r.by.clone(),
            time(r.created_at),
            r.reason.clone().unwrap_or_default(),
        ]
    });
    table(&["NUMBER", "STATE", "ROLE", "TIME", "BY", "ASKED", "REASON"], &rows.collect::<Vec<_>>())
}

pub fn drift(drift: &[DriftView]) -> String {
    if drift.is_empty() {
        return "Nothing that no grant explains.\n".to_owned();
    }
    let rows = drift.iter().map(|d| {
        let who = match (&d.name, d.more) {
            (Some(name), _) => name.clone(),
            (None, Some(more)) => format!("and about {more} more"),
            (None, None) => "someone".to_owned(),
        };
        let known = d.known.as_ref().map(|k| match &k.reason {
            Some(reason) => format!("{}: {reason}", k.by.name),
            None => k.by.name.clone(),
        });
        vec![
            d.id.to_string(),
            word(&d.state),
            d.target.clone(),
            who,
            d.grants.join(", "),
            time(d.found_at),
            known.unwrap_or_default(),
        ]
    });
    table(&["ID", "STATE", "TARGET", "WHO", "HOLDS", "SINCE", "KNOWN"], &rows.collect::<Vec<_>>())
}

pub fn request(r: &RequestView) -> String {
    let approved: Vec<String> = r
        .needs
        .iter()
        .flat_map(|n| &n.given)
        .map(|g| match &g.note {
            Some(note) => format!("{} (“{note}”)", g.by.name),
            None => g.by.name.clone(),
        })
        .collect();
    let denied = r.denied_by.as_ref().map(|d| match &d.note {
        Some(note) => format!("{}: {note}", d.by.name),
        None => d.by.name.clone(),
    });
    let yours = match r.my_verdict {
        Some(Verdict::Approve) => "approved",
        Some(Verdict::Deny) => "denied",
        None if r.can_decide => "asked for",
        None => "",
    };
    let pending = r.denied_by.is_none() && r.decided_at.is_none();
    facts(&[
        ("Request", format!("{} {}", r.number, r.id)),
        ("State", word(&r.state)),
        ("Role", format!("{}/{} ({}, {})", r.resource, r.role, r.role_name, r.resource_name)),
        ("By", format!("{} ({})", r.by_name, r.by)),
        ("Time", duration::say(r.allowed_s)),
        ("Reason", r.reason.clone().unwrap_or_default()),
        ("Ticket", r.ticket.clone().unwrap_or_default()),
        ("Asked", time(r.created_at)),
        ("Approved by", approved.join(", ")),
        ("Denied by", denied.unwrap_or_default()),
        ("Still", if pending { waiting(&r.needs) } else { String::new() }),
        ("Your decision", yours.to_owned()),
        ("Lapses", if pending { time(r.lapses_at) } else { String::new() }),
        ("Grant", r.grant.map(|g| g.to_string()).unwrap_or_default()),
    ])
}

pub fn grants(grants: &[GrantView]) -> String {
    if grants.is_empty() {
        return "No accesses.\n".to_owned();
    }
    let rows = grants.iter().map(|g| {
        vec![
            g.number.clone(),
            word(&g.state),
            format!("{}/{}", g.resource, g.role),
            g.by.clone(),
            g.starts_at.map(time).unwrap_or_default(),
            g.ends_at.map(time).unwrap_or_default(),
            g.trouble.as_ref().map(|t| t.message.clone()).unwrap_or_default(),
        ]
    });
    table(&["NUMBER", "STATE", "ROLE", "BY", "FROM", "UNTIL", "TROUBLE"], &rows.collect::<Vec<_>>())
}

pub fn grant(g: &GrantView) -> String {
    let removal = g.removal.as_ref().map(|r| {
        format!("{}, {} sessions ended, {} tries", time(r.checked_at), r.sessions_ended, r.attempts)
    });
    facts(&[
        ("Access", format!("{} {}", g.number, g.id)),
        ("State", word(&g.state)),
        ("Role", format!("{}/{} ({}, {})", g.resource, g.role, g.role_name, g.resource_name)),
        ("By", format!("{} ({})", g.by_name, g.by)),
        ("From", g.starts_at.map(time).unwrap_or_default()),
        ("Until", g.ends_at.map(time).unwrap_or_default()),
        ("Ended because", g.end.map(|e| word(&e)).unwrap_or_default()),
        ("Ended by", g.ended_by.clone().unwrap_or_default()),
        ("Reason", g.end_reason.clone().unwrap_or_default()),
        ("Removed, checked", removal.unwrap_or_default()),
        ("Trouble", g.trouble.as_ref().map(|t| t.message.clone()).unwrap_or_default()),
    ])
}

pub fn event_line(event: &EventView) -> String {
    let texts = event.texts.values().map(|t| format!(" “{}”", line(t))).collect::<String>();
    let number = event.number.as_deref().unwrap_or("");
    format!("{:>6}  {}  {number:<8}  {}{texts}", event.seq, time(event.at), line(&event.sentence))
}

pub fn events(events: &[EventView]) -> String {
    if events.is_empty() {
        return "No events.\n".to_owned();
    }
    events.iter().map(|e| format!("{}\n", event_line(e))).collect()
}

pub fn event(detail: &EventDetail) -> String {
    let signature = match &detail.signature {
        Some(s) if s.valid => format!("holds: {} {}", s.device_name, s.fingerprint),
        Some(s) => format!("DOES NOT HOLD: {} {}", s.device_name, s.fingerprint),
        None if detail.event.by == "gatepass" => "none; Gatepass did this by itself".to_owned(),
        None => "none with this event; it stands with the event it follows from".to_owned(),
    };
    let tree = if detail.in_verified_tree {
        format!("yes, of {} events", detail.head_size)
    } else {
        "not yet checked".to_owned()
    };
    let mut out = facts(&[
        ("Event", format!("{} {}", detail.event.seq, detail.event.kind)),
        ("At", time(detail.event.at)),
        ("By", format!("{} ({})", detail.event.by_name, detail.event.by)),
        ("What", detail.event.sentence.clone()),
        ("Request", detail.event.number.clone().unwrap_or_default()),
    ]);
    for (name, text) in &detail.event.texts {
        out.push_str(&format!("{name}: {}\n", line(text)));
    }
    out.push_str(&facts(&[
        ("Texts erased", detail.event.erased_at.map(time).unwrap_or_default()),
        ("Texts kept until", detail.event.kept_until.map(time).unwrap_or_default()),
    ]));
    out.push_str(&facts(&[
        ("Leaf", detail.leaf.to_string()),
        ("In the tree", tree),
        ("Signature", signature),
        ("Signed event", detail.raw.clone()),
    ]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_hide_nothing() {
        let rows = [vec!["a".into(), "x\u{202e}y\nz".into()], vec!["long".into(), String::new()]];
        assert_eq!(table(&["ONE", "TWO"], &rows), "ONE   TWO\na     x⟨U+202E⟩y ⏎ z\nlong\n");
    }
}
