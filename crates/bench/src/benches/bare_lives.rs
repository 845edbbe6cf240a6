//! What SQLite itself can do: the rows of one life as the server left them, written again by a bare loop in as many
//! transactions as the life has steps, with the server's pragmas and tables.

use crate::Outcome;
use crate::place::Place;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use std::time::{Duration, Instant};

type Row = Vec<Value>;

/// One life's rows, by table.
struct Life {
    request: Row,
    /// In the order of the log.
    events: Vec<Row>,
    texts: Vec<Row>,
    commands: Vec<Row>,
    /// Who sees it: the asker and the groups first, then who decided.
    sights: Vec<Row>,
    /// The log's root and its peaks, of the size they have.
    head: (String, String),
}

/// As long as a sealed secret for a role of the target.
const SEALED: usize = 300;

/// Bare lives per second in a new file beside the server's.
pub fn per_second(place: &Place, over: Duration) -> Outcome<f64> {
    let server =
        Connection::open_with_flags(place.data().join("gatepass.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let life = read(&server)?;
    let file = tempfile::Builder::new().prefix("bare-").tempdir_in(place.dir())?;
    let db = Connection::open(file.path().join("bare.db"))?;
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
    db.set_prepared_statement_cache_capacity(64);
    let mut schema = server.prepare(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' AND tbl_name IN
         ('event', 'text', 'request', 'command', 'job', 'sight', 'sealed', 'head') ORDER BY type DESC",
    )?;
    for sql in schema.query_map([], |row| row.get::<_, String>(0))? {
        db.execute_batch(&sql?)?;
    }
    let (from, mut lives) = (Instant::now(), 0_i64);
    while from.elapsed() < over {
        write(&db, &life, lives)?;
        lives += 1;
    }
    Ok(lives as f64 / from.elapsed().as_secs_f64())
}

fn read(server: &Connection) -> Outcome<Life> {
    let id: String = server.query_row(
        "SELECT id FROM request WHERE grant_state = 'ended' ORDER BY number DESC LIMIT 1",
        [],
        |row| row.get(0),
    )?;
    let rows = |sql: &str| -> Outcome<Vec<Row>> {
        let mut query = server.prepare(sql)?;
        let width = query.column_count();
        let found = query.query_map([&id], |row| (0..width).map(|column| row.get(column)).collect())?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    };
    Ok(Life {
        request: rows("SELECT * FROM request WHERE id = ?1")?.pop().ok_or("the request is gone")?,
        events: rows("SELECT * FROM event WHERE request_id = ?1 ORDER BY seq")?,
        texts: rows("SELECT * FROM text WHERE request_id = ?1")?,
        commands: rows("SELECT * FROM command WHERE request_id = ?1")?,
        sights: rows(
            "SELECT s.* FROM sight s JOIN request r ON r.number = s.number WHERE r.id = ?1
             ORDER BY EXISTS (SELECT 1 FROM json_each(r.deciders) d WHERE s.viewer = 'p:' || d.value)",
        )?,
        head: server.query_row("SELECT root, tree FROM head", [], |row| Ok((row.get(0)?, row.get(1)?)))?,
    })
}

/// The steps of a life: asked; approved and granted; claimed; setting up; active; given back; claimed; ended. What
/// is unique in the server's rows is made so here by the life's number.
fn write(db: &Connection, life: &Life, number: i64) -> Outcome<()> {
    let id = format!("{number:036}");
    let mut events = life.events.iter().enumerate();
    let mut commands = life.commands.iter().enumerate();
    let mut event = || -> Outcome<()> {
        let Some((at, row)) = events.next() else { return Ok(()) };
        let mut row = row.clone();
        let place = number * life.events.len() as i64 + at as i64 + 1;
        set(&mut row, 0, Value::Integer(place));
        set(&mut row, 1, Value::Text(format!("{place:036}")));
        set(&mut row, 2, Value::Text(id.clone()));
        insert(db, "event", row)?;
        db.prepare_cached("INSERT OR REPLACE INTO head (one, size, root, tree) VALUES (1, ?1, ?2, ?3)")?
            .execute((place, &life.head.0, &life.head.1))?;
        Ok(())
    };
    let sight = |at: usize| -> Outcome<()> {
        let mut row = life.sights.get(at).cloned().ok_or("nobody sees the request")?;
        set(&mut row, 1, Value::Integer(number + 1));
        insert(db, "sight", row)
    };
    let mut command = || -> Outcome<()> {
        let Some((at, row)) = commands.next() else { return Ok(()) };
        let mut row = row.clone();
        set(&mut row, 0, Value::Text(format!("{number:034}-{at}")));
        insert(db, "command", row)
    };
    let update = || -> Outcome<()> {
        let sql = "UPDATE request SET version = version + 1, body = ?2 WHERE id = ?1";
        db.prepare_cached(sql)?.execute((&id, life.request.last()))?;
        Ok(())
    };
    let job = |sql: &str| -> Outcome<()> {
        db.prepare_cached(sql)?.execute([&id])?;
        Ok(())
    };
    let put = |kind: &str| {
        job(&format!(
            "INSERT INTO job (kind, subject, request_id, target, due) VALUES ('{kind}', ?1, ?1, '', 1)"
        ))
    };
    const LEASE: &str = "UPDATE job SET fence = fence + 1, leased_until = 2 WHERE subject = ?1";
    const MOVE: &str = "UPDATE job SET due = 3, puts = puts + 1 WHERE subject = ?1";
    for step in 0..8 {
        db.execute_batch("BEGIN IMMEDIATE")?;
        match step {
            0 => {
                command()?;
                let mut row = life.request.clone();
                set(&mut row, 0, Value::Text(id.clone()));
                set(&mut row, 1, Value::Integer(number + 1));
                // The column of the grant, which is unique.
                set(&mut row, 8, Value::Text(id.clone()));
                insert(db, "request", row)?;
                for text in &life.texts {
                    let mut text = text.clone();
                    set(&mut text, 0, Value::Integer(number * life.events.len() as i64 + 1));
                    insert(db, "text", text)?;
                }
                put("lapse")?;
                for at in 0..life.sights.len().saturating_sub(1) {
                    sight(at)?;
                }
                event()?;
            }
            1 => {
                command()?;
                update()?;
                job("DELETE FROM job WHERE subject = ?1 AND kind = 'lapse'")?;
                put("end")?;
                put("provision")?;
                sight(life.sights.len().saturating_sub(1))?;
                event()?;
                event()?;
            }
            2 | 6 => job(LEASE)?,
            3 => {
                update()?;
                job(MOVE)?;
                event()?;
            }
            4 => {
                update()?;
                job("DELETE FROM job WHERE subject = ?1 AND kind = 'provision'")?;
                job(MOVE)?;
                db.prepare_cached("INSERT INTO sealed (grant_id, device_id, sealed) VALUES (?1, ?1, ?2)")?
                    .execute((&id, "s".repeat(SEALED)))?;
                event()?;
            }
            5 => {
                command()?;
                update()?;
                job(MOVE)?;
                event()?;
            }
            _ => {
                update()?;
                job("DELETE FROM job WHERE subject = ?1")?;
                job("DELETE FROM sealed WHERE grant_id = ?1")?;
                event()?;
            }
        }
        db.execute_batch("COMMIT")?;
    }
    Ok(())
}

fn set(row: &mut Row, column: usize, value: Value) {
    if let Some(place) = row.get_mut(column) {
        *place = value;
    }
}

fn insert(db: &Connection, table: &str, row: Row) -> Outcome<()> {
    let places = vec!["?"; row.len()].join(",");
    db.prepare_cached(&format!("INSERT INTO {table} VALUES ({places})"))?.execute(params_from_iter(row))?;
    Ok(())
}
