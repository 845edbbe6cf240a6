//! Whole lives per second: asked, decided, set up on a target in the server's memory, given back, removed.

use super::{bare_lives, bare_shared_lives};
use crate::device::Device;
use crate::place::{Keep, Place};
use crate::report::{Bound, Measurement, Run};
use crate::shared::Shared;
use crate::watcher::Watcher;
use crate::{Outcome, stats};
use futures_util::future::join_all;
use gatepass_core::id::RequestId;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const CLIENTS: [usize; 3] = [1, 16, 64];

/// How long a session of PostgreSQL may keep its counts to itself.
const REPORTED: Duration = Duration::from_millis(1_500);

/// What lives cost the database.
struct Cost {
    bytes: f64,
    log: f64,
    commits: u64,
}

impl Cost {
    fn so_far(shared: &Shared) -> Outcome<Self> {
        let (bytes, log) = shared.bytes()?;
        Ok(Self { bytes, log, commits: shared.commits()? })
    }

    fn since(&self, before: &Self, lives: usize) -> String {
        let each = |all: f64| all / lives.max(1) as f64;
        format!(
            "; a life is {:.1} kB of tables, {:.1} kB of WAL and {:.1} transactions, reads included",
            each(self.bytes - before.bytes) / 1000.0,
            each(self.log - before.log) / 1000.0,
            each(self.commits.saturating_sub(before.commits) as f64)
        )
    }
}

/// A person who asks and one who decides.
struct Pair {
    asker: Device,
    approver: Device,
}

/// With SQLite, or with a PostgreSQL that is `shared`; of the names that begin with `prefix`, those that were asked for.
pub async fn measure(
    prefix: &str,
    shared: Option<&Shared>,
    names: &[String],
    quick: bool,
) -> Outcome<Vec<Measurement>> {
    let (runs, over) = if quick { (1, Duration::from_secs(1)) } else { (3, Duration::from_secs(6)) };
    let wanted = |clients: &usize| {
        names.is_empty() || names.iter().any(|n| n == prefix || *n == format!("{prefix}-{clients}"))
    };
    let sizes: Vec<usize> = CLIENTS.into_iter().filter(wanted).collect();
    let place = Place::keeping(shared.map_or(Keep::Sqlite, Keep::Postgres), "")?;
    let watcher = Arc::new(Watcher::restless(place.device("iris", "", &["--auditor"]).await?));
    let mut pairs = Vec::new();
    for number in 0..sizes.iter().copied().max().unwrap_or(0) {
        let asker = place.device(&format!("asker-{number}"), "backend", &[]).await?;
        let approver = place.device(&format!("approver-{number}"), "dba", &[]).await?;
        pairs.push(Arc::new(Pair { asker, approver }));
    }
    // Whatever is made once is made now.
    live(&pairs, &watcher, over / 6).await?;
    let mut rows = Vec::new();
    for size in sizes {
        let (mut measured, mut took, mut at_once) = (Vec::new(), Vec::new(), Vec::new());
        let mut cost = String::new();
        for _ in 0..runs {
            let pairs = pairs.get(..size).unwrap_or(&pairs);
            let before = shared.map(Cost::so_far).transpose()?;
            let lives = live(pairs, &watcher, over).await?;
            if let (Some(shared), Some(before)) = (shared, before) {
                // What sessions counted is reported with some delay.
                tokio::time::sleep(REPORTED).await;
                cost = Cost::so_far(shared)?.since(&before, lives.count);
            }
            let reference = match shared {
                None => bare_lives::per_second(&place, over / 3)?,
                Some(shared) => {
                    at_once.push(bare_shared_lives::per_second(shared, size, over / 3).await?);
                    bare_shared_lives::per_second(shared, 1, over / 3).await?
                }
            };
            eprintln!("  {size} clients: {:.0} lives/s, bare {reference:.0}", lives.per_second);
            measured.push(Run { measured: lives.per_second, reference });
            took.push(lives.median_ms);
        }
        let name = "the same rows in as many bare transactions, one after another";
        let mut note = format!("a life takes {:.0} ms", stats::median(&took));
        if shared.is_some() && size > 1 {
            let rate = stats::median(&at_once);
            note.push_str(&format!("; {size} bare sessions at once write {rate:.0} lives/s"));
        }
        note.push_str(&cost);
        let bound = Bound::ShareOfReference(0.5);
        rows.push(Measurement::of(format!("{prefix}-{size}"), "lives/s", name, bound, &measured, note));
    }
    Ok(rows)
}

struct Lives {
    count: usize,
    per_second: f64,
    median_ms: f64,
}

/// Every pair lives one life after the other until the time is over; the last ones are lived to their end.
async fn live(pairs: &[Arc<Pair>], watcher: &Arc<Watcher>, over: Duration) -> Outcome<Lives> {
    let from = Instant::now();
    let clients = pairs.iter().cloned().map(|pair| {
        let watcher = watcher.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            while from.elapsed() < over {
                let began = Instant::now();
                one(&pair, &watcher).await?;
                took.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(took)
        })
    });
    let mut took = Vec::new();
    for client in join_all(clients).await {
        let lived: Outcome<Vec<f64>> = client?;
        took.extend(lived?);
    }
    Ok(Lives {
        count: took.len(),
        per_second: took.len() as f64 / from.elapsed().as_secs_f64(),
        median_ms: stats::median(&took),
    })
}

async fn one(pair: &Pair, watcher: &Watcher) -> Outcome<()> {
    let id = Uuid::now_v7();
    let mut told = watcher.listen(RequestId(id));
    let asked = pair.asker.ask(id, "orders-db", "write", 1800).await?;
    pair.approver.approve(&asked.request).await?;
    let (grant, _) = told.active().await?;
    pair.asker.give_back(grant).await?;
    told.ended().await
}
