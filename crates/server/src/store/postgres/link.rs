//! Connections: pooled, each used by one caller at a time, given up when it is not known how they stand.

use super::step::{Miss, Step};
use crate::store::StoreError;
use deadpool::managed::QueueMode;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use futures_util::future::join_all;
use gatepass_connectors::postgres::{Place, disagree_on_tls};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, Statement};

/// A database that does not answer for so long is away.
const LIMIT: Duration = Duration::from_secs(15);
/// How long a caller waits for a connection to be free.
const WAIT: Duration = Duration::from_secs(5);

/// What every session is set to. Nothing waits for ever, and a node that is stopped in the middle of a transaction
/// does not hold the others up: the database ends it. Acknowledged means durable, whatever the role's defaults are.
macro_rules! settings {
    ($local:literal, $is_local:literal) => {
        concat!(
            "SET ",
            $local,
            "lock_timeout = '3s'; SET ",
            $local,
            "statement_timeout = '10s'; ",
            "SET ",
            $local,
            "idle_in_transaction_session_timeout = '5s'; ",
            "SELECT set_config('synchronous_commit', 'on', ",
            $is_local,
            ") ",
            "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        )
    };
}
const SESSION: &str = settings!("", "false");
const BEGIN_SET: &str = concat!("BEGIN; ", settings!("LOCAL ", "true"));

/// The way to the database.
#[derive(Clone)]
pub struct Link {
    pool: Pool,
    /// Something in transaction mode stands in front: no session state, no named statements.
    pooler: bool,
}

impl Link {
    /// Connects to nothing yet. At most `connections` at once.
    pub fn new(place: &Place, pooler: bool, connections: usize) -> Result<Self, StoreError> {
        let mut config = place.config.clone();
        config.application_name("gatepass-server");
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let mut pool = Pool::builder(Manager::from_config(config, place.tls.clone(), how))
            .max_size(connections)
            // The connection that was used last knows the statements and has its pages at hand.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(LIMIT));
        if !pooler {
            pool = pool.post_create(Hook::async_fn(|client, _| {
                Box::pin(async move { client.batch_execute(SESSION).await.map_err(HookError::Backend) })
            }));
        }
        let pool = pool.build().map_err(|e| StoreError::Failed(e.to_string()))?;
        Ok(Self { pool, pooler })
    }

    /// Connections: in use, idle, and callers that wait for one.
    pub fn state(&self) -> (usize, usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.available, status.waiting)
    }

    async fn hold(&self) -> Result<Held, StoreError> {
        let from = Instant::now();
        let object = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => fail(&error),
            PoolError::PostCreateHook(HookError::Backend(error)) => fail(&error),
            PoolError::Timeout(_) => StoreError::Away("no connection became free in time".to_owned()),
            other => StoreError::Away(other.to_string()),
        })?;
        metrics::histogram!("gatepass_database_wait_seconds").record(from.elapsed().as_secs_f64());
        Ok(Held { object: Some(object), pooler: self.pooler })
    }

    /// Runs one statement that only reads, once more when the connection turned out to be dead.
    pub async fn read(&self, step: Step) -> Result<Vec<Row>, StoreError> {
        self.read_all(vec![step]).await.map(|mut all| all.pop().unwrap_or_default())
    }

    /// Runs statements that only read, each with its own snapshot, in one round trip.
    pub async fn read_all(&self, steps: Vec<Step>) -> Result<Vec<Vec<Row>>, StoreError> {
        let mut again = true;
        loop {
            let held = self.hold().await?;
            let done = bounded(held.send(&[], &steps)).await;
            match done {
                Ok(rows) => {
                    held.keep();
                    return Ok(rows);
                }
                Err(StoreError::Away(_)) if again && held.closed() => again = false,
                Err(error) => {
                    held.keep_if_open();
                    return Err(error);
                }
            }
        }
    }

    /// Runs all steps in one transaction, or nothing. When one answers no row although it should, that [`Miss`] is
    /// the error.
    pub async fn write(&self, steps: &[Step]) -> Result<Result<Vec<Vec<Row>>, Miss>, StoreError> {
        let mut again = true;
        loop {
            let transaction = match self.begin(steps).await {
                // Nothing was committed: the server forgets a transaction whose connection is gone.
                Err(StoreError::Away(_)) if again => {
                    again = false;
                    continue;
                }
                other => other?,
            };
            return match transaction {
                (transaction, Ok(rows)) => transaction.commit().await.map(|()| Ok(rows)),
                (transaction, Err(miss)) => transaction.roll_back().await.map(|()| Err(miss)),
            };
        }
    }

    /// Begins a transaction with these steps. An error has rolled it back.
    pub async fn begin(
        &self,
        steps: &[Step],
    ) -> Result<(Transaction, Result<Vec<Vec<Row>>, Miss>), StoreError> {
        let held = self.hold().await?;
        let begin = if self.pooler { BEGIN_SET } else { "BEGIN" };
        match bounded(held.send(&[begin], steps)).await {
            Ok(rows) => {
                let missed = steps.iter().zip(&rows).find_map(|(s, r)| s.miss.filter(|_| r.is_empty()));
                Ok((Transaction(held), missed.map_or(Ok(rows), Err)))
            }
            Err(error) => {
                if !held.closed() && bounded(held.simple("ROLLBACK")).await.is_ok() {
                    held.keep();
                }
                Err(error)
            }
        }
    }
}

