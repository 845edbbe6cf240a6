//! The newest part of the log, recomputed.

use super::{Finding, fail, ok, warn};
use crate::Config;
use crate::backup::DATABASE;
use crate::seen;
use crate::signing::read_key;
use crate::store::postgres::{Options, facts};
use crate::store::sqlite::Kept;
use crate::verify::{Broken, Entry, verify};
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_log::{Hash, Nodes, Tree, origin};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use std::path::Path;
use std::time::Duration;

/// So many of the newest events; a log that is no longer is recomputed whole.
const NEWEST: u32 = 10_000;
const ABOUT: &str = "log.newest";

pub async fn shared(options: &Options, config: &Config) -> Vec<Finding> {
    let data = &config.data;
    match facts::tail(options, NEWEST).await {
        Ok((head, tree, entries)) => {
            // What can't be read is then missing.
            let nodes = facts::nodes(options, &seen::needed(data, &head)).await.unwrap_or_default();
            let signed = facts::signed(options).await.unwrap_or_default();
            vec![judge(&head, &tree, &entries), kept(data, &head, &nodes), key(config, signed.as_deref())]
        }
        // The database's own findings say why.
        Err(error) => vec![warn(
            ABOUT,
            format!("the log cannot be read: {error}"),
            "Look again when the database answers",
        )],
    }
}

pub fn embedded(config: &Config) -> Vec<Finding> {
    let file = config.data.join(DATABASE);
    if !file.exists() {
        let none = warn(ABOUT, "there is no log yet", "The first start begins one");
        return vec![none, key(config, None)];
    }
    match read(&file, &config.data) {
        Ok(Read { log, seen, token_key, signed }) => {
            let token_key = if token_key {
                ok("data.token_key", "the key of the sessions is there")
            } else {
                warn("data.token_key", "there is no key of the sessions yet", "The next start makes one")
            };
            vec![log, seen, key(config, signed.as_deref()), token_key]
        }
        Err(error) => vec![fail(
            ABOUT,
            format!("{} cannot be read: {error}", file.display()),
            "Stop the server and “restore” a backup",
        )],
    }
}

/// Whether it is the log that this node saw last.
fn kept(data: &Path, head: &Head, nodes: &dyn Nodes) -> Finding {
    const ABOUT: &str = "log.seen";
    if seen::nothing(data) {
        return ok(ABOUT, "this node has seen no log yet");
    }
    match seen::missing(data, head, nodes) {
        Ok(None) => ok(ABOUT, "the log goes on from what this node saw of it"),
        Ok(Some(lost)) => fail(
            ABOUT,
            format!(
                "this node saw {} events, and the log has {} or others: it is an older copy, and nothing is written",
                lost.size, head.size
            ),
            "Put the newest copy back, or, if there is none, run “gatepass-server log recover” and start the server again",
        ),
        Err(why) => warn(
            ABOUT,
            format!("it cannot be told whether the log goes on from what this node saw of it: {why}"),
            "Start a node of this version, and look again",
        ),
    }
}

/// Whether the key that the log is signed with is there, and nobody else's. `signed` is the one that the store names.
fn key(config: &Config, signed: Option<&str>) -> Finding {
    const ABOUT: &str = "log.key";
    let (file, name) = (&config.log_key, &config.name);
    let shown = file.display();
    let put = "Put your copy of it there, mode 0600, or copy it from a machine where a node runs";
    match read_key(file) {
        Ok(Some(key)) if signed.is_some_and(|signed| signed != key.vkey()) => {
            let signed = signed.unwrap_or_default();
            fail(
                ABOUT,
                format!("the log is signed with {signed}, and the key at {shown} is another, {}", key.vkey()),
                put,
            )
        }
        Ok(Some(key)) if key.origin() != origin(name) => warn(
            ABOUT,
            format!("the log is signed with {}, and the server has another name, “{name}”", key.vkey()),
            "Nothing, if it was renamed: the log keeps its origin",
        ),
        Ok(Some(key)) => ok(ABOUT, format!("the log is signed with {}", key.vkey())),
        Ok(None) => match signed {
            Some(_) => fail(ABOUT, format!("the key that the log is signed with is not at {shown}"), put),
            None => warn(ABOUT, format!("there is no key at {shown} yet"), "The first start makes it"),
        },
        Err(error) => fail(ABOUT, error.to_string(), put),
    }
}

