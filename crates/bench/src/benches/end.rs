//! From the fixed end of a grant to the last query that an open session still got answered.

use crate::device::{Device, random};
use crate::place::Place;
use crate::report::{Bound, Measurement, Run};
use crate::stats::{median, percentile};
use crate::watcher::Watcher;
use crate::{Outcome, clock};
use chrono::TimeDelta;
use futures_util::future::join_all;
use gatepass_core::Time;
use gatepass_core::id::RequestId;
use gatepass_core::wire::Secret;
use gatepass_testkit::Postgres;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// Between two queries of a session; how finely the end is seen.
const PACE: Duration = Duration::from_millis(5);
/// The length of a grant.
const SECONDS: u32 = 3;

pub async fn measure(quick: bool) -> Outcome<Measurement> {
    let (runs, grants) = if quick { (1, 10) } else { (3, 100) };
    let orders = Postgres::orders();
    let place = Place::with_postgres(&orders)?;
    let watcher = Watcher::start(place.device("iris", "", &["--auditor"]).await?).await?;
    let asker = place.device("tomas", "backend", &[]).await?;
    let (mut measured, mut late) = (Vec::new(), 0);
    for _ in 0..runs {
        let sessions = join_all((0..grants).map(|_| session(&asker, &watcher))).await;
        let sessions: Vec<Option<f64>> = sessions.into_iter().collect::<Outcome<_>>()?;
        late += sessions.iter().filter(|s| s.is_none()).count();
        let ours: Vec<f64> = sessions.into_iter().flatten().collect();
        if ours.len() * 2 < grants {
            return Err("most sessions could not be opened before the end".into());
        }
        let bare = bare(&orders, ours.len()).await?;
        eprintln!(
            "  {} sessions: median {:.0} ms, p99 {:.0} ms",
            ours.len(),
            median(&ours),
            percentile(&ours, 0.99)
        );
        measured.push(Run { measured: percentile(&ours, 0.99), reference: percentile(&bare, 0.99) });
    }
    let mut note = format!("p99 of {grants} open sessions a run, a query each {} ms", PACE.as_millis());
    if late > 0 {
        note.push_str(&format!("; {late} could not be opened before the end and are left out"));
    }
    let name = "a superuser's bare pg_terminate_backend on as many sessions";
    Ok(Measurement::of("end-of-grant", "ms", name, Bound::Under(1000.0), &measured, note))
}

/// One grant with an open session; milliseconds from its end to the last answer, `None` when it ended before the
/// session was open.
async fn session(asker: &Device, watcher: &Watcher) -> Outcome<Option<f64>> {
    let id = Uuid::now_v7();
    let mut told = watcher.listen(RequestId(id));
    asker.ask(id, "orders-db", "read", SECONDS).await?;
    let (grant, ends_at) = told.active().await?;
    let Ok(Secret::Postgres { url }) = asker.secret(grant).await else { return Ok(None) };
    let Ok(client) = connect(&url).await else { return Ok(None) };
    let last = until_ended(&client).await;
    told.ended().await?;
    Ok(last.map(|last| ms(last - ends_at)))
}

/// The same with nothing of Gatepass: each session is ended at a set time.
async fn bare(orders: &Postgres, sessions: usize) -> Outcome<Vec<f64>> {
    let password = Uuid::from_bytes(random()).simple().to_string();
    orders.psql(
        "orders",
        &format!(
            "DROP ROLE IF EXISTS bare_admin, bare_user;
             CREATE ROLE bare_admin SUPERUSER LOGIN PASSWORD '{password}';
             CREATE ROLE bare_user LOGIN PASSWORD '{password}';"
        ),
    );
    let admin = Arc::new(connect(&orders.url("bare_admin", &password, "orders")).await?);
    let url = orders.url("bare_user", &password, "orders");
    let one = |place: usize| {
        let (admin, url) = (admin.clone(), url.clone());
        async move {
            let client = connect(&url).await?;
            let process: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
            // Over about the time that the grants' ends are apart.
            let end = clock::exact() + TimeDelta::milliseconds(1000 + 5 * place as i64);
            let ending = tokio::spawn(async move {
                tokio::time::sleep((end - clock::exact()).to_std().unwrap_or_default()).await;
                admin.execute("SELECT pg_terminate_backend($1)", &[&process]).await
            });
            let last = until_ended(&client).await;
            ending.await??;
            Ok(last.map_or(0.0, |last| ms(last - end)))
        }
    };
    join_all((0..sessions).map(one)).await.into_iter().collect()
}

/// When the last answer came, or nothing when none did.
async fn until_ended(client: &Client) -> Option<Time> {
    let mut last = None;
    while client.simple_query("SELECT 1").await.is_ok() {
        last = Some(clock::exact());
        tokio::time::sleep(PACE).await;
    }
    last
}

async fn connect(url: &str) -> Outcome<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        // It ends with an error, which the client sees too.
        let _ = connection.await;
    });
    Ok(client)
}

fn ms(time: TimeDelta) -> f64 {
    time.as_seconds_f64() * 1000.0
}
