//! A few connections, reused.

use super::failed;
use super::place::Place;
use crate::TargetError;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Params};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// An idle connection older than this may have been forgotten by something on the way.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// For this long after a connection failed, others fail alike without trying.
const FAILURE_HOLDS: Duration = Duration::from_millis(200);

/// At most `width` connections to one server. Each is used by one call at a time; a call that is dropped takes its
/// connection with it.
pub(super) struct Link {
    place: Place,
    permits: Semaphore,
    idle: Mutex<Vec<(Conn, Instant)>>,
    failure: Mutex<Option<(TargetError, Instant)>>,
    limit: Duration,
}

impl Link {
    /// `limit` bounds a whole call, waiting included.
    pub fn new(place: Place, width: usize, limit: Duration) -> Self {
        Self {
            place,
            permits: Semaphore::new(width),
            idle: Mutex::default(),
            failure: Mutex::default(),
            limit,
        }
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Calls one of the procedures and answers its rows.
    pub async fn call<T: FromRow + Send + 'static>(
        &self,
        procedure: &str,
        given: Vec<mysql_async::Value>,
    ) -> Result<Vec<T>, TargetError> {
        let marks = vec!["?"; given.len()].join(", ");
        let statement = format!("CALL {}.{procedure}({marks})", self.place.schema());
        let given = if given.is_empty() { Params::Empty } else { Params::Positional(given) };
        let whole = async {
            let _permit = self.permits.acquire().await.map_err(|_| unanswered("closed"))?;
            let mut connection = match self.kept().await {
                Some(kept) => kept,
                None => self.connect().await?,
            };
            let outcome = connection.exec(statement, given).await;
            if outcome.as_ref().err().is_none_or(|error| !failed::lost(error)) {
                locked(&self.idle).push((connection, Instant::now()));
            }
            outcome.map_err(failed::sort)
        };
        timeout(self.limit, whole)
            .await
            .unwrap_or_else(|_| Err(unanswered(&format!("no answer within {} s", self.limit.as_secs()))))
    }

    /// Runs statements on a new connection, until one is refused.
    pub async fn run(&self, statements: &[String]) -> Result<(), TargetError> {
        let whole = async {
            let mut connection = self.connect().await?;
            for statement in statements {
                connection.query_drop(statement).await.map_err(failed::sort)?;
            }
            Ok(())
        };
        timeout(self.limit, whole)
            .await
            .unwrap_or_else(|_| Err(unanswered(&format!("no answer within {} s", self.limit.as_secs()))))
    }

    /// One that was kept, and still answers.
    async fn kept(&self) -> Option<Conn> {
        loop {
            let (mut connection, since) = locked(&self.idle).pop()?;
            if since.elapsed() > IDLE_LIMIT {
                // The others are older.
                locked(&self.idle).clear();
                return None;
            }
            if let Ok(Ok(())) = timeout(CONNECT_LIMIT, connection.ping()).await {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Conn, TargetError> {
        if let Some((error, since)) = locked(&self.failure).clone()
            && since.elapsed() < FAILURE_HOLDS
        {
            return Err(error);
        }
        let opening = async {
            match Conn::new(self.place.options()).await {
                Err(error) if failed::no_tls(&error) => match self.place.without_tls() {
                    Some(plain) => Conn::new(plain).await,
                    None => Err(error),
                },
                other => other,
            }
        };
        let outcome = match timeout(CONNECT_LIMIT, opening).await {
            Ok(outcome) => outcome.map_err(failed::sort),
            Err(_) => Err(unanswered(&format!("no connection within {} s", CONNECT_LIMIT.as_secs()))),
        };
        *locked(&self.failure) = outcome.as_ref().err().map(|e| (e.clone(), Instant::now()));
        outcome
    }
}

fn unanswered(why: &str) -> TargetError {
    TargetError::Unreachable(why.to_owned())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
