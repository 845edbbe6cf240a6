//! Writes that go on whatever happens, and what came of each.

use crate::days::{Codes, asking};
use gatepass_core::command::Body;
use gatepass_core::id::CommandId;
use gatepass_server::testing::Someone;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Between a write that was refused and the next try.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than a server may need to say that it can't.
const PATIENCE: Duration = Duration::from_secs(60);

/// What was said to devices.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Commands that were answered with success.
    pub acknowledged: BTreeSet<CommandId>,
    /// All that were sent.
    pub sent: BTreeSet<CommandId>,
    /// Refusals by code; `none` is a connection that ended without an answer.
    pub codes: Codes,
    /// Answers that nobody may give.
    pub lies: Vec<String>,
    /// The longest that an answer took.
    pub slowest: Duration,
}

pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Outcome>>,
}

impl Load {
    pub fn start(http: reqwest::Client, someone: Arc<Someone>, urls: Vec<String>, workers: usize) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..workers)
            .map(|worker| {
                let device = Device {
                    http: http.clone(),
                    someone: someone.clone(),
                    urls: urls.clone(),
                    stop: stop.clone(),
                    done: done.clone(),
                };
                tokio::spawn(device.write(worker))
            })
            .collect();
        Self { stop, done, tasks }
    }

    /// Waits until so many more writes were acknowledged.
    pub async fn more(&self, count: usize) {
        let from = self.done.load(Ordering::Relaxed);
        gatepass_tests::until(&format!("{count} more writes"), PATIENCE, async || {
            (self.done.load(Ordering::Relaxed) >= from + count).then_some(())
        })
        .await;
    }

    pub async fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for task in self.tasks {
            let one = task.await.expect("a device does not panic");
            all.acknowledged.extend(one.acknowledged);
            all.sent.extend(one.sent);
            all.lies.extend(one.lies);
            all.slowest = all.slowest.max(one.slowest);
            for (code, count) in one.codes {
                *all.codes.entry(code).or_default() += count;
            }
        }
        println!(
            "{} of {} writes acknowledged, refusals {:?}, slowest answer {:?}",
            all.acknowledged.len(),
            all.sent.len(),
            all.codes,
            all.slowest
        );
        all
    }
}

struct Device {
    http: reqwest::Client,
    someone: Arc<Someone>,
    urls: Vec<String>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

impl Device {
    async fn write(self, worker: usize) -> Outcome {
        let mut outcome = Outcome::default();
        let mut turn = worker;
        while !self.stop.load(Ordering::Relaxed) {
            let submit = asking(&self.someone);
            let body: Body = serde_json::from_value(submit.command.body.clone()).expect("a body");
            outcome.sent.insert(body.id);
            // The same command, at one node after the other, until one took it.
            while !self.stop.load(Ordering::Relaxed) {
                turn += 1;
                let from = Instant::now();
                let url = format!("{}/v1/requests", self.urls[turn % self.urls.len()]);
                let send = self.http.post(url).bearer_auth(&self.someone.token).json(&submit);
                let (code, word) = match send.timeout(PATIENCE).send().await {
                    Ok(answer) => {
                        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
                    }
                    Err(_) => (0, Value::Null),
                };
                outcome.slowest = outcome.slowest.max(from.elapsed());
                if code == 200 || code == 201 {
                    outcome.acknowledged.insert(body.id);
                    self.done.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                let said = word["code"].as_str().unwrap_or("none").to_owned();
                if !matches!((code, said.as_str()), (0, _) | (503, "unavailable") | (507, "disk_full")) {
                    outcome.lies.push(format!("{code} {word}"));
                }
                *outcome.codes.entry(said).or_default() += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
        outcome
    }
}
