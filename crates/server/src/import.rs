//! Moving a server's SQLite data into PostgreSQL: all of it, in one transaction, its log checked before and after.

mod copy;
mod source;

use crate::backup::{self, BackupError};
use crate::serve::{self, MOVED};
use crate::store::postgres::Options;
use crate::store::postgres::schema::{self, Reach};
use crate::verify::{Broken, Entry, verify};
use futures_util::TryStreamExt as _;
use gatepass_connectors::postgres::Place;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_log::Tree;
use source::Source;
use std::path::{Path, PathBuf};
use std::pin::pin;
use tokio::sync::mpsc;
use tokio_postgres::{Client, Transaction};

/// What was moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// Of the log; the same before and after.
    pub head: Head,
    pub requests: u64,
    pub people: u64,
    pub devices: u64,
    /// Work that is still to be done, such as ends of accesses.
    pub jobs: u64,
}

impl std::fmt::Display for Imported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { head, requests, people, devices, jobs } = self;
        writeln!(
            f,
            "{} events, {requests} requests, {people} people, {devices} devices, {jobs} jobs",
            head.size
        )?;
        write!(f, "root {}", head.root)
    }
}

/// Why nothing was imported. After each the database is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("there is nothing to import: {} is not there", .0.display())]
    Nothing(PathBuf),
    #[error("a server runs on {}. Stop it and try again.", .0.display())]
    Running(PathBuf),
    #[error("what is in {} was moved to {to}, not to the database of this configuration.", data.display())]
    Moved { data: PathBuf, to: String },
    #[error("what is in {} does not hold: {}. Nothing was imported; “restore” a backup that does.", data.display(), why(error))]
    Source { data: PathBuf, error: BackupError },
    #[error(
        "the database is not empty: {0}. Import into one that no server has run on; nothing was changed."
    )]
    NotEmpty(&'static str),
    #[error("a pooler is in front: set “direct” to the database itself. Nothing was imported.")]
    Pooler,
    #[error("what was written does not read back as it was: {0}. Nothing was imported.")]
    Unlike(String),
    #[error("{0}. Nothing was imported.")]
    Database(String),
    #[error("{} can’t be read: {why}. Nothing was imported.", file.display())]
    Read { file: PathBuf, why: String },
    #[error(
        "the database did not say whether it kept what was imported: {0}. Run this again: if it says that the \
         database is not empty, all is there."
    )]
    Unknown(String),
}

impl From<tokio_postgres::Error> for ImportError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(said(&error))
    }
}

/// What is wrong, without what to do about a backup.
fn why(error: &BackupError) -> String {
    match error {
        BackupError::Broken { broken, .. } => broken.to_string(),
        BackupError::Unlike { what, seq: Some(seq), .. } => {
            format!("{what} is not what the log says at position {seq}")
        }
        BackupError::Unlike { what, seq: None, .. } => format!("{what} is not what the log says"),
        BackupError::Damaged { why, .. } | BackupError::Foreign { why, .. } => why.clone(),
        other => other.to_string(),
    }
}

fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("the database refused: {} ({})", said.message(), said.code().code()),
        None => format!("the database cannot be reached: {error}"),
    }
}

