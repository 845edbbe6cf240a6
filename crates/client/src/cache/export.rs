//! What an export reads: events in the order of the log, a page at a time over a connection of its own, so that neither
//! a sync nor the window waits for it.

use super::documents::Documents;
use super::ingest::{Position, Signed};
use super::nodes::Kept;
use super::query::Found;
use super::read::{Seen, projection, projections, salted};
use super::write::replay;
use super::{Cache, meta, schema};
use crate::ui::Failure;
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::{GrantId, PersonId, RequestId, parse_number};
use gatepass_core::report::Record;
use gatepass_core::request::Request;
use gatepass_core::text::SaltedText;
use gatepass_core::view::Lens;
use gatepass_core::{Code, Time};
use gatepass_log::bundle::Entry;
use gatepass_log::{Hash, inclusion};
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Projections kept between events of the same request.
const KEPT: usize = 4_096;

/// The cache at one time, for one export.
pub(crate) struct Reading {
    conn: Connection,
    documents: Arc<Documents>,
    now: Time,
    pub position: Position,
    requests: Projections,
}

type Projections = HashMap<RequestId, Option<Request>>;

/// Which events, oldest first.
pub(crate) struct Chosen(Positions);

enum Positions {
    Found(Arc<Found>),
    These(Vec<u64>),
}

impl Chosen {
    /// Ascending.
    pub fn these(seqs: Vec<u64>) -> Self {
        Self(Positions::These(seqs))
    }

    pub fn total(&self) -> u64 {
        match &self.0 {
            Positions::Found(found) => found.positions.total,
            Positions::These(seqs) => seqs.len() as u64,
        }
    }

    /// Whether there may be more that match, older ones.
    pub fn capped(&self) -> bool {
        matches!(&self.0, Positions::Found(found) if found.capped)
    }

    /// From the `from`-th on.
    pub fn page(&self, from: u64, most: u64) -> Vec<u64> {
        let numbers = from..self.total().min(from.saturating_add(most));
        match &self.0 {
            Positions::Found(found) => numbers.filter_map(|n| found.positions.nth(n)).collect(),
            Positions::These(seqs) => {
                numbers.filter_map(|n| seqs.get(usize::try_from(n).ok()?).copied()).collect()
            }
        }
    }
}

/// One access with everything that belongs to it.
pub(crate) struct Access {
    pub request: Request,
    /// Positions of its events and of those of its extensions.
    pub seqs: BTreeSet<u64>,
    /// The positions of what these are checked with: catalogues, people, devices.
    pub context: BTreeSet<u64>,
}

impl Cache {
    /// `not_verified` before the first sync.
    pub fn reading(&self, now: Time) -> Result<Reading, Failure> {
        let position = self.position()?;
        let conn = schema::connect(&self.path, &self.key)?;
        let documents = self.documents_with(&conn)?.ok_or_else(nothing_yet)?;
        Ok(Reading { conn, documents, now, position, requests: HashMap::new() })
    }

    /// What a search finds.
    pub fn chosen(&self, reading: &Reading, text: &str) -> Result<Chosen, Failure> {
        Ok(Chosen(Positions::Found(self.find(&reading.seen()?, &reading.conn, text)?)))
    }
}

fn nothing_yet() -> Failure {
    Failure::new(Code::NotVerified, "There is no local copy of the log yet; it comes with the first sync.")
}

