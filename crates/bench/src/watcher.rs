//! Tells the waiting what happened to their requests, as a desktop learns it: a hint from the stream, then a pull
//! by cursor; or by pulling all the time, for whom the time between two hints is too long. One for all who wait.

use crate::Outcome;
use crate::device::Device;
use futures_util::StreamExt as _;
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::RequestId;
use gatepass_core::wire::LogPage;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

type Waiting = Arc<Mutex<HashMap<RequestId, mpsc::UnboundedSender<Event>>>>;

/// Between two pulls without hints.
const PACE: Duration = Duration::from_millis(1);
/// Nothing that is measured takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Watcher {
    waiting: Waiting,
    pulling: tokio::task::JoinHandle<()>,
}

impl Watcher {
    /// `device` is an auditor's, who sees everything.
    pub async fn start(device: Device) -> Outcome<Self> {
        let hints = device.open("/v1/stream").await?;
        Ok(Self::pulling(device, Some(hints)))
    }

    /// The same without waiting for hints, which are 20 ms apart at least.
    pub fn restless(device: Device) -> Self {
        Self::pulling(device, None)
    }

    fn pulling(device: Device, hints: Option<reqwest::Response>) -> Self {
        let waiting = Waiting::default();
        let theirs = waiting.clone();
        let pulling = tokio::spawn(async move {
            if let Err(error) = pull(&device, hints, &theirs).await {
                eprintln!("the log is not followed any more: {error}");
            }
        });
        Self { waiting, pulling }
    }

    /// Starts to listen for a request that may not exist yet.
    pub fn listen(&self, request: RequestId) -> Told {
        let (tell, told) = mpsc::unbounded_channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(request, tell);
        Told { told, request, waiting: self.waiting.clone() }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.pulling.abort();
    }
}

/// What happens to one request.
pub struct Told {
    told: mpsc::UnboundedReceiver<Event>,
    request: RequestId,
    waiting: Waiting,
}

impl Told {
    /// Waits for the first event that `pick` wants.
    pub async fn until<T>(&mut self, pick: impl Fn(&Fact) -> Option<T>) -> Outcome<T> {
        let waited = tokio::time::timeout(PATIENCE, async {
            while let Some(event) = self.told.recv().await {
                if let Some(found) = pick(&event.fact) {
                    return Ok(found);
                }
            }
            Err("the log is not followed any more".into())
        });
        waited.await.map_err(|_| "waited in vain for an event")?
    }

    /// Waits until the access is there: its grant and its fixed end.
    pub async fn active(&mut self) -> Outcome<(gatepass_core::id::GrantId, gatepass_core::Time)> {
        self.until(|fact| match fact {
            Fact::GrantActive { grant, ends_at, .. } => Some((*grant, *ends_at)),
            _ => None,
        })
        .await
    }

    /// Waits until it is gone.
    pub async fn ended(&mut self) -> Outcome<()> {
        self.until(|fact| matches!(fact, Fact::GrantEnded { .. }).then_some(())).await
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.request);
    }
}

async fn pull(device: &Device, hints: Option<reqwest::Response>, waiting: &Waiting) -> Outcome<()> {
    let mut cursor = 0;
    let Some(hints) = hints else {
        loop {
            catch_up(device, &mut cursor, waiting).await?;
            tokio::time::sleep(PACE).await;
        }
    };
    let mut hints = hints.bytes_stream();
    // The stream hints at once, so what came before is pulled too.
    while let Some(hint) = hints.next().await {
        hint?;
        catch_up(device, &mut cursor, waiting).await?;
    }
    Ok(())
}

async fn catch_up(device: &Device, cursor: &mut u64, waiting: &Waiting) -> Outcome<()> {
    loop {
        let page: LogPage = device.get(&format!("/v1/log/events?after={cursor}&limit=1000")).await?;
        *cursor += page.entries.len() as u64;
        let full = page.entries.len() == 1000;
        tell(page, waiting);
        if !full {
            return Ok(());
        }
    }
}

fn tell(page: LogPage, waiting: &Waiting) {
    let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    for event in page.entries.into_iter().filter_map(|entry| entry.event) {
        if let Some(tell) = event.request.and_then(|request| waiting.get(&request)) {
            // Who stopped listening misses nothing.
            let _ = tell.send(event);
        }
    }
}
