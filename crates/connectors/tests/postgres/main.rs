//! The PostgreSQL connector on a real server, through the admin that docs/connectors/postgres-admin.sql makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod everywhere;
mod given_on;
mod hidden;
#[path = "../holder/mod.rs"]
mod holder;
mod pooler;
mod removal;
mod strangers;
mod target;
mod watch;
mod ways_in;

use std::time::{Duration, Instant};

/// Waits for a condition that something else brings about.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < limit, "{what}");
        tokio::task::yield_now().await;
    }
}
