//! Each table's rows, as SQLite has them and as PostgreSQL wants them.

use super::ImportError;
use super::source::Source;
use crate::Time;
use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};
use std::pin::pin;
use tokio_postgres::Transaction;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

/// How often to say how far it is, in rows.
const TELL: u64 = 10_000;

/// How a column is kept in SQLite.
#[derive(Clone, Copy, PartialEq, Eq)]
enum As {
    Text,
    Id,
    Number,
    Small,
    Flag,
    Bytes,
    /// Milliseconds since 1970.
    Time,
    /// JSON arrays.
    Texts,
    Ids,
}

/// A table: what to read, and where it goes. Referenced tables come before those that refer to them.
struct Table {
    name: &'static str,
    select: &'static str,
    into: &'static str,
    columns: &'static [As],
}

use As::{Bytes, Flag, Id, Ids, Number, Small, Text, Texts};

const TABLES: &[Table] = &[
    Table {
        name: "event",
        select: "SELECT seq, id, request_id, person_id, leaf, body FROM event ORDER BY seq",
        into: "COPY event (seq, id, request_id, person_id, leaf, body) FROM STDIN BINARY",
        columns: &[Number, Id, Id, Id, Bytes, Text],
    },
    Table {
        name: "text",
        select: "SELECT e.id, t.digest, t.request_id, t.salt, t.text FROM text t JOIN event e ON e.seq = t.seq",
        into: "COPY text (event_id, digest, request_id, salt, text) FROM STDIN BINARY",
        columns: &[Id, Text, Id, Text, Text],
    },
    Table {
        name: "request",
        select: "SELECT id, number, version, state, asker, groups, deciders, extends, grant_id, grant_state, body
                 FROM request ORDER BY number",
        into: "COPY request (id, number, version, state, asker, groups, deciders, extends, grant_id, grant_state,
                   body) FROM STDIN BINARY",
        columns: &[Id, Number, Number, Text, Id, Texts, Ids, Id, Id, Text, Text],
    },
    Table {
        name: "sight",
        select: "SELECT viewer, number FROM sight",
        into: "COPY sight (viewer, number) FROM STDIN BINARY",
        columns: &[Text, Number],
    },
    Table {
        name: "command",
        select: "SELECT id, digest, request_id FROM command",
        into: "COPY command (id, digest, request_id) FROM STDIN BINARY",
        columns: &[Id, Text, Id],
    },
    // Whoever held a lease is gone; the fence goes on, so that none of theirs fits any more.
    Table {
        name: "job",
        select: "SELECT kind, subject, request_id, target, due, first_due, urgent, puts, attempts, fence FROM job ORDER BY id",
        into: "COPY job (kind, subject, request_id, target, due, first_due, urgent, puts, attempts, fence) FROM STDIN BINARY",
        columns: &[Text, Id, Id, Text, As::Time, As::Time, Flag, Number, Small, Number],
    },
    Table {
        name: "sealed",
        select: "SELECT grant_id, device_id, sealed FROM sealed",
        into: "COPY sealed (grant_id, device_id, sealed) FROM STDIN BINARY",
        columns: &[Id, Id, Text],
    },
    Table {
        name: "note",
        select: "SELECT target, grant_id, text FROM note",
        into: "COPY note (target, grant_id, text) FROM STDIN BINARY",
        columns: &[Text, Id, Text],
    },
    Table {
        name: "drift",
        select: "SELECT id, target, state, body FROM drift",
        into: "COPY drift (id, target, state, body) FROM STDIN BINARY",
        columns: &[Id, Text, Text, Text],
    },
    Table {
        name: "person",
        select: "SELECT id, handle, name, groups, auditor, admin FROM person",
        into: "COPY person (id, handle, name, groups, auditor, admin) FROM STDIN BINARY",
        columns: &[Id, Text, Text, Texts, Flag, Flag],
    },
    Table {
        name: "device",
        select: "SELECT id, person_id, name, signing_key, seal_key, disabled FROM device",
        into: "COPY device (id, person_id, name, signing_key, seal_key, disabled) FROM STDIN BINARY",
        columns: &[Id, Id, Text, Text, Text, Flag],
    },
    Table {
        name: "invite",
        select: "SELECT code, person_id, expires_at, used_by FROM invite",
        into: "COPY invite (code, person_id, expires_at, used_by) FROM STDIN BINARY",
        columns: &[Text, Id, As::Time, Id],
    },
    Table {
        name: "setting",
        select: "SELECT key, value FROM setting WHERE key <> 'moved_to'",
        into: "COPY setting (key, value) FROM STDIN BINARY",
        columns: &[Text, Text],
    },
];

/// Copies every table, and the head. Answers how many jobs there are.
pub async fn all(
    transaction: &Transaction<'_>,
    source: &Source,
    tell: &dyn Fn(&'static str, u64),
) -> Result<u64, ImportError> {
    let mut jobs = 0;
    for table in TABLES {
        let count = one(transaction, source, table, tell).await?;
        if table.name == "job" {
            jobs = count;
        }
    }
    let head = source.db.query_row("SELECT size, root, tree FROM head", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    });
    match head {
        Ok((size, root, tree)) => {
            transaction
                .execute("UPDATE head SET size = $1, root = $2, tree = $3", &[&size, &root, &tree])
                .await?;
        }
        // Nothing ever happened there; the database begins the same.
        Err(rusqlite::Error::QueryReturnedNoRows) => {}
        Err(error) => return Err(source.failed(&error)),
    }
    transaction.execute("UPDATE directory SET version = version + 1", &[]).await?;
    Ok(jobs)
}

