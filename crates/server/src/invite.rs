//! Inviting a person: they are recorded, and a link lets one device of theirs join.

use crate::Time;
use crate::config::Config;
use crate::store::{Change, Invite, Store, StoreError};
use chrono::TimeDelta;
use gatepass_core::directory::Person;
use gatepass_core::erase;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{EventId, PersonId};
use gatepass_core::text::{Digest, SaltedText, Texts, visible};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::RngCore as _;
use rand::distributions::{Alphanumeric, DistString as _};
use rand::rngs::OsRng;
use serde::Serialize;
use std::collections::BTreeSet;
use uuid::Uuid;

const LIFE: TimeDelta = TimeDelta::hours(24);
/// 24 of 62 letters: 142 bits.
const CODE_LETTERS: usize = 24;
/// Where the server last listened, for links when no public URL is configured.
pub const EFFECTIVE_URL: &str = "effective_url";

/// Whom to invite. A handle that is known is that person, with what is given here.
#[derive(Clone, Debug)]
pub struct Invitation {
    pub handle: String,
    pub name: String,
    pub groups: BTreeSet<String>,
    pub auditor: bool,
    pub admin: bool,
}

/// The answer, as `invite --json` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Invited {
    /// Good once, for one device.
    pub link: String,
    /// The handle.
    pub person: String,
    pub expires_at: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// What is wrong with the invitation, and what was expected.
    #[error("{0}")]
    Invalid(String),
    #[error("the server takes a free port and has not been started yet: start it first, or set public_url")]
    NoAddress,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Invitation {
    /// Handles are typed, and stand in lists with commas; names are only shown.
    fn check(&self) -> Result<(), InviteError> {
        let word = |text: &str, most| {
            let plain = !text.contains(|c: char| c.is_whitespace() || c == ',') && visible(text) == text;
            (1..=most).contains(&text.len()) && plain
        };
        let invalid = |what: String| Err(InviteError::Invalid(what));
        if !word(&self.handle, 128) {
            let handle = visible(&self.handle);
            return invalid(format!(
                "“{handle}” can’t be a person’s id, expected up to 128 letters without spaces or commas"
            ));
        }
        if erase::is_erased(&self.handle) {
            return invalid(format!(
                "“{}” stands for somebody who was erased, expected another id",
                self.handle
            ));
        }
        let name = self.name.trim();
        if !(1..=200).contains(&name.len()) || name.contains(['\n', '\t']) || visible(name) != name {
            return invalid(format!(
                "“{}” can’t be a name, expected one line of up to 200 letters",
                visible(name)
            ));
        }
        match self.groups.iter().find(|g| !word(g, 64)) {
            Some(group) => invalid(format!(
                "“{}” can’t be a group, expected up to 64 letters without spaces or commas",
                visible(group)
            )),
            None => Ok(()),
        }
    }
}

/// Records the person and makes a link. Safe beside a running server: it notices.
pub async fn invite(
    store: &dyn Store,
    config: &Config,
    invitation: Invitation,
    now: Time,
) -> Result<Invited, InviteError> {
    invitation.check()?;
    let listened = store.setting(EFFECTIVE_URL).await?;
    let url = config.public_url.clone().or(listened).unwrap_or_else(|| config.url_for(&config.listen));
    if url.ends_with(":0") {
        return Err(InviteError::NoAddress);
    }
    let code = Alphanumeric.sample_string(&mut OsRng, CODE_LETTERS);
    let expires_at = now + LIFE;
    // Two invitations of one new handle at the same moment: the second finds the first.
    let mut tries = 0;
    loop {
        let (people, _) = store.people().await?;
        let known = people.into_iter().find(|p| p.handle == invitation.handle);
        let mut change = record(known.as_ref(), &invitation, now);
        let person = change.people[0].id;
        if known.as_ref() == change.people.first() {
            change = Change::default();
        }
        change.invite = Some(Invite { code: Digest::of(code.as_bytes()), person, expires_at, used_by: None });
        match store.commit(change).await {
            Ok(_) => break,
            Err(StoreError::Conflict) if tries < 3 => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let server = utf8_percent_encode(&url, NON_ALPHANUMERIC);
    Ok(Invited {
        link: format!("gatepass://join?server={server}&code={code}"),
        person: invitation.handle,
        expires_at,
    })
}

/// The change that makes the person what the invitation says. Its one person is first.
fn record(known: Option<&Person>, invitation: &Invitation, now: Time) -> Change {
    let person = Person {
        id: known.map_or_else(|| PersonId(Uuid::now_v7()), |p| p.id),
        handle: invitation.handle.clone(),
        name: invitation.name.clone(),
        groups: invitation.groups.clone(),
        auditor: invitation.auditor,
        admin: invitation.admin,
    };
    let details = serde_json::json!({ "handle": person.handle, "name": person.name }).to_string();
    let mut salt = [0; 16];
    OsRng.fill_bytes(&mut salt);
    let details = SaltedText::new(salt, details);
    let digest = details.digest().unwrap_or_else(|| Digest::of(&[]));
    let event = Event {
        id: EventId(Uuid::now_v7()),
        at: now,
        by: By::Gatepass,
        request: None,
        fact: Fact::PersonRecorded {
            person: person.id,
            groups: person.groups.iter().cloned().collect(),
            auditor: person.auditor,
            admin: person.admin,
            details: digest.clone(),
        },
        command: None,
    };
    Change {
        people: vec![person],
        events: vec![event],
        texts: Texts::from([(digest, details)]),
        ..Change::default()
    }
}
