//! The MariaDB connector on a real server, through the login that docs/connectors/mariadb-admin.sql makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod guard;
mod handshake;
mod holder;
mod removal;
mod shared;
mod target;

use gatepass_connectors::conformance::suite;
use std::time::{Duration, Instant};

#[tokio::test]
async fn conformance() {
    let _keeps_the_server = holder::target();
    suite(async || holder::target()).await;
}

/// Waits for a condition that something else brings about.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < limit, "{what}");
        tokio::task::yield_now().await;
    }
}
