//! `audit verify` and `audit evidence`: whether the log holds, and what there is to show when it does not.

use crate::exit::{DONE, FAILED, Trouble};
use crate::show::line;
use gatepass_client::ui::{Failure, VerifyReport};
use gatepass_client::{Client, verify_bundle};
use gatepass_core::Code;
use serde::Serialize;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

/// A check that takes longer says how far it is.
const TELL: Duration = Duration::from_secs(1);

/// What `--json` prints.
#[derive(Serialize)]
pub struct Verdict {
    pub holds: bool,
    /// The key of the log that signed the head.
    pub log_key: Option<String>,
    #[serde(flatten)]
    pub report: VerifyReport,
}

impl Verdict {
    fn new(report: VerifyReport, log_key: Option<String>) -> Self {
        Self { holds: report.finding.is_none(), log_key, report }
    }

    pub fn exit(&self) -> u8 {
        if self.holds { DONE } else { FAILED }
    }
}

/// The local copy, as it is: nothing is asked of the server.
pub async fn copy(client: &Client) -> Result<Verdict, Trouble> {
    let checking = client.verify(true);
    tokio::pin!(checking);
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + TELL, TELL);
    let told = std::io::stderr().is_terminal();
    loop {
        tokio::select! {
            report = &mut checking => return Ok(Verdict::new(report?, client.log_key()?)),
            _ = tick.tick() => {
                if let Some(progress) = client.verify_progress()?.filter(|_| told) {
                    eprintln!("gatepass: {} of {} events", progress.done, progress.total);
                }
            }
        }
    }
}

/// An exported bundle: nothing but the file is needed.
pub fn file(path: &Path) -> Result<Verdict, Trouble> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::new(Code::Malformed, format!("{} can’t be read: {e}", path.display())))?;
    let (report, log_key) = verify_bundle(&text);
    Ok(Verdict::new(report, log_key))
}

/// One line.
pub fn said(verdict: &Verdict) -> String {
    let report = &verdict.report;
    if let Some(finding) = &report.finding {
        let place = finding.seq.map_or_else(String::new, |seq| format!("position {seq}: "));
        return format!("Does not hold: {place}{} ({})\n", line(&finding.message), finding.rule);
    }
    let signed = match (report.signed_size, &verdict.log_key) {
        (Some(size), Some(key)) => format!(" Signed up to {size} by {}.", line(key)),
        _ => " No signed head is there to hold it against.".to_owned(),
    };
    format!(
        "Holds: {} events of a log of {}, {} signatures, {} decisions, {} accesses, {} of them read back as gone.{signed}\n",
        report.events, report.size, report.signatures, report.decisions, report.grants, report.ended
    )
}

/// Writes the evidence to `file`, or answers it for stdout; `None` when the log contradicted nothing.
pub async fn evidence(client: &Client, file: Option<&Path>) -> Result<Option<String>, Trouble> {
    let Some(text) = client.evidence().await? else { return Ok(None) };
    let Some(path) = file else { return Ok(Some(format!("{text}\n"))) };
    std::fs::write(path, text + "\n")
        .map_err(|e| Failure::new(Code::Internal, format!("{} can’t be written: {e}", path.display())))?;
    Ok(Some(String::new()))
}