/// An open transaction; dropped, its connection is given up, and so the transaction is.
pub struct Transaction(Held);

impl Transaction {
    pub async fn run(&self, steps: &[Step]) -> Result<Vec<Vec<Row>>, StoreError> {
        bounded(self.0.send(&[], steps)).await
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        bounded(self.0.simple("COMMIT")).await?;
        self.0.keep();
        Ok(())
    }

    pub async fn roll_back(self) -> Result<(), StoreError> {
        if bounded(self.0.simple("ROLLBACK")).await.is_ok() {
            self.0.keep();
        }
        Ok(())
    }
}

/// A connection in use. Unless it is kept, it is closed: a caller that was cancelled leaves nobody a connection in
/// the middle of something.
struct Held {
    object: Option<Object>,
    pooler: bool,
}

impl Held {
    fn keep(mut self) {
        drop(self.object.take());
    }

    /// After an error of a single statement outside a transaction, the connection is as good as before.
    fn keep_if_open(self) {
        if !self.closed() {
            self.keep();
        }
    }

    fn closed(&self) -> bool {
        self.object.as_ref().is_none_or(|o| o.is_closed())
    }

    fn client(&self) -> Result<&Object, StoreError> {
        self.object.as_ref().ok_or_else(|| StoreError::Away("the connection is closed".to_owned()))
    }

    async fn simple(&self, sql: &str) -> Result<(), StoreError> {
        self.client()?.batch_execute(sql).await.map_err(|e| fail(&e))
    }

    /// Sends all at once and waits for all answers; the first error counts.
    async fn send(&self, before: &[&str], steps: &[Step]) -> Result<Vec<Vec<Row>>, StoreError> {
        let client = self.client()?;
        // Prepared first, so that afterwards every statement is sent when it is first polled: in order.
        let mut named: Vec<Option<Statement>> = Vec::with_capacity(steps.len());
        for step in steps {
            named.push(if self.pooler {
                None
            } else {
                Some(client.prepare_typed_cached(step.sql, &step.types).await.map_err(|e| fail(&e))?)
            });
        }
        let begun = join_all(before.iter().map(|sql| client.batch_execute(sql)));
        let done = join_all(steps.iter().zip(&named).map(|(step, statement)| async move {
            match statement {
                Some(statement) => {
                    let values: Vec<&(dyn ToSql + Sync)> = step.values.iter().map(|v| &**v as _).collect();
                    client.query(statement, &values).await
                }
                None => {
                    let values: Vec<(&(dyn ToSql + Sync), Type)> =
                        step.values.iter().zip(&step.types).map(|(v, t)| (&**v as _, t.clone())).collect();
                    client.query_typed(step.sql, &values).await
                }
            }
        }));
        let (begun, done) = futures_util::future::join(begun, done).await;
        for result in begun {
            result.map_err(|e| fail(&e))?;
        }
        done.into_iter().map(|rows| rows.map_err(|e| fail(&e))).collect()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

async fn bounded<T>(what: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match timeout(LIMIT, what).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Away(format!("no answer within {} s", LIMIT.as_secs()))),
    }
}

/// What the database says, without values of rows.
pub fn fail(error: &tokio_postgres::Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        if !disagree_on_tls(error) {
            return StoreError::Away(message);
        }
        let what = match message.contains("does not support TLS") {
            true => "the database offers no TLS",
            false => "the database’s certificate does not prove who it is",
        };
        return StoreError::Failed(format!("{what} ({message}): see ca_file in [server.postgres]"));
    };
    let code = said.code();
    let message = || format!("{} ({})", said.message(), code.code());
    // A pooler says it in its own words, under the code for all that it says.
    let refused_by_pooler = *code == SqlState::PROTOCOL_VIOLATION
        && ["authentication failed", "no such user"].iter().any(|why| said.message().contains(why));
    if code.code().starts_with("28") || refused_by_pooler {
        return StoreError::Failed(format!(
            "the database does not let this server in ({}): see the user in the URL, and password_file or \
             password_env in [server.postgres]",
            message()
        ));
    }
    if *code == SqlState::DISK_FULL {
        return StoreError::Full;
    }
    let conflicts =
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::UNIQUE_VIOLATION];
    if conflicts.contains(code) {
        return StoreError::Conflict;
    }
    // Out of resources, an operator's intervention, a connection that ended, a server that became a standby, a lock
    // that others hold: all pass.
    let passes = ["08", "53", "57", "58"].contains(&&code.code()[..2])
        || [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::IN_FAILED_SQL_TRANSACTION,
        ]
        .contains(code);
    if passes { StoreError::Away(message()) } else { StoreError::Failed(message()) }
}
