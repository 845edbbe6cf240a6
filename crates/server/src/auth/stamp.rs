//! Stamps: an id and an end under a key that all nodes share. Read tokens and challenges are stamps, so any node
//! can tell its own and the others' from made-up ones without having kept them.

use crate::Time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, TimeDelta};
use gatepass_core::id::CommandId;
use hmac::{Hmac, Mac as _};
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

/// How long a key is still good for what was stamped with it after it was changed: the life of a token, and time
/// for every node to notice and for their clocks to differ.
const PREVIOUS_LIFE: TimeDelta = TimeDelta::minutes(20);
const VERSION: u8 = 1;
/// Version, id, end, tag. A multiple of three, so that base64 has no spare bits that could be changed unnoticed.
const LENGTH: usize = 1 + 16 + 8 + 32;
const SIGNED: usize = LENGTH - 32;

/// What a stamp is for; one for the one is none for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The id is the device's.
    Token,
    /// The id is random.
    Challenge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub id: Uuid,
    pub ends: Time,
}

/// A stamp as it came, not checked yet.
pub struct Shown {
    stamp: Stamp,
    bytes: [u8; LENGTH],
}

impl Shown {
    /// Nothing when `text` can be no stamp of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; LENGTH] = BASE64.decode(text).ok()?.try_into().ok()?;
        let id = Uuid::from_bytes(bytes[1..17].try_into().ok()?);
        let ends = DateTime::from_timestamp_millis(i64::from_be_bytes(bytes[17..SIGNED].try_into().ok()?))?;
        (bytes[0] == VERSION).then_some(Self { stamp: Stamp { id, ends }, bytes })
    }

    /// The end that it claims.
    pub fn ends(&self) -> Time {
        self.stamp.ends
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Key(Zeroizing<[u8; 32]>);

impl Key {
    fn random() -> Self {
        let mut key = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(key.as_mut());
        Self(key)
    }

    fn mac(&self, label: &[u8], bytes: &[u8]) -> Hmac<Sha256> {
        // The block of SHA-256 is longer than the key, which is then filled up with zeros: as HMAC defines it.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(self.0.as_ref());
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(label);
        mac.update(bytes);
        mac
    }

    fn stamp(&self, purpose: Purpose, stamped: &[u8]) -> Hmac<Sha256> {
        let label: &[u8] = match purpose {
            Purpose::Token => b"gatepass/v1 token\n",
            Purpose::Challenge => b"gatepass/v1 challenge\n",
        };
        self.mac(label, stamped)
    }
}

impl TryFrom<String> for Key {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = Zeroizing::new(text);
        let bytes = Zeroizing::new(BASE64.decode(text.as_str()).map_err(|_| "not base64")?);
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| "not 32 bytes")?;
        Ok(Self(Zeroizing::new(key)))
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        BASE64.encode(key.0.as_ref())
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Previous {
    key: Key,
    until: Time,
}

/// The key that stamps, and for a while the one before.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keys {
    current: Key,
    previous: Option<Previous>,
}

impl Keys {
    pub fn first() -> Self {
        Self { current: Key::random(), previous: None }
    }

    /// A new key, beside which the current one stays good for what it stamped.
    pub fn next(&self, now: Time) -> Self {
        let previous = Previous { key: self.current.clone(), until: now + PREVIOUS_LIFE };
        Self { current: Key::random(), previous: Some(previous) }
    }

    /// Names the change from these keys to the next: the same on every node, and nothing that others could guess.
    pub fn change(&self) -> CommandId {
        let tag = self.current.mac(b"gatepass/v1 next key\n", &[]).finalize().into_bytes();
        let mut id = [0; 16];
        id.copy_from_slice(&tag[..16]);
        CommandId(uuid::Builder::from_custom_bytes(id).into_uuid())
    }

