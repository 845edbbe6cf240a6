//! The rows of one page: events, bodies, texts, projections, the index. Within the caller's transaction.

use super::check::{Breach, Readable, Row};
use super::documents::Documents;
use super::drift;
use super::erase::{self, Erased};
use super::place::{Marking, mark_again};
use super::positions::BLOCK;
use super::postings::{Posting, drop_block, outcome};
use super::read::{projection, salted};
use crate::ui::Failure;
use gatepass_core::drift::about;
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::RequestId;
use gatepass_core::request::{Request, apply};
use gatepass_core::sentence::event_view;
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::view::Lens;
use gatepass_core::{Code, Time};
use gatepass_log::Hash;
use rusqlite::{CachedStatement, Connection, params};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

/// One page's writes.
pub(super) struct Writing<'c> {
    conn: &'c Connection,
    documents: &'c Documents,
    now: Time,
    event: CachedStatement<'c>,
    body: CachedStatement<'c>,
    text: CachedStatement<'c>,
    posting: Posting,
    marking: Marking,
    requests: HashMap<RequestId, Request>,
    /// To be written at the end.
    dirty: BTreeSet<RequestId>,
    /// How the requests went before this page, and where in it they have events.
    outcomes: HashMap<RequestId, (Vec<String>, Vec<u64>)>,
    /// Whose events came or went in a resync: to be built anew.
    rebuilt: BTreeSet<RequestId>,
    /// Blocks of the index in which something came or went in a resync: to be made anew once the requests stand.
    stale: BTreeSet<u64>,
    /// Events about drift came or went in a resync.
    drifted: bool,
    /// Events came into sight before others that are marked.
    unmarked: bool,
    erased: Erased,
    /// Somebody was erased, whose texts may be here.
    erasing: bool,
    changed: bool,
}

