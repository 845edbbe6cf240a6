//! What carries our tag, compared with the grants: one without a live grant is removed, and a live grant without its
//! access ends.

use super::Failed;
use crate::app::{App, ReportError};
use crate::flow::{self, Moment, State};
use crate::store::{Change, Lookup, StoreError};
use chrono::TimeDelta;
use gatepass_connectors::{Connector, TargetError};
use gatepass_core::command::Report;
use gatepass_core::drift::{Found, Who};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{EventId, GrantId};
use gatepass_core::wire::{GrantState, Removal};
use std::collections::BTreeSet;
use uuid::Uuid;

/// An access that ends so soon is left to its end: the target's own guard may have been faster.
const NEARLY_OVER: TimeDelta = TimeDelta::minutes(1);
/// So many that seem to be missing are looked at in one look; the next look sees to the others.
const MOST: usize = 1_000;
/// How often a report is decided again because someone else's write came first.
const TRIES: usize = 8;

pub(super) async fn compare(app: &App, target: &str, connector: &dyn Connector) -> Result<(), Failed> {
    let should_be = app.store.unended(target, app.clock.now() + NEARLY_OVER).await?;
    let first = inspected(connector).await?;
    // A grant's row is written before its access and closed after it is gone; only what was seen both times
    // without a live grant is nobody's.
    let unexplained = unexplained(app, &first).await?;
    let absent = active(app, should_be.into_iter().filter(|g| !first.contains(g))).await?;
    if unexplained.is_empty() && absent.is_empty() {
        return Ok(());
    }
    let second = inspected(connector).await?;
    for grant in absent.into_iter().filter(|g| !second.contains(g)) {
        missing(app, target, grant).await?;
    }
    let mut failed = Ok(());
    for grant in unexplained.into_iter().filter(|g| second.contains(g)) {
        // One that can't be removed keeps none of the others.
        if let Err(error) = take_away(app, target, connector, grant).await {
            tracing::error!(%error, %grant, target, alarm = true, "could not remove an access that no live grant explains");
            failed = Err(error);
        }
    }
    failed
}

async fn inspected(connector: &dyn Connector) -> Result<BTreeSet<GrantId>, TargetError> {
    Ok(connector.inspect().await?.into_iter().map(|found| found.grant).collect())
}

async fn unexplained(app: &App, found: &BTreeSet<GrantId>) -> Result<Vec<GrantId>, StoreError> {
    let asked: Vec<GrantId> = found.iter().copied().collect();
    let live: BTreeSet<GrantId> = app.store.live(&asked).await?.into_iter().collect();
    Ok(asked.into_iter().filter(|g| !live.contains(g)).collect())
}

/// Those that are set up and not ending.
async fn active(app: &App, grants: impl Iterator<Item = GrantId>) -> Result<Vec<GrantId>, StoreError> {
    let mut found = Vec::new();
    for grant in grants.take(MOST) {
        let row = app.store.load(None, Some(Lookup::Grant(grant))).await?.row;
        let held = row.and_then(|r| r.request.grant);
        if held.is_some_and(|g| g.id == grant && g.state == GrantState::Active) {
            found.push(grant);
        }
    }
    Ok(found)
}

/// Ends a grant whose access somebody took away. It is not made again: whoever did it may have had a reason.
async fn missing(app: &App, target: &str, grant: GrantId) -> Result<(), StoreError> {
    match report(app, grant, &Report::Missing).await {
        Ok(()) => {
            metrics::counter!("gatepass_missing_total", "target" => target.to_owned()).increment(1);
            tracing::error!(%grant, target, alarm = true, "an access is gone from its target before its end");
            Ok(())
        }
        // Ended meanwhile.
        Err(ReportError::Refused(_)) => Ok(()),
        Err(ReportError::Store(error)) => Err(error),
    }
}

async fn report(app: &App, grant: GrantId, said: &Report) -> Result<(), ReportError> {
    for _ in 0..TRIES {
        let loaded = app.store.load(None, Some(Lookup::Grant(grant))).await?;
        let people = app.people.now();
        let moment = Moment { catalogue: &app.catalogue, directory: &people.directory, now: app.clock.now() };
        let change = flow::on_report(&State { row: loaded.row, parent: loaded.parent }, said, &moment)?;
        match app.commit(change).await {
            Ok(_) => return Ok(()),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict.into())
}

async fn take_away(app: &App, target: &str, connector: &dyn Connector, grant: GrantId) -> Result<(), Failed> {
    metrics::counter!("gatepass_drift_total", "target" => target.to_owned()).increment(1);
    let removed = match connector.remove(grant).await {
        Ok(removed) => removed,
        Err(TargetError::RunsOut { until, why }) => {
            // Told once it is gone.
            tracing::warn!(%grant, target, %until, why, "what no live grant explains runs out by itself");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let sessions_ended = removed.sessions_ended;
    tracing::error!(%grant, target, sessions = sessions_ended, alarm = true, "removed an access that no live grant explains");
    let now = app.clock.now();
    let request = app.store.load(None, Some(Lookup::Grant(grant))).await?.row.map(|row| row.request.id);
    let event = Event {
        id: EventId(Uuid::now_v7()),
        at: now,
        by: By::Gatepass,
        request,
        fact: Fact::AccessRemoved {
            target: target.to_owned(),
            grant,
            removal: Removal { checked_at: now, sessions_ended, attempts: 1 },
            groups: Found::of(&app.catalogue, target, Who::More(1), Vec::new()).groups,
        },
        command: None,
    };
    app.commit(Change { events: vec![event], ..Change::default() }).await?;
    Ok(())
}
