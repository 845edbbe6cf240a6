//! Audit's search: words, `person:` `resource:` `role:` `kind:` `outcome:` `env:` `after:` `before:`, and `-` before
//! what must not be. Its answer is a set of positions, so any place in it is as near as the first.

use super::Cache;
use super::documents::Documents;
use super::place::at_or_after;
use super::positions::{Counted, Positions};
use super::postings::{ANY, Reader, line, outcome};
use super::read::{Seen, event_at};
use super::terms::{Term, Wanted, parse};
use super::words::{compounds, folded, holds, words};
use super::{ingest, meta};
use crate::ui::Failure;
use gatepass_core::wire::EventView;
use rusqlite::Connection;
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Words in a row are looked for in so many of the newest events that hold them all: the index does not know which word
/// comes after which.
const READ: usize = 1_000;

/// Searches kept, so that moving in a result is not searching again.
const KEPT: usize = 8;

/// What a search came to.
#[derive(Debug)]
pub(super) struct Found {
    pub positions: Counted,
    /// There may be more, older ones: see [`READ`].
    pub capped: bool,
    /// Positions of the log.
    pub size: u64,
    /// Differs when the log or what may be seen of it did.
    pub changes: u64,
}

struct Kept {
    text: String,
    documents: String,
    found: Arc<Found>,
}

/// The last searches.
#[derive(Default)]
pub(crate) struct Searches(Mutex<VecDeque<Kept>>);

impl Cache {
    /// What matches, from the newest searches when nothing changed since.
    pub(super) fn find(&self, seen: &Seen<'_>, conn: &Connection, text: &str) -> Result<Arc<Found>, Failure> {
        // Of one moment: a page that is written meanwhile counts for the next search.
        let tx = conn.unchecked_transaction()?;
        let changes = meta(&tx, "changes")?.unwrap_or(0);
        let version = seen.documents().version();
        let mut kept = self.searches.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|k| k.found.changes == changes && k.documents == version);
        if let Some(known) = kept.iter().find(|k| k.text == text) {
            return Ok(Arc::clone(&known.found));
        }
        drop(kept);
        let terms = parse(text)?;
        let reader = Reader { conn: &tx, size: ingest::tree(&tx)?.size() };
        let (positions, capped) = look(seen, &reader, &terms)?;
        let found = Arc::new(Found { positions, capped, size: reader.size, changes });
        let mut kept = self.searches.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.push_front(Kept { text: text.to_owned(), documents: version, found: Arc::clone(&found) });
        Ok(found)
    }
}

/// The events at these positions, in this order.
pub(super) fn views(seen: &Seen<'_>, conn: &Connection, seqs: &[u64]) -> Result<Vec<EventView>, Failure> {
    let mut found = Vec::with_capacity(seqs.len());
    for seq in seqs {
        // One that is no longer to be seen is missing until the result is read again.
        if let Some((event, _)) = event_at(conn, *seq)? {
            found.push(seen.event(*seq, &event)?);
        }
    }
    Ok(found)
}

fn look(seen: &Seen<'_>, reader: &Reader<'_>, terms: &[Wanted]) -> Result<(Counted, bool), Failure> {
    let mut found = reader.term(ANY)?;
    let mut rows = Vec::new();
    for wanted in terms {
        if found.is_empty() {
            break;
        }
        let matching = match &wanted.term {
            Term::Word(word) => match by_word(reader, word)? {
                Some(matching) => matching,
                None => {
                    rows.push((in_a_row(word), wanted.not));
                    continue;
                }
            },
            other => matching(seen.documents(), reader, other)?,
        };
        if wanted.not { found.without(&matching) } else { found.and(&matching) }
    }
    let mut capped = false;
    for (row, not) in rows {
        let mut candidates = found.clone();
        for word in &row {
            candidates.and(&reader.word(word)?);
        }
        let (holding, more) = read(seen, reader.conn, candidates, &row, reader.size)?;
        if not {
            found.without(&holding)
        } else {
            found = holding
        }
        capped |= more;
    }
    Ok((found.counted(), capped))
}

