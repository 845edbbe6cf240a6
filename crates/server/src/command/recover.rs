//! `recover`: the log goes on from an older copy of the database, and says so.

use clap::Args;
use gatepass_server::{Config, open_store, seen};
use std::error::Error;
use std::path::PathBuf;

#[derive(Args)]
pub struct Recover {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Recover {
    pub async fn run(self) -> Result<(), Box<dyn Error>> {
        let config = Config::load(&self.config)?;
        let store = open_store(&config, Default::default()).await?;
        let Some(lost) = seen::recover(&*store, &config.data).await? else {
            println!("The log has all that this server saw of it: there is nothing to recover.");
            return Ok(());
        };
        let head = store.head().await?;
        println!(
            "The log goes on from position {}. It had {} events, root {}.",
            head.size, lost.size, lost.root
        );
        println!("What came after is given up, and the next start of the server tells that in the log.");
        println!(
            "Accesses given since then are not known any more: the server finds them on the targets and removes them. \
             Desktops that saw what is given up say that the log contradicts them and decide nothing: their people \
             leave and join again with a new invite."
        );
        Ok(())
    }
}
