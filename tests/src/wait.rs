//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Long enough for a loaded machine with two cores; a condition that holds is seen within 30 ms.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until `check` answers something, and panics with `what` when it does not within [`PATIENCE`].
pub async fn eventually<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    until(what, PATIENCE, check).await
}

/// [`eventually`] with its own patience, for what is bound to take longer or must be faster.
pub async fn until<T>(what: &str, patience: Duration, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let from = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(from.elapsed() < patience, "waited {patience:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
