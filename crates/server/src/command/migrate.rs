//! `migrate`: the schema of the shared database, brought up to date by the role that owns it.

use clap::Args;
use gatepass_server::store::postgres::schema::{self, Migrated, OldNode, Reach};
use gatepass_server::store::postgres::{Options, PostgresStore};
use gatepass_server::{Config, open_store, shared_database};
use secrecy::SecretString;
use std::error::Error;
use std::path::PathBuf;

#[derive(Args)]
pub struct Migrate {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The role that owns the tables, instead of the configuration's.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,
    /// A file with its password.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Only list what there is to do.
    #[arg(long)]
    dry_run: bool,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

impl Migrate {
    pub async fn run(self) -> Result<(), Box<dyn Error>> {
        let config = Config::load(&self.config)?;
        let Some(options) = shared_database(&config)? else {
            if !self.dry_run {
                open_store(&config, Default::default()).await?;
            }
            let done = if self.dry_run { "" } else { ", and is now" };
            println!(
                "the data is in {}: “serve” brings it up to date by itself{done}",
                config.data.display()
            );
            return Ok(());
        };
        let options = self.owner(options)?;
        let reach = if self.dry_run { Reach::Look } else { Reach::Contract };
        let done = PostgresStore::migrate_knowing(&options, &schema::known(), reach).await?;
        if self.json {
            println!("{}", serde_json::to_string(&done)?);
        } else {
            self.say(&done);
        }
        Ok(())
    }

    /// The same database, as the role that was named.
    fn owner(&self, options: Options) -> Result<Options, Box<dyn Error>> {
        let (Some(user), Some(file)) = (&self.user, &self.password_file) else { return Ok(options) };
        let text = std::fs::read_to_string(file).map_err(|e| {
            format!("{} cannot be read: {e}, expected a file with the password", file.display())
        })?;
        Ok(Options {
            url: of(user, &options.url),
            direct: options.direct.as_ref().map(|url| of(user, url)),
            password: SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()),
            ..options
        })
    }

    fn say(&self, done: &Migrated) {
        for step in &done.applied {
            println!("ran {step}");
        }
        for step in &done.waiting {
            println!("{} {step}", if self.dry_run { "to run" } else { "left" });
        }
        if done.waiting.is_empty() {
            println!("at V{}: nothing is left to do", done.level);
        } else {
            println!("at V{}", done.level);
        }
        if !done.nodes.is_empty() {
            let nodes: Vec<String> = done.nodes.iter().map(said).collect();
            println!(
                "{} waits for nodes that still need what it takes away: {}. Run this again a minute after they are gone.",
                done.waiting.first().map_or("", String::as_str),
                nodes.join(", ")
            );
        }
        if !done.applied.is_empty() {
            println!("Now run docs/postgres-roles.sql again, so that the nodes’ role may use what is new.");
        }
    }
}

fn said(node: &OldNode) -> String {
    format!("{} ({}, knows V{})", node.name, node.version, node.schema)
}

/// The URL, for another role.
fn of(user: &str, url: &str) -> String {
    let user = percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let at = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{user}@{}", &rest[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_for_another_role() {
        for (url, made) in [
            ("postgres://gatepass@db:5432/gatepass?x=a@b", "postgres://owner@db:5432/gatepass?x=a@b"),
            ("postgresql://db/gatepass", "postgresql://owner@db/gatepass"),
        ] {
            assert_eq!(of("owner", url), made);
        }
        assert_eq!(of("an owner", "postgres://a@b/c"), "postgres://an%20owner@b/c");
    }
}
