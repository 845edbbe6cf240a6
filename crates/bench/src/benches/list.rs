//! Lists of requests and accesses when there are a million, over HTTP.

use super::list_fill::{Viewers, into_postgres, into_sqlite};
use crate::device::Device;
use crate::place::{Keep, Place};
use crate::report::{Bound, Measurement, Run};
use crate::shared::Shared;
use crate::stats::percentile;
use crate::{Outcome, stats};
use gatepass_core::event::By;
use gatepass_core::id::PersonId;
use std::time::Instant;

const NEWEST: &str = "SELECT body, version FROM request ORDER BY number DESC LIMIT 100";

/// One way to look, and how many it finds at least and at most.
struct Look {
    who: &'static str,
    path: String,
    finds: std::ops::RangeInclusive<usize>,
    /// The page that a window opens with.
    first: bool,
}

/// With SQLite, or with a PostgreSQL that is `shared`. Two rows: the first pages, and the slowest of all.
pub async fn measure(prefix: &str, shared: Option<&Shared>, quick: bool) -> Outcome<Vec<Measurement>> {
    let (runs, total, times) = if quick { (1, 20_000, 10) } else { (3, 1_000_000, 200) };
    let mut place = Place::keeping(shared.map_or(Keep::Sqlite, Keep::Postgres), "")?;
    let auditor = place.device("iris", "", &["--auditor"]).await?;
    let asker = place.device("tomas", "backend", &[]).await?;
    let approver = place.device("noor", "dba", &[]).await?;
    let nobody = place.device("ulla", "", &[]).await?;
    let viewers = Viewers { asker: person(&asker)?, approver: person(&approver)? };
    place.stop();
    let from = Instant::now();
    match shared {
        None => into_sqlite(&place, viewers, total)?,
        Some(shared) => into_postgres(shared, viewers, total).await?,
    }
    eprintln!("  {total} requests filled in {:.0} s", from.elapsed().as_secs_f64());
    place.serve()?;
    let looks = looks(total);
    let (mut firsts, mut slowest) = (Vec::new(), Vec::new());
    let mut names: Vec<String> = Vec::new();
    for _ in 0..runs {
        let bare = bare(&place, shared, times).await?;
        let (mut first, mut any) = (0.0_f64, (0.0_f64, String::new()));
        for look in &looks {
            let device = match look.who {
                "auditor" => &auditor,
                "asker" => &asker,
                "approver" => &approver,
                _ => &nobody,
            };
            let p99 = look.p99(device, times).await?;
            eprintln!("  {}, {}: p99 {p99:.1} ms", look.who, look.path);
            if look.first {
                first = first.max(p99);
            }
            if p99 > any.0 {
                any = (p99, format!("{} at {}", look.who, look.path));
            }
        }
        firsts.push(Run { measured: first, reference: bare });
        slowest.push(Run { measured: any.0, reference: bare });
        names.push(any.1);
    }
    names.sort_unstable();
    names.dedup();
    let reference = "a bare SELECT of the newest 100 rows by their number";
    let size = match shared {
        Some(shared) => shared.bytes()?.0,
        None => std::fs::metadata(place.data().join("gatepass.db"))?.len() as f64,
    };
    let note = format!(
        "the slowest person’s p99 of {times} looks, {total} requests; {:.2} GB without their events",
        size / 1e9
    );
    let slow = format!("the slowest of {} ways to look: {}", looks.len(), names.join(", "));
    Ok(vec![
        Measurement::of(format!("{prefix}-first"), "ms", reference, Bound::Under(20.0), &firsts, note),
        Measurement::of(format!("{prefix}-any"), "ms", reference, Bound::Under(50.0), &slowest, slow),
    ])
}

fn person(device: &Device) -> Outcome<PersonId> {
    match device.by() {
        By::Person { person, .. } => Ok(person),
        By::Gatepass => Err("a device has no person".into()),
    }
}

fn looks(total: usize) -> Vec<Look> {
    let deep = total / 100;
    let look = |who, path: &str, finds| Look { who, path: path.to_owned(), finds, first: false };
    let mut looks: Vec<Look> = ["auditor", "asker", "approver", "nobody"]
        .into_iter()
        .flat_map(|who| {
            let some = if who == "nobody" { 0..=0 } else { 1..=100 };
            let mine = if who == "asker" { 1..=100 } else { 0..=0 };
            [
                Look { who, path: "/v1/requests".to_owned(), finds: some.clone(), first: true },
                Look { who, path: "/v1/grants".to_owned(), finds: some.clone(), first: true },
                look(who, "/v1/requests?scope=mine", mine.clone()),
                look(who, "/v1/requests?scope=to-review", 0..=100),
                look(who, "/v1/requests?scope=mine,to-review", 0..=100),
                look(who, "/v1/grants?scope=mine", mine),
                look(who, &format!("/v1/requests?after={deep}"), some.clone()),
                look(who, &format!("/v1/grants?after={deep}"), some),
                look(who, &format!("/v1/requests?scope=to-review&after={deep}"), 0..=100),
            ]
        })
        .collect();
    looks.iter_mut().filter(|l| l.who == "approver" && l.path.ends_with("to-review")).for_each(|l| {
        l.finds = 1..=100;
    });
    looks
}

impl Look {
    /// Milliseconds until the whole page is there.
    async fn p99(&self, device: &Device, times: usize) -> Outcome<f64> {
        let mut took = Vec::with_capacity(times);
        let mut page = Default::default();
        for _ in 0..times {
            let from = Instant::now();
            page = device.open(&self.path).await?.bytes().await?;
            took.push(from.elapsed().as_secs_f64() * 1000.0);
        }
        let page: serde_json::Value = serde_json::from_slice(&page)?;
        let found = page["items"].as_array().map_or(0, Vec::len);
        if !self.finds.contains(&found) {
            return Err(format!("{} at {} finds {found}", self.who, self.path).into());
        }
        Ok(percentile(&took, 0.99))
    }
}

/// The same rows by the database alone.
async fn bare(place: &Place, shared: Option<&Shared>, times: usize) -> Outcome<f64> {
    let mut took = Vec::with_capacity(times);
    let found = match shared {
        None => {
            let db = rusqlite::Connection::open(place.data().join("gatepass.db"))?;
            let mut found = 0;
            for _ in 0..times {
                let from = Instant::now();
                let rows = db
                    .prepare_cached(NEWEST)?
                    .query_map([], |row| row.get(0))?
                    .collect::<rusqlite::Result<Vec<String>>>()?;
                took.push(from.elapsed().as_secs_f64() * 1000.0);
                found = rows.len();
            }
            found
        }
        Some(shared) => {
            let client = shared.connect(None).await?;
            let statement = client.prepare(NEWEST).await?;
            let mut found = 0;
            for _ in 0..times {
                let from = Instant::now();
                let rows = client.query(&statement, &[]).await?;
                took.push(from.elapsed().as_secs_f64() * 1000.0);
                found = rows.len();
            }
            found
        }
    };
    if found != 100 {
        return Err(format!("the newest rows are {found}").into());
    }
    Ok(stats::percentile(&took, 0.99))
}
