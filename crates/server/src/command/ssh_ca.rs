//! `ssh-ca`: the line that hosts are given.

use clap::Args;
use gatepass_connectors::ssh::{Authority, ensure};
use gatepass_server::Config;
use gatepass_server::config::Kind;
use std::error::Error;
use std::path::PathBuf;

#[derive(Args)]
pub struct SshCa {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The id of the target.
    #[arg(long, value_name = "ID")]
    target: String,
}

impl SshCa {
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let config = Config::load(&self.config)?;
        let of_ssh = |t: &&gatepass_server::config::Target| matches!(t.kind, Kind::Ssh(_));
        let Some(target) = config.targets.iter().find(|t| t.id == self.target) else {
            let known: Vec<_> = config.targets.iter().filter(of_ssh).map(|t| t.id.as_str()).collect();
            let (id, file) = (&self.target, config.file.display());
            let known = if known.is_empty() { "there is none of kind ssh".into() } else { known.join(", ") };
            return Err(format!("{file}: there is no target “{id}”, expected one of: {known}").into());
        };
        let Kind::Ssh(options) = &target.kind else {
            return Err(
                format!("the target “{}” has no authority, expected one of kind ssh", target.id).into()
            );
        };
        ensure(&options.ca_key_file)?;
        println!("{}", Authority::read(&options.ca_key_file)?.public_line()?);
        Ok(())
    }
}
