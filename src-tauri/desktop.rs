//! What every part of the app can reach: the profile, and its client once the keyring let it open.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gatepass_client::ui::{Failure, Status};
use gatepass_client::{Client, Clock, KeyStore, Profile};
use gatepass_core::{Code, Time};
use tokio::sync::{Notify, watch};

use crate::clipboard::Clipboard;
use crate::navigate::Place;

/// Longer than this a window does not wait for the keyring: it may be asking the person for a password.
const PATIENCE: Duration = Duration::from_millis(500);

/// A failure this young is the answer, rather than a reason to ask the keyring, and so the person, again.
const FRESH: Duration = Duration::from_secs(1);

/// One profile's running app.
pub struct Desktop {
    pub profile: Profile,
    pub clipboard: Clipboard,
    keystore: KeyStore,
    opening: watch::Sender<Opening>,
    /// Someone wants another try.
    retry: Notify,
    window: Mutex<Window>,
}

/// A window between being asked for and its first view.
#[derive(Default)]
struct Window {
    asked: Option<Instant>,
    /// Where to go once the page can hear it.
    then: Option<Place>,
}

/// The newest try to open the profile.
#[derive(Clone, Default)]
struct Opening {
    number: u64,
    /// Absent while the keyring is asked.
    outcome: Option<Result<Client, Failure>>,
    failed_at: Option<Instant>,
}

impl Desktop {
    pub fn new(profile: Profile, keystore: KeyStore) -> Self {
        Self {
            profile,
            keystore,
            clipboard: Clipboard::default(),
            opening: watch::Sender::new(Opening::default()),
            retry: Notify::new(),
            window: Mutex::default(),
        }
    }

    /// The client, once the profile is open. After a failed try this asks for another and answers as that goes:
    /// `no_keyring`, `keyring_locked`.
    pub async fn client(&self) -> Result<Client, Failure> {
        let newest = self.opening.borrow().clone();
        let wanted = match newest.outcome {
            Some(Ok(client)) => return Ok(client),
            Some(Err(problem)) if newest.failed_at.is_some_and(|at| at.elapsed() < FRESH) => {
                return Err(problem);
            }
            Some(Err(_)) => {
                self.retry.notify_one();
                newest.number + 1
            }
            None => newest.number,
        };
        let mut tries = self.opening.subscribe();
        let done = tries.wait_for(|o| o.number >= wanted && o.outcome.is_some()).await;
        let outcome = done.ok().and_then(|o| o.outcome.clone());
        outcome.unwrap_or_else(|| Err(Code::Internal.into()))
    }

    /// Tries to open the profile; the answer goes to all who wait in [`Self::client`]. One caller at a time.
    pub async fn open(&self) -> Result<Client, Failure> {
        let (profile, keystore) = (self.profile.clone(), self.keystore);
        let opened = tokio::task::spawn_blocking(move || Client::open(profile, keystore)).await;
        let failed = |e| Failure::new(Code::Internal, format!("Opening the profile failed: {e}"));
        let outcome = opened.map_err(failed).and_then(|opened| opened);
        let failed_at = outcome.is_err().then(Instant::now);
        self.opening.send_modify(|o| (o.outcome, o.failed_at) = (Some(outcome.clone()), failed_at));
        outcome
    }

    /// After a failed try: answers when another is wanted, or after `longest` when that is given.
    pub async fn another_try(&self, longest: Option<Duration>) {
        match longest {
            Some(longest) => drop(tokio::time::timeout(longest, self.retry.notified()).await),
            None => self.retry.notified().await,
        }
        self.opening.send_modify(|o| *o = Opening { number: o.number + 1, ..Opening::default() });
    }

    /// Where the profile stands; also says what keeps it from opening.
    pub async fn status(&self) -> Status {
        let status = match tokio::time::timeout(PATIENCE, self.client()).await {
            Ok(Ok(client)) => client.status().await,
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(Failure::new(
                Code::KeyringLocked,
                "The keyring has not answered yet. Unlock it, and Gatepass goes on by itself.",
            )),
        };
        status.unwrap_or_else(|problem| self.unopened(problem))
    }

    /// The status of a profile that could not be opened.
    pub fn unopened(&self, problem: Failure) -> Status {
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
            drift: 0,
        }
    }

    /// A window was asked for at this moment and is being made.
    pub fn opening_window(&self, at: Instant) {
        *self.window() = Window { asked: Some(at), then: None };
    }

    /// Keeps the place for later when the page can't hear yet; answers whether it did.
    pub fn go_later(&self, place: &Place) -> bool {
        let mut window = self.window();
        if window.asked.is_some() {
            window.then = Some(place.clone());
        }
        window.asked.is_some()
    }

    /// The page is there: since when it was asked for, and where to go now. Only the first call after
    /// [`Self::opening_window`] gets an answer.
    pub fn window_ready(&self) -> Option<(Instant, Option<Place>)> {
        let mut window = self.window();
        let asked = window.asked.take()?;
        Some((asked, window.then.take()))
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
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
