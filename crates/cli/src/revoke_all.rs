//! `revoke-all`: says what ends, asks, and ends it.

use crate::exit::Trouble;
use crate::show::{self, line};
use gatepass_client::Client;
use gatepass_client::ui::{Failure, Holdings};
use gatepass_core::Code;
use gatepass_core::wire::RevokedView;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// `named` is a handle or an id. Without `sure` the person at the terminal is asked.
pub async fn revoke_all(
    client: &Client,
    named: &str,
    reason: &str,
    sure: bool,
) -> Result<RevokedView, Trouble> {
    client.sync_now().await?;
    let people = client.people().await?;
    let found = people.iter().find(|p| p.handle == named || p.id.to_string() == named);
    let person = found.ok_or_else(|| {
        Failure::new(
            Code::NotFound,
            format!("There is nobody called {named}; expected the id they are known by."),
        )
    })?;
    if !sure {
        let held = client.holdings(person.id).await?;
        if !std::io::stdin().is_terminal() {
            let message = "nobody is there to be asked; say --yes to end everything without a question";
            return Err(Trouble::Usage(message.to_owned()));
        }
        eprint!("{}Go on? Type {} to end all of it: ", list(&held), line(&person.handle));
        // Not shown is not asked: then the answer counts for nothing.
        let shown = std::io::stderr().flush();
        let mut typed = String::new();
        let read = std::io::stdin().lock().read_line(&mut typed);
        if shown.is_err() || read.is_err() || typed.trim() != person.handle {
            return Err(Failure::new(Code::Malformed, "Nothing was ended.").into());
        }
    }
    Ok(client.revoke_all(person.id, reason).await?)
}

/// What ends, a line each.
fn list(held: &Holdings) -> String {
    let person = &held.person;
    let mut out = format!("This ends everything of {} ({}):\n", line(&person.name), line(&person.handle));
    let mut rows = Vec::new();
    for grant in &held.grants {
        rows.push(("ends", format!("{} on {}, {}", grant.role, grant.resource_name, grant.number)));
    }
    for request in &held.requests {
        rows.push((
            "withdrawn",
            format!("{} on {}, {}", request.role, request.resource_name, request.number),
        ));
    }
    for request in &held.approvals {
        let what = format!("{} on {} for {}", request.role, request.resource_name, request.by_name);
        rows.push(("approval void", format!("{what}, {}", request.number)));
    }
    for device in held.devices.iter().filter(|d| !d.disabled) {
        let name = device.name.as_deref().unwrap_or("a device");
        rows.push(("disabled", format!("{name} {}", device.fingerprint)));
    }
    rows.push(("void", "invites that they did not use".to_owned()));
    let facts: Vec<(&str, String)> = rows;
    out.push_str(&show::facts(&facts));
    out
}

/// What came of it, for people.
pub fn said(revoked: &RevokedView) -> String {
    let name = line(&revoked.person.name);
    let devices = match revoked.devices {
        1 => "1 device is disabled".to_owned(),
        n => format!("{n} devices are disabled"),
    };
    let mut out = format!("Everything of {name} ends; {devices}.\n");
    if !revoked.grants.is_empty() {
        out.push_str(&show::grants(&revoked.grants));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepass_client::ui::DeviceView;
    use gatepass_core::directory::Person;
    use gatepass_core::id::{DeviceId, PersonId};
    use uuid::Uuid;

    #[test]
    fn what_ends_is_listed() {
        let held = Holdings {
            person: Person {
                id: PersonId(Uuid::from_u128(1)),
                handle: "tomas".to_owned(),
                name: "Tomás\u{202e}".to_owned(),
                groups: Default::default(),
                auditor: false,
                admin: false,
            },
            grants: Vec::new(),
            requests: Vec::new(),
            approvals: Vec::new(),
            devices: [false, true]
                .map(|disabled| DeviceView {
                    id: DeviceId(Uuid::from_u128(2)),
                    name: Some("laptop".to_owned()),
                    fingerprint: "91:c7:0d:4a".to_owned(),
                    enrolled_at: Default::default(),
                    disabled,
                })
                .to_vec(),
        };
        let said = list(&held);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), 3, "{said}");
        assert_eq!(lines[0], "This ends everything of Tomás⟨U+202E⟩ (tomas):");
        assert!(lines[1].starts_with("disabled") && lines[1].ends_with("laptop 91:c7:0d:4a"), "{said}");
    }
}