    pub fn stamp(&self, purpose: Purpose, stamp: Stamp) -> String {
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[1..17].copy_from_slice(stamp.id.as_bytes());
        bytes[17..SIGNED].copy_from_slice(&stamp.ends.timestamp_millis().to_be_bytes());
        let tag = self.current.stamp(purpose, &bytes[..SIGNED]).finalize().into_bytes();
        bytes[SIGNED..].copy_from_slice(&tag);
        BASE64.encode(bytes)
    }

    /// The stamp, if one of the keys made it for this purpose. Whether it ended is not looked at.
    pub fn check(&self, purpose: Purpose, shown: &Shown, now: Time) -> Option<Stamp> {
        let (stamped, tag) = shown.bytes.split_at(SIGNED);
        let made_by = |key: &Key| key.stamp(purpose, stamped).verify_slice(tag).is_ok();
        let previous = self.previous.as_ref().filter(|p| now < p.until);
        let made = made_by(&self.current) || previous.is_some_and(|p| made_by(&p.key));
        made.then_some(shown.stamp)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn now() -> Time {
        "2026-11-17T09:53:00Z".parse().unwrap()
    }

    fn check(keys: &Keys, purpose: Purpose, text: &str) -> Option<Stamp> {
        keys.check(purpose, &Shown::parse(text)?, now())
    }

    proptest! {
        #[test]
        fn a_stamp_comes_back_and_none_with_a_changed_byte_is_taken(
            id: [u8; 16],
            seconds in -4_000_000_000_i64..4_000_000_000,
            at in 0..LENGTH,
            flip in 1..=255_u8,
        ) {
            let keys = Keys::first();
            let stamp = Stamp { id: Uuid::from_bytes(id), ends: now() + TimeDelta::seconds(seconds) };
            let text = keys.stamp(Purpose::Token, stamp);
            prop_assert_eq!(check(&keys, Purpose::Token, &text), Some(stamp));
            prop_assert_eq!(check(&keys, Purpose::Challenge, &text), None);
            let mut bytes = BASE64.decode(&text).unwrap();
            bytes[at] ^= flip;
            prop_assert_eq!(check(&keys, Purpose::Token, &BASE64.encode(bytes)), None);
        }

        #[test]
        fn no_changed_letter_is_taken(at in 0..76_usize, letter in "[ -~]", cut in 0..76_usize) {
            let keys = Keys::first();
            let text = keys.stamp(Purpose::Token, Stamp { id: Uuid::nil(), ends: now() });
            let mut changed = text.clone();
            changed.replace_range(at..=at, &letter);
            prop_assert_eq!(check(&keys, Purpose::Token, &changed).is_some(), changed == text);
            prop_assert_eq!(check(&keys, Purpose::Token, &text[..cut]), None);
            prop_assert_eq!(check(&keys, Purpose::Token, &(text.clone() + &letter)), None);
        }
    }

    #[test]
    fn it_is_hmac_as_everybody_knows_it() {
        // RFC 4231, case 2, whose key is shorter than ours: filled up with zeros it is the same key.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let tag = Key(Zeroizing::new(key)).mac(b"what do ya want ", b"for nothing?").finalize().into_bytes();
        assert_eq!(hex::encode(tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_key_stays_good_for_a_while_after_it_was_changed() {
        let keys = Keys::first();
        let text = keys.stamp(Purpose::Token, Stamp { id: Uuid::nil(), ends: now() });
        let next = keys.next(now());
        assert!(check(&next, Purpose::Token, &text).is_some());
        let shown = Shown::parse(&text).unwrap();
        assert!(next.check(Purpose::Token, &shown, now() + PREVIOUS_LIFE).is_none());
        assert!(check(&next.next(now()), Purpose::Token, &text).is_none(), "two are kept");
        assert_eq!(keys.change(), keys.clone().change());
        assert_ne!(keys.change(), next.change());
        let kept = serde_json::to_string(&next).unwrap();
        let read: Keys = serde_json::from_str(&kept).unwrap();
        assert!(check(&read, Purpose::Token, &text).is_some());
    }
}
