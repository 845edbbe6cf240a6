//! Ten thousand desktops on one node: what each weighs, how fast a decision reaches all of them, how they come back
//! after a restart, and what they ask of the database while nothing happens.

use crate::crowd::{Arrival, Crowd, ms, now};
use crate::device::Device;
use crate::place::{Keep, Place};
use crate::report::{Bound, Measurement, Run};
use crate::shared::Shared;
use crate::stats::median;
use crate::watcher::Watcher;
use crate::{Outcome, proc};
use gatepass_core::Time;
use gatepass_core::id::RequestId;
use gatepass_core::wire::Head;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The devices whose tokens the streams share; a token says nothing of how many streams it opens.
const DEVICES: usize = 16;
/// Over how long the server's goodbye spreads them.
const SPREAD: Duration = Duration::from_secs(10);
/// What a start or a moment of work leaves behind is gone by then.
const SETTLE: Duration = Duration::from_secs(3);

/// What comes out of one run; milliseconds, kB, transactions a second.
#[derive(Default)]
struct Found {
    memory: Vec<Run>,
    reach: Vec<Run>,
    pulled: Vec<Run>,
    restart: Vec<Run>,
    killed: Vec<Run>,
    idle: Vec<Run>,
    /// Transactions of the database for each return of all.
    returns: Vec<u64>,
    failed: Vec<u64>,
    /// Seconds of the server's processor time that one decision took: to tell it, and to have it pulled too.
    telling: Vec<f64>,
    cpu: Vec<f64>,
}

pub async fn measure(prefix: &str, shared: Option<&Shared>, quick: bool) -> Outcome<Vec<Measurement>> {
    let (runs, count, decisions, idle) = if quick { (1, 200, 2, 4) } else { (2, 10_000, 5, 20) };
    let suffix = prefix.strip_prefix("desktops").unwrap_or_default();
    let mut found = Found::default();
    for _ in 0..runs {
        one(shared, count, decisions, Duration::from_secs(idle), &mut found).await?;
    }
    let Found { memory, reach, pulled, restart, killed, idle, returns, failed, telling, cpu } = found;
    let row = |name: &str, unit, reference, bound, runs: &[Run], note: String| {
        Measurement::of(format!("desktop-{name}{suffix}"), unit, reference, bound, runs, note)
    };
    let load = |which: usize| {
        let (at, tries): (Vec<f64>, Vec<f64>) = (which..failed.len())
            .step_by(2)
            .map(|n| (returns.get(n).map_or(0.0, |r| *r as f64), failed.get(n).map_or(0.0, |f| *f as f64)))
            .unzip();
        let said = format!("{:.0} tries came to nothing", median(&tries));
        match shared {
            Some(_) => format!("{:.0} transactions of the database meanwhile; {said}", median(&at)),
            None => said,
        }
    };
    let spread = SPREAD.as_secs();
    let mut rows = vec![
        row(
            "memory",
            "kB",
            "what a bare tokio server keeps for a socket",
            Bound::AtMost(25.0),
            &memory,
            format!("the server’s RSS with {count} streams less that without, by {count}"),
        ),
        row(
            "reach",
            "ms",
            "a bare tokio server that writes one line to as many sockets",
            Bound::Under(250.0),
            &reach,
            format!(
                "p99 over {count} streams, from sending the decision to the hint read, {decisions} a run; {:.2} s \
                 of the server’s CPU",
                median(&telling)
            ),
        ),
        row(
            "pulled",
            "ms",
            "a bare tokio server that writes one line to as many sockets",
            Bound::None,
            &pulled,
            format!("the same until the last has pulled the page; {:.2} s of the server’s CPU", median(&cpu)),
        ),
        row(
            "return",
            "s",
            "as many connections to a bare tokio server",
            Bound::None,
            &restart,
            format!(
                "from SIGTERM, told to come back within {spread} s, until the last has pulled; {}",
                load(0)
            ),
        ),
        row(
            "return-killed",
            "s",
            "as many connections to a bare tokio server",
            Bound::None,
            &killed,
            format!("from kill -9 until the last has pulled; {}", load(1)),
        ),
    ];
    if shared.is_some() {
        let note = format!("transactions of the database with {count} desktops and nothing to tell");
        let name = "the same node without a desktop";
        rows.push(row("idle", "/s", name, Bound::AtMost(5.0), &idle, note));
    }
    Ok(rows)
}