async fn one(
    transaction: &Transaction<'_>,
    source: &Source,
    table: &Table,
    tell: &dyn Fn(&'static str, u64),
) -> Result<u64, ImportError> {
    let types: Vec<Type> = table.columns.iter().map(|c| c.of()).collect();
    let sink = transaction.copy_in(table.into).await?;
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    let mut query = source.db.prepare(table.select).map_err(|e| source.failed(&e))?;
    let mut rows = query.query([]).map_err(|e| source.failed(&e))?;
    let mut count = 0;
    tell(table.name, count);
    while let Some(row) = rows.next().map_err(|e| source.failed(&e))? {
        let values: Result<Vec<_>, _> =
            table.columns.iter().enumerate().map(|(at, column)| column.read(row, at)).collect();
        let values = values.map_err(|e| source.failed(&format!("{} {}: {e}", table.name, count + 1)))?;
        writer.as_mut().write_raw(values.iter().map(|v| &**v as &(dyn ToSql + Sync))).await?;
        count += 1;
        if count % TELL == 0 {
            tell(table.name, count);
        }
    }
    let written = writer.finish().await?;
    if written == count {
        Ok(count)
    } else {
        Err(ImportError::Unlike(format!("of {count} rows of {}, {written} are there", table.name)))
    }
}

type Value = Box<dyn ToSql + Sync + Send>;

impl As {
    fn of(self) -> Type {
        match self {
            Self::Text => Type::TEXT,
            Self::Id => Type::UUID,
            Self::Number => Type::INT8,
            Self::Small => Type::INT4,
            Self::Flag => Type::BOOL,
            Self::Bytes => Type::BYTEA,
            Self::Time => Type::TIMESTAMPTZ,
            Self::Texts => Type::TEXT_ARRAY,
            Self::Ids => Type::UUID_ARRAY,
        }
    }

    fn read(self, row: &Row<'_>, at: usize) -> rusqlite::Result<Value> {
        Ok(match self {
            Self::Text => Box::new(row.get::<_, Option<String>>(at)?),
            Self::Id => Box::new(row.get::<_, Option<Parsed<Uuid>>>(at)?.map(|p| p.0)),
            Self::Number => Box::new(row.get::<_, Option<i64>>(at)?),
            Self::Small => Box::new(row.get::<_, Option<i32>>(at)?),
            Self::Flag => Box::new(row.get::<_, Option<bool>>(at)?),
            Self::Bytes => Box::new(row.get::<_, Option<Vec<u8>>>(at)?),
            Self::Time => Box::new(row.get::<_, Option<Parsed<Time>>>(at)?.map(|p| p.0)),
            Self::Texts => Box::new(row.get::<_, Parsed<Vec<String>>>(at)?.0),
            Self::Ids => Box::new(row.get::<_, Parsed<Vec<Uuid>>>(at)?.0),
        })
    }
}

/// What SQLite keeps as text or a number.
struct Parsed<T>(T);

type FromSqlResult<T> = rusqlite::types::FromSqlResult<Parsed<T>>;

fn wrong(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::types::FromSqlError {
    rusqlite::types::FromSqlError::Other(Box::new(error))
}

impl FromSql for Parsed<Uuid> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Uuid> {
        value.as_str()?.parse().map(Parsed).map_err(wrong)
    }
}

impl FromSql for Parsed<Time> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Time> {
        let millis = value.as_i64()?;
        let time = Time::from_timestamp_millis(millis);
        time.map(Parsed).ok_or(rusqlite::types::FromSqlError::OutOfRange(millis))
    }
}

impl FromSql for Parsed<Vec<String>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Vec<String>> {
        serde_json::from_str(value.as_str()?).map(Parsed).map_err(wrong)
    }
}

impl FromSql for Parsed<Vec<Uuid>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Vec<Uuid>> {
        serde_json::from_str(value.as_str()?).map(Parsed).map_err(wrong)
    }
}

/// Lets the next request's number be the one after the highest. The nodes' role may take numbers, not set them; those
/// that were taken for an import that then failed leave a gap and no more.
pub async fn numbers(transaction: &Transaction<'_>) -> Result<(), ImportError> {
    let row = transaction.query_one("SELECT coalesce(max(number), 0) FROM request", &[]).await?;
    let highest: i64 = row.try_get(0)?;
    if highest == 0 {
        return Ok(());
    }
    let row = transaction.query_one("SELECT nextval('request_number')", &[]).await?;
    let left = highest - row.try_get::<_, i64>(0)?;
    transaction
        .execute("SELECT count(nextval('request_number')) FROM generate_series(1, $1::bigint)", &[&left])
        .await?;
    Ok(())
}
