//! `revoke-all`: everything of a person ends, ordered at the server's console.

use clap::Args;
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::revoke::{Ended, at_console};
use gatepass_server::{Config, open_store, seen};
use std::error::Error;
use std::path::PathBuf;

#[derive(Args)]
pub struct RevokeAll {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Their id, as they were invited.
    person: String,
    /// Why; kept in the log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

impl RevokeAll {
    pub async fn run(self) -> Result<(), Box<dyn Error>> {
        let config = Config::load(&self.config)?;
        let store = open_store(&config, Default::default()).await?;
        seen::check(&*store, &config.data).await?;
        let now = store.clock().map_or_else(|| SystemClock.now(), |clock| clock.now());
        let ended = at_console(&*store, self.person.trim(), self.reason.trim(), now).await?;
        if self.json {
            println!("{}", serde_json::to_string(&ended)?);
        } else {
            println!("{}", said(&ended));
        }
        Ok(())
    }
}

fn said(ended: &Ended) -> String {
    let Ended { person, grants, devices, requests, approvals } = ended;
    let many = |n: &usize, one: &str, more: &str| format!("{n} {}", if *n == 1 { one } else { more });
    format!(
        "{person}: {} ending, {} disabled, {} withdrawn, {} voided",
        many(grants, "access", "accesses"),
        many(devices, "device", "devices"),
        many(requests, "request", "requests"),
        many(approvals, "approval", "approvals")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_said_as_one() {
        let ended = Ended { person: "tomas".to_owned(), grants: 2, devices: 1, requests: 0, approvals: 1 };
        let said = said(&ended);
        assert_eq!(
            said,
            "tomas: 2 accesses ending, 1 device disabled, 0 requests withdrawn, 1 approval voided"
        );
    }
}
