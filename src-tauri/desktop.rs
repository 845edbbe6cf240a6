//! What every part of the app can reach: the profile, and its client once the keyring let it open.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use gatepass_client::ui::{Failure, Status};
use gatepass_client::{Client, Clock, KeyStore, Profile};
use gatepass_core::{Code, Time};
use tokio::sync::OnceCell;

use crate::clipboard::Clipboard;

/// One profile's running app.
pub struct Desktop {
    pub profile: Profile,
    keystore: KeyStore,
    pub clipboard: Clipboard,
    client: OnceCell<Client>,
    opened: Mutex<Option<Instant>>,
}

impl Desktop {
    pub fn new(profile: Profile, keystore: KeyStore) -> Self {
        let (clipboard, client) = (Clipboard::default(), OnceCell::new());
        Self { profile, keystore, clipboard, client, opened: Mutex::new(None) }
    }

    /// The client. Until the keyring answers each call tries again, and fails with `no_keyring` or
    /// `keyring_locked`; only one tries at a time.
    pub async fn client(&self) -> Result<&Client, Failure> {
        let open = || async {
            let (profile, keystore) = (self.profile.clone(), self.keystore.clone());
            tokio::task::spawn_blocking(move || Client::open(profile, keystore))
                .await
                .map_err(|e| Failure::new(Code::Internal, format!("Opening the profile failed: {e}")))?
        };
        self.client.get_or_try_init(open).await
    }

    /// Where the profile stands; also says what keeps it from opening.
    pub async fn status(&self) -> Status {
        let status = match self.client().await {
            Ok(client) => client.status().await,
            Err(problem) => Err(problem),
        };
        status.unwrap_or_else(|problem| self.unopened(problem))
    }

    fn unopened(&self, problem: Failure) -> Status {
        Status {
            profile: self.profile.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            me: None,
            server_name: None,
            server_url: None,
            online: false,
            problem: Some(problem),
            synced_at: None,
            verified_to: None,
            verified_at: None,
            mismatch: false,
            clock_offset_ms: 0,
            keystore: self.keystore.name().to_owned(),
            trial: false,
            to_review: 0,
            active: 0,
        }
    }

    /// The window was asked for at this moment.
    pub fn opening(&self, at: Instant) {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Since when the window has been opening; only the first call after [`Self::opening`] gets it.
    pub fn opened(&self) -> Option<Instant> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The server's clock, as well as it is known.
pub fn server_now(status: &Status) -> Time {
    Clock::system().now() + chrono::TimeDelta::milliseconds(status.clock_offset_ms)
}

/// This computer's zone at `at`.
pub fn zone(at: Time) -> chrono::FixedOffset {
    use chrono::{Offset, TimeZone};
    chrono::Local.offset_from_utc_datetime(&at.naive_utc()).fix()
}
