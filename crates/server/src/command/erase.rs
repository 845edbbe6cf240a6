//! `erase`: what is known of a person goes, ordered at the server's console.

use clap::Args;
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::erase::{Gone, at_console};
use gatepass_server::{Config, open_store, seen};
use std::error::Error;
use std::path::PathBuf;

#[derive(Args)]
pub struct Erase {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Their id, as they were invited.
    #[arg(long, value_name = "HANDLE")]
    person: String,
    /// Say what would go, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

impl Erase {
    pub async fn run(self) -> Result<(), Box<dyn Error>> {
        let config = Config::load(&self.config)?;
        let store = open_store(&config, Default::default()).await?;
        seen::check(&*store, &config.data).await?;
        let now = store.clock().map_or_else(|| SystemClock.now(), |clock| clock.now());
        let gone = at_console(&*store, self.person.trim(), self.dry_run, now).await?;
        if self.json {
            println!("{}", serde_json::to_string(&gone)?);
        } else {
            println!("{}", said(&gone, self.dry_run));
        }
        if self.dry_run {
            return Ok(());
        }
        let left = store.scrub().await.map_err(|error| {
            format!(
                "erased, but bytes of it may still be in the database’s file ({error}): erase “{}” again for those",
                gone.now.as_ref().unwrap_or(&gone.person)
            )
        })?;
        if let Some(left) = left {
            eprintln!("{left}");
        }
        eprintln!("Backups made before still hold it.");
        Ok(())
    }
}

fn said(gone: &Gone, dry_run: bool) -> String {
    let many = |n: usize, one: &str, more: &str| format!("{n} {}", if n == 1 { one } else { more });
    let what = format!(
        "{} and the names of {}",
        many(gone.texts, "text", "texts"),
        many(gone.devices, "device", "devices")
    );
    match &gone.now {
        Some(now) => format!("{} is {now} from now on; erased {what}", gone.person),
        None if dry_run => format!("{}: would erase their id and name, {what}", gone.person),
        None => format!("{} was erased before", gone.person),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_is_said() {
        let mut gone = Gone { person: "tomas".to_owned(), now: None, texts: 1, devices: 2 };
        assert_eq!(
            said(&gone, true),
            "tomas: would erase their id and name, 1 text and the names of 2 devices"
        );
        gone.now = Some("erased-7f3k".to_owned());
        assert_eq!(
            said(&gone, false),
            "tomas is erased-7f3k from now on; erased 1 text and the names of 2 devices"
        );
    }
}
