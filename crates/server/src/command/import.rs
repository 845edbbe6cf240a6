//! `import`: from a SQLite data directory into the configuration's PostgreSQL.

use clap::Args;
use gatepass_server::import::import;
use gatepass_server::{Config, shared_database};
use std::error::Error;
use std::path::PathBuf;

#[derive(Args)]
pub struct Import {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The data directory of a server that does not run any more.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
}

impl Import {
    pub async fn run(self) -> Result<(), Box<dyn Error>> {
        let config = Config::load(&self.config)?;
        let Some(into) = shared_database(&config)? else {
            return Err(format!(
                "{} has no “database” to import into: set it to the PostgreSQL that the servers will share",
                self.config.display()
            )
            .into());
        };
        let tell = |what: &str, count: u64| {
            if count > 0 {
                eprintln!("{what} {count}");
            }
        };
        println!("{}", import(&self.from, &into, &tell).await?);
        eprintln!("{} is marked as moved; no server starts on it any more.", self.from.display());
        Ok(())
    }
}
