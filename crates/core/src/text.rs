//! Free text from people: committed to by a salted digest, kept beside the log, shown as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use ts_rs::TS;

/// The longest reason, note or ticket, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 4_000;

/// SHA-256 in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
#[ts(type = "string")]
pub struct Digest(pub String);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }
}

/// A text with the salt that hides it behind its digest: SHA-256(salt || text), salt of 16 random bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SaltedText {
    /// Base64, 16 bytes.
    pub salt: String,
    pub text: String,
}

impl SaltedText {
    pub fn new(salt: [u8; 16], text: impl Into<String>) -> Self {
        Self { salt: BASE64.encode(salt), text: text.into() }
    }

    /// `None` when the salt is not 16 bytes of base64.
    pub fn digest(&self) -> Option<Digest> {
        let salt = BASE64.decode(&self.salt).ok().filter(|s| s.len() == 16)?;
        let mut hash = Sha256::new();
        hash.update(salt);
        hash.update(self.text.as_bytes());
        Some(Digest(hex::encode(hash.finalize())))
    }
}

/// Texts by the digest that the log holds.
pub type Texts = BTreeMap<Digest, SaltedText>;

/// Makes control and bidirectional formatting characters visible, so that a text can't pretend to be another.
/// Newlines and tabs stay. Source of the list: Unicode UAX #9 and the "Trojan Source" paper (CVE-2021-42574).
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
            '\u{7f}' => out.push('\u{2421}'),
            '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => out.push_str(&format!("⟨U+{:04X}⟩", c as u32)),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_needs_its_salt() {
        let a = SaltedText::new([1; 16], "stuck orders");
        let b = SaltedText::new([2; 16], "stuck orders");
        assert_ne!(a.digest(), b.digest());
        assert_eq!(SaltedText { salt: "AA==".into(), text: "x".into() }.digest(), None);
    }

    #[test]
    fn hidden_characters_are_shown() {
        assert_eq!(visible("a\u{202e}b\u{7}c"), "a⟨U+202E⟩b␇c");
        assert_eq!(visible("Zoë\nŁódź"), "Zoë\nŁódź");
    }
}