/// Moves what is in the directory `data` into the empty database `into`. `tell` hears how far it is: a table, and how
/// many rows of it are written.
///
/// The directory stays as it is, but for a mark where it was moved to, with which no server starts on it. Killed at any
/// point, the database has nothing; with the mark and nothing in the database, it can be run again.
pub async fn import(
    data: &Path,
    into: &Options,
    tell: &dyn Fn(&'static str, u64),
) -> Result<Imported, ImportError> {
    let file = data.join(backup::DATABASE);
    if !file.is_file() {
        return Err(ImportError::Nothing(file));
    }
    let _serving = serve::lock(data).map_err(|_| ImportError::Running(data.to_owned()))?;
    let source = Source::open(&file)?;
    let moved = source.setting(MOVED)?;
    if let Some(to) = moved.filter(|to| *to != into.url) {
        return Err(ImportError::Moved { data: data.to_owned(), to });
    }
    let checked = {
        let file = file.clone();
        tell("check", 0);
        tokio::task::spawn_blocking(move || backup::check(&file)).await
    };
    let checked = checked.map_err(|e| ImportError::Database(e.to_string()))?;
    let checked = checked.map_err(|error| ImportError::Source { data: data.to_owned(), error })?;

    let place = place(into)?;
    let known = schema::known();
    let level = schema::migrate(&place, &known, Reach::Expand);
    let level = level.await.map_err(|e| ImportError::Database(e.to_string()))?.level;
    if level < schema::needed(&known) {
        let why = "the schema is older than this version needs: run “gatepass-server migrate” first";
        return Err(ImportError::Database(why.to_owned()));
    }
    let mut config = place.config.clone();
    config.application_name("gatepass-server import");
    let (mut client, connection) = config.connect(place.tls.clone()).await?;
    let driver = tokio::spawn(connection);
    let written = async {
        let (transaction, jobs) = write(&mut client, &source, &checked.head, tell).await?;
        finish(transaction, &source, &into.url).await.map(|()| jobs)
    };
    let jobs = written.await;
    drop(client);
    driver.abort();
    Ok(Imported {
        head: checked.head,
        requests: checked.requests,
        people: checked.people,
        devices: checked.devices,
        jobs: jobs?,
    })
}

fn place(into: &Options) -> Result<Place, ImportError> {
    let url = match (&into.direct, into.pooler) {
        (Some(url), _) => url,
        (None, false) => &into.url,
        (None, true) => return Err(ImportError::Pooler),
    };
    Place::parse(url, &into.password).map_err(|e| ImportError::Database(e.to_string()))
}

/// Writes and checks everything, and leaves the transaction to be committed. Answers how many jobs there are.
async fn write<'a>(
    client: &'a mut Client,
    source: &Source,
    head: &Head,
    tell: &dyn Fn(&'static str, u64),
) -> Result<(Transaction<'a>, u64), ImportError> {
    let transaction = client.transaction().await?;
    // The sequencer's lock: a node that starts now waits, and then finds its number taken or the log longer.
    transaction
        .batch_execute(
            "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;
             SET LOCAL lock_timeout = '10s'; SELECT pg_advisory_xact_lock(7420, 1)",
        )
        .await?;
    empty(&transaction).await?;
    let jobs = copy::all(&transaction, source, tell).await?;
    tell("check", head.size);
    compare(&transaction, head).await?;
    copy::numbers(&transaction).await?;
    Ok((transaction, jobs))
}

async fn empty(transaction: &Transaction<'_>) -> Result<(), ImportError> {
    let row = transaction
        .query_one(
            "SELECT EXISTS (SELECT FROM event) OR EXISTS (SELECT FROM outbox) OR (SELECT size FROM head) > 0,
                 EXISTS (SELECT FROM request) OR EXISTS (SELECT FROM person) OR EXISTS (SELECT FROM command)
                     OR EXISTS (SELECT FROM setting) OR EXISTS (SELECT FROM job),
                 EXISTS (SELECT FROM node WHERE seen_at > clock_timestamp() - interval '1 minute')",
            &[],
        )
        .await?;
    let found = ["it has a log", "it has people, requests or settings", "a server runs on it"];
    for (column, what) in found.into_iter().enumerate() {
        if row.try_get(column)? {
            return Err(ImportError::NotEmpty(what));
        }
    }
    Ok(())
}

/// Recomputes the log as it now stands in the database.
async fn compare(transaction: &Transaction<'_>, wanted: &Head) -> Result<(), ImportError> {
    let unlike = |broken: Broken| ImportError::Unlike(broken.to_string());
    let row = transaction.query_one("SELECT size, root, tree FROM head", &[]).await?;
    let head = Head { size: row.try_get::<_, i64>(0)?.cast_unsigned(), root: Digest(row.try_get(1)?) };
    let tree: Tree = serde_json::from_str(row.try_get(2)?)
        .map_err(|e| ImportError::Unlike(format!("the tree can’t be read: {e}")))?;
    if head != *wanted {
        return Err(unlike(Broken::Head));
    }
    let (send, mut entries) = mpsc::channel::<Result<Entry, String>>(256);
    let checking = tokio::task::spawn_blocking(move || {
        verify(std::iter::from_fn(|| entries.blocking_recv()), &head, &tree, |_| Ok(()))
    });
    let none: [&(dyn tokio_postgres::types::ToSql + Sync); 0] = [];
    let rows = transaction.query_raw("SELECT seq, leaf, body FROM event ORDER BY seq", none).await?;
    let mut rows = pin!(rows);
    while let Some(row) = rows.try_next().await? {
        let seq = row.try_get::<_, i64>(0)?.cast_unsigned();
        let entry = Entry { seq, leaf: row.try_get(1)?, body: row.try_get(2)? };
        // It has found something wrong and says so below.
        if send.send(Ok(entry)).await.is_err() {
            break;
        }
    }
    drop(send);
    checking.await.map_err(|e| ImportError::Unlike(e.to_string()))?.map_err(unlike)
}

/// The mark comes first: never are there two of which a server would serve either.
async fn finish(transaction: Transaction<'_>, source: &Source, url: &str) -> Result<(), ImportError> {
    source.mark(Some(url))?;
    match transaction.commit().await {
        Ok(()) => Ok(()),
        Err(error) if error.as_db_error().is_some() => {
            source.mark(None)?;
            Err(error.into())
        }
        Err(error) => Err(ImportError::Unknown(error.to_string())),
    }
}
