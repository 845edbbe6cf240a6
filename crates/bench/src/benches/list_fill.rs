//! A million requests put straight into the tables: a company's ten thousand people asked for things over the years.
//! The mix is the same for both stores, and the same each time.

use crate::Outcome;
use crate::place::Place;
use crate::shared::Shared;
use chrono::TimeDelta;
use futures_util::SinkExt as _;
use gatepass_core::Time;
use gatepass_core::catalogue::Slot;
use gatepass_core::event::{By, Event, Fact, Rule};
use gatepass_core::id::{DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::{Request, apply};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{EndCause, Removal};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rusqlite::{Connection, params};
use std::fmt::Write as _;
use std::path::Path;
use std::pin::pin;
use uuid::Uuid;

/// Beside those who have devices.
const PEOPLE: usize = 10_000;
/// Groups that own something, of five people each, beside `dba` and `oncall`.
const OWNERS: usize = 400;
/// Requests in one transaction, or in one bulk load.
const CHUNK: usize = 10_000;

/// Those who look at the lists.
pub struct Viewers {
    /// Asks for one in fifty.
    pub asker: PersonId,
    /// In `dba`, which decides on four in ten.
    pub approver: PersonId,
}

struct Filling {
    random: StdRng,
    viewers: Viewers,
    people: Vec<PersonId>,
    total: usize,
    begin: Time,
}

/// One request with what is kept beside it.
struct Filled {
    request: Request,
    reason: SaltedText,
}

impl Filling {
    fn new(viewers: Viewers, total: usize) -> Self {
        let mut random = StdRng::seed_from_u64(2026);
        let people = (0..PEOPLE).map(|_| PersonId(uuid(&mut random))).collect();
        let begin = crate::clock::now() - TimeDelta::minutes(total as i64);
        Self { random, viewers, people, total, begin }
    }

    /// The people's names and groups.
    fn people(&self) -> impl Iterator<Item = (PersonId, String, Vec<String>)> {
        self.people.iter().enumerate().map(|(at, id)| {
            let mut groups = vec![format!("team-{}", at % 200)];
            match at {
                0..10 => groups.push("dba".to_owned()),
                10..40 => groups.push("oncall".to_owned()),
                _ => groups.extend((at < 40 + OWNERS * 5).then(|| format!("owners-{}", at % OWNERS))),
            }
            (*id, format!("person-{at}"), groups)
        })
    }

    /// The request with this number, from 1.
    fn request(&mut self, number: usize) -> Outcome<Filled> {
        let Self { random, viewers, people, total, begin } = self;
        let from = *begin + TimeDelta::minutes(number as i64);
        let asker = if random.gen_bool(0.02) { viewers.asker } else { pick(people, random)? };
        let (approve, decider) = if random.gen_bool(0.4) {
            let slots = vec![slot("dba"), slot("oncall")];
            (slots, if random.gen_bool(0.3) { viewers.approver } else { pick(&people[..10], random)? })
        } else {
            let group = random.gen_range(0..OWNERS);
            (vec![slot(&format!("owners-{group}"))], pick(&people[40..40 + OWNERS * 5], random)?)
        };
        let rule = Rule {
            catalogue: Digest::of(b"the catalogue then"),
            target: "orders".to_owned(),
            kind: "fake".to_owned(),
            grants: vec!["orders_writer".to_owned()],
            ask: vec!["backend".to_owned()],
            approve,
            max_s: 28_800,
            session: Default::default(),
        };
        let mut salt = [0; 16];
        random.fill(&mut salt);
        let reason = SaltedText::new(
            salt,
            format!("order {number} is stuck in payment since the deploy, see the incident"),
        );
        let (id, device) = (RequestId(uuid(random)), DeviceId(uuid(random)));
        let mut state = None;
        let happen = |state: &mut Option<Request>, minutes: i64, by: Option<PersonId>, fact: Fact| {
            let by = by.map_or(By::Gatepass, |person| By::Person { person, device });
            let at = from + TimeDelta::minutes(minutes);
            let event = Event { id: EventId(Uuid::nil()), at, by, request: Some(id), fact, command: None };
            *state = apply(state.take(), &event);
        };
        let created = Fact::RequestCreated {
            number: Number(number as u64),
            resource: "orders-db".to_owned(),
            role: "write".to_owned(),
            rule,
            duration_s: 1_800,
            lapses_at: from + TimeDelta::days(400_000),
            reason: reason.digest(),
            ticket: None,
            extends: None,
            ssh_key: None,
        };
        happen(&mut state, 0, Some(asker), created);
        // What waits is mostly new.
        let waits = random.gen_bool(if number + 4_000 > *total { 0.75 } else { 0.000_5 });
        let grant = GrantId(uuid(random));
        match if waits { 0 } else { random.gen_range(1..=100) } {
            0 => {}
            1..=3 => happen(&mut state, 5, Some(decider), Fact::RequestDenied { note: None }),
            4..=5 => happen(&mut state, 5, Some(asker), Fact::RequestWithdrawn),
            6..=8 => happen(&mut state, 480, None, Fact::RequestLapsed),
            _ => {
                let latest_end = from + TimeDelta::minutes(60);
                let removal = Removal { checked_at: latest_end, sessions_ended: 1, attempts: 1 };
                let (starts_at, ends_at) = (from + TimeDelta::minutes(6), from + TimeDelta::minutes(36));
                happen(&mut state, 5, Some(decider), Fact::RequestApproved { duration_s: 1_800, note: None });
                happen(&mut state, 5, None, Fact::RequestGranted { grant, duration_s: 1_800, latest_end });
                happen(&mut state, 6, None, Fact::GrantActive { grant, starts_at, ends_at });
                let cause = EndCause::Expired;
                happen(&mut state, 36, None, Fact::GrantEnding { grant, cause, reason: None });
                happen(&mut state, 36, None, Fact::GrantEnded { grant, cause, removal });
            }
        }
        Ok(Filled { request: state.ok_or("no request came of its events")?, reason })
    }
}

impl Filled {
    fn viewers(&self) -> Vec<String> {
        let request = &self.request;
        let mut viewers: Vec<String> =
            request.approver_groups().iter().map(|group| format!("g:{group}")).collect();
        viewers.push(format!("p:{}", request.by));
        viewers.extend(self.deciders().iter().map(|person| format!("p:{person}")));
        viewers.sort_unstable();
        viewers.dedup();
        viewers
    }

    fn deciders(&self) -> Vec<PersonId> {
        let request = &self.request;
        request.approvals.iter().map(|a| a.by).chain(request.denial.iter().map(|d| d.by)).collect()
    }
}

fn slot(group: &str) -> Slot {
    Slot { from: vec![group.to_owned()], count: 1 }
}

fn pick(people: &[PersonId], random: &mut StdRng) -> Outcome<PersonId> {
    people.choose(random).copied().ok_or_else(|| "there is nobody".into())
}

fn uuid(random: &mut StdRng) -> Uuid {
    uuid::Builder::from_random_bytes(random.r#gen()).into_uuid()
}

fn word<T: serde::Serialize>(value: &T) -> Outcome<String> {
    Ok(serde_json::to_value(value)?.as_str().ok_or("a state has no name")?.to_owned())
}

/// Fills the place's SQLite file, while the server does not run.
pub fn into_sqlite(place: &Place, viewers: Viewers, total: usize) -> Outcome<()> {
    let mut filling = Filling::new(viewers, total);
    let db = open(&place.data().join("gatepass.db"))?;
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -262144; BEGIN IMMEDIATE")?;
    for (id, handle, groups) in filling.people() {
        db.prepare_cached("INSERT INTO person VALUES (?1, ?2, ?2, ?3, 0, 0)")?.execute(params![
            id.to_string(),
            handle,
            serde_json::to_string(&groups)?
        ])?;
    }
    for number in 1..=total {
        let filled = filling.request(number)?;
        let request = &filled.request;
        db.prepare_cached("INSERT INTO request VALUES (?1, ?2, 2, ?3, ?4, ?5, ?6, NULL, ?7, ?8, ?9)")?
            .execute(params![
                request.id.to_string(),
                number,
                word(&request.state)?,
                request.by.to_string(),
                serde_json::to_string(&request.approver_groups())?,
                serde_json::to_string(&filled.deciders())?,
                request.grant.as_ref().map(|g| g.id.to_string()),
                request.grant.as_ref().map(|g| word(&g.state)).transpose()?,
                serde_json::to_string(request)?
            ])?;
        for viewer in filled.viewers() {
            db.prepare_cached("INSERT INTO sight VALUES (?1, ?2)")?.execute(params![viewer, number])?;
        }
        db.prepare_cached("INSERT INTO text VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            // Past the log, so that it is nobody's else.
            1_000_000_000 + number,
            filled.reason.digest().map(|d| d.0),
            request.id.to_string(),
            filled.reason.salt,
            filled.reason.text
        ])?;
        if number % CHUNK == 0 {
            db.execute_batch("COMMIT; BEGIN IMMEDIATE")?;
        }
    }
    db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

fn open(file: &Path) -> Outcome<Connection> {
    let db = Connection::open(file)?;
    db.set_prepared_statement_cache_capacity(16);
    Ok(db)
}

/// Fills the database, in bulk.
pub async fn into_postgres(shared: &Shared, viewers: Viewers, total: usize) -> Outcome<()> {
    let mut filling = Filling::new(viewers, total);
    let client = shared.connect_as_owner().await?;
    let mut rows = String::new();
    for (id, handle, groups) in filling.people() {
        writeln!(rows, "{id}\t{handle}\t{handle}\t{{{}}}\tf\tf", groups.join(","))?;
    }
    copy(&client, "person", &mut rows).await?;
    let (mut requests, mut sights, mut texts) = (String::new(), String::new(), String::new());
    for number in 1..=total {
        let filled = filling.request(number)?;
        let request = &filled.request;
        let (id, state, by) = (request.id, word(&request.state)?, request.by);
        let deciders: Vec<String> = filled.deciders().iter().map(ToString::to_string).collect();
        let (groups, deciders) = (request.approver_groups().join(","), deciders.join(","));
        let grant = request.grant.as_ref();
        let (grant_id, grant_state) = match grant {
            Some(grant) => (grant.id.to_string(), word(&grant.state)?),
            None => ("\\N".to_owned(), "\\N".to_owned()),
        };
        let body = serde_json::to_string(request)?;
        writeln!(
            requests,
            "{id}\t{number}\t2\t{state}\t{by}\t{{{groups}}}\t{{{deciders}}}\t\\N\t{grant_id}\t{grant_state}\t{body}"
        )?;
        for viewer in filled.viewers() {
            writeln!(sights, "{viewer}\t{number}")?;
        }
        let digest = filled.reason.digest().map(|d| d.0).unwrap_or_default();
        writeln!(texts, "{id}\t{digest}\t{id}\t{}\t{}", filled.reason.salt, filled.reason.text)?;
        if number % CHUNK == 0 || number == total {
            copy(&client, "request", &mut requests).await?;
            copy(&client, "sight", &mut sights).await?;
            copy(&client, "text", &mut texts).await?;
        }
    }
    shared.psql(&format!("SELECT setval('request_number', {total})"));
    // As it would have been done in passing, over the years.
    shared.psql("VACUUM (ANALYZE)");
    shared.psql("CHECKPOINT");
    Ok(())
}

async fn copy(client: &tokio_postgres::Client, table: &str, rows: &mut String) -> Outcome<()> {
    let mut sink = pin!(client.copy_in(&format!("COPY {table} FROM STDIN")).await?);
    sink.send(std::io::Cursor::new(std::mem::take(rows).into_bytes())).await?;
    sink.finish().await?;
    Ok(())
}