impl<'c> Writing<'c> {
    pub fn new(conn: &'c Connection, documents: &'c Documents, now: Time) -> Result<Self, Failure> {
        Ok(Self {
            conn,
            documents,
            now,
            event: conn.prepare_cached(
                "INSERT INTO events(seq, leaf, at, kind, by, request) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            body: conn.prepare_cached("INSERT INTO bodies(seq, json) VALUES(?1, ?2)")?,
            text: conn
                .prepare_cached("INSERT OR REPLACE INTO texts(digest, salt, text) VALUES(?1, ?2, ?3)")?,
            posting: Posting::default(),
            marking: Marking::new(conn)?,
            requests: HashMap::new(),
            dirty: BTreeSet::new(),
            outcomes: HashMap::new(),
            rebuilt: BTreeSet::new(),
            stale: BTreeSet::new(),
            drifted: false,
            unmarked: false,
            erased: Erased::read(conn)?,
            erasing: false,
            changed: false,
        })
    }

    pub fn append(&mut self, row: &Row) -> Result<(), Failure> {
        let leaf = row.leaf.0;
        let Some(Readable { event, json }) = &row.event else {
            let none: Option<i64> = None;
            self.event.execute(params![row.seq, leaf, none, none, none, none])?;
            return Ok(());
        };
        let by = event.by.person().map(|p| *p.0.as_bytes());
        let request = event.request.map(|r| *r.0.as_bytes());
        let at = event.at.timestamp_millis();
        self.event.execute(params![row.seq, leaf, at, event.fact.kind(), by, request])?;
        self.body.execute(params![row.seq, json])?;
        let texts = self.theirs(row, event)?;
        self.texts(event, texts)?;
        self.device(event)?;
        drift::take(self.conn, event)?;
        self.marking.pass(self.conn, row.seq, at)?;
        if let Some(id) = event.request {
            let state = match self.requests.remove(&id) {
                Some(request) => Some(request),
                None if matches!(event.fact, Fact::RequestCreated { .. }) => None,
                None => projection(self.conn, id)?,
            };
            let went = || (state.as_ref().map(outcomes).unwrap_or_default(), Vec::new());
            self.outcomes.entry(id).or_insert_with(went).1.push(row.seq);
            if let Some(request) = apply(state, event) {
                self.requests.insert(id, request);
                self.dirty.insert(id);
            }
        }
        self.index(row.seq, event, texts)
    }

    /// The texts of an event that are to be kept: none of somebody who was erased since.
    fn theirs<'r>(&mut self, row: &'r Row, event: &Event) -> Result<&'r [(Digest, SaltedText)], Failure> {
        self.erasing |= erase::take(self.conn, &mut self.erased, row.seq, event)?;
        Ok(if self.erased.at(row.seq, event).is_some() { &[] } else { &row.texts })
    }

    /// Has a block of the index made anew.
    pub fn reindex(&mut self, block: u64) {
        self.stale.insert(block);
    }

    /// A position already held, in a resync: the leaf must be the same; what may be read may have changed.
    pub fn compare(&mut self, row: &Row) -> Result<Option<Breach>, Failure> {
        let (leaf, had): ([u8; 32], bool) = self
            .conn
            .prepare_cached(
                "SELECT leaf, EXISTS(SELECT 1 FROM bodies WHERE bodies.seq = events.seq) FROM events WHERE seq = ?1",
            )?
            .query_row([row.seq], |r| Ok((r.get(0)?, r.get(1)?)))?;
        if leaf != row.leaf.0 {
            let what = format!("Position {} of the server’s log is not what it was.", row.seq);
            return Ok(Some(Breach {
                seq: Some(row.seq),
                kept_leaf: Some(Hash(leaf).digest()),
                leaf: Some(row.leaf.digest()),
                ..Breach::new("rewritten", what)
            }));
        }
        match &row.event {
            Some(Readable { event, json }) if !had => {
                let by = event.by.person().map(|p| *p.0.as_bytes());
                let request = event.request.map(|r| *r.0.as_bytes());
                let at = event.at.timestamp_millis();
                self.conn
                    .prepare_cached(
                        "UPDATE events SET at = ?2, kind = ?3, by = ?4, request = ?5 WHERE seq = ?1",
                    )?
                    .execute(params![row.seq, at, event.fact.kind(), by, request])?;
                self.body.execute(params![row.seq, json])?;
                let texts = self.theirs(row, event)?;
                self.texts(event, texts)?;
                self.device(event)?;
                self.rebuilt.extend(event.request);
                self.drifted |= about(&event.fact).is_some();
                self.stale.insert(row.seq / BLOCK);
                self.unmarked = true;
                self.changed = true;
            }
            Some(Readable { event, .. }) => {
                let texts = self.theirs(row, event)?;
                self.erase(row.seq, event, texts)?;
            }
            None if had => self.forget(row.seq)?,
            None => {}
        }
        Ok(None)
    }

    /// Texts of an event that the server no longer has are dropped here too.
    fn erase(&mut self, seq: u64, event: &Event, texts: &[(Digest, SaltedText)]) -> Result<(), Failure> {
        let mut gone = false;
        for (_, digest) in event.fact.digests() {
            if !texts.iter().any(|(d, _)| d == digest)
                && let Some(key) = digest_bytes(digest)
            {
                let deleted =
                    self.conn.prepare_cached("DELETE FROM texts WHERE digest = ?1")?.execute([key])?;
                gone |= deleted > 0;
            }
        }
        if gone {
            self.stale.insert(seq / BLOCK);
            self.changed = true;
        }
        Ok(())
    }

    /// No longer to be seen: everything readable goes, the leaf stays.
    fn forget(&mut self, seq: u64) -> Result<(), Failure> {
        let json: String = self
            .conn
            .prepare_cached("SELECT json FROM bodies WHERE seq = ?1")?
            .query_row([seq], |r| r.get(0))?;
        if let Ok(event) = serde_json::from_str::<Event>(&json) {
            self.rebuilt.extend(event.request);
            self.drifted |= about(&event.fact).is_some();
            for (_, digest) in event.fact.digests() {
                if let Some(key) = digest_bytes(digest) {
                    self.conn.prepare_cached("DELETE FROM texts WHERE digest = ?1")?.execute([key])?;
                }
            }
        }
        for sql in [
            "DELETE FROM bodies WHERE seq = ?1",
            "UPDATE events SET at = NULL, kind = NULL, by = NULL, request = NULL WHERE seq = ?1",
        ] {
            self.conn.prepare_cached(sql)?.execute([seq])?;
        }
        self.stale.insert(seq / BLOCK);
        self.changed = true;
        Ok(())
    }

    fn texts(&mut self, event: &Event, texts: &[(Digest, SaltedText)]) -> Result<(), Failure> {
        let digests = event.fact.digests();
        for (digest, text) in texts {
            // Only texts this event commits to.
            if digests.iter().any(|(_, d)| *d == digest)
                && let Some(key) = digest_bytes(digest)
            {
                self.text.execute(params![key, text.salt, text.text])?;
            }
        }
        Ok(())
    }

    fn device(&self, event: &Event) -> Result<(), Failure> {
        if let Fact::DeviceEnrolled { person, device, signing_key, name, .. } = &event.fact {
            self.conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO devices(id, person, signing_key, name) VALUES(?1, ?2, ?3, ?4)",
                )?
                .execute(params![
                    device.0.as_bytes(),
                    person.0.as_bytes(),
                    signing_key,
                    digest_bytes(name)
                ])?;
        }
        Ok(())
    }

    fn index(&mut self, seq: u64, event: &Event, texts: &[(Digest, SaltedText)]) -> Result<(), Failure> {
        // The name in an event about drift may have come with an earlier one.
        let held = |digest: &Digest| salted(self.conn, digest).ok().flatten().map(|t| t.text);
        let text = |digest: &Digest| {
            let here = texts.iter().find(|(d, _)| d == digest).map(|(_, t)| t.text.clone());
            here.or_else(|| event.fact.found().and_then(|_| held(digest)))
        };
        let lens = Lens {
            catalogue: &self.documents.catalogue,
            directory: &self.documents.directory,
            text: &text,
            viewer: self.documents.me.person.id,
            now: self.now,
        };
        let request = event.request.and_then(|id| self.requests.get(&id));
        let view = event_view(seq, event, request, &lens);
        self.posting.event(seq, event, request, &view);
        Ok(())
    }

    /// Makes a block of the index anew from what there is to read in it.
    fn index_again(&mut self, block: u64) -> Result<(), Failure> {
        drop_block(self.conn, block)?;
        let mut statement =
            self.conn.prepare_cached("SELECT seq, json FROM bodies WHERE seq >= ?1 AND seq < ?2")?;
        let mut rows = statement.query(params![block * BLOCK, (block + 1) * BLOCK])?;
        while let Some(row) = rows.next()? {
            let (seq, json): (u64, String) = (row.get(0)?, row.get(1)?);
            let event: Event = serde_json::from_str(&json).map_err(|_| Failure::from(Code::CacheBroken))?;
            if let Some(id) = event.request {
                if !self.requests.contains_key(&id)
                    && let Some(request) = projection(self.conn, id)?
                {
                    self.requests.insert(id, request);
                }
                for went in self.requests.get(&id).map(outcomes).unwrap_or_default() {
                    self.posting.add(seq, &went);
                }
            }
            let mut texts = Vec::new();
            for (_, digest) in event.fact.digests() {
                let found = salted(self.conn, digest)?;
                texts.extend(found.map(|t| (digest.clone(), t)));
            }
            self.index(seq, &event, &texts)?;
        }
        Ok(())
    }

    /// What a request's events are found by changes with how it goes.
    fn index_outcome(&mut self, id: RequestId) -> Result<(), Failure> {
        let Some((before, here)) = self.outcomes.remove(&id) else { return Ok(()) };
        let now = self.requests.get(&id).map(outcomes).unwrap_or_default();
        for seq in &here {
            now.iter().for_each(|word| self.posting.add(*seq, word));
        }
        if before.is_empty() || before == now {
            return Ok(());
        }
        let mut statement =
            self.conn.prepare_cached("SELECT seq FROM events WHERE request = ?1 AND seq < ?2")?;
        let first = here.first().copied().unwrap_or(0);
        let mut rows = statement.query(params![id.0.as_bytes(), first])?;
        while let Some(row) = rows.next()? {
            let seq = row.get(0)?;
            before.iter().filter(|w| !now.contains(w)).for_each(|word| self.posting.remove(seq, word));
            now.iter().filter(|w| !before.contains(w)).for_each(|word| self.posting.add(seq, word));
        }
        Ok(())
    }

    /// Answers whether a resync changed anything.
    pub fn finish(mut self) -> Result<bool, Failure> {
        if self.erasing {
            erase::texts(self.conn)?;
            self.changed = true;
        }
        if self.drifted {
            drift::rebuild(self.conn)?;
        }
        for id in std::mem::take(&mut self.rebuilt) {
            self.requests.remove(&id);
            self.outcomes.remove(&id);
            let mut statement = self.conn.prepare_cached("SELECT seq FROM events WHERE request = ?1")?;
            let mut rows = statement.query([id.0.as_bytes()])?;
            while let Some(row) = rows.next()? {
                self.stale.insert(row.get::<_, u64>(0)? / BLOCK);
            }
            match replay(self.conn, id, u64::MAX >> 1)? {
                Some(request) => {
                    self.requests.insert(id, request);
                    self.dirty.insert(id);
                }
                None => {
                    self.dirty.remove(&id);
                    self.conn
                        .prepare_cached("DELETE FROM requests WHERE id = ?1")?
                        .execute([id.0.as_bytes()])?;
                }
            }
        }
        let mut put = self.conn.prepare_cached(
            "INSERT OR REPLACE INTO requests(id, number, state, by, resource, role, grant_id, grant_state, cause,
                 extends, json) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        for id in &self.dirty {
            let Some(r) = self.requests.get(id) else { continue };
            let json = serde_json::to_string(r).map_err(|e| Failure::local("A request can’t be kept", e))?;
            let grant = r.grant.as_ref();
            put.execute(params![
                id.0.as_bytes(),
                r.number.0,
                word(&r.state),
                r.by.0.as_bytes(),
                r.resource,
                r.role,
                grant.map(|g| *g.id.0.as_bytes()),
                grant.map(|g| word(&g.state)),
                grant.and_then(|g| g.end.as_ref()).map(|e| word(&e.cause)),
                r.extends.map(|g| *g.0.as_bytes()),
                json
            ])?;
        }
        for id in std::mem::take(&mut self.dirty) {
            self.index_outcome(id)?;
        }
        // What was shown before and is not now must leave no word behind, so whole blocks are made anew.
        for block in std::mem::take(&mut self.stale) {
            self.index_again(block)?;
        }
        self.posting.write(self.conn)?;
        if self.unmarked {
            mark_again(self.conn)?;
        }
        Ok(self.changed)
    }
}

