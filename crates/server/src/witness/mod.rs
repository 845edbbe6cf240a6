//! External witnesses. Each is asked about the newest signed head, at most once a second, and says by its cosignature that
//! the log goes on from all that it saw of it. Nothing waits for them: what is decided is recorded, signed and shown
//! whatever they do, and that they are away is said.

mod ask;
mod rounds;

use ask::ask;
pub use ask::{Refused, again, client};

use crate::app::App;
use crate::config::{WitnessAt, Witnesses as Configured};
use crate::signing::Signed;
use futures_util::future::join_all;
use metrics::{counter, gauge};
use rounds::Rounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Between heads that they are asked about.
const APART: Duration = Duration::from_secs(1);
/// Between tries to reach one that is away: twice as long each time, up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// As often in a row it does not cosign before that is an alarm.
const ALARM: u32 = 3;

pub struct Witnesses {
    client: reqwest::Client,
    each: Vec<WitnessAt>,
    rounds: Mutex<Rounds>,
    /// What all are asked about, so that enough of them cosign the same.
    asked: watch::Sender<Option<Arc<Signed>>>,
}

impl Witnesses {
    /// Nothing where none are configured.
    pub fn of(configured: &Configured) -> reqwest::Result<Option<Self>> {
        if configured.each.is_empty() {
            return Ok(None);
        }
        for at in &configured.each {
            counter!("gatepass_log_witness_failures_total", "witness" => at.witness.name().to_owned())
                .increment(0);
        }
        Ok(Some(Self {
            client: client()?,
            each: configured.each.clone(),
            rounds: Mutex::new(Rounds::new(configured.quorum)),
            asked: watch::Sender::new(None),
        }))
    }

    /// The head for whoever asks, `newest` being what was signed last.
    pub fn shown(&self, newest: Arc<Signed>) -> Arc<Signed> {
        self.rounds().show(newest, Instant::now())
    }

    /// Measures what is only known by looking.
    pub fn measure(&self) {
        let rounds = self.rounds();
        gauge!("gatepass_log_unwitnessed_seconds").set(rounds.lacking(Instant::now()).as_secs_f64());
        gauge!("gatepass_log_cosignatures").set(rounds.heard() as f64);
    }

    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks all of them about the newest, again and again.
    async fn rounds_of(&self, app: &App) {
        let Some(signing) = &app.signing else { return };
        let mut heads = signing.heads();
        loop {
            heads.borrow_and_update();
            if let Some(signed) = app.signed_head() {
                self.rounds().begin(signed.clone(), Instant::now());
                self.asked.send_replace(Some(signed));
            }
            tokio::time::sleep(APART).await;
            if heads.changed().await.is_err() {
                return;
            }
        }
    }

    async fn follow_one(&self, app: &App, at: &WitnessAt) {
        let mut asked = self.asked.subscribe();
        let (mut known, mut failures, mut pause) = (0, 0, AGAIN.0);
        loop {
            let signed = asked.borrow_and_update().clone();
            let outcome = match &signed {
                Some(signed) => Some(ask(&self.client, at, &*app.store, signed, &mut known).await),
                None => None,
            };
            match (outcome, signed) {
                (Some(Ok(cosignature)), Some(signed)) => {
                    if failures >= ALARM {
                        tracing::info!(witness = at.witness.name(), "the witness cosigns again");
                    }
                    (failures, pause) = (0, AGAIN.0);
                    self.rounds().cosigned(&signed, at.witness.name(), cosignature.line);
                }
                // The next head may be newer than what it knows.
                (None | Some(Err(Refused::Ahead(_))), _) => {}
                (Some(Err(error)), _) => {
                    failures += 1;
                    say(at, &error, failures);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(AGAIN.1);
                    continue;
                }
                (Some(Ok(_)), None) => {}
            }
            if asked.changed().await.is_err() {
                return;
            }
        }
    }
}

fn say(at: &WitnessAt, error: &Refused, failures: u32) {
    let name = at.witness.name();
    counter!("gatepass_log_witness_failures_total", "witness" => name.to_owned()).increment(1);
    match failures {
        1 => tracing::warn!(witness = name, %error, "the witness did not cosign the log"),
        ALARM => tracing::error!(witness = name, %error, alarm = true, "the witness does not cosign the log"),
        _ => {}
    }
}

/// Until the server stops.
pub async fn follow(app: App) {
    let Some(witnesses) = &app.witnesses else { return };
    let each = join_all(witnesses.each.iter().map(|at| witnesses.follow_one(&app, at)));
    tokio::select! {
        () = app.stopped() => {}
        _ = each => {}
        () = witnesses.rounds_of(&app) => {}
    }
}
