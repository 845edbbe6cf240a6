//! Standard Webhooks signatures: HMAC-SHA256 over `ID.TIMESTAMP.BODY`.

use crate::TargetError;
use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::Sha256;

/// Shorter ones can be guessed; Standard Webhooks makes them of 24 to 64 bytes.
const SHORTEST: usize = 16;
const PREFIX: &str = "whsec_";

/// Secrets are pasted with and without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The secrets that sign, each of them every message: so a receiver can go from one to the next.
pub struct Secrets(Vec<SecretSlice<u8>>);

impl Secrets {
    /// One secret per line, `whsec_` and base64.
    ///
    /// # Errors
    /// `Configuration`, without the text.
    pub fn parse(text: &SecretString) -> Result<Self, TargetError> {
        let lines = text.expose_secret().lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets: Vec<_> =
            lines.enumerate().map(|(at, line)| one(at + 1, line)).collect::<Result<_, _>>()?;
        if secrets.is_empty() {
            return Err(wrong("there is none"));
        }
        Ok(Self(secrets))
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Result<String, TargetError> {
        let mut signatures = Vec::new();
        for secret in &self.0 {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret())
                .map_err(|e| TargetError::Configuration(format!("the secret cannot sign: {e}")))?;
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            signatures.push(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())));
        }
        Ok(signatures.join(" "))
    }
}

fn one(at: usize, line: &str) -> Result<SecretSlice<u8>, TargetError> {
    let text = line.strip_prefix(PREFIX).unwrap_or(line);
    let bytes = LENIENT.decode(text).map_err(|_| wrong(&format!("secret {at} is not base64")))?;
    if bytes.len() < SHORTEST {
        return Err(wrong(&format!("secret {at} is shorter than {SHORTEST} bytes")));
    }
    Ok(bytes.into())
}

fn wrong(why: &str) -> TargetError {
    TargetError::Configuration(format!(
        "the webhook’s secret file can’t be used: {why}, expected lines of {PREFIX} and base64, as made by \
         `echo {PREFIX}$(openssl rand -base64 32)`"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn secrets(text: &str) -> Result<Secrets, TargetError> {
        Secrets::parse(&text.to_owned().into())
    }

    /// The expected value was computed with Python's hmac.
    #[test]
    fn signs_as_others_do() {
        let expected = "v1,/Xy7FLfFISa1TZH7WLT+0x/orG5MlcutAFOpVan3/00=";
        let sign = |text: &str| {
            let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
            secrets(text).unwrap().sign(id, 1_614_265_330, body).unwrap()
        };
        assert_eq!(sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw=="), expected);
        assert_eq!(sign("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw\r\n\n"), expected);
        let both = sign("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\nwhsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw\n");
        let (new, old) = both.split_once(' ').unwrap();
        assert_eq!(old, expected);
        assert!(new.starts_with("v1,") && new != expected);
    }

    #[test]
    fn a_secret_that_is_none_is_told_and_not_repeated() {
        for wrong in
            ["", "\n", "whsec_", "whsec_hunter2!", "whsec_aHVudGVyMg==", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw\nx"]
        {
            let error = secrets(wrong).err().expect(wrong).to_string();
            assert!(!error.contains("hunter2") && !error.contains("aHVud"), "{error}");
        }
    }
}
