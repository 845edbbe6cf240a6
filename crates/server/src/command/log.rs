//! `log`: its key, and how it goes on from an older copy of the database.

use clap::{Args, Subcommand};
use gatepass_log::LogKey;
use gatepass_server::signing::{Signing, read_key, renew};
use gatepass_server::store::Store;
use gatepass_server::{Config, open_store, seen};
use std::error::Error;
use std::path::PathBuf;

#[derive(Args)]
pub struct Log {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Print the key that the log’s signed heads are checked with, in C2SP form; the first use makes it.
    Key(File),
    /// Go on from an older copy of the data that was put there by hand, and say so in the log. For a server that refuses to
    /// write because it saw more of the log than there is.
    Recover {
        #[command(flatten)]
        file: File,
        /// The key of the log is lost: make another one. Devices that joined before do not trust it, and join again.
        #[arg(long)]
        new_key: bool,
    },
}

#[derive(Args)]
struct File {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Log {
    pub async fn run(self) -> Result<(), Box<dyn Error>> {
        match self.verb {
            Verb::Key(file) => {
                let config = Config::load(&file.config)?;
                let vkey = match read_key(&config.log_key)? {
                    Some(key) => key.vkey().to_owned(),
                    None => {
                        let store = open_store(&config, Default::default()).await?;
                        signing(&*store, &config).await?.vkey().to_owned()
                    }
                };
                println!("{vkey}");
                Ok(())
            }
            Verb::Recover { file, new_key } => {
                let config = Config::load(&file.config)?;
                let store = open_store(&config, Default::default()).await?;
                if new_key {
                    let key = renew(&*store, &config.log_key, &config.name).await?;
                    println!("The log is signed with another key from here on: {}", key.vkey());
                    println!(
                        "Copy {} to every machine with a node. Devices that joined before do not trust it: their people \
                         leave and join again with a new invite.",
                        config.log_key.display()
                    );
                    seen::sign_anew(&*store, &config.data, &key).await?;
                    return recover(&*store, &config, Some(&key)).await;
                }
                // Where nothing was ever signed, as by a worker, nothing has to be.
                let signing = match seen::note(&config.data)? {
                    Some(_) => Some(signing(&*store, &config).await?),
                    None => None,
                };
                recover(&*store, &config, signing.as_ref().map(Signing::key)).await
            }
        }
    }
}

async fn signing(store: &dyn Store, config: &Config) -> Result<Signing, Box<dyn Error>> {
    Ok(Signing::of(store, &config.log_key, &config.name, &config.data).await?)
}

async fn recover(store: &dyn Store, config: &Config, key: Option<&LogKey>) -> Result<(), Box<dyn Error>> {
    let Some(lost) = seen::recover(store, &config.data, key).await? else {
        println!("The log has all that this server saw of it: there is nothing to recover.");
        return Ok(());
    };
    let head = store.head().await?;
    println!("The log goes on from position {}. It had {} events, root {}.", head.size, lost.size, lost.root);
    println!("What came after is given up, and the next start of the server tells that in the log.");
    println!(
        "Accesses given since then are not known any more: the server finds them on the targets and removes them. \
         Desktops that saw what is given up say that the log contradicts them and decide nothing: their people \
         leave and join again with a new invite."
    );
    Ok(())
}
