//! The embedded store: one SQLite file, WAL, `synchronous=FULL`. One thread writes and puts what waits into one
//! transaction; a few connections read. Other processes (`gatepass-server invite`) may write between.

mod command;
mod drift;
mod event;
mod job;
mod note;
mod person;
mod request;
mod sealed;
mod subtree;
mod text;
mod writer;

pub(crate) use subtree::Kept;

use super::{
    Backlog, Change, Claimed, Committed, Detail, Device, DriftFilter, DriftRow, Invite, Job, ListFilter,
    Loaded, Lookup, Room, Row, Sealed, Slice, Store, StoreError, Worded,
};
use crate::Time;
use async_trait::async_trait;
use gatepass_core::directory::Person;
use gatepass_core::id::{CommandId, GrantId, PersonId};
use gatepass_core::request::Request;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_log::Hash;
use rusqlite::{Connection, OpenFlags};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use writer::Writer;

mod migrations {
    refinery::embed_migrations!("migrations/sqlite");
}

/// How long a write waits for another process.
const BUSY: Duration = Duration::from_secs(10);
const READERS: usize = 4;

/// What may be set for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct SqliteOptions {
    /// The file may not grow past this many pages: a full disk.
    pub max_pages: Option<u32>,
}

pub struct SqliteStore {
    path: PathBuf,
    writer: Writer,
    idle: Arc<Mutex<Vec<Connection>>>,
    readers: Arc<Semaphore>,
    /// Until when each turn is taken; there is one node.
    turns: Mutex<HashMap<&'static str, Time>>,
}

impl SqliteStore {
    /// Opens `DIR/gatepass.db`, making the directory (0700) and the file, and brings the schema up to date.
    pub fn open(directory: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        make_directory(directory)
            .map_err(|e| StoreError::Failed(format!("{} cannot be made: {e}", directory.display())))?;
        let path = directory.join("gatepass.db");
        let mut db = connect(&path)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
        // Another process may be bringing it up to date at the same moment; then there is nothing left to do.
        let mut outcome = migrations::migrations::runner().run(&mut db);
        for _ in 0..5 {
            if outcome.is_ok() {
                break;
            }
            outcome = migrations::migrations::runner().run(&mut db);
        }
        outcome.map_err(|e| StoreError::Failed(format!("the database cannot be brought up to date: {e}")))?;
        subtree::fill(&db)?;
        if let Some(pages) = options.max_pages {
            db.pragma_update(None, "max_page_count", pages).map_err(fail)?;
        }
        Ok(Self {
            writer: Writer::start(db)?,
            path,
            idle: Arc::default(),
            readers: Arc::new(Semaphore::new(READERS)),
            turns: Mutex::default(),
        })
    }

