//! A password for each login, and what the server is told of it.

use rand::distributions::Alphanumeric;
use rand::{Rng, rngs::OsRng};
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Arc, Mutex, PoisonError};

/// About 190 bits.
const LENGTH: usize = 32;

/// The server is told the verifier only, so neither its log nor pg_stat_activity ever has the password.
pub(super) struct Password {
    /// ASCII letters and digits.
    pub text: SecretString,
    pub verifier: String,
}

impl Password {
    /// Takes a millisecond of work, on purpose of those who made SCRAM.
    fn new() -> Self {
        let text: String = OsRng.sample_iter(Alphanumeric).take(LENGTH).map(char::from).collect();
        let verifier = postgres_protocol::password::scram_sha_256(text.as_bytes());
        Self { text: text.into(), verifier }
    }

    pub fn exposed(&self) -> &str {
        self.text.expose_secret()
    }
}

/// Keeps one ready that was never used, so that nobody who asks has to wait for it.
#[derive(Clone, Default)]
pub(super) struct Passwords(Arc<Mutex<Option<Password>>>);

impl Passwords {
    /// One that nobody else gets. The next is made meanwhile.
    pub fn take(&self) -> Password {
        let ready = self.slot().take();
        let next = self.clone();
        tokio::task::spawn_blocking(move || {
            let made = Password::new();
            next.slot().replace(made);
        });
        ready.unwrap_or_else(Password::new)
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Password>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn each_is_another_and_fits_its_verifier() {
        let passwords = Passwords::default();
        let mut seen = BTreeSet::new();
        for _ in 0..6 {
            let password = passwords.take();
            assert!(password.verifier.starts_with("SCRAM-SHA-256$4096:"));
            assert!(!password.verifier.contains(password.exposed()));
            assert_eq!(password.exposed().len(), LENGTH);
            assert!(seen.insert(password.exposed().to_owned()));
            assert!(seen.insert(password.verifier));
            // Some are taken before the next is made, some after.
            tokio::task::yield_now().await;
        }
    }
}
