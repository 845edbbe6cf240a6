//! Who is asking. A write proves it by the device's signature; reads and the stream by a token, which a device
//! gets for signing a challenge. Both are stamped with a key that all nodes have from the store, so any node takes
//! what another gave, also after a restart. No node has to remember a token; what it remembers is which challenges
//! it saw used.

mod stamp;

use crate::Time;
use crate::app::App;
use crate::error::Problem;
use crate::people::Snapshot;
use crate::store::{Change, Device, Recorded, Store, StoreError};
use axum::extract::FromRequestParts;
use axum::http::{header, request::Parts};
use chrono::TimeDelta;
use gatepass_core::duration;
use gatepass_core::error::Code;
use gatepass_core::id::{CommandId, DeviceId, PersonId};
use gatepass_core::text::{Digest, visible};
use gatepass_core::wire::SignedCommand;
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stamp::{Keys, Purpose, Shown, Stamp};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use uuid::Uuid;
use zeroize::Zeroizing;

/// How far a signed time may be from the server's.
pub const SKEW: TimeDelta = TimeDelta::minutes(5);
const TOKEN_LIFE: TimeDelta = TimeDelta::minutes(15);
/// A minute for the device, and one by which the clocks of two nodes may differ.
const CHALLENGE_LIFE: TimeDelta = TimeDelta::minutes(2);
/// Used challenges remembered at most; each is gone with its end.
const USED: usize = 100_000;
/// The setting that keeps the keys, readable to whoever may read the store.
const KEYS: &str = "token_key";
/// Names the change that makes the first keys: of several nodes that start at once, one makes it.
const FIRST: CommandId = CommandId(Uuid::from_u128(0x6761_7465_7061_8073_8000_746f_6b65_6e31));
/// A stamp that no key made may have been made with a key that another node changed: look, this often at most.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A changed key is taken up after this long also when nothing asks for it.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Someone with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    pub person: PersonId,
    pub device: DeviceId,
    pub until: Time,
}

pub struct Auth {
    keys: RwLock<Arc<Keys>>,
    /// When the keys were last read. Held while reading: one at a time.
    looked: tokio::sync::Mutex<Instant>,
    /// Challenges that were used here, until their ends.
    used: Mutex<HashMap<Uuid, Time>>,
}

impl Auth {
    /// With the keys in the store; the first node makes them.
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let keys = match keys(store).await? {
            Some(keys) => keys,
            None => {
                replace(store, FIRST, &Keys::first()).await?;
                keys(store).await?.ok_or_else(|| StoreError::Failed(format!("the setting {KEYS} is gone")))?
            }
        };
        Ok(Self {
            keys: RwLock::new(Arc::new(keys)),
            looked: tokio::sync::Mutex::new(Instant::now()),
            used: Mutex::default(),
        })
    }

    /// A challenge for one sign-in.
    pub fn challenge(&self, now: Time) -> String {
        let mut id = [0; 16];
        OsRng.fill_bytes(&mut id);
        let stamp = Stamp { id: Uuid::from_bytes(id), ends: now + CHALLENGE_LIFE };
        self.keys().stamp(Purpose::Challenge, stamp)
    }

    /// Whether a challenge is a node's own and not over, for [`Self::use_up`].
    pub async fn challenged(
        &self,
        store: &dyn Store,
        challenge: &str,
        now: Time,
    ) -> Result<Option<Stamp>, StoreError> {
        self.check(store, Purpose::Challenge, challenge, now).await
    }

    /// Uses a challenge up; whether it had not been used here before.
    pub fn use_up(&self, challenge: Stamp, now: Time) -> Result<bool, Problem> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= USED {
            used.retain(|_, ends| *ends > now);
            if used.len() >= USED {
                return Err(Code::RateLimited.into());
            }
        }
        Ok(used.insert(challenge.id, challenge.ends).is_none())
    }

    /// A read token for `device`, and its end.
    pub fn open(&self, device: &Device, now: Time) -> (String, Time) {
        let ends = now + TOKEN_LIFE;
        (self.keys().stamp(Purpose::Token, Stamp { id: device.id.0, ends }), ends)
    }

    /// The device whose token it is, and the token's end.
    pub async fn token(
        &self,
        store: &dyn Store,
        token: &str,
        now: Time,
    ) -> Result<(DeviceId, Time), Problem> {
        match self.check(store, Purpose::Token, token, now).await? {
            Some(stamp) => Ok((DeviceId(stamp.id), stamp.ends)),
            // Ended, made up, or of a key of long ago: the same way on for all.
            None => Err(Code::TokenEnded.into()),
        }
    }

    /// Takes changed keys up, until the server stops.
    pub async fn follow(app: App) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = app.stopped() => return,
            }
            if let Err(error) = app.auth.look(&*app.store, LOOK_EVERY).await {
                tracing::warn!(%error, "could not read the token keys again");
            }
        }
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn check(
        &self,
        store: &dyn Store,
        purpose: Purpose,
        text: &str,
        now: Time,
    ) -> Result<Option<Stamp>, StoreError> {
        let Some(shown) = Shown::parse(text).filter(|s| now < s.ends()) else { return Ok(None) };
        if let Some(stamp) = self.keys().check(purpose, &shown, now) {
            return Ok(Some(stamp));
        }
        self.look(store, LOOK_AGAIN).await?;
        Ok(self.keys().check(purpose, &shown, now))
    }

    /// Reads the keys, unless they were read less than `age` ago.
    async fn look(&self, store: &dyn Store, age: Duration) -> Result<(), StoreError> {
        let mut looked = self.looked.lock().await;
        if looked.elapsed() < age {
            return Ok(());
        }
        *looked = Instant::now();
        if let Some(keys) = keys(store).await? {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        }
        Ok(())
    }
}

/// Changes the key that stamps, for all nodes. What the one before stamped stays good for 20 minutes, which is
/// longer than a token lives: nobody has to sign in again.
pub async fn rotate(store: &dyn Store, now: Time) -> Result<(), StoreError> {
    match keys(store).await? {
        Some(keys) => replace(store, keys.change(), &keys.next(now)).await,
        None => replace(store, FIRST, &Keys::first()).await,
    }
}

async fn keys(store: &dyn Store) -> Result<Option<Keys>, StoreError> {
    let kept = store.setting(KEYS).await?.map(Zeroizing::new);
    // Without the error's own words, which may quote the keys.
    let unread = |_| StoreError::Failed(format!("the setting {KEYS} can’t be read"));
    kept.map(|kept| serde_json::from_str(&kept).map_err(unread)).transpose()
}

/// Settings are last-writer-wins, and a command's id is not: when someone else made the same change, theirs stands.
async fn replace(store: &dyn Store, change: CommandId, keys: &Keys) -> Result<(), StoreError> {
    let kept =
        serde_json::to_string(keys).map_err(|_| StoreError::Failed(format!("{KEYS} can’t be written")))?;
    let command = Recorded { id: change, digest: Digest::of(KEYS.as_bytes()), request: None };
    let change = Change { command: Some(command), settings: vec![(KEYS, kept)], ..Change::default() };
    match store.commit(change).await {
        Ok(_) | Err(StoreError::Repeated(_)) => Ok(()),
        Err(error) => Err(error),
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
        let (device, until) = app.auth.token(&*app.store, token.trim(), app.clock.now()).await?;
        // It may have joined at another node.
        let people = app.people_with(device).await?;
        let known = people.device(device).filter(|d| !d.disabled).ok_or(Code::DeviceDisabled)?;
        app.limits.device(device)?;
        Ok(Reader { person: known.person, device, until })
    }
}
