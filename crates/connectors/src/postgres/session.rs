//! A connection that plans each of our questions once: planning one takes the server longer than answering it.

use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};

/// Used by one call at a time.
pub(super) struct Session {
    client: Client,
    planned: Mutex<Vec<(&'static str, Statement)>>,
}

impl Session {
    pub fn new(client: Client) -> Self {
        Self { client, planned: Mutex::default() }
    }

    /// What the question answers; as `query_typed`, which plans each time.
    pub async fn ask(
        &self,
        sql: &'static str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let known =
            self.planned().iter().find(|(known, _)| *known == sql).map(|(_, planned)| planned.clone());
        let planned = match known {
            Some(planned) => planned,
            None => {
                let types: Vec<Type> = parameters.iter().map(|(_, kind)| kind.clone()).collect();
                let planned = self.client.prepare_typed(sql, &types).await?;
                self.planned().push((sql, planned.clone()));
                planned
            }
        };
        let values: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|(value, _)| *value).collect();
        self.client.query(&planned, &values).await
    }

    fn planned(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, Statement)>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
