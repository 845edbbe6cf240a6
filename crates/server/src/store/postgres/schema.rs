//! The schema: brought up to date by whoever may, and checked by everybody.

use super::get;
use super::link::{Link, fail};
use super::step::Step;
use crate::store::StoreError;
use gatepass_connectors::postgres::Place;

mod migrations {
    refinery::embed_migrations!("migrations/postgres");
}

/// The newest migration that this version knows, and needs.
pub const NEWEST: i32 = 2;

/// Which migration the database is at; 0 when it is empty.
pub async fn level(link: &Link) -> Result<i32, StoreError> {
    let there = link.read(Step::new("SELECT to_regclass('refinery_schema_history') IS NOT NULL")).await?;
    if !there.first().is_some_and(|row| get(row, 0).unwrap_or(false)) {
        return Ok(0);
    }
    let rows = link.read(Step::new("SELECT coalesce(max(version), 0) FROM refinery_schema_history")).await?;
    rows.first().map_or(Ok(0), |row| get(row, 0))
}

/// Runs what is missing, one node at a time. `place` leads to the database itself, not to a pooler.
pub async fn migrate(place: &Place) -> Result<(), StoreError> {
    let (mut client, connection) = place.config.connect(place.tls.clone()).await.map_err(|e| fail(&e))?;
    let driver = tokio::spawn(connection);
    let outcome = async {
        client.batch_execute("SELECT pg_advisory_lock(7420, 3)").await.map_err(|e| fail(&e))?;
        let runner = migrations::migrations::runner().set_abort_missing(false);
        runner.run_async(&mut client).await.map(|_| ()).map_err(|e| StoreError::Failed(e.to_string()))
    }
    .await;
    // The lock ends with the session.
    drop(client);
    driver.abort();
    outcome
}