impl Reading {
    fn seen(&self) -> Result<Seen<'_>, Failure> {
        Seen::new(&self.conn, Arc::clone(&self.documents), self.now)
    }

    pub fn lens<T>(&self, look: impl FnOnce(&Lens<'_>) -> T) -> Result<T, Failure> {
        Ok(self.seen()?.lens(look))
    }

    pub fn me(&self) -> &gatepass_core::wire::Me {
        &self.documents.me
    }

    /// Those of the events that are still there.
    pub fn records(&mut self, seqs: &[u64]) -> Result<Vec<Record>, Failure> {
        let mut projections = std::mem::take(&mut self.requests);
        let seen = self.seen()?;
        let mut found = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let Some((raw, leaf)) = self.raw(*seq)? else { continue };
            let event: Event = serde_json::from_str(&raw).map_err(|_| Failure::from(Code::CacheBroken))?;
            let request = match event.request {
                // What could not be done is told by the state of that moment.
                Some(id) if matches!(event.fact, Fact::GrantDelayed { .. }) => replay(&self.conn, id, *seq)?,
                Some(id) => self.request(id, &mut projections)?,
                None => None,
            };
            found.push(seen.record(*seq, event, raw, &leaf, request.as_ref())?);
        }
        drop(seen);
        self.requests = projections;
        Ok(found)
    }

    fn request(&self, id: RequestId, known: &mut Projections) -> Result<Option<Request>, Failure> {
        if let Some(request) = known.get(&id) {
            return Ok(request.clone());
        }
        if known.len() >= KEPT {
            known.clear();
        }
        let found = projection(&self.conn, id)?;
        known.insert(id, found.clone());
        Ok(found)
    }

    fn raw(&self, seq: u64) -> Result<Option<(String, Hash)>, Failure> {
        Ok(self
            .conn
            .prepare_cached("SELECT json, leaf FROM events JOIN bodies USING(seq) WHERE seq = ?1")?
            .query_row([seq], |row| Ok((row.get(0)?, Hash(row.get(1)?))))
            .optional()?)
    }

    pub fn event(&self, seq: u64) -> Result<Option<Event>, Failure> {
        let raw = self.raw(seq)?;
        raw.map(|(raw, _)| serde_json::from_str(&raw).map_err(|_| Failure::from(Code::CacheBroken)))
            .transpose()
    }

    /// The newest head that the log signed and that holds here.
    pub fn signed(&self) -> Result<Option<Signed>, Failure> {
        meta(&self.conn, "signed")
    }

    /// The event with its way to the head at `size`.
    pub fn entry(&self, seq: u64, size: u64) -> Result<Option<Entry>, Failure> {
        let Some((raw, _)) = self.raw(seq)? else { return Ok(None) };
        let proof = inclusion(&Kept(&self.conn), seq, size);
        let proof = proof.map_err(|e| Failure::local("The proof can’t be made", e))?;
        Ok(Some(Entry::new(seq, raw.as_bytes(), &proof)))
    }

    /// The texts that the event names and that are here.
    pub fn texts(&self, event: &Event) -> Result<Vec<SaltedText>, Failure> {
        let named = event.fact.digests().into_iter();
        Ok(named
            .map(|(_, digest)| salted(&self.conn, digest))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// Requests after a number, oldest first.
    pub fn requests_after(&self, number: u64, most: u64) -> Result<Vec<Request>, Failure> {
        projections(&self.conn, "WHERE number > ?1 ORDER BY number LIMIT ?2", params![number, most])
    }

    pub fn request_count(&self) -> Result<u64, Failure> {
        Ok(self.conn.query_row("SELECT count(*) FROM requests", [], |row| row.get(0))?)
    }

    /// The access of a request: `R-12`, the id of the request, of its grant, or of a request to extend it.
    pub fn access(&self, named: &str) -> Result<Access, Failure> {
        let found = match (parse_number(named), uuid::Uuid::parse_str(named)) {
            (Some(number), _) => projections(&self.conn, "WHERE number = ?1", [number.0])?.pop(),
            (None, Ok(id)) => {
                projections(&self.conn, "WHERE id = ?1 OR grant_id = ?1", [id.as_bytes()])?.pop()
            }
            _ => None,
        };
        let found = found.ok_or_else(|| {
            Failure::new(Code::NotFound, format!("There is no request or access {named} that you may see."))
        })?;
        let request = match found.extends {
            Some(grant) => self.of_grant(grant)?.unwrap_or(found),
            None => found,
        };
        let mut seqs = self.positions(request.id)?;
        let mut people = BTreeSet::from([request.by]);
        if let Some(grant) = &request.grant {
            let extensions = projections(&self.conn, "WHERE extends = ?1", [grant.id.0.as_bytes()])?;
            for extension in extensions {
                seqs.extend(self.positions(extension.id)?);
            }
        }
        for seq in &seqs {
            if let Some(event) = self.event(*seq)? {
                people.extend(event.by.person());
                if let Fact::ApprovalVoided { person } = event.fact {
                    people.insert(person);
                }
            }
        }
        let context = self.context(&seqs, &people)?;
        Ok(Access { request, seqs, context })
    }

    fn of_grant(&self, grant: GrantId) -> Result<Option<Request>, Failure> {
        Ok(projections(&self.conn, "WHERE grant_id = ?1", [grant.0.as_bytes()])?.pop())
    }

    fn positions(&self, request: RequestId) -> Result<BTreeSet<u64>, Failure> {
        let mut statement =
            self.conn.prepare_cached("SELECT seq FROM events WHERE request = ?1 AND kind IS NOT NULL")?;
        let found =
            statement.query_map([request.0.as_bytes()], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(found)
    }

    /// The catalogues in force while it happened, and what was said of these people and their devices until then.
    fn context(&self, seqs: &BTreeSet<u64>, people: &BTreeSet<PersonId>) -> Result<BTreeSet<u64>, Failure> {
        let (Some(first), Some(last)) = (seqs.first(), seqs.last()) else { return Ok(BTreeSet::new()) };
        let mut statement = self.conn.prepare_cached(
            "SELECT seq, json FROM events JOIN bodies USING(seq)
             WHERE request IS NULL AND seq <= ?1 AND kind IN ('catalogue.published', 'person.recorded',
                 'person.revoked', 'person.erased', 'device.enrolled', 'device.disabled')
             ORDER BY seq",
        )?;
        let mut rows = statement.query([last])?;
        let mut found = BTreeSet::new();
        let mut in_force = None;
        while let Some(row) = rows.next()? {
            let seq: u64 = row.get(0)?;
            let json: String = row.get(1)?;
            let event: Event = serde_json::from_str(&json).map_err(|_| Failure::from(Code::CacheBroken))?;
            let about = match event.fact {
                Fact::CataloguePublished { .. } => {
                    if seq > *first {
                        found.insert(seq);
                    } else {
                        in_force = Some(seq);
                    }
                    continue;
                }
                Fact::PersonRecorded { person, .. }
                | Fact::PersonRevoked { person, .. }
                | Fact::PersonErased { person }
                | Fact::DeviceEnrolled { person, .. }
                | Fact::DeviceDisabled { person, .. } => person,
                _ => continue,
            };
            if people.contains(&about) {
                found.insert(seq);
            }
        }
        found.extend(in_force);
        Ok(found)
    }
}
