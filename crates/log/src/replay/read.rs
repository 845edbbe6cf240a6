//! One position, read: what its content says, and what was signed for it. Without a second copy of what was signed: the
//! bytes under a signature are a part of the leaf as it stands.

use super::json::{Members, member, members, read};
use crate::leaf::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use gatepass_core::Time;
use gatepass_core::command::{Command, Enroll};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{CommandId, DeviceId, EventId, RequestId};
use gatepass_core::wire::Head;
use serde::Deserialize;

/// The members of an event that are not its fact's.
const OUTSIDE: [&str; 5] = ["at", "by", "command", "id", "request"];
/// The members of a body that are not its command's.
const AROUND: [&str; 4] = ["at", "device", "head", "id"];

/// An event without its command, and the command.
pub struct Read<'a> {
    pub event: Event,
    pub said: Option<Said<'a>>,
}

/// What a device signed.
pub struct Said<'a> {
    pub id: CommandId,
    pub device: DeviceId,
    pub at: Time,
    pub head: Option<Head>,
    pub what: What,
    /// As it stands in the leaf.
    body: &'a str,
    /// Base64.
    pub signature: &'a str,
}

pub enum What {
    Command(Command),
    Enroll(Enroll),
}

/// Reads the content of a position; an error is a rule and a sentence.
pub fn content(text: &str, leaf: Hash) -> Result<Read<'_>, (&'static str, String)> {
    if Hash::leaf(text.as_bytes()) != leaf {
        return Err(("leaf", "the event is not the one that was recorded: it has another hash".to_owned()));
    }
    let unreadable = |why: String| ("event", format!("the event can’t be read: {why}"));
    let outer = members(text).ok_or_else(|| unreadable("it is not in canonical form".to_owned()))?;
    event(&outer).map_err(|e| unreadable(e.to_string()))
}

fn event<'a>(outer: &Members<'a>) -> serde_json::Result<Read<'a>> {
    let fact: Fact = read(outer.iter().filter(|(key, _)| !OUTSIDE.contains(key)).copied())?;
    let event = Event {
        id: needed::<EventId>(outer, "id")?,
        at: needed::<Time>(outer, "at")?,
        by: needed::<By>(outer, "by")?,
        request: optional::<RequestId>(outer, "request")?,
        fact,
        command: None,
    };
    let said = member(outer, "command").map(said).transpose()?;
    Ok(Read { event, said })
}

fn said(command: &str) -> serde_json::Result<Said<'_>> {
    let wrong = |what: &str| serde::de::Error::custom(format!("the command has no {what}"));
    let outer = members(command).ok_or_else(|| wrong("members"))?;
    let body = member(&outer, "body").ok_or_else(|| wrong("body"))?;
    let signature = member(&outer, "signature").and_then(|s| s.strip_prefix('"')?.strip_suffix('"'));
    let inner = members(body).ok_or_else(|| wrong("body"))?;
    let what = if member(&inner, "kind") == Some("\"device.enroll\"") {
        What::Enroll(serde_json::from_str(body)?)
    } else {
        What::Command(read(inner.iter().filter(|(key, _)| !AROUND.contains(key)).copied())?)
    };
    Ok(Said {
        id: needed(&inner, "id")?,
        device: needed(&inner, "device")?,
        at: needed(&inner, "at")?,
        head: optional(&inner, "head")?,
        what,
        body,
        signature: signature.ok_or_else(|| wrong("signature"))?,
    })
}

fn needed<'a, T: Deserialize<'a>>(
    members: &[(&'a str, &'a str)],
    key: &'static str,
) -> serde_json::Result<T> {
    let value =
        member(members, key).ok_or_else(|| <serde_json::Error as serde::de::Error>::missing_field(key))?;
    serde_json::from_str(value)
}

fn optional<'a, T: Deserialize<'a>>(
    members: &[(&'a str, &'a str)],
    key: &str,
) -> serde_json::Result<Option<T>> {
    member(members, key).map_or(Ok(None), serde_json::from_str)
}

impl Said<'_> {
    pub fn kind(&self) -> &'static str {
        match &self.what {
            What::Command(command) => command.kind(),
            What::Enroll(_) => "device.enroll",
        }
    }

    /// Strictly, as [`crate::verify`].
    pub fn holds(&self, key: &VerifyingKey) -> bool {
        let Some(signature) = decode::<64>(self.signature) else { return false };
        let bytes = format!("gatepass/v1 {}\n{}", self.kind(), self.body);
        key.verify_strict(bytes.as_bytes(), &Signature::from_bytes(&signature)).is_ok()
    }
}

/// A device’s key as it is enrolled.
pub fn key(public: &str) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(&decode::<32>(public)?).ok()
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let taken = BASE64.decode_slice(text, &mut bytes).ok()?;
    (taken == N).then_some(bytes)
}
