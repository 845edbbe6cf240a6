//! For tests: the embedded store of a stopped server in the hands of somebody who may write every file of it.

use gatepass_log::{HEIGHT, Hash, Tree};
use rusqlite::{Connection, params};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A row of the log as it is kept, with the texts beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub seq: u64,
    pub id: String,
    pub request: Option<String>,
    pub person: Option<String>,
    pub body: String,
    /// Digest, request, salt and text.
    texts: Vec<(String, Option<String>, String, String)>,
}

impl Row {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Another event in its place, canonical.
    pub fn say(&mut self, event: &Value) {
        self.body = String::from_utf8(gatepass_log::canonical(event).unwrap()).unwrap();
    }

    pub fn kind(&self) -> String {
        self.json()["kind"].as_str().unwrap().to_owned()
    }
}

/// The files of a stopped server.
pub struct Forge {
    data: PathBuf,
    db: Connection,
}

impl Forge {
    /// `data` is the server's directory.
    pub fn open(data: &Path) -> Self {
        let db = Connection::open(data.join("gatepass.db")).unwrap();
        Self { data: data.to_owned(), db }
    }

    pub fn rows(&self) -> Vec<Row> {
        let mut query =
            self.db.prepare("SELECT seq, id, request_id, person_id, body FROM event ORDER BY seq").unwrap();
        let row = |r: &rusqlite::Row<'_>| {
            let seq: i64 = r.get(0)?;
            let (id, request, person, body) = (r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?);
            Ok(Row { seq: seq as u64, id, request, person, body, texts: self.texts(seq) })
        };
        query.query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    fn texts(&self, seq: i64) -> Vec<(String, Option<String>, String, String)> {
        let mut query =
            self.db.prepare("SELECT digest, request_id, salt, text FROM text WHERE seq = ?1").unwrap();
        let text = |r: &rusqlite::Row<'_>| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?));
        query.query_map([seq], text).unwrap().map(Result::unwrap).collect()
    }

    /// Changes the database and nothing that would have to fit.
    pub fn sql(&self, sql: &str) {
        let changed = self.db.execute_batch(sql);
        changed.unwrap();
    }

    /// The only event of that kind, or the first.
    pub fn first(&self, kind: &str) -> Row {
        self.rows().into_iter().find(|r| r.kind() == kind).unwrap_or_else(|| panic!("no {kind} in the log"))
    }

    /// Writes another history, with every hash, tree and head made to fit it, and forgets what was signed: the server
    /// signs it at its next start as if it had never been another. Positions are given anew.
    pub fn rewrite(self, rows: &[Row]) {
        self.sql("BEGIN; DELETE FROM text; DELETE FROM subtree; DELETE FROM event");
        let mut tree = Tree::default();
        for row in rows {
            let leaf = Hash::leaf(row.body.as_bytes());
            let mut complete = Vec::new();
            tree.append_with(leaf, |height, number, root| complete.push((height, number, root)));
            let seq = tree.size() as i64;
            let event = params![seq, row.id, row.request, row.person, leaf.0, row.body];
            let insert = "INSERT INTO event (seq, id, request_id, person_id, leaf, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            self.db.execute(insert, event).unwrap();
            for (digest, request, salt, text) in &row.texts {
                let insert =
                    "INSERT INTO text (seq, digest, request_id, salt, text) VALUES (?1, ?2, ?3, ?4, ?5)";
                self.db.execute(insert, params![seq, digest, request, salt, text]).unwrap();
            }
            for (height, number, root) in complete {
                if height % HEIGHT == 0 {
                    let insert = "INSERT INTO subtree (height, number, root) VALUES (?1, ?2, ?3)";
                    self.db.execute(insert, params![height, number as i64, root.0]).unwrap();
                }
            }
        }
        let head = tree.head();
        let json = serde_json::to_string(&tree).unwrap();
        let update = "UPDATE head SET size = ?1, root = ?2, tree = ?3";
        self.db.execute(update, params![head.size as i64, head.root.0, json]).unwrap();
        self.sql("COMMIT");
        for seen in ["seen.json", "checkpoint"] {
            match std::fs::remove_file(self.data.join(seen)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{seen}: {error}"),
                _ => {}
            }
        }
    }
}
