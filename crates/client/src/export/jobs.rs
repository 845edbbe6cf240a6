//! Exports that the window started, by id: how far each is, and what became of it.

use super::{ExportAsk, ExportPlace, ExportProgress, Exported};
use crate::client::{Client, Topic};
use crate::ui::Failure;
use gatepass_core::{Code, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use ts_rs::TS;

/// Finished ones that are remembered.
const KEPT: usize = 32;

/// One export, as the window shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[ts(export)]
pub struct ExportState {
    #[ts(type = "number")]
    pub id: u64,
    pub ask: ExportAsk,
    /// Events done, of so many; 0 while it is not known.
    #[ts(type = "number")]
    pub done: u64,
    #[ts(type = "number")]
    pub total: u64,
    /// Over, one way or another.
    pub finished: bool,
    pub cancelled: bool,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The files once it is done, the one that was asked for first.
    pub paths: Vec<String>,
    /// Events that were written, or lines of a review.
    #[ts(type = "number")]
    pub events: u64,
    /// The local copy was checked up to this position, and when.
    #[ts(type = "number | null")]
    pub verified_to: Option<u64>,
    #[ts(type = "string | null")]
    pub verified_at: Option<Time>,
    /// The search may find more, older events than were written.
    pub capped: bool,
    /// What does not hold about what was exported.
    pub finding: Option<String>,
}

struct Job {
    ask: ExportAsk,
    progress: Arc<ExportProgress>,
    done: Option<Result<Exported, Failure>>,
}

/// Of one process.
#[derive(Default)]
pub(crate) struct Exports(Mutex<(u64, BTreeMap<u64, Job>)>);

impl Exports {
    fn jobs(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Job>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Starts one into `folder`; ask for its state by the id.
    pub fn export_start(&self, ask: ExportAsk, folder: PathBuf) -> Result<u64, Failure> {
        super::check(&ask)?;
        let progress = Arc::new(ExportProgress::default());
        let id = {
            let (last, jobs) = &mut *self.0.exports.jobs();
            *last += 1;
            let over: Vec<u64> = jobs.iter().filter(|(_, j)| j.done.is_some()).map(|(id, _)| *id).collect();
            for old in over.iter().take(over.len().saturating_sub(KEPT - 1)) {
                jobs.remove(old);
            }
            jobs.insert(*last, Job { ask: ask.clone(), progress: Arc::clone(&progress), done: None });
            *last
        };
        let client = self.clone();
        tokio::spawn(async move {
            let done = client.export(ask, ExportPlace::Folder(folder), progress).await;
            if let Some(job) = client.0.exports.jobs().1.get_mut(&id) {
                job.done = Some(done);
            }
            client.tell(vec![Topic::Exports]);
        });
        Ok(id)
    }

    pub fn export_state(&self, id: u64) -> Result<ExportState, Failure> {
        let jobs = self.0.exports.jobs();
        let job = jobs.1.get(&id).ok_or(Code::NotFound)?;
        let (done, total) = job.progress.so_far();
        let cancelled = job.progress.cancelled() && !matches!(job.done, Some(Ok(_)));
        let exported = job.done.as_ref().and_then(|d| d.as_ref().ok()).cloned().unwrap_or_default();
        Ok(ExportState {
            id,
            ask: job.ask.clone(),
            done,
            total,
            finished: job.done.is_some(),
            cancelled,
            failure: job.done.as_ref().and_then(|d| d.as_ref().err()).filter(|_| !cancelled).cloned(),
            paths: exported.paths.iter().map(|p| p.display().to_string()).collect(),
            events: exported.events,
            verified_to: exported.verified.map(|(size, _)| size),
            verified_at: exported.verified.map(|(_, at)| at),
            capped: exported.capped,
            finding: exported.finding,
        })
    }

    pub fn export_cancel(&self, id: u64) -> Result<(), Failure> {
        let jobs = self.0.exports.jobs();
        jobs.1.get(&id).ok_or(Code::NotFound)?.progress.cancel();
        Ok(())
    }
}
