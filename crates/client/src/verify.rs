//! Checking what this device holds of the log: offline, all of it or what is new.

use crate::cache::{Against, Breach, Progress, Running, blocking};
use crate::client::{Client, Topic};
use crate::ui::{Failure, Status, VerifyFinding, VerifyProgress, VerifyReport};
use gatepass_core::Code;
use gatepass_log::bundle::{Bundle, BundleError};
use gatepass_log::replay::Finding;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// What this process checked, and what it is checking.
#[derive(Default)]
pub(crate) struct Verifying {
    /// One at a time; where the last one came to.
    running: tokio::sync::Mutex<Option<Running>>,
    now: Mutex<Option<Arc<Progress>>>,
}

impl Verifying {
    fn set(&self, progress: Option<Arc<Progress>>) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }

    fn get(&self) -> Option<Arc<Progress>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Client {
    /// Checks what is held, without the server: everything when `full`, or when this process has not done so yet;
    /// otherwise what came since. What does not hold is in the report, and kept like any contradiction: it stays until
    /// the profile is left.
    pub async fn verify(&self, full: bool) -> Result<VerifyReport, Failure> {
        let joined = self.joined()?;
        let mut running = joined.verifying.running.lock().await;
        let before = running.take().filter(|_| !full);
        let progress = Arc::new(Progress::default());
        joined.verifying.set(Some(Arc::clone(&progress)));
        let log = joined.log.get().cloned();
        let witness = self.0.profile.witness()?.map(|w| w.head);
        let done = blocking(&joined.cache, move |cache| {
            let against = Against { log: log.as_ref(), witness };
            cache.verify(before, &against, &progress)
        })
        .await;
        joined.verifying.set(None);
        let (report, after) = done?;
        *running = after;
        if let Some(finding) = &report.finding {
            let place = finding.seq.map_or_else(String::new, |seq| format!("Position {seq}: "));
            let breach = Breach {
                seq: finding.seq,
                ..Breach::new(&finding.rule, format!("{place}{}", finding.message))
            };
            self.breached(&joined, breach).await?;
            self.tell(vec![Topic::Status]);
        }
        Ok(report)
    }

    /// How far the check is that is under way in this process.
    pub fn verify_progress(&self) -> Result<Option<VerifyProgress>, Failure> {
        let progress = self.joined()?.verifying.get();
        Ok(progress.map(|p| VerifyProgress {
            done: p.done.load(Ordering::Relaxed),
            total: p.total.load(Ordering::Relaxed),
        }))
    }

    /// Stops it.
    pub fn verify_cancel(&self) -> Result<(), Failure> {
        if let Some(progress) = self.joined()?.verifying.get() {
            progress.stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Checks all that is held, then against the server.
    pub async fn verify_again(&self) -> Result<Status, Failure> {
        if self.verify(true).await?.finding.is_none() {
            match self.sync().await {
                Err(f) if !matches!(f.code, Code::Unreachable | Code::NotVerified) => return Err(f),
                _ => {}
            }
        }
        self.status().await
    }
}

/// Checks an exported bundle, with nothing but its text: the report, and the key of the log that signed its head.
pub fn verify_bundle(text: &str) -> (VerifyReport, Option<String>) {
    let bundle = match Bundle::parse(text) {
        Ok(bundle) => bundle,
        Err(error) => return (found(error), None),
    };
    let report = match bundle.verify() {
        Err(error) => found(error),
        Ok(held) => VerifyReport {
            size: held.head.size,
            signed_size: Some(held.head.size),
            root: held.head.root,
            events: held.report.events,
            signatures: held.report.signatures,
            decisions: held.report.decisions,
            grants: held.report.grants,
            ended: held.report.ended,
            ..VerifyReport::from_first()
        },
    };
    (report, Some(bundle.vkey))
}

fn found(error: BundleError) -> VerifyReport {
    let about = |rule: &str, message: String| VerifyFinding { seq: None, rule: rule.to_owned(), message };
    let finding = match error {
        BundleError::Finding(found) => found.into(),
        BundleError::Checkpoint(error) => {
            about("checkpoint", format!("The signed head does not hold: {error}."))
        }
        BundleError::Malformed(why) => about("form", format!("This is not an exported bundle: {why}.")),
    };
    VerifyReport { finding: Some(finding), ..VerifyReport::from_first() }
}

impl From<Finding> for VerifyFinding {
    fn from(found: Finding) -> Self {
        Self { seq: Some(found.seq), rule: found.rule.to_owned(), message: found.message }
    }
}

impl VerifyReport {
    /// Nothing yet, of all there is.
    pub(crate) fn from_first() -> Self {
        Self {
            full: true,
            from: 0,
            size: 0,
            root: gatepass_log::Tree::default().head().root,
            signed_size: None,
            events: 0,
            signatures: 0,
            decisions: 0,
            grants: 0,
            ended: 0,
            finding: None,
            cancelled: false,
        }
    }
}
