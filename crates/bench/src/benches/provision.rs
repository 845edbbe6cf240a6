//! How long it takes until a login on a PostgreSQL is there, and until it is gone: the whole way through the server, the
//! connector alone, and OpenBao's dynamic credential, by turns on the same PostgreSQL.

use crate::bao::Bao;
use crate::device::Device;
use crate::place::Place;
use crate::report::{Bound, Measurement, Run};
use crate::stats::percentile;
use crate::{Outcome, clock};
use chrono::TimeDelta;
use gatepass_connectors::postgres::{Postgres as Target, login_name};
use gatepass_connectors::{Access, Connector, Holder};
use gatepass_core::catalogue::Session;
use gatepass_core::event::Fact;
use gatepass_core::id::{GrantId, PersonId};
use gatepass_core::wire::LogPage;
use gatepass_testkit::Postgres;
use gatepass_testkit::postgres::ADMIN_PASSWORD;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The testkit's own are for tests, which may lose everything.
const SETTINGS: [&str; 3] = ["fsync=on", "synchronous_commit=on", "log_statement=none"];
/// Between two looks at whether it is so far.
const PACE: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(30);
const REFERENCE: &str = "OpenBao, the same login on the same PostgreSQL";

/// Who gives and takes, in this order in `Took`.
const WAYS: usize = 3;

/// Milliseconds of each way.
#[derive(Default)]
struct Took {
    there: [Vec<f64>; WAYS],
    gone: [Vec<f64>; WAYS],
}

struct Ways<'p> {
    orders: &'p Postgres,
    asker: Device,
    /// How far `asker` has read the log.
    cursor: u64,
    target: Target,
    bao: Bao,
}

pub async fn measure(quick: bool) -> Outcome<Vec<Measurement>> {
    let (runs, times) = if quick { (1, 20) } else { (3, 300) };
    let orders = Postgres::start_with(&SETTINGS);
    orders.make_orders();
    let place = Place::with_postgres(&orders)?;
    let target = Target::new(&orders.admin_url(), &ADMIN_PASSWORD.into())?;
    let asker = place.device("tomas", "backend", &[]).await?;
    let mut ways = Ways { orders: &orders, asker, cursor: 0, target, bao: Bao::before(&orders).await? };
    // Whatever is made once is made now.
    ways.by_turns(times / 10).await?;
    ways.check().await?;
    let mut all = Vec::new();
    for _ in 0..runs {
        all.push(ways.by_turns(times).await?);
    }
    let mut rows = Vec::new();
    for (name, way) in [("", 0), ("-connector", 1)] {
        for (verb, pick) in
            [("provision", (|t| &t.there) as fn(&Took) -> &[Vec<f64>; WAYS]), ("remove", |t| &t.gone)]
        {
            for (suffix, share) in [("", 0.5), ("-p99", 0.99)] {
                let each = all.iter().map(|took| Run {
                    measured: percentile(&pick(took)[way], share),
                    reference: percentile(&pick(took)[WAYS - 1], share),
                });
                let of = if share > 0.9 { "p99" } else { "p50" };
                let note = format!("{of} of {times} a run, one after another, by turns with the reference");
                let runs: Vec<Run> = each.collect();
                let name = format!("{verb}{name}{suffix}");
                rows.push(Measurement::of(name, "ms", REFERENCE, Bound::NoMoreThanReference, &runs, note));
            }
        }
    }
    Ok(rows)
}

impl Ways<'_> {
    async fn by_turns(&mut self, times: usize) -> Outcome<Took> {
        let mut took = Took::default();
        for turn in 0..times {
            // Each comes first, second and last as often.
            for place in 0..WAYS {
                let way = (turn + place) % WAYS;
                let (there, gone) = match way {
                    0 => self.whole().await?,
                    1 => self.connector().await?,
                    _ => self.bao().await?,
                };
                took.there[way].push(there);
                took.gone[way].push(gone);
            }
        }
        Ok(took)
    }

    /// From the signed command that asks until the secret is unsealed; from the one that gives back until the log says
    /// that it was read back.
    async fn whole(&mut self) -> Outcome<(f64, f64)> {
        let from = Instant::now();
        let asked = self.asker.ask(Uuid::now_v7(), "orders-db", "read", 1800).await?;
        let grant = asked.grant.ok_or("it was not granted at once")?.id;
        while self.asker.secret(grant).await.is_err() {
            patient(from).await?;
        }
        let there = ms(from);
        self.cursor = self.head().await?;
        let from = Instant::now();
        self.asker.give_back(grant).await?;
        while !self.ended(grant).await? {
            patient(from).await?;
        }
        Ok((there, ms(from)))
    }

    async fn connector(&self) -> Outcome<(f64, f64)> {
        let access = access();
        let from = Instant::now();
        self.target.provision(&access).await?;
        let there = ms(from);
        let from = Instant::now();
        self.target.remove(access.grant).await?;
        Ok((there, ms(from)))
    }

    async fn bao(&self) -> Outcome<(f64, f64)> {
        let from = Instant::now();
        let (lease, _) = self.bao.create().await?;
        let there = ms(from);
        let from = Instant::now();
        self.bao.revoke(&lease).await?;
        Ok((there, ms(from)))
    }

    /// What is measured happens: each makes a login in the group, and leaves none.
    async fn check(&self) -> Outcome<()> {
        let count = || {
            self.orders.psql("orders", "SELECT count(*) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
            JOIN pg_roles r ON r.oid = m.member WHERE g.rolname = 'orders_reader' AND r.rolcanlogin AND r.rolname <> 'gatepass_admin'")
        };
        let (before, access) = (count(), access());
        self.target.provision(&access).await?;
        let (lease, login) = self.bao.create().await?;
        let during = count();
        self.bao.revoke(&lease).await?;
        self.target.remove(access.grant).await?;
        if (before.as_str(), during.as_str(), count().as_str()) != ("0", "2", "0") {
            let ours = login_name(access.grant);
            return Err(
                format!("the logins {ours} and {login} did not come and go: {before}, {during}").into()
            );
        }
        Ok(())
    }

    /// Reads on to the end of the log.
    async fn head(&self) -> Outcome<u64> {
        let mut cursor = self.cursor;
        loop {
            let read = self.page(cursor).await?.entries.len() as u64;
            cursor += read;
            if read == 0 {
                return Ok(cursor);
            }
        }
    }

    async fn page(&self, cursor: u64) -> Outcome<LogPage> {
        self.asker.get(&format!("/v1/log/events?after={cursor}&limit=1000")).await
    }

    async fn ended(&mut self, grant: GrantId) -> Outcome<bool> {
        let page = self.page(self.cursor).await?;
        self.cursor += page.entries.len() as u64;
        let mut events = page.entries.iter().filter_map(|entry| entry.event.as_ref());
        Ok(events.any(|event| matches!(event.fact, Fact::GrantEnded { grant: ended, .. } if ended == grant)))
    }
}

fn access() -> Access {
    Access {
        grant: GrantId(Uuid::now_v7()),
        holder: Holder { person: PersonId(Uuid::now_v7()), handle: "tomas".to_owned(), ssh_key: None },
        grants: vec!["orders_reader".to_owned()],
        session: Session::Cut,
        until: clock::now() + TimeDelta::hours(1),
    }
}

async fn patient(from: Instant) -> Outcome<()> {
    if from.elapsed() > PATIENCE {
        return Err("waited in vain".into());
    }
    tokio::time::sleep(PACE).await;
    Ok(())
}

fn ms(from: Instant) -> f64 {
    from.elapsed().as_secs_f64() * 1000.0
}
