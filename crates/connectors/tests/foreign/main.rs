//! The webhook and command connectors on the worked examples of `examples/`, as they stand there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod command;
#[path = "../holder/mod.rs"]
mod holder;
mod webhook;

use gatepass_connectors::conformance::{Session, Shows};
use gatepass_core::wire::Secret;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The examples make a new token each time and tell the end; nobody holds a session open there.
const SHOWS: Shows = Shows { new_secret: true, until: true, sessions: false };

fn details(secret: &Secret) -> &Value {
    match secret {
        Secret::Webhook { details } | Secret::Command { details } => details,
        other => panic!("of another kind: {other:?}"),
    }
}

fn token(secret: &Secret) -> &str {
    details(secret)["token"].as_str().expect("a token")
}

/// As the examples keep it.
fn hashed(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A token that is looked at again for every request.
struct Held<F>(F);

#[async_trait::async_trait]
impl<F: Fn() -> bool + Send> Session for Held<F> {
    async fn alive(&mut self) -> bool {
        self.0()
    }
}
