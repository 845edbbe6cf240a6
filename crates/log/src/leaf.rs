//! Events as leaves: RFC 8785 canonical JSON under an RFC 6962 leaf hash.

use gatepass_core::event::Event;
use gatepass_core::text::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// RFC 6962, section 2.1: SHA-256(0x00 || leaf).
    pub fn leaf(content: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update([0]);
        hash.update(content);
        Self(hash.finalize().into())
    }

    /// RFC 6962, section 2.1: SHA-256(0x01 || left || right).
    pub fn node(left: &Self, right: &Self) -> Self {
        let mut hash = Sha256::new();
        hash.update([1]);
        hash.update(left.0);
        hash.update(right.0);
        Self(hash.finalize().into())
    }

    pub fn digest(&self) -> Digest {
        Digest(hex::encode(self.0))
    }

    /// `None` unless 64 hex digits.
    pub fn parse(digest: &Digest) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&digest.0, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

/// RFC 8785 canonical JSON. Numbers in Gatepass are integers below 2^53, so nothing is lost.
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json_canonicalizer::to_vec(value)
}

/// The leaf hash of an event.
pub fn leaf_hash(event: &Event) -> Result<Hash, serde_json::Error> {
    Ok(Hash::leaf(&canonical(event)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_event_reads_back_to_the_same_leaf() {
        let text = r#"{"kind":"request.granted","at":"2026-11-17T09:53:00.120Z","by":"gatepass",
            "id":"019a0000-0000-7000-8000-000000000001","request":"019a0000-0000-7000-8000-000000000002",
            "grant":"019a0000-0000-7000-8000-000000000003","duration_s":1200,"latest_end":"2026-11-17T10:53:00Z"}"#;
        let event: Event = serde_json::from_str(text).unwrap();
        let bytes = canonical(&event).unwrap();
        let again: Event = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(leaf_hash(&event).unwrap(), leaf_hash(&again).unwrap());
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            concat!(
                r#"{"at":"2026-11-17T09:53:00.120Z","by":"gatepass","duration_s":1200,"#,
                r#""grant":"019a0000-0000-7000-8000-000000000003","id":"019a0000-0000-7000-8000-000000000001","#,
                r#""kind":"request.granted","latest_end":"2026-11-17T10:53:00Z","#,
                r#""request":"019a0000-0000-7000-8000-000000000002"}"#
            )
        );
    }
}