/// How a request went, as the terms its events are found by.
fn outcomes(request: &Request) -> Vec<String> {
    let grant = request.grant.as_ref();
    let words = [
        Some(word(&request.state)),
        grant.map(|g| word(&g.state)),
        grant.and_then(|g| g.end.as_ref()).map(|e| word(&e.cause)),
    ];
    words.into_iter().flatten().map(|w| outcome(&w)).collect()
}

/// A state as it stands on the wire.
pub(super) fn word<T: Serialize>(state: &T) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The projection of a request from its events up to position `upto`.
pub(super) fn replay(conn: &Connection, id: RequestId, upto: u64) -> Result<Option<Request>, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT json FROM events JOIN bodies USING(seq) WHERE request = ?1 AND seq <= ?2 ORDER BY seq",
    )?;
    let mut rows = statement.query(params![id.0.as_bytes(), upto])?;
    let mut state = None;
    while let Some(row) = rows.next()? {
        let json: String = row.get(0)?;
        let event: Event = serde_json::from_str(&json).map_err(|_| Failure::from(Code::CacheBroken))?;
        state = apply(state, &event);
    }
    Ok(state)
}

/// A digest as the cache keys it; `None` unless it is 64 hex digits.
pub(super) fn digest_bytes(digest: &Digest) -> Option<[u8; 32]> {
    Hash::parse(digest).map(|h| h.0)
}
