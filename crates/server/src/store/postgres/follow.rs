//! Keeping up with what other nodes do: a notification says when to look, and a look every second or two is the truth.

use super::sequencer::{self, CHANNEL};
use super::step::Step;
use super::{Shared, get, lock};
use crate::Time;
use crate::store::StoreError;
use gatepass_connectors::postgres::Place;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use tokio_postgres::AsyncMessage;
use tokio_postgres::types::Type;

/// How often to look when notifications come, and when they don't.
const POLL: Duration = Duration::from_secs(2);
const POLL_ALONE: Duration = Duration::from_secs(1);
/// Looks that follow a notification are at least so far apart.
const GAP: Duration = Duration::from_millis(5);
/// How often a node says that it is there.
const SEEN: Duration = Duration::from_secs(10);
/// How often the connection that listens is asked whether it lives, and how long it may take to say so.
const ASK: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);
/// Between tries to listen, and to place what waits.
const AGAIN: Duration = Duration::from_millis(500);

/// Places what was committed, whenever somebody asks for it, until the store is dropped.
pub async fn sequence(shared: Arc<Shared>) {
    let mut wanted = shared.wanted.subscribe();
    let mut emptied = sequencer::Emptied::default();
    loop {
        let upto = *wanted.borrow_and_update();
        if shared.placed.borrow().0 < upto {
            let before = shared.highest();
            match sequencer::place_all(&shared.link, &mut emptied).await {
                Ok((head, _)) => {
                    shared.grown(&before, &head);
                    shared.placed.send_replace((upto, head));
                }
                Err(error) => {
                    if error != StoreError::Conflict {
                        tracing::warn!(%error, "could not give events their place in the log yet");
                    }
                    sleep(AGAIN).await;
                }
            }
        } else if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// Looks regularly and when told, until the store is dropped.
pub async fn look(shared: Arc<Shared>) {
    let mut seen = None;
    let mut known_directory = None;
    loop {
        match once(&shared, &mut known_directory).await {
            Ok(()) => {
                metrics::gauge!("gatepass_database_up").set(1.0);
                *lock(&shared.looked) = Instant::now();
            }
            Err(error) => {
                metrics::gauge!("gatepass_database_up").set(0.0);
                tracing::warn!(%error, "could not look for what other nodes wrote");
            }
        }
        if seen.is_none_or(|at: Instant| at.elapsed() >= SEEN) {
            seen = Some(Instant::now());
            if let Err(error) = shared.link.read(shared.present()).await {
                tracing::debug!(%error, "could not say that this node is there");
            }
        }
        let age = lock(&shared.looked).elapsed();
        metrics::gauge!("gatepass_poll_age_seconds").set(age.as_secs_f64());
        let (used, idle, waiting) = shared.link.state();
        for (state, count) in [("used", used), ("idle", idle), ("waiting", waiting)] {
            metrics::gauge!("gatepass_database_connections", "state" => state).set(count as f64);
        }
        let every = if shared.listening.load(Ordering::Relaxed) { POLL } else { POLL_ALONE };
        if timeout(every, shared.bell.notified()).await.is_ok() {
            sleep(GAP).await;
        }
    }
}

/// Measures the database's clock before anybody asks it.
pub async fn measure(shared: &Shared) -> Result<(), StoreError> {
    once(shared, &mut None).await
}

async fn once(shared: &Shared, known_directory: &mut Option<i64>) -> Result<(), StoreError> {
    let (asked, before) = (Instant::now(), shared.highest());
    let rows = shared
        .link
        .read(Step::new(
            "SELECT clock_timestamp(), h.size, h.root, d.version, (SELECT count(*) FROM outbox)
             FROM head h, directory d",
        ))
        .await?;
    let row = rows.first().ok_or_else(|| StoreError::Failed("the log has no head".to_owned()))?;
    shared.clock.measured(asked, get::<Time>(row, 0)?);
    let head = Head { size: get::<i64>(row, 1)? as u64, root: Digest(get(row, 2)?) };
    shared.grown(&before, &head);
    let directory: i64 = get(row, 3)?;
    if known_directory.replace(directory).is_some_and(|known| known != directory) {
        shared.outside.send_modify(|count| *count += 1);
    }
    let waiting: i64 = get(row, 4)?;
    metrics::gauge!("gatepass_outbox_events").set(waiting as f64);
    if waiting > 0 {
        // Somebody died before placing them, or is about to.
        shared.want();
    }
    Ok(())
}

impl Shared {
    pub fn highest(&self) -> Head {
        lock(&self.highest).clone()
    }

    /// The database said that the log ends here. `before` is what was known when it was asked: less than that means
    /// that it lost what it had confirmed.
    pub fn grown(&self, before: &Head, head: &Head) {
        let mut highest = lock(&self.highest);
        let other = head.size == highest.size && head.root != highest.root;
        if head.size < before.size || other {
            metrics::counter!("gatepass_log_went_back_total").increment(1);
            tracing::error!(
                had = highest.size,
                has = head.size,
                alarm = true,
                "the database lost part of the log that it had confirmed; devices will say so"
            );
        } else if head.size <= highest.size {
            return;
        }
        *highest = head.clone();
        self.heads.send_if_modified(|known| std::mem::replace(known, head.size) != head.size);
    }

    fn present(&self) -> Step {
        Step::new(
            "WITH gone AS (DELETE FROM node WHERE seen_at < clock_timestamp() - interval '1 day')
             INSERT INTO node (id, name, version, schema, seen_at) VALUES ($1, $2, $3, $4, clock_timestamp())
             ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at",
        )
        .with(Type::UUID, self.node)
        .with(Type::TEXT, self.name.clone())
        .with(Type::TEXT, env!("CARGO_PKG_VERSION"))
        .with(Type::INT4, self.knows)
    }
}

/// Listens on a connection of its own, until the store is dropped.
pub async fn listen(shared: Arc<Shared>, place: Place) {
    loop {
        if let Err(error) = listen_once(&shared, &place).await {
            tracing::warn!(%error, "not listening for other nodes; looking every second instead");
        }
        shared.listening.store(false, Ordering::Relaxed);
        metrics::gauge!("gatepass_listen_up").set(0.0);
        sleep(AGAIN).await;
    }
}

async fn listen_once(shared: &Arc<Shared>, place: &Place) -> Result<(), StoreError> {
    let mut config = place.config.clone();
    config.application_name("gatepass-server listen");
    let (client, mut connection) =
        config.connect(place.tls.clone()).await.map_err(|e| super::link::fail(&e))?;
    let heard = shared.clone();
    let driver = tokio::spawn(async move {
        while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(AsyncMessage::Notification(_)) => heard.bell.notify_one(),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    let _end = AbortOnDrop(driver);
    client.batch_execute(&format!("LISTEN {CHANNEL}")).await.map_err(|e| super::link::fail(&e))?;
    shared.listening.store(true, Ordering::Relaxed);
    metrics::gauge!("gatepass_listen_up").set(1.0);
    // What was notified before is found by looking.
    shared.bell.notify_one();
    loop {
        sleep(ASK).await;
        match timeout(ANSWER, client.batch_execute("")).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(super::link::fail(&error)),
            Err(_) => return Err(StoreError::Away("the connection that listens is dead".to_owned())),
        }
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