fn matching(documents: &Documents, reader: &Reader<'_>, term: &Term) -> Result<Positions, Failure> {
    let of = |kind: &str, ids: &HashSet<String>| {
        // A few are looked up; many are found while reading past all there are.
        if ids.len() > 8 {
            return reader.begins(kind, |id| ids.contains(id));
        }
        let mut found = Positions::none(reader.size);
        for id in ids {
            found.or(&reader.term(&format!("{kind}{id}"))?);
        }
        Ok(found)
    };
    match term {
        Term::Word(_) => Ok(Positions::none(reader.size)),
        Term::Person(text) => of("=p:", &people(text, documents)),
        Term::Resource(text) => of("=r:", &resources(text, documents)),
        Term::Role(text) => reader.term(&format!("=l:{}", text.to_lowercase())),
        Term::Kind(text) => {
            // `request` finds all of `request.…`, `approved` finds `request.approved`.
            let text = text.to_lowercase();
            reader.begins("=k:", |kind| {
                kind == text || kind.split_once('.').is_some_and(|(area, what)| area == text || what == text)
            })
        }
        Term::Outcome(text) => reader.term(&outcome(text)),
        Term::Environment(text) => of("=r:", &resources_in(text, documents)),
        Term::After(at) => {
            let mut found = Positions::none(reader.size);
            if let Some(from) = at_or_after(reader.conn, *at)? {
                found.fill(from, reader.size + 1);
            }
            Ok(found)
        }
        Term::Before(at) => {
            let mut found = Positions::none(reader.size);
            found.fill(1, at_or_after(reader.conn, *at)?.unwrap_or(reader.size + 1));
            Ok(found)
        }
    }
}

/// What one word finds; `None` when only reading the events tells.
fn by_word(reader: &Reader<'_>, word: &str) -> Result<Option<Positions>, Failure> {
    let folded = folded(word);
    let mut single = words(&folded);
    match (single.next(), single.next()) {
        (None, _) => Ok(Some(Positions::none(reader.size))),
        (Some(word), None) => reader.word(word).map(Some),
        _ => {
            let mut compounds = compounds(&folded);
            let (Some(compound), None) = (compounds.next(), compounds.next()) else { return Ok(None) };
            let found = reader.word(compound)?;
            let whole = folded.trim_matches(|c: char| !c.is_alphanumeric()) == compound && !found.is_empty();
            Ok(whole.then_some(found))
        }
    }
}

fn in_a_row(text: &str) -> Vec<String> {
    words(&folded(text)).map(str::to_owned).collect()
}

/// Of the newest candidates, those in which the words stand in a row; and whether some were not read.
fn read(
    seen: &Seen<'_>,
    conn: &Connection,
    candidates: Positions,
    row: &[String],
    size: u64,
) -> Result<(Positions, bool), Failure> {
    let candidates = candidates.counted();
    let mut found = Positions::none(size);
    for view in views(seen, conn, &candidates.newest(0, READ))? {
        if holds(&line(&view), row) {
            found.insert(view.seq);
        }
    }
    Ok((found, candidates.total > READ as u64))
}

/// Ids of people by handle (whole) or name (part).
fn people(text: &str, documents: &Documents) -> HashSet<String> {
    let text = folded(text);
    let matching =
        documents.directory.people().filter(|p| folded(&p.handle) == text || folded(&p.name).contains(&text));
    matching.map(|p| p.id.0.simple().to_string()).collect()
}

/// Ids of resources by id (whole, also of one that is no longer offered) or name (part).
fn resources(text: &str, documents: &Documents) -> HashSet<String> {
    let named = documents.catalogue.resources.iter().filter(|r| folded(&r.name).contains(&folded(text)));
    named.map(|r| r.id.to_lowercase()).chain([text.to_lowercase()]).collect()
}

fn resources_in(environment: &str, documents: &Documents) -> HashSet<String> {
    let resources = documents.catalogue.resources.iter();
    resources
        .filter(|r| r.environment.eq_ignore_ascii_case(environment))
        .map(|r| r.id.to_lowercase())
        .collect()
}
