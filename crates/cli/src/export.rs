//! `audit export` and `audit review`: into a file that is there whole or not at all, with progress where somebody looks.

use crate::args::{ExportArgs, ReviewArgs};
use crate::exit::{DONE, FAILED, Trouble};
use crate::show;
use gatepass_client::ui::Failure;
use gatepass_client::{Client, ExportAsk, ExportFormat, ExportPlace, ExportProgress, Exported};
use gatepass_core::Code;
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// What is printed once it is done; with `-` on stderr, where only people read it.
#[derive(Serialize)]
pub struct Said {
    pub files: Vec<String>,
    pub events: u64,
    pub verified_to: Option<u64>,
    pub verified_at: Option<gatepass_core::Time>,
    /// What does not hold about it.
    pub finding: Option<String>,
    /// The search may find more.
    pub capped: bool,
}

impl Said {
    pub fn exit(&self) -> u8 {
        if self.finding.is_some() { FAILED } else { DONE }
    }
}

pub fn said(said: &Said) -> String {
    let mut out = String::new();
    for file in &said.files {
        out.push_str(&format!("{}\n", show::line(file)));
    }
    out.push_str(&summary(said));
    out
}

fn summary(said: &Said) -> String {
    let checked = match (said.verified_to, said.verified_at) {
        (Some(to), Some(at)) => format!("; the log was checked up to event {to}, {}", show::time(at)),
        _ => String::new(),
    };
    let mut out = format!("{} written{checked}.\n", said.events);
    if said.capped {
        out.push_str("Words in a row were looked for in the newest events only: there may be older ones.\n");
    }
    if let Some(finding) = &said.finding {
        out.push_str(&format!("It does not hold: {}\n", show::line(finding)));
    }
    out
}

pub async fn export(client: &Client, args: &ExportArgs) -> Result<Option<Said>, Trouble> {
    let ask = ExportAsk {
        format: args.format.into(),
        grant: args.grant.clone(),
        query: args.query.clone(),
        after: args.after,
        before: args.before,
    };
    run(client, ask, &args.file, args.force, args.from_server).await
}

pub async fn review(client: &Client, args: &ReviewArgs) -> Result<Option<Said>, Trouble> {
    let format = if args.html() { ExportFormat::ReviewHtml } else { ExportFormat::ReviewCsv };
    let ask = ExportAsk { format, grant: None, query: None, after: Some(args.from), before: Some(args.to) };
    run(client, ask, &args.file, args.force, false).await
}

/// `None` when what was asked for went to stdout.
async fn run(
    client: &Client,
    ask: ExportAsk,
    file: &Path,
    over: bool,
    from_server: bool,
) -> Result<Option<Said>, Trouble> {
    let stdout = file == Path::new("-");
    let place = if stdout {
        ExportPlace::Out(Box::new(std::io::stdout()))
    } else {
        ExportPlace::File { path: file.to_owned(), over }
    };
    let progress = Arc::new(ExportProgress::default());
    let pages = ask.format == ExportFormat::Html && stdout;
    let work = async {
        if from_server {
            client.export_from_server(ask, place, Arc::clone(&progress)).await
        } else {
            client.export(ask, place, Arc::clone(&progress)).await
        }
    };
    let done = watched(work, &progress).await?;
    let said = Said {
        files: done.paths.iter().map(|p| p.display().to_string()).collect(),
        events: done.events,
        verified_to: done.verified.map(|(to, _)| to),
        verified_at: done.verified.map(|(_, at)| at),
        finding: done.finding,
        capped: done.capped,
    };
    if !stdout {
        return Ok(Some(said));
    }
    eprint!("gatepass: {}", summary(&said));
    if pages {
        eprintln!(
            "gatepass: the bundle that the page speaks of: gatepass audit export --format bundle --grant ID FILE"
        );
    }
    match said.finding {
        Some(finding) => Err(Failure::new(Code::NotVerified, finding).into()),
        None => Ok(None),
    }
}

/// Shows how far it is, and stops it on Ctrl-C; what was written until then is taken away first.
async fn watched(
    work: impl Future<Output = Result<Exported, Failure>>,
    progress: &ExportProgress,
) -> Result<Exported, Failure> {
    let shown = std::io::stderr().is_terminal();
    let mut ticks = tokio::time::interval(LOOK);
    let mut last = None;
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = tokio::signal::ctrl_c() => progress.cancel(),
            _ = ticks.tick(), if shown => {
                let (done, total) = progress.so_far();
                if total > 0 && last != Some(done) {
                    eprint!("\r{:>3} %  {done} of {total} ", done.min(total) * 100 / total);
                    // Not shown is no fault.
                    let _ = std::io::stderr().flush();
                    last = Some(done);
                }
            }
        }
    };
    if last.is_some() {
        eprint!("\r\x1b[K");
    }
    done
}
