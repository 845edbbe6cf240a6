//! Device signatures: Ed25519 over `"gatepass/v1 <kind>\n" || JCS(body)`. The kind in the prefix keeps a
//! signature made for one purpose from standing for another.

use crate::leaf::canonical;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use gatepass_core::wire::SignedCommand;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A device's signing key. Its bytes are zeroed on drop.
pub struct Key(SigningKey);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the body can't be put into canonical form")]
    Body,
    #[error("the key is not an Ed25519 public key in base64")]
    Key,
    #[error("the signature does not match")]
    Signature,
}

impl Key {
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(bytes))
    }

    /// Base64 of the 32 public bytes.
    pub fn public(&self) -> String {
        BASE64.encode(self.0.verifying_key().as_bytes())
    }

    /// Signs `body`, which must carry `kind` itself if the reader relies on it.
    pub fn sign<T: Serialize>(&self, kind: &str, body: &T) -> Result<SignedCommand, SignatureError> {
        let body = serde_json::to_value(body).map_err(|_| SignatureError::Body)?;
        let signature = self.0.sign(&signed_bytes(kind, &body)?);
        Ok(SignedCommand { body, signature: BASE64.encode(signature.to_bytes()) })
    }
}

/// The bytes under a signature.
pub fn signed_bytes<T: Serialize>(kind: &str, body: &T) -> Result<Vec<u8>, SignatureError> {
    let mut bytes = format!("gatepass/v1 {kind}\n").into_bytes();
    bytes.extend(canonical(body).map_err(|_| SignatureError::Body)?);
    Ok(bytes)
}

/// Checks that `command` was signed under `kind` by the holder of `public` (base64). Strict: non-canonical
/// and small-order keys are refused (RFC 8032 with the checks of `verify_strict`).
pub fn verify(public: &str, kind: &str, command: &SignedCommand) -> Result<(), SignatureError> {
    let key: [u8; 32] = decode(public).ok_or(SignatureError::Key)?;
    let key = VerifyingKey::from_bytes(&key).map_err(|_| SignatureError::Key)?;
    let signature: [u8; 64] = decode(&command.signature).ok_or(SignatureError::Signature)?;
    let signature = ed25519_dalek::Signature::from_bytes(&signature);
    key.verify_strict(&signed_bytes(kind, &command.body)?, &signature).map_err(|_| SignatureError::Signature)
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

/// The first four bytes of the SHA-256 of a public key (base64), `7d:1a:c4:9e`.
pub fn fingerprint(public: &str) -> String {
    let bytes = BASE64.decode(public).unwrap_or_default();
    Sha256::digest(&bytes).iter().take(4).map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_signature_holds_for_its_kind_body_and_key_only() {
        let key = Key::from_bytes(&[7; 32]);
        let signed = key.sign("request.decide", &json!({"verdict": "approve", "duration_s": 60})).unwrap();
        assert_eq!(verify(&key.public(), "request.decide", &signed), Ok(()));
        assert_eq!(verify(&key.public(), "request.create", &signed), Err(SignatureError::Signature));
        let other = Key::from_bytes(&[8; 32]);
        assert_eq!(verify(&other.public(), "request.decide", &signed), Err(SignatureError::Signature));
        let mut changed = signed;
        changed.body["duration_s"] = json!(61);
        assert_eq!(verify(&key.public(), "request.decide", &changed), Err(SignatureError::Signature));
    }

    #[test]
    fn the_order_of_fields_does_not_matter() {
        let key = Key::from_bytes(&[7; 32]);
        let a = key.sign("k", &json!({"a": 1, "b": 2})).unwrap();
        let b = key.sign("k", &json!({"b": 2, "a": 1})).unwrap();
        assert_eq!(a.signature, b.signature);
    }
}
