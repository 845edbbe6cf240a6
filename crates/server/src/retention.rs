//! Texts that were kept for long enough are deleted, by one node at a time.

use crate::Time;
use crate::app::App;
use crate::store::{Change, Position, StoreError};
use chrono::TimeDelta;

/// Texts live so much longer than they have to, at most.
const EVERY: TimeDelta = TimeDelta::hours(6);
/// When the store does not say whose turn it is.
const AGAIN: TimeDelta = TimeDelta::minutes(1);
/// Looked at, and deleted, at once: others write between.
const STEP: usize = 500;

/// At start and every six hours, until the server stops.
pub async fn run(app: App) {
    if app.retention.is_empty() {
        return;
    }
    loop {
        let now = app.clock.now();
        let next = match look(&app, now).await {
            Ok(free) => free.unwrap_or(now + EVERY),
            Err(error) => {
                tracing::warn!(%error, "could not delete texts that were kept for long enough");
                now + AGAIN
            }
        };
        // Whichever node deleted them.
        app.tail.forget().await;
        tokio::select! {
            () = app.clock.sleep_until(next) => {}
            () = app.stopped() => return,
        }
    }
}

/// Answers when another node's turn ends, if it has it.
async fn look(app: &App, now: Time) -> Result<Option<Time>, StoreError> {
    if app.held.is() {
        return Ok(None);
    }
    if let Some(free) = app.store.turn("retention", now, now + EVERY).await? {
        return Ok(Some(free));
    }
    let deleted = expire(app, now).await?;
    if deleted > 0 {
        tracing::info!(events = deleted, "deleted texts that were kept for long enough");
    }
    Ok(None)
}

/// Deletes the texts of all events whose time is over; answers of how many.
async fn expire(app: &App, now: Time) -> Result<usize, StoreError> {
    let Some(shortest) = app.retention.shortest() else { return Ok(0) };
    let (mut after, mut deleted) = (0, 0);
    loop {
        let page = app.store.worded(after, STEP).await?;
        let Some(last) = page.last() else { return Ok(deleted) };
        after = last.position.seq;
        // Later ones are newer, give or take the moments in which several nodes write.
        let done = last.at > now - shortest;
        let over: Vec<Position> = page
            .into_iter()
            .filter(|w| w.over && app.retention.until(&w.kind, w.at).is_some_and(|until| until <= now))
            .map(|w| w.position)
            .collect();
        deleted += over.len();
        if !over.is_empty() {
            app.commit(Change { forgotten: over, ..Change::default() }).await?;
        }
        if done {
            return Ok(deleted);
        }
    }
}
