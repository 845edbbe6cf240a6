//! Who is asking. A write proves it by the device's signature; reads and the stream by a token, which a device
//! gets for signing a challenge. Tokens and challenges live in memory only.

use crate::Time;
use crate::app::App;
use crate::error::Problem;
use crate::people::Snapshot;
use crate::store::Device;
use axum::extract::FromRequestParts;
use axum::http::{header, request::Parts};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::TimeDelta;
use gatepass_core::duration;
use gatepass_core::error::Code;
use gatepass_core::id::{DeviceId, PersonId};
use gatepass_core::text::{Digest, visible};
use gatepass_core::wire::SignedCommand;
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far a signed time may be from the server's.
pub const SKEW: TimeDelta = TimeDelta::minutes(5);
const TOKEN_LIFE: TimeDelta = TimeDelta::minutes(15);
const CHALLENGE_LIFE: TimeDelta = TimeDelta::seconds(60);
/// Unused challenges kept at most; each is gone after a minute.
const CHALLENGES: usize = 100_000;

/// Someone with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    pub person: PersonId,
    pub device: DeviceId,
    pub until: Time,
}

#[derive(Default)]
pub struct Auth {
    /// By the digest of the token, so that looking one up tells nothing about another.
    tokens: Mutex<HashMap<Digest, Reader>>,
    challenges: Mutex<HashMap<String, Time>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random() -> String {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    BASE64.encode(bytes)
}

impl Auth {
    /// A challenge for one sign-in within a minute.
    pub fn challenge(&self, now: Time) -> Result<String, Problem> {
        let mut challenges = lock(&self.challenges);
        if challenges.len() >= CHALLENGES {
            challenges.retain(|_, until| *until > now);
            if challenges.len() >= CHALLENGES {
                return Err(Code::RateLimited.into());
            }
        }
        let challenge = random();
        challenges.insert(challenge.clone(), now + CHALLENGE_LIFE);
        Ok(challenge)
    }

    /// Uses a challenge up; whether it was good.
    pub fn take_challenge(&self, challenge: &str, now: Time) -> bool {
        lock(&self.challenges).remove(challenge).is_some_and(|until| now < until)
    }

    /// A read token for `device`.
    pub fn open(&self, device: &Device, now: Time) -> (String, Time) {
        let token = random();
        let until = now + TOKEN_LIFE;
        let mut tokens = lock(&self.tokens);
        tokens.retain(|_, reader| reader.until > now);
        let reader = Reader { person: device.person, device: device.id, until };
        tokens.insert(Digest::of(token.as_bytes()), reader);
        (token, until)
    }

    pub fn reader(&self, token: &str, now: Time) -> Result<Reader, Problem> {
        match lock(&self.tokens).get(&Digest::of(token.as_bytes())) {
            Some(reader) if now < reader.until => Ok(*reader),
            Some(_) => Err(Code::TokenEnded.into()),
            // Also what the server knew before it was started again.
            None => Err(Code::TokenEnded.into()),
        }
    }
}

/// The device, if `command` was signed by it under `kind`.
pub fn signer<'a>(
    people: &'a Snapshot,
    device: DeviceId,
    kind: &str,
    command: &SignedCommand,
) -> Result<&'a Device, Problem> {
    let known = people.device(device).ok_or(Code::UnknownDevice)?;
    gatepass_log::verify(&known.signing_key, kind, command).map_err(|_| Code::WrongSignature)?;
    if known.disabled {
        return Err(Code::DeviceDisabled.into());
    }
    Ok(known)
}

/// Reads a signed body. It is kept in the log, for ever and for many: there is nothing in it but what is read.
pub fn read<T: DeserializeOwned + Serialize>(command: &SignedCommand) -> Result<T, Problem> {
    let unread =
        |e: serde_json::Error| Problem::malformed(format!("The body of the command can’t be read: {e}."));
    let body: T = serde_json::from_value(command.body.clone()).map_err(unread)?;
    let known = serde_json::to_value(&body).map_err(unread)?;
    match surplus(&command.body, &known) {
        None => Ok(body),
        Some(field) => {
            let field = visible(&field.chars().take(64).collect::<String>());
            Err(Problem::malformed(format!("The body of the command has an unknown field “{field}”.")))
        }
    }
}

/// A field of `sent` that is not in `known`.
fn surplus(sent: &Value, known: &Value) -> Option<String> {
    let sent = sent.as_object()?;
    sent.iter().find_map(|(key, value)| match known.get(key) {
        // Sent as nothing, and left out again.
        None if value.is_null() => None,
        None => Some(key.clone()),
        Some(known) => surplus(value, known),
    })
}

/// Whether a signed time is near enough to the server's; says by how much and which way it is off.
pub fn check_skew(at: Time, now: Time) -> Result<(), Problem> {
    let off = at - now;
    if off.abs() <= SKEW {
        return Ok(());
    }
    let way = if off > TimeDelta::zero() { "ahead of" } else { "behind" };
    let much = duration::say(u32::try_from(off.abs().num_seconds()).unwrap_or(u32::MAX));
    let detail = format!(
        "This computer’s clock is {much} {way} the server’s ({}). Set it right and try again.",
        now.format("%Y-%m-%d %H:%M:%S UTC")
    );
    Err(Problem::new(Code::ClockSkew, detail))
}

impl FromRequestParts<App> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let token = given.and_then(|v| v.strip_prefix("Bearer ")).ok_or(Code::Unauthenticated)?;
        let reader = app.auth.reader(token.trim(), app.clock.now())?;
        if app.people.now().device(reader.device).is_none_or(|d| d.disabled) {
            return Err(Code::DeviceDisabled.into());
        }
        app.limits.device(reader.device)?;
        Ok(reader)
    }
}
