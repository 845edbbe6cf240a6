//! The tables of the cache.

use super::pragma_key;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// An older layout is emptied and filled again from the server.
const VERSION: i64 = 2;

/// How long one process waits for the other's transaction.
const BUSY: Duration = Duration::from_secs(30);

/// `events` has a row for every position, readable or not: everybody verifies the whole tree. `bodies` has the
/// canonical JSON of those this person may read. `nodes` has the roots of complete subtrees at every eighth height.
/// `requests` are projections made by `core::request::apply`.
/// Ids and digests are blobs, times are milliseconds since 1970.
pub(super) const TABLES: &str = "
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents(name TEXT PRIMARY KEY, hash TEXT NOT NULL, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE events(
    seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL, at INTEGER, kind TEXT, by BLOB, request BLOB);
CREATE INDEX events_of_request ON events(request, seq) WHERE request IS NOT NULL;
CREATE INDEX events_apart ON events(kind, seq) WHERE request IS NULL AND kind IS NOT NULL;
CREATE TABLE nodes(height INTEGER NOT NULL, place INTEGER NOT NULL, root BLOB NOT NULL, PRIMARY KEY(height, place))
    WITHOUT ROWID;
CREATE TABLE bodies(seq INTEGER PRIMARY KEY, json TEXT NOT NULL);
CREATE TABLE texts(digest BLOB PRIMARY KEY, salt TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE devices(id BLOB PRIMARY KEY, person BLOB NOT NULL, signing_key TEXT NOT NULL, name BLOB) WITHOUT ROWID;
CREATE TABLE requests(
    id BLOB PRIMARY KEY, number INTEGER NOT NULL, state TEXT NOT NULL, by BLOB NOT NULL,
    resource TEXT NOT NULL, role TEXT NOT NULL, grant_id BLOB, grant_state TEXT, cause TEXT, extends BLOB,
    json TEXT NOT NULL);
CREATE INDEX requests_by_number ON requests(number);
CREATE INDEX requests_open ON requests(number) WHERE state = 'pending';
CREATE INDEX requests_live ON requests(number) WHERE grant_state NOT IN ('ended', 'failed');
CREATE INDEX requests_by_grant ON requests(grant_id) WHERE grant_id IS NOT NULL;
CREATE TABLE postings(block INTEGER NOT NULL, term TEXT NOT NULL, bits BLOB NOT NULL, PRIMARY KEY(block, term))
    WITHOUT ROWID;
CREATE TABLE marks(at INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
";

pub(super) fn connect(path: &Path, key: &[u8; 32]) -> rusqlite::Result<Connection> {
    private(path);
    let conn = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.busy_timeout(BUSY)?;
    // What SQLCipher would print on stderr is also in the error.
    conn.execute_batch("PRAGMA cipher_log_level = NONE")?;
    conn.execute_batch(&pragma_key(key))?;
    // Reads the first page: fails here if the key or the file is not right.
    conn.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -32768; PRAGMA secure_delete = ON;",
    )?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Makes a new file readable by its owner only. SQLite gives its -wal and -shm the same mode. What goes wrong here
/// goes wrong again, with its reason, when SQLite opens it.
fn private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let _ = options.open(path);
}

/// Makes the tables in a new file, and anew in one of an older version. One of a newer is `InvalidQuery`.
pub(super) fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    let tx = rusqlite::Transaction::new_unchecked(conn, rusqlite::TransactionBehavior::Immediate)?;
    match tx.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
        VERSION => {}
        0 => {
            tx.execute_batch(TABLES)?;
            tx.pragma_update(None, "user_version", VERSION)?;
        }
        1..VERSION => {
            empty(&tx)?;
            tx.pragma_update(None, "user_version", VERSION)?;
        }
        _ => return Err(rusqlite::Error::InvalidQuery),
    }
    tx.execute_batch(super::drift::TABLE)?;
    tx.execute_batch(super::erase::TABLE)?;
    tx.commit()
}

/// What there is comes again from the server; the catalogue, the people and what was told already stay.
fn empty(conn: &Connection) -> rusqlite::Result<()> {
    let rows = |sql: &str| -> rusqlite::Result<Vec<[String; 3]>> {
        let mut statement = conn.prepare(sql)?;
        statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?.collect()
    };
    let documents = rows("SELECT name, hash, json FROM documents")?;
    let meta = rows("SELECT name, value, '' FROM meta WHERE name IN ('notified', 'offset_ms')")?;
    // A virtual table takes those behind it away.
    let tables = rows(
        "SELECT name, '', '' FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'
         ORDER BY sql NOT LIKE 'CREATE VIRTUAL%'",
    )?;
    for [table, ..] in tables {
        conn.execute_batch(&format!("DROP TABLE IF EXISTS \"{}\"", table.replace('"', "\"\"")))?;
    }
    conn.execute_batch(TABLES)?;
    for row in documents {
        conn.execute("INSERT INTO documents(name, hash, json) VALUES(?1, ?2, ?3)", row)?;
    }
    for [name, value, _] in meta {
        conn.execute("INSERT INTO meta(name, value) VALUES(?1, ?2)", [name, value])?;
    }
    Ok(())
}