async fn one(
    shared: Option<&Shared>,
    count: usize,
    decisions: usize,
    idle: Duration,
    found: &mut Found,
) -> Outcome<()> {
    let bare = bare(count).await?;
    let spread = format!("spread = \"{}s\"", SPREAD.as_secs());
    let mut place = Place::keeping(shared.map_or(Keep::Sqlite, Keep::Postgres), &spread)?;
    let run = Uuid::now_v7().simple().to_string();
    let auditor = place.device(&format!("iris-{run}"), "", &["--auditor"]).await?;
    let asker = place.device(&format!("tomas-{run}"), "backend", &[]).await?;
    let approver = place.device(&format!("noor-{run}"), "dba", &[]).await?;
    let mut tokens = Vec::new();
    for number in 0..DEVICES {
        tokens.push(place.device(&format!("desktop-{run}-{number}"), "team", &[]).await?.token().await?);
    }
    let file = place.dir().join("tokens");
    std::fs::write(&file, tokens.join("\n"))?;
    let without = match shared {
        Some(shared) => {
            // Sessions that became idle report what they did some ten seconds later.
            tokio::time::sleep(SETTLE * 4).await;
            per_second(shared, idle / 2).await?
        }
        None => 0.0,
    };
    let server = place.process()?.id();
    let before = proc::memory(server)?.rss;
    let address = place.address().to_owned();
    let mut crowd = Crowd::start(&["streams", &address, &count.to_string(), &file.to_string_lossy()])?;
    crowd.arrival().await?;
    tokio::time::sleep(SETTLE).await;
    let kb = (proc::memory(server)?.rss - before) * 1_048.576 / count as f64;
    found.memory.push(Run { measured: kb, reference: bare.kb });
    if let Some(shared) = shared {
        let with = per_second(shared, idle).await?;
        found.idle.push(Run { measured: with, reference: without });
    }
    let (mut told, mut pulled) = (Vec::new(), Vec::new());
    let watcher = Watcher::start(place.device(&format!("iris-{run}"), "", &["--auditor"]).await?).await?;
    let mut stage = Stage { crowd, asker, approver, auditor, watcher, server };
    for number in 0..decisions * 2 {
        let pull = number >= decisions;
        let (from, arrival, cpu) = stage.decide(pull).await?;
        if pull {
            pulled.push(ms(from, arrival.last));
            found.cpu.push(cpu);
        } else {
            told.push(ms(from, arrival.p99));
            found.telling.push(cpu);
        }
    }
    eprintln!(
        "  {count} desktops: {kb:.1} kB each, p99 of a decision {:.0} ms, all pulled after {:.0} ms",
        median(&told),
        median(&pulled)
    );
    found.reach.push(Run { measured: median(&told), reference: bare.reach });
    found.pulled.push(Run { measured: median(&pulled), reference: bare.reach });
    let Stage { mut crowd, watcher, .. } = stage;
    drop(watcher);
    for kill in [false, true] {
        let commits = shared.map(Shared::commits).transpose()?.unwrap_or(0);
        crowd.ready("part").await?;
        let from = now();
        if kill {
            place.process()?.kill();
        }
        place.stop();
        place.serve()?;
        let arrival = crowd.arrival().await?;
        let seconds = ms(from, arrival.last) / 1000.0;
        eprintln!(
            "  {}: half back after {:.1} s, all after {seconds:.1} s",
            if kill { "killed" } else { "restarted" },
            ms(from, arrival.median) / 1000.0
        );
        let runs = if kill { &mut found.killed } else { &mut found.restart };
        runs.push(Run { measured: seconds, reference: bare.connect });
        found.failed.push(arrival.failed);
        if let Some(shared) = shared {
            // What sessions counted is reported with some delay.
            tokio::time::sleep(SETTLE / 2).await;
            found.returns.push(shared.commits()?.saturating_sub(commits));
        }
    }
    Ok(())
}

/// Commits a second while nothing happens.
async fn per_second(shared: &Shared, over: Duration) -> Outcome<f64> {
    let (from, before) = (Instant::now(), shared.commits()?);
    tokio::time::sleep(over).await;
    Ok((shared.commits()?.saturating_sub(before)) as f64 / from.elapsed().as_secs_f64())
}

/// Those who take part in a decision.
struct Stage {
    crowd: Crowd,
    asker: Device,
    approver: Device,
    auditor: Device,
    watcher: Watcher,
    /// The server's process.
    server: u32,
}

impl Stage {
    /// One decision, on a request that nothing else happens to: when it was sent, when it had reached all, and the
    /// seconds of processor time that the server took meanwhile.
    async fn decide(&mut self, pull: bool) -> Outcome<(Time, Arrival, f64)> {
        let id = Uuid::now_v7();
        let mut lived = self.watcher.listen(RequestId(id));
        let asked = self.asker.ask(id, "orders-db", "write", 1800).await?;
        // The hint of that is read before the next is counted.
        tokio::time::sleep(SETTLE / 2).await;
        let head: Head = self.auditor.get("/v1/log/head").await?;
        self.crowd.ready(&format!("expect {}{}", head.size, if pull { " pull" } else { "" })).await?;
        let (from, cpu) = (now(), proc::cpu_s(self.server)?);
        self.approver.approve(&asked.request).await?;
        let arrival = self.crowd.arrival().await?;
        let cpu = proc::cpu_s(self.server)? - cpu;
        let (grant, _) = lived.active().await?;
        self.asker.give_back(grant).await?;
        lived.ended().await?;
        Ok((from, arrival, cpu))
    }
}

struct Bare {
    kb: f64,
    /// Milliseconds.
    reach: f64,
    /// Seconds.
    connect: f64,
}

/// The same clients at a server that does nothing else.
async fn bare(count: usize) -> Outcome<Bare> {
    let mut server = Crowd::start(&["bare"])?;
    let address = server.line().await?;
    let before = proc::memory(server.id()?)?.rss;
    let tokens = tempfile::NamedTempFile::new()?;
    let from = now();
    let path = tokens.path().to_string_lossy().into_owned();
    let mut crowd = Crowd::start(&["streams", &address, &count.to_string(), &path])?;
    let connect = ms(from, crowd.arrival().await?.last) / 1000.0;
    tokio::time::sleep(SETTLE).await;
    let kb = (proc::memory(server.id()?)?.rss - before) * 1_048.576 / count as f64;
    let mut reach = Vec::new();
    for size in 1..=5_u64 {
        crowd.ready(&format!("expect {}", size - 1)).await?;
        let from = now();
        server.tell(&format!("say {size}")).await?;
        reach.push(ms(from, crowd.arrival().await?.p99));
        server.line().await?;
    }
    Ok(Bare { kb, reach: median(&reach), connect })
}
