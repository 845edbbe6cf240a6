//! `verify-log`: whether everything in the log is as it was recorded, signed by whom it names, and follows from what was
//! before.

use clap::Args;
use gatepass_server::verify_log::{Verified, verify_log};
use gatepass_server::{Config, open_store};
use serde_json::json;
use std::error::Error;
use std::path::PathBuf;

#[derive(Args)]
pub struct VerifyLog {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
}

impl VerifyLog {
    /// Answers whether all of it holds.
    pub async fn run(self) -> Result<bool, Box<dyn Error>> {
        let config = Config::load(&self.config)?;
        let store = open_store(&config, Default::default()).await?;
        let outcome = verify_log(&*store, &config).await?;
        match (&outcome, self.json) {
            (Ok(verified), false) => println!("{}", say(verified)),
            (Err(finding), false) => {
                println!("position {} ({}): {}", finding.seq, finding.rule, finding.message);
            }
            (Ok(Verified { report, head, signed }), true) => println!(
                "{}",
                json!({
                    "holds": true, "head": head, "signed": signed, "events": report.events,
                    "signatures": report.signatures, "decisions": report.decisions, "grants": report.grants,
                    "ended": report.ended, "without_catalogue": report.without_catalogue,
                    "overdue": report.overdue,
                })
            ),
            (Err(finding), true) => println!(
                "{}",
                json!({
                    "holds": false, "position": finding.seq, "rule": finding.rule, "message": finding.message,
                })
            ),
        }
        Ok(outcome.is_ok())
    }
}

fn say(Verified { report, head, signed }: &Verified) -> String {
    let signed = match signed {
        Some(size) => format!("signed up to {size}"),
        None => "not signed here yet".to_owned(),
    };
    let mut line = format!(
        "All {} events hold, {signed}: {} signatures, {} decisions, {} accesses given and {} of them ended; root {}.",
        head.size, report.signatures, report.decisions, report.grants, report.ended, head.root
    );
    if !report.without_catalogue.is_empty() {
        let count = report.without_catalogue.len();
        line += &format!(
            " Of {count} requests the catalogue is not kept, so their rules were not compared with it."
        );
    }
    if !report.overdue.is_empty() {
        line +=
            &format!(" {} accesses are past their end and not read back as removed.", report.overdue.len());
    }
    line
}
