//! A seeded workload over three nodes on one PostgreSQL, faults thrown in at random, and then a check of what was kept,
//! shown and done.

mod balancer;
mod check;
mod evidence;
mod fleet;
mod people;
mod plan;

use check::{Answer, Evidence, Write};
use evidence::{Kept, Watch};
use fleet::Fleet;
pub use fleet::Machines;
use plan::{Fault, Plan, What};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// Once everything is mended: leases of dead workers end, accesses end, requests lapse.
const QUIET: Duration = Duration::from_secs(120);
/// Between two looks whether that is so.
const LOOK: Duration = Duration::from_millis(50);

/// What a run came to, when nothing was wrong.
pub struct Summary {
    seed: u64,
    taken: usize,
    refused: usize,
    /// By what their senders were told instead.
    lost: BTreeMap<String, usize>,
    faults: usize,
    events: usize,
    logins: usize,
    /// Milliseconds that the latest access was there after its end.
    latest_ms: i64,
    took: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, taken, refused, lost, faults, events, logins, latest_ms, took } = self;
        let took = took.as_secs_f32();
        write!(
            f,
            "{seed}: {taken} writes taken, {refused} refused, {lost:?} unanswered, {faults} faults; {events} events, \
             {logins} logins, the latest gone {latest_ms} ms after its end; {took:.0} s"
        )
    }
}

/// One run. `Err` says what cannot be, and how to see it again.
pub async fn run(machines: &Arc<Machines>, seed: u64) -> Result<Summary, String> {
    let again = format!("seed {seed}; to repeat it: ./dev soak 1 {seed}");
    eprintln!("soak: {again}");
    let plan = Plan::of(seed);
    let faults: String = plan.faults().map(|(at, fault)| format!("\n    at {at:?} {fault:?}")).collect();
    let again = format!("{again}{faults}");
    match tokio::spawn(workload(machines.clone(), plan)).await {
        Ok(Ok(summary)) => Ok(summary),
        Ok(Err(wrong)) => Err(format!("{again}\n{wrong}")),
        Err(panic) => Err(format!("{again}\n{panic}")),
    }
}

/// Databases and texts of runs in one program differ.
fn run_name(seed: u64) -> String {
    static RUN: AtomicU32 = AtomicU32::new(0);
    format!("{}_{seed}", RUN.fetch_add(1, Ordering::Relaxed))
}

async fn workload(machines: Arc<Machines>, plan: Plan) -> Result<Summary, String> {
    let from = Instant::now();
    let run = run_name(plan.seed);
    let fleet = Fleet::start(machines.clone(), &run).await;
    let people = people::join(&fleet).await;
    let watch = Watch::of(&machines.target).await;

    let faults = plan.faults().count();
    let start = Instant::now();
    let mut doing: JoinSet<Option<Write>> = JoinSet::new();
    for (number, step) in plan.steps.into_iter().enumerate() {
        sleep_until(start + step.at).await;
        match step.what {
            What::Act { person, act } => {
                let (someone, mark) = (people[person].clone(), format!("{run} step {number}"));
                doing.spawn(async move { someone.act(&act, mark).await });
            }
            What::Fault(fault) => {
                let (fleet, people) = (fleet.clone(), people.clone());
                doing.spawn(async move {
                    match &fault {
                        Fault::CutPerson { person }
                        | Fault::LosePerson { person, .. }
                        | Fault::Reopen { person } => {
                            people[*person].suffer(&fault).await;
                        }
                        _ => fleet.suffer(&fault).await,
                    }
                    None
                });
            }
        }
    }
    let mut evidence = Evidence { catalogue: fleet.config.catalogue.clone(), ..Evidence::default() };
    while let Some(done) = doing.join_next().await {
        evidence.writes.extend(done.map_err(|e| format!("a step broke off: {e}"))?);
    }
    // Every fault mends itself before it is done: from here on nothing is broken.
    let kept = Kept::open(&machines.url(&fleet.database).await).await;
    if let Some(rest) = never_quiet(&kept).await {
        return Err(format!(
            "{QUIET:?} after everything was mended there is still {rest}\n{}",
            fleet.last_words()
        ));
    }
    let size = kept.size().await;
    for someone in &people {
        evidence.views.push(someone.view(size).await);
        evidence.complaints.extend(someone.complaints());
    }
    evidence.logins = watch.end().await;
    evidence.left = evidence::left(&machines.target).await;
    evidence.troubles = fleet.troubles();
    kept.read(&mut evidence).await;
    let verdict = check::check(&evidence);
    if !verdict.wrong.is_empty() {
        return Err(format!("{}\n{}", verdict.wrong.join("\n"), fleet.last_words()));
    }
    drop((people, kept));
    fleet.end().await;
    let count = |fits: fn(&Answer) -> bool| evidence.writes.iter().filter(|w| fits(&w.answer)).count();
    Ok(Summary {
        seed: plan.seed,
        taken: count(|a| matches!(a, Answer::Taken)),
        refused: count(|a| matches!(a, Answer::Refused(_))),
        lost: lost(&evidence.writes),
        faults,
        events: evidence.log.len(),
        logins: evidence.logins.len(),
        latest_ms: verdict.latest.num_milliseconds(),
        took: from.elapsed(),
    })
}

fn lost(writes: &[Write]) -> BTreeMap<String, usize> {
    let mut lost = BTreeMap::new();
    for write in writes {
        if let Answer::Lost(code) = write.answer {
            *lost.entry(format!("{code:?}")).or_default() += 1;
        }
    }
    lost
}

/// Waits until nothing is left to do; answers what still is when it takes too long.
async fn never_quiet(kept: &Kept) -> Option<String> {
    let from = Instant::now();
    while let Some(rest) = kept.rest().await {
        if from.elapsed() > QUIET {
            return Some(rest);
        }
        sleep(LOOK).await;
    }
    None
}
