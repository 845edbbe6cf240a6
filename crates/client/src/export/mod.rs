//! Taking events, proofs and reports out of the local copy of the log, streamed. Works offline: it says up to which
//! position the copy was checked, and when.

mod bundle;
mod evidence;
mod file;
mod jobs;
mod review;
mod server;

pub(crate) use jobs::Exports;

use crate::cache::{Cache, Chosen, Reading, blocking};
use crate::client::Client;
use crate::ui::Failure;
use gatepass_core::report::Lines;
use gatepass_core::{Code, Time};
use gatepass_log::LogVerifier;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use ts_rs::TS;

pub use jobs::ExportState;

/// Events read at once.
const STEP: u64 = 1_000;

/// What comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "kebab-case")]
#[ts(export)]
pub enum ExportFormat {
    Csv,
    Jsonl,
    Ocsf,
    /// Events that prove themselves: what `gatepass audit verify FILE` takes.
    Bundle,
    /// A page about one access, with its bundle beside it.
    Html,
    /// Who held what in a period.
    ReviewCsv,
    ReviewHtml,
}

/// What is to be taken out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct ExportAsk {
    pub format: ExportFormat,
    /// Only this access: `R-12`, or the id of its request or of its grant. `html` needs it.
    #[serde(default)]
    pub grant: Option<String>,
    /// Only what this search finds; not for bundles, pages and reviews.
    #[serde(default)]
    pub query: Option<String>,
    /// From this moment on; a review needs both.
    #[serde(default)]
    #[ts(type = "string | null")]
    pub after: Option<Time>,
    /// Until this moment.
    #[serde(default)]
    #[ts(type = "string | null")]
    pub before: Option<Time>,
}

