//! `doctor`: whether all is well, and what to do when not.

use clap::Args;
use gatepass_server::Config;
use gatepass_server::doctor::{Verdict, examine};
use std::error::Error;
use std::path::PathBuf;

#[derive(Args)]
pub struct Doctor {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Answers whether nothing fails.
    pub async fn run(self) -> Result<bool, Box<dyn Error>> {
        let found = examine(&Config::load(&self.config)?).await;
        if self.json {
            println!("{}", serde_json::to_string(&found)?);
        } else {
            for finding in &found {
                println!("{finding}");
            }
        }
        Ok(found.iter().all(|finding| finding.verdict != Verdict::Fail))
    }
}
