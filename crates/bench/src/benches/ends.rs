//! Ten thousand grants that end in the same second on a real PostgreSQL: how long until the last login is gone, and
//! whether new requests are answered meanwhile.

use crate::device::{Device, random};
use crate::place::Place;
use crate::report::{Bound, Measurement, Run};
use crate::stats::{median, percentile};
use crate::watcher::{Told, Watcher};
use crate::{Outcome, clock};
use chrono::{SubsecRound as _, TimeDelta};
use futures_util::future::join_all;
use gatepass_core::Time;
use gatepass_core::id::RequestId;
use gatepass_testkit::Postgres;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;
use uuid::Uuid;

/// The testkit's own are for tests, which may lose everything.
const SETTINGS: [&str; 3] = ["fsync=on", "synchronous_commit=on", "log_statement=none"];
/// Devices that ask, each for one access after the other.
const ASKERS: usize = 16;
/// Accesses that say how long setting up takes.
const TRIED: usize = 64;
/// Between two requests of somebody else.
const PACE: Duration = Duration::from_millis(20);
/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(900);

/// Milliseconds that asking took, for somebody who has nothing to do with what ends.
struct Asking {
    quiet: Vec<f64>,
    meanwhile: Vec<f64>,
}

pub async fn measure(quick: bool) -> Outcome<Vec<Measurement>> {
    let (runs, grants) = if quick { (1, 200) } else { (1, 10_000) };
    let (mut gone, mut asked, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let orders = Postgres::start_with(&SETTINGS);
        orders.make_orders();
        let (seconds, asking, note) = one(&orders, grants).await?;
        let bare = bare(&orders, grants).await?;
        eprintln!("  {grants} logins: gone after {seconds:.1} s, bare {bare:.1} s");
        gone.push(Run { measured: seconds, reference: bare });
        asked.push(Run {
            measured: percentile(&asking.meanwhile, 0.99),
            reference: percentile(&asking.quiet, 0.99),
        });
        let (many, usual) = (asking.meanwhile.len(), median(&asking.meanwhile));
        notes.push((note, format!("{many} requests while {grants} accesses ended, median {usual:.1} ms")));
    }
    let (gone_note, asked_note) = notes.pop().unwrap_or_default();
    let bare = "a superuser's bare DROP ROLE of as many, one after another";
    let before = "the same requests just before";
    Ok(vec![
        Measurement::of("ends", "s", bare, Bound::None, &gone, gone_note),
        Measurement::of("ends-ask-p99", "ms", before, Bound::Under(1000.0), &asked, asked_note),
    ])
}

/// Seconds from the middle one of the ends until the last login is gone, as the log and the target say.
async fn one(orders: &Postgres, grants: usize) -> Outcome<(f64, Asking, String)> {
    let place = Place::with_postgres(orders)?;
    let watcher = Arc::new(Watcher::start(place.device("iris", "", &["--auditor"]).await?).await?);
    let mut askers = Vec::new();
    for number in 0..ASKERS {
        askers.push(Arc::new(place.device(&format!("asker-{number}"), "backend", &[]).await?));
    }
    // How fast it goes is tried with a few, which end soon.
    let from = Instant::now();
    set_up(&askers, &watcher, TRIED, clock::exact() + TimeDelta::seconds(5)).await?;
    let needed = 10 + (from.elapsed().as_secs_f64() * 2.0 * grants as f64 / TRIED as f64) as i64;
    let end = (clock::exact() + TimeDelta::seconds(needed)).trunc_subsecs(0);
    let set_up = set_up(&askers, &watcher, grants, end).await?;
    let mut ends: Vec<Time> = set_up.iter().map(|(_, ends_at)| *ends_at).collect();
    ends.sort_unstable();
    let (Some(first), Some(half), Some(last)) =
        (ends.first().copied(), ends.get(ends.len() / 2).copied(), ends.last().copied())
    else {
        return Err("nothing was set up".into());
    };
    if clock::exact() + TimeDelta::seconds(5) > first {
        return Err(format!("{grants} accesses could not be set up in time").into());
    }
    let made: usize = orders.psql("orders", LOGINS).parse()?;
    if made != grants {
        return Err(format!("there are {made} logins instead of {grants}").into());
    }

    // Who could approve what somebody asks for, and never does.
    let _approver = place.device("noor", "dba", &[]).await?;
    let somebody = place.device("somebody", "backend", &[]).await?;
    let done = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn(keep_asking(somebody, first, done.clone()));
    let waiting = join_all(set_up.into_iter().map(|(told, _)| gone(told))).await;
    waiting.into_iter().collect::<Outcome<()>>()?;
    let at = clock::exact();
    done.store(true, Ordering::Relaxed);
    let left = orders.psql("orders", LOGINS);
    if left != "0" {
        return Err(format!("{left} logins are left although all are called removed").into());
    }
    let note = format!(
        "{} of {grants} ends in one second, all in {:.1} s; counted from the middle one to the last read-back",
        most_in_a_second(&ends),
        (last - first).as_seconds_f64()
    );
    Ok(((at - half).as_seconds_f64(), asking.await??, note))
}

