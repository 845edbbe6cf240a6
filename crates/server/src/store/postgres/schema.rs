//! The schema: brought up to date by whoever may, and checked by everybody. A step either expands, so that nodes of
//! the version before do not notice, or contracts: takes away what only they needed. Those are named `contract_…`.

use super::get;
use super::link::{Link, fail};
use super::step::Step;
use crate::store::StoreError;
use gatepass_connectors::postgres::Place;
pub use refinery::Migration;
use refinery::{Runner, Target};
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

mod migrations {
    refinery::embed_migrations!("migrations/postgres");
}

/// A step that waits longer for a table lets those go on that wait behind it, and tries again.
const PATIENCE: &str =
    "SET lock_timeout = '2s'; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// The steps that this version knows, oldest first.
pub fn known() -> Vec<Migration> {
    migrations::migrations::runner().get_migrations().clone()
}

fn contracts(name: &str) -> bool {
    name.starts_with("contract_")
}

/// The newest step of `known`.
pub fn newest(known: &[Migration]) -> i32 {
    known.iter().map(Migration::version).max().unwrap_or(0)
}

/// The newest step of `known` without which its version can't work: it works before and after a contracting one.
pub fn needed(known: &[Migration]) -> i32 {
    let expanding = known.iter().filter(|m| !contracts(m.name()));
    expanding.map(Migration::version).max().unwrap_or(0)
}

/// The steps that were run on the database, oldest first: version and name.
pub async fn applied(link: &Link) -> Result<Vec<(i32, String)>, StoreError> {
    let there = link.read(Step::new("SELECT to_regclass('refinery_schema_history') IS NOT NULL")).await?;
    if !there.first().is_some_and(|row| get(row, 0).unwrap_or(false)) {
        return Ok(Vec::new());
    }
    let rows =
        link.read(Step::new("SELECT version, name FROM refinery_schema_history ORDER BY version")).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

/// The step, if any, by which the database has become too new for a version that knows `known`.
pub fn too_new<'a>(applied: &'a [(i32, String)], known: &[Migration]) -> Option<&'a (i32, String)> {
    let newest = newest(known);
    applied.iter().find(|(version, name)| *version > newest && contracts(name))
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nowhere: only say what there is to do.
    Look,
    /// As a node that starts: to the first contracting step; on an empty database to the end.
    Expand,
    /// To the end, or to a contracting step that a node which lives does not know.
    Contract,
}

/// A node that does not know a step yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OldNode {
    /// Of its machine.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// The newest step that it knows.
    pub schema: i32,
}

/// What was done, and what is left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The step that the database is at now.
    pub level: i32,
    /// The steps that were run, such as `V3__sight`.
    pub applied: Vec<String>,
    /// Those that are left, the next first.
    pub waiting: Vec<String>,
    /// Who keeps the next one from being run.
    pub nodes: Vec<OldNode>,
}

/// Runs what is missing of `known`, one node at a time. `place` leads to the database itself, not to a pooler.
pub async fn migrate(place: &Place, known: &[Migration], reach: Reach) -> Result<Migrated, StoreError> {
    let mut config = place.config.clone();
    config.application_name("gatepass-server migrate");
    let (mut client, connection) = config.connect(place.tls.clone()).await.map_err(|e| fail(&e))?;
    let driver = tokio::spawn(connection);
    let outcome = run(&mut client, known, reach).await;
    // The lock ends with the session.
    drop(client);
    driver.abort();
    outcome
}