    /// Runs `read` in one read transaction, off the async threads.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gone = |_| StoreError::Failed("the store is closed".to_owned());
        let permit = self.readers.clone().acquire_owned().await.map_err(gone)?;
        let idle = self.idle.clone();
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let known = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let db = known.map_or_else(|| connect_to_read(&path), Ok)?;
            db.execute_batch("BEGIN").map_err(fail)?;
            let answer = read(&db);
            // Only reads: whether it commits or rolls back is the same.
            if db.execute_batch("COMMIT").is_ok() {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(db);
            }
            answer
        });
        done.await.map_err(|e| StoreError::Failed(e.to_string()))?
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, change: Change) -> Result<Committed, StoreError> {
        self.writer.commit(change).await
    }

    async fn claim(&self, now: Time, until: Time, room: Room) -> Result<Claimed, StoreError> {
        self.writer.claim(now, until, room).await
    }

    async fn due_ends(&self, now: Time) -> Result<Vec<Job>, StoreError> {
        self.read(move |db| job::due_ends(db, now)).await
    }

    async fn renew(&self, jobs: &[Job], until: Time) -> Result<Vec<i64>, StoreError> {
        self.writer.renew(jobs.iter().map(|j| (j.id, j.fence)).collect(), until).await
    }

    async fn reclaim(&self) -> Result<(), StoreError> {
        self.writer.reclaim().await
    }

    async fn turn(&self, at: &'static str, now: Time, until: Time) -> Result<Option<Time>, StoreError> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = turns.get(at).copied().filter(|taken| *taken > now && *taken <= until + (until - now));
        if taken.is_none() {
            turns.insert(at, until);
        }
        Ok(taken)
    }

    async fn load(&self, command: Option<CommandId>, lookup: Option<Lookup>) -> Result<Loaded, StoreError> {
        self.read(move |db| {
            let recorded = command.map(|id| command::find(db, id)).transpose()?.flatten();
            // What was carried out is answered from the request it was about.
            let about = recorded.as_ref().and_then(|r| r.request).map(Lookup::Request).or(lookup);
            let loaded = about.map(|l| request::load(db, l)).transpose()?.unwrap_or_default();
            Ok(Loaded { recorded, ..loaded })
        })
        .await
    }

    async fn detail(&self, request: &Request) -> Result<Detail, StoreError> {
        let request = request.clone();
        self.read(move |db| request::detail(db, &request)).await
    }

    async fn held(&self, person: PersonId) -> Result<Vec<Row>, StoreError> {
        self.read(move |db| request::held(db, person)).await
    }

    async fn list(&self, filter: ListFilter) -> Result<Vec<(Row, Detail)>, StoreError> {
        self.read(move |db| request::list(db, &filter)).await
    }

    async fn entries(&self, after: u64, limit: usize) -> Result<Slice, StoreError> {
        self.read(move |db| event::entries(db, after, limit)).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(event::head).await
    }

    async fn nodes(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, StoreError> {
        self.read(move |db| subtree::whole(db, height, index, count)).await
    }

    async fn worded(&self, after: u64, limit: usize) -> Result<Vec<Worded>, StoreError> {
        self.read(move |db| text::worded(db, after, limit)).await
    }

    async fn scrub(&self) -> Result<Option<&'static str>, StoreError> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || scrub(&path)).await;
        done.map_err(|e| StoreError::Failed(e.to_string()))?.map(|()| None)
    }

    async fn people(&self) -> Result<(Vec<Person>, Vec<Device>), StoreError> {
        self.read(|db| Ok((person::people(db)?, person::devices(db)?))).await
    }

    async fn invite(&self, code: &Digest) -> Result<Option<Invite>, StoreError> {
        let code = code.clone();
        self.read(move |db| person::invite(db, &code)).await
    }

    async fn sealed(&self, grant: GrantId) -> Result<Option<Sealed>, StoreError> {
        self.read(move |db| sealed::find(db, grant)).await
    }

    async fn note(&self, target: &str, grant: GrantId) -> Result<Option<String>, StoreError> {
        let target = target.to_owned();
        self.read(move |db| note::find(db, &target, grant)).await
    }

    async fn notes(&self, target: &str) -> Result<Vec<(GrantId, String)>, StoreError> {
        let target = target.to_owned();
        self.read(move |db| note::of(db, &target)).await
    }

    async fn setting(&self, key: &'static str) -> Result<Option<String>, StoreError> {
        self.read(move |db| sealed::setting(db, key)).await
    }

    async fn live(&self, grants: &[GrantId]) -> Result<Vec<GrantId>, StoreError> {
        let grants = grants.to_vec();
        self.read(move |db| request::live(db, &grants)).await
    }

    async fn unended(&self, target: &str, after: Time) -> Result<Vec<GrantId>, StoreError> {
        let target = target.to_owned();
        self.read(move |db| drift::unended(db, &target, after)).await
    }

    async fn drift(&self, filter: DriftFilter) -> Result<Vec<DriftRow>, StoreError> {
        self.read(move |db| drift::list(db, &filter)).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.read(job::backlog).await
    }

    fn heads(&self) -> watch::Receiver<u64> {
        self.writer.heads()
    }

    fn outside(&self) -> watch::Receiver<u64> {
        self.writer.outside()
    }
}

fn make_directory(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(path)
        .map_err(|e| StoreError::Failed(format!("{} cannot be opened: {e}", path.display())))?;
    db.busy_timeout(BUSY).map_err(fail)?;
    db.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
    db.pragma_update(None, "foreign_keys", true).map_err(fail)?;
    // What is deleted is overwritten.
    db.pragma_update(None, "secure_delete", true).map_err(fail)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// Writes the whole file anew, without what was deleted from it in the past, and empties the write-ahead log.
fn scrub(path: &Path) -> Result<(), StoreError> {
    let db = connect(path)?;
    db.execute_batch("VACUUM").map_err(fail)?;
    let busy: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(fail)?;
    if busy {
        let why = "the write-ahead log could not be emptied, since somebody reads the database: try again";
        return Err(StoreError::Failed(why.to_owned()));
    }
    Ok(())
}

fn connect_to_read(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(fail)?;
    db.busy_timeout(BUSY).map_err(fail)?;
    db.pragma_update(None, "query_only", true).map_err(fail)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// A full disk is told apart, since people can do something about it. A write that the disk refuses halfway is
/// reported by the system as an I/O error as often as it is as a full disk.
fn fail(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure) => StoreError::Full,
        _ => StoreError::Failed(error.to_string()),
    }
}

fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e)))
}

fn id<T: std::str::FromStr>(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e))
    })
}

fn millis(time: Time) -> i64 {
    time.timestamp_millis()
}

fn time(millis: i64) -> Time {
    Time::from_timestamp_millis(millis).unwrap_or_default()
}