/// Of ends in their order.
fn most_in_a_second(ends: &[Time]) -> usize {
    let second = TimeDelta::seconds(1);
    (0..ends.len()).map(|at| ends[at..].partition_point(|end| *end - ends[at] < second)).max().unwrap_or(0)
}

const LOGINS: &str = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gp\\_%'";

/// So many accesses that end at `end`, asked for by all of them at once.
async fn set_up(
    askers: &[Arc<Device>],
    watcher: &Arc<Watcher>,
    grants: usize,
    end: Time,
) -> Outcome<Vec<(Told, Time)>> {
    let next = Arc::new(AtomicUsize::new(0));
    let all = askers
        .iter()
        .map(|device| tokio::spawn(ask(device.clone(), watcher.clone(), next.clone(), grants, end)));
    let mut made = Vec::new();
    for asker in join_all(all).await {
        made.extend(asker??);
    }
    Ok(made)
}

/// Asks for access that ends at `end`, until there is enough of it.
async fn ask(
    device: Arc<Device>,
    watcher: Arc<Watcher>,
    next: Arc<AtomicUsize>,
    grants: usize,
    end: Time,
) -> Outcome<Vec<(Told, Time)>> {
    // From asking until the length counts.
    let mut lag = TimeDelta::zero();
    let mut all = Vec::new();
    while next.fetch_add(1, Ordering::Relaxed) < grants {
        // Lengths are whole seconds, so it ends within the second before.
        let asked = clock::exact();
        let seconds = (end - lag - asked).num_seconds().max(1);
        let id = Uuid::now_v7();
        let mut told = watcher.listen(RequestId(id));
        device.ask(id, "orders-db", "read", u32::try_from(seconds)?).await?;
        let (_, ends_at) = told.active().await?;
        lag = ends_at - TimeDelta::seconds(seconds) - asked;
        all.push((told, ends_at));
    }
    Ok(all)
}

/// Waits until an access has been removed and read back.
async fn gone(mut told: Told) -> Outcome<()> {
    let from = Instant::now();
    loop {
        match told.ended().await {
            Err(error) if from.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
            Ok(()) => return Ok(()),
        }
    }
}

/// Asks for what somebody has to approve, so that the target has no part in it, before and while all that ends.
async fn keep_asking(device: Device, first: Time, done: Arc<AtomicBool>) -> Outcome<Asking> {
    let mut asking = Asking { quiet: Vec::new(), meanwhile: Vec::new() };
    while !done.load(Ordering::Relaxed) {
        let (began, before) = (Instant::now(), clock::exact() < first);
        device.ask(Uuid::now_v7(), "orders-db", "write", 600).await?;
        let took = began.elapsed().as_secs_f64() * 1000.0;
        if before { &mut asking.quiet } else { &mut asking.meanwhile }.push(took);
        tokio::time::sleep(PACE).await;
    }
    Ok(asking)
}

/// Seconds that one session needs to drop as many logins with the same group.
async fn bare(orders: &Postgres, logins: usize) -> Outcome<f64> {
    let password = Uuid::from_bytes(random()).simple().to_string();
    orders.psql(
        "orders",
        &format!(
            "CREATE ROLE bare_admin SUPERUSER LOGIN PASSWORD '{password}';
             DO $$ BEGIN FOR n IN 1..{logins} LOOP
               EXECUTE format('CREATE ROLE bare_%s LOGIN IN ROLE orders_reader', n);
             END LOOP; END $$"
        ),
    );
    let url = orders.url("bare_admin", &password, "orders");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    tokio::spawn(connection);
    let from = Instant::now();
    for number in 1..=logins {
        client.batch_execute(&format!("DROP ROLE bare_{number}")).await?;
    }
    Ok(from.elapsed().as_secs_f64())
}