async fn run(client: &mut Client, known: &[Migration], reach: Reach) -> Result<Migrated, StoreError> {
    if reach != Reach::Look {
        client.batch_execute("SELECT pg_advisory_lock(7420, 3)").await.map_err(|e| fail(&e))?;
        client.batch_execute(PATIENCE).await.map_err(|e| fail(&e))?;
    }
    let mut done = Migrated { level: at(client).await?, ..Migrated::default() };
    let was_empty = done.level == 0;
    let mut pending: Vec<&Migration> = known.iter().filter(|m| m.version() > done.level).collect();
    pending.sort_by_key(|m| m.version());
    let mut left = pending.into_iter().peekable();
    while let Some(step) = left.peek() {
        if contracts(step.name()) && !was_empty {
            done.nodes = nodes_without(client, step.version()).await?;
            if reach == Reach::Expand || !done.nodes.is_empty() {
                break;
            }
        }
        if reach == Reach::Look {
            break;
        }
        take(client, known, step).await?;
        done.level = step.version();
        done.applied.push(step.to_string());
        left.next();
    }
    done.waiting = left.map(ToString::to_string).collect();
    Ok(done)
}

/// One step, in a transaction of its own.
async fn take(client: &mut Client, known: &[Migration], step: &Migration) -> Result<(), StoreError> {
    let runner = Runner::new(known).set_abort_missing(false).set_target(Target::Version(step.version()));
    let mut tries = 1;
    loop {
        match runner.run_async(client).await {
            Ok(_) => return Ok(()),
            Err(error) if waited(&error) && tries < TRIES => tokio::time::sleep(PAUSE).await,
            Err(error) if waited(&error) => {
                return Err(StoreError::Failed(format!(
                    "{step} did not get its locks in {tries} tries: end long transactions in the database, and run \
                     it again"
                )));
            }
            Err(error) => return Err(StoreError::Failed(format!("{step}: {}", causes(&error)))),
        }
        tries += 1;
    }
}

/// Whether others held the table.
fn waited(error: &refinery::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(said) = cause.downcast_ref::<tokio_postgres::Error>() {
            return said.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
        }
        source = cause.source();
    }
    false
}

fn causes(error: &refinery::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let more = match cause.downcast_ref::<tokio_postgres::Error>().and_then(|e| e.as_db_error()) {
            Some(said) => format!("{} ({})", said.message(), said.code().code()),
            None => cause.to_string(),
        };
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

async fn at(client: &Client) -> Result<i32, StoreError> {
    let there = client.query_one("SELECT to_regclass('refinery_schema_history') IS NOT NULL", &[]).await;
    if !get::<bool>(&there.map_err(|e| fail(&e))?, 0)? {
        return Ok(0);
    }
    let row = client.query_one("SELECT coalesce(max(version), 0) FROM refinery_schema_history", &[]).await;
    get(&row.map_err(|e| fail(&e))?, 0)
}

/// The nodes, seen within a minute, that do not know this step.
async fn nodes_without(client: &Client, version: i32) -> Result<Vec<OldNode>, StoreError> {
    let rows = client
        .query(
            "SELECT name, version, schema FROM node
             WHERE seen_at > clock_timestamp() - interval '1 minute' AND schema < $1",
            &[&version],
        )
        .await
        .map_err(|e| fail(&e))?;
    let old: Result<BTreeSet<OldNode>, StoreError> = rows
        .iter()
        .map(|row| Ok(OldNode { name: get(row, 0)?, version: get(row, 1)?, schema: get(row, 2)? }))
        .collect();
    Ok(old?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_version_works_on_both_sides_of_a_contracting_step() {
        let step = |name: &str| Migration::unapplied(name, "").unwrap();
        let known = [step("V1__start"), step("V2__more"), step("V3__contract_less")];
        assert_eq!((newest(&known), needed(&known)), (3, 2));
        let at = |names: &[(i32, &str)]| names.iter().map(|(v, n)| (*v, (*n).to_owned())).collect::<Vec<_>>();
        let before = &known[..2];
        assert_eq!(too_new(&at(&[(1, "start"), (2, "more"), (3, "even_more")]), before), None);
        let gone = at(&[(1, "start"), (2, "more"), (3, "contract_less")]);
        assert_eq!(too_new(&gone, before), Some(&gone[2]));
        assert_eq!(too_new(&gone, &known), None);
    }
}