/// What there is to say of a file.
struct Read {
    log: Finding,
    seen: Finding,
    token_key: bool,
    /// The key that the log is signed with.
    signed: Option<String>,
}

fn read(file: &Path, data: &Path) -> rusqlite::Result<Read> {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    db.busy_timeout(Duration::from_secs(10))?;
    db.pragma_update(None, "query_only", true)?;
    db.execute_batch("BEGIN")?;
    let head = db.query_row("SELECT size, root, tree FROM head", [], |row| {
        let tree: String = row.get(2)?;
        let tree = serde_json::from_str(&tree).map_err(|e| {
            rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(e))
        })?;
        Ok((Head { size: row.get::<_, i64>(0)?.cast_unsigned(), root: Digest(row.get(1)?) }, tree))
    });
    let (head, tree) = head.optional()?.unwrap_or_else(|| (Tree::default().head(), Tree::default()));
    let mut query =
        db.prepare("SELECT seq, leaf, body FROM event WHERE seq > ?1 - ?2 AND seq <= ?1 ORDER BY seq")?;
    let entries = query.query_map((head.size.cast_signed(), NEWEST), |row| {
        Ok(Entry { seq: row.get::<_, i64>(0)?.cast_unsigned(), leaf: row.get(1)?, body: row.get(2)? })
    })?;
    let entries = entries.collect::<rusqlite::Result<Vec<_>>>()?;
    let setting = |key| -> rusqlite::Result<Option<String>> {
        db.query_row("SELECT value FROM setting WHERE key = ?1", [key], |row| row.get(0)).optional()
    };
    let (token_key, signed) = (setting("token_key")?.is_some(), setting("log_key")?);
    let seen = kept(data, &head, &Kept(&db));
    Ok(Read { log: judge(&head, &tree, &entries), seen, token_key, signed })
}

fn judge(head: &Head, tree: &Tree, entries: &[Entry]) -> Finding {
    match tail(head, tree, entries) {
        Ok(count) if count == head.size => ok(ABOUT, format!("all {count} events are as they were recorded")),
        Ok(count) => {
            ok(ABOUT, format!("the newest {count} of {} events are as they were recorded", head.size))
        }
        Err(broken) => fail(
            ABOUT,
            broken.to_string(),
            "Somebody or something changed the database: keep a copy, and go back to a backup whose root was noted",
        ),
    }
}

/// Recomputes what there is of the log's end; answers how many events that were.
fn tail(head: &Head, tree: &Tree, entries: &[Entry]) -> Result<u64, Broken> {
    let count = entries.len() as u64;
    if head.size <= u64::from(NEWEST) {
        verify(entries.iter().cloned().map(Ok::<_, String>), head, tree, |_| Ok(()))?;
        return Ok(head.size);
    }
    if tree.head() != *head {
        return Err(Broken::Head);
    }
    let first = head.size - u64::from(NEWEST) + 1;
    for (expected, entry) in (first..).zip(entries) {
        if entry.seq != expected {
            return Err(Broken::Gap { expected, found: entry.seq });
        }
        if entry.leaf != Hash::leaf(entry.body.as_bytes()).0 {
            return Err(Broken::Changed { seq: expected });
        }
    }
    let size = first - 1 + count;
    if size < head.size { Err(Broken::Short { size, expected: head.size }) } else { Ok(count) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_a_long_log_the_end_is_recomputed() {
        let (mut tree, mut entries) = (Tree::default(), Vec::new());
        for n in 1..=u64::from(NEWEST) + 5 {
            let body = format!("{{\"n\":{n}}}");
            let leaf = Hash::leaf(body.as_bytes());
            tree.append(leaf);
            entries.push(Entry { seq: n, leaf: leaf.0.to_vec(), body });
        }
        let head = tree.head();
        let newest = &mut entries[5..];
        assert_eq!(tail(&head, &tree, newest), Ok(NEWEST.into()));
        let last = newest.len() - 1;
        assert!(matches!(tail(&head, &tree, &newest[..last]), Err(Broken::Short { .. })));
        newest[7].body.push(' ');
        assert_eq!(tail(&head, &tree, newest), Err(Broken::Changed { seq: 13 }));
    }
}