/// Where it goes.
pub enum ExportPlace {
    /// Refused when it is there, unless `over`.
    File {
        path: PathBuf,
        over: bool,
    },
    /// Under a speaking name that is not taken.
    Folder(PathBuf),
    Out(Box<dyn Write + Send>),
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exported {
    /// The files, the one that was asked for first.
    pub paths: Vec<PathBuf>,
    /// Events, or lines of a review.
    pub events: u64,
    /// The local copy was checked up to this position, and when.
    pub verified: Option<(u64, Time)>,
    /// The search may find more, older events than it could read.
    pub capped: bool,
    /// What does not hold about what was exported.
    pub finding: Option<String>,
}

/// How far an export is, and whether it is to stop.
#[derive(Debug, Default)]
pub struct ExportProgress {
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
}

impl ExportProgress {
    /// Events done, and of how many; none while it is not known.
    pub fn so_far(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// Nothing is left of it then.
    pub fn cancel(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn begin(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    fn step(&self, count: u64) -> Result<(), Failure> {
        self.done.fetch_add(count, Ordering::Relaxed);
        self.go_on()
    }

    fn go_on(&self) -> Result<(), Failure> {
        if self.cancelled() { Err(cancelled()) } else { Ok(()) }
    }
}

fn cancelled() -> Failure {
    Failure::new(Code::Malformed, "The export was cancelled; nothing was written.")
}

fn unwritable(error: std::io::Error) -> Failure {
    Failure::local("The export can’t be written", error)
}

/// One export under way.
struct Export<'a> {
    cache: &'a Cache,
    reading: Reading,
    log: Option<LogVerifier>,
    ask: &'a ExportAsk,
    progress: &'a ExportProgress,
    now: Time,
}

impl Client {
    /// Writes what is asked for from the local copy, without the server. On a failure nothing is left behind.
    pub async fn export(
        &self,
        ask: ExportAsk,
        place: ExportPlace,
        progress: Arc<ExportProgress>,
    ) -> Result<Exported, Failure> {
        check(&ask)?;
        let joined = self.joined()?;
        let log = joined.log.get().cloned();
        let now = joined.api.now();
        blocking(&joined.cache, move |cache| {
            let reading = cache.reading(now)?;
            let verified = reading.position.verified.as_ref().map(|v| (v.head.size, v.at));
            let mut export = Export { cache, reading, log, ask: &ask, progress: &progress, now };
            let done = export.write(place)?;
            Ok(Exported { verified, ..done })
        })
        .await
    }
}

fn check(ask: &ExportAsk) -> Result<(), Failure> {
    let wrong = |message: &str| Err(Failure::new(Code::Malformed, message));
    let narrowed = ask.query.is_some() || ask.after.is_some() || ask.before.is_some();
    match ask.format {
        ExportFormat::Html if ask.grant.is_none() => {
            wrong("The evidence page is about one access; say which.")
        }
        ExportFormat::Html | ExportFormat::Bundle if narrowed => {
            wrong("A bundle is of one access or of everything: a part of a story proves nothing.")
        }
        ExportFormat::ReviewCsv | ExportFormat::ReviewHtml if ask.grant.is_some() || ask.query.is_some() => {
            wrong("An access review is of a period.")
        }
        ExportFormat::ReviewCsv | ExportFormat::ReviewHtml if ask.after.zip(ask.before).is_none() => {
            wrong("An access review needs the beginning and the end of its period.")
        }
        _ if ask.after.zip(ask.before).is_some_and(|(after, before)| after >= before) => {
            wrong("The period ends before it begins.")
        }
        _ => Ok(()),
    }
}

impl ExportFormat {
    const fn lines(self) -> Option<Lines> {
        match self {
            Self::Csv => Some(Lines::Csv),
            Self::Jsonl => Some(Lines::Jsonl),
            Self::Ocsf => Some(Lines::Ocsf),
            _ => None,
        }
    }
}

/// What a file is called when nobody says.
fn file_name(ask: &ExportAsk, now: Time) -> String {
    let day = now.format("%Y-%m-%d");
    let span = match ask.after.zip(ask.before) {
        Some((from, to)) => format!("{}-{}", from.format("%Y-%m-%d"), to.format("%Y-%m-%d")),
        None => day.to_string(),
    };
    let what = ask.grant.clone().unwrap_or_else(|| "log".to_owned());
    match ask.format {
        ExportFormat::Bundle | ExportFormat::Html if ask.grant.is_some() => {
            format!("{what}.evidence.json")
        }
        ExportFormat::Bundle | ExportFormat::Html => format!("gatepass-log-{day}.json"),
        ExportFormat::ReviewCsv => format!("gatepass-review-{span}.csv"),
        ExportFormat::ReviewHtml => format!("gatepass-review-{span}.html"),
        format => {
            let extension = format.lines().unwrap_or(Lines::Jsonl).extension();
            format!("gatepass-{what}-{span}.{extension}")
        }
    }
}

impl Export<'_> {
    fn write(&mut self, place: ExportPlace) -> Result<Exported, Failure> {
        let name = file_name(self.ask, self.now);
        if self.ask.format == ExportFormat::Html {
            return self.evidence(place);
        }
        let mut target = file::Target::open(place, &name)?;
        let mut done = match self.ask.format {
            ExportFormat::Bundle => self.bundle(&mut target)?,
            ExportFormat::ReviewCsv | ExportFormat::ReviewHtml => self.review(&mut target)?,
            format => self.lines(format.lines().unwrap_or(Lines::Jsonl), &mut target)?,
        };
        self.progress.go_on()?;
        done.paths.extend(target.finish()?);
        Ok(done)
    }

    /// The events that are asked for, oldest first.
    fn chosen(&self) -> Result<Chosen, Failure> {
        let mut text = self.ask.query.clone().unwrap_or_default();
        let utc = |at: Time| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        for (key, at) in [("after", self.ask.after), ("before", self.ask.before)] {
            text.extend(at.map(|at| format!(" {key}:{}", utc(at))));
        }
        let found = self.cache.chosen(&self.reading, &text)?;
        let Some(grant) = &self.ask.grant else { return Ok(found) };
        let access = self.reading.access(grant)?;
        let all = found.page(0, u64::MAX);
        Ok(Chosen::these(access.seqs.into_iter().filter(|seq| all.binary_search(seq).is_ok()).collect()))
    }

    fn lines(&mut self, lines: Lines, out: &mut dyn Write) -> Result<Exported, Failure> {
        let chosen = self.chosen()?;
        self.progress.begin(chosen.total());
        out.write_all(lines.head().as_bytes()).map_err(unwritable)?;
        let mut done = Exported { capped: chosen.capped(), ..Exported::default() };
        let mut from = 0;
        loop {
            let seqs = chosen.page(from, STEP);
            if seqs.is_empty() {
                return Ok(done);
            }
            from += seqs.len() as u64;
            for record in self.reading.records(&seqs)? {
                let line = lines.line(&record);
                done.events += u64::from(!line.is_empty());
                out.write_all(line.as_bytes()).map_err(unwritable)?;
            }
            self.progress.step(seqs.len() as u64)?;
        }
    }
}
