//! A few connections, reused.

use super::failed::Failed;
use super::place::{CONNECT_LIMIT, Place};
use super::session::Session;
use crate::TargetError;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::debug;

/// An idle connection older than this may have been forgotten by something on the way.
const IDLE_LIMIT: Duration = Duration::from_secs(30);
/// For this long after a connection failed, others fail alike without trying.
const FAILURE_HOLDS: Duration = Duration::from_millis(200);
/// Names resolve to the server's own objects, nothing waits long, and a question is planned once.
const SETTINGS: &str = "SET search_path = pg_catalog; SET statement_timeout = '10s'; SET lock_timeout = '3s';
     SET plan_cache_mode = force_generic_plan; SET jit = off";

/// At most `width` connections to one database. Each is used by one call at a time.
pub(super) struct Link {
    place: Arc<Place>,
    permits: Semaphore,
    idle: Mutex<Vec<(Arc<Session>, Instant)>>,
    failure: Mutex<Option<(TargetError, Instant)>>,
    limit: Duration,
}

impl Link {
    /// `limit` bounds a whole call, waiting included.
    pub fn new(place: Arc<Place>, width: usize, limit: Duration) -> Self {
        Self {
            place,
            permits: Semaphore::new(width),
            idle: Mutex::default(),
            failure: Mutex::default(),
            limit,
        }
    }

    /// Runs `call` on a connection; once more on a new one if a kept one turned out to be dead.
    pub async fn run<T, F, Fut>(&self, call: F) -> Result<T, TargetError>
    where
        F: Fn(Arc<Session>) -> Fut,
        Fut: Future<Output = Result<T, Failed>>,
    {
        let whole = async {
            let _permit = self.permits.acquire().await.map_err(|_| unanswered("closed"))?;
            if let Some(kept) = self.kept() {
                match call(kept.clone()).await {
                    Err(failed) if failed.lost() => debug!("a kept connection to the target was dead"),
                    other => return self.keep(kept, other),
                }
                locked(&self.idle).clear();
            }
            let fresh = Arc::new(self.connect().await?);
            let outcome = call(fresh.clone()).await;
            self.keep(fresh, outcome)
        };
        timeout(self.limit, whole)
            .await
            .unwrap_or_else(|_| Err(unanswered(&format!("no answer within {} s", self.limit.as_secs()))))
    }

    fn kept(&self) -> Option<Arc<Session>> {
        let mut idle = locked(&self.idle);
        idle.retain(|(client, since)| !client.is_closed() && since.elapsed() < IDLE_LIMIT);
        idle.pop().map(|(client, _)| client)
    }

    fn keep<T>(&self, client: Arc<Session>, outcome: Result<T, Failed>) -> Result<T, TargetError> {
        if outcome.as_ref().err().is_none_or(|failed| !failed.lost()) {
            locked(&self.idle).push((client, Instant::now()));
        }
        outcome.map_err(TargetError::from)
    }

    async fn connect(&self) -> Result<Session, TargetError> {
        if let Some((error, since)) = locked(&self.failure).clone()
            && since.elapsed() < FAILURE_HOLDS
        {
            return Err(error);
        }
        let outcome = connect(&self.place, None).await.map_err(TargetError::from);
        *locked(&self.failure) = outcome.as_ref().err().map(|e| (e.clone(), Instant::now()));
        outcome
    }
}

/// A new connection to the target's database, or to another of the same server.
pub(super) async fn connect(place: &Place, database: Option<&str>) -> Result<Session, Failed> {
    let mut config = place.config.clone();
    if let Some(database) = database {
        config.dbname(database);
    }
    let opening = async {
        let (client, connection) = config.connect(place.tls.clone()).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection to the target ended");
            }
        });
        client.batch_execute(SETTINGS).await?;
        Ok(Session::new(client))
    };
    timeout(CONNECT_LIMIT, opening).await.unwrap_or_else(|_| {
        Err(Failed::Told(unanswered(&format!("no connection within {} s", CONNECT_LIMIT.as_secs()))))
    })
}

fn unanswered(why: &str) -> TargetError {
    TargetError::Unreachable(why.to_owned())
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
