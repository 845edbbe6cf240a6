//! The index of the search: for each term, in which events it is, as bits in blocks of positions. A term is a word, its
//! beginnings of up to three characters (`*wri`), or what an event is known by (`=k:request.denied`). So a search reads
//! a few rows a block, whatever it finds, and knows how many there are.

use super::positions::{BLOCK, Positions};
use super::words::{beginning, compounds, folded, words};
use crate::ui::Failure;
use gatepass_core::event::Event;
use gatepass_core::request::Request;
use gatepass_core::wire::EventView;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::collections::{BTreeMap, HashMap};

/// In every readable event.
pub(super) const ANY: &str = "=";

/// Beginnings of words that are terms of their own.
const SHORT: usize = 3;

/// A block's bits; a stored one of fewer members is a list of two bytes each.
type Bits = [u64; (BLOCK / 64) as usize];

/// Terms of events on their way to the table.
#[derive(Default)]
pub(super) struct Posting {
    added: HashMap<String, Vec<u64>>,
    removed: HashMap<String, Vec<u64>>,
    term: String,
}

/// What came to one row, and what goes from it.
#[derive(Default)]
struct Changed {
    added: Vec<u64>,
    removed: Vec<u64>,
}

impl Posting {
    /// Everything an event is found by, but for how its request went: that changes.
    pub fn event(&mut self, seq: u64, event: &Event, request: Option<&Request>, view: &EventView) {
        self.add(seq, ANY);
        self.known(seq, "=k:", event.fact.kind());
        let people = [event.by.person(), request.map(|r| r.by)];
        for person in people.into_iter().flatten() {
            self.known(seq, "=p:", &person.0.simple().to_string());
        }
        let found = event.fact.found().map(|f| f.resources.as_slice()).unwrap_or_default();
        for resource in request.map(|r| &r.resource).into_iter().chain(found) {
            self.known(seq, "=r:", &resource.to_lowercase());
        }
        if let Some(request) = request {
            self.known(seq, "=l:", &request.role.to_lowercase());
        }
        self.text(seq, &line(view));
    }

    fn text(&mut self, seq: u64, line: &str) {
        for word in words(line).chain(compounds(line)) {
            let mut ends = word.char_indices().skip(1).map(|(at, _)| at);
            for _ in 0..SHORT {
                let end = ends.next();
                self.known(seq, "*", word.get(..end.unwrap_or(word.len())).unwrap_or(word));
                if end.is_none() {
                    break;
                }
            }
            if beginning(word, SHORT).len() < word.len() {
                self.add(seq, word);
            }
        }
    }

    fn known(&mut self, seq: u64, kind: &str, value: &str) {
        let mut term = std::mem::take(&mut self.term);
        term.clear();
        term.push_str(kind);
        term.push_str(value);
        self.add(seq, &term);
        self.term = term;
    }

    pub fn add(&mut self, seq: u64, term: &str) {
        match self.added.get_mut(term) {
            Some(list) if list.last() == Some(&seq) => {}
            Some(list) => list.push(seq),
            None => {
                self.added.insert(term.to_owned(), vec![seq]);
            }
        }
    }

    pub fn remove(&mut self, seq: u64, term: &str) {
        self.removed.entry(term.to_owned()).or_default().push(seq);
    }

    /// Writes everything. What is removed is gone, also when it was added before.
    pub fn write(self, conn: &Connection) -> Result<(), Failure> {
        // In the order of the table.
        let mut rows: BTreeMap<(u64, &str), Changed> = BTreeMap::new();
        for (term, list) in &self.added {
            for seqs in list.chunk_by(|a, b| a / BLOCK == b / BLOCK) {
                let block = seqs.first().map_or(0, |seq| seq / BLOCK);
                rows.entry((block, term)).or_default().added.extend(seqs);
            }
        }
        for (term, list) in &self.removed {
            for seq in list {
                rows.entry((seq / BLOCK, term)).or_default().removed.push(*seq);
            }
        }
        let newest: Option<u64> = conn
            .prepare_cached("SELECT block FROM postings ORDER BY block DESC LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let mut held = conn.prepare_cached("SELECT bits FROM postings WHERE block = ?1 AND term = ?2")?;
        let mut put =
            conn.prepare_cached("INSERT OR REPLACE INTO postings(block, term, bits) VALUES(?1, ?2, ?3)")?;
        let mut drop = conn.prepare_cached("DELETE FROM postings WHERE block = ?1 AND term = ?2")?;
        let mut blob = Vec::new();
        for ((block, term), Changed { added, removed }) in &rows {
            let mut bits: Bits = [0; _];
            if newest.is_some_and(|newest| *block <= newest) {
                let mut found = held.query(params![block, term])?;
                if let Some(row) = found.next()? {
                    join(&mut bits, row.get_ref(0)?.as_blob().unwrap_or_default());
                }
            }
            for seq in added {
                set(&mut bits, seq % BLOCK);
            }
            for seq in removed {
                clear(&mut bits, seq % BLOCK);
            }
            if packed(&bits, &mut blob) {
                put.execute(params![block, term, blob])?;
            } else {
                drop.execute(params![block, term])?;
            }
        }
        Ok(())
    }
}

/// Forgets a block, to be written again.
pub(super) fn drop_block(conn: &Connection, block: u64) -> Result<(), Failure> {
    conn.prepare_cached("DELETE FROM postings WHERE block = ?1")?.execute([block])?;
    Ok(())
}

/// The text an event is looked for in, folded.
pub(super) fn line(view: &EventView) -> String {
    let mut line = view.sentence.clone();
    for word in [Some(&view.by), view.number.as_ref(), view.resource.as_ref(), view.role.as_ref()]
        .into_iter()
        .flatten()
        .chain(view.texts.values())
    {
        line.push(' ');
        line.push_str(word);
    }
    folded(&line)
}

/// How a request went, as terms.
pub(super) fn outcome(word: &str) -> String {
    format!("=o:{}", word.to_lowercase())
}

/// Reads terms of the index, over a log of `size` events.
pub(super) struct Reader<'c> {
    pub conn: &'c Connection,
    pub size: u64,
}

impl Reader<'_> {
    pub fn term(&self, term: &str) -> Result<Positions, Failure> {
        let mut found = Positions::none(self.size);
        let mut one = self.conn.prepare_cached("SELECT bits FROM postings WHERE block = ?1 AND term = ?2")?;
        for block in 0..=self.size / BLOCK {
            let mut rows = one.query(params![block, term])?;
            if let Some(row) = rows.next()?
                && let Some(bits) = found.block(block)
            {
                join(bits, row.get_ref(0)?.as_blob().unwrap_or_default());
            }
        }
        Ok(found)
    }

    /// Of all terms that begin like this and that `wanted` takes; it is given the rest of the term.
    pub fn begins(&self, with: &str, wanted: impl Fn(&str) -> bool) -> Result<Positions, Failure> {
        let mut found = Positions::none(self.size);
        let mut range = self.conn.prepare_cached(
            "SELECT term, bits FROM postings WHERE block = ?1 AND term >= ?2 AND term < ?3",
        )?;
        let end = format!("{with}{}", char::MAX);
        for block in 0..=self.size / BLOCK {
            let Some(bits) = found.block(block) else { break };
            let mut rows = range.query(params![block, with, end])?;
            while let Some(row) = rows.next()? {
                let term = row.get_ref(0)?.as_str().unwrap_or_default();
                if wanted(term.get(with.len()..).unwrap_or_default()) {
                    join(bits, row.get_ref(1)?.as_blob().unwrap_or_default());
                }
            }
        }
        Ok(found)
    }

    /// Of all words that begin with this one.
    pub fn word(&self, word: &str) -> Result<Positions, Failure> {
        if beginning(word, SHORT).len() == word.len() {
            self.term(&format!("*{word}"))
        } else {
            self.begins(word, |_| true)
        }
    }
}

fn set(bits: &mut [u64], at: u64) {
    if let Some(word) = bits.get_mut(usize::try_from(at / 64).unwrap_or(usize::MAX)) {
        *word |= 1 << (at % 64);
    }
}

fn clear(bits: &mut [u64], at: u64) {
    if let Some(word) = bits.get_mut(usize::try_from(at / 64).unwrap_or(usize::MAX)) {
        *word &= !(1 << (at % 64));
    }
}

/// As it is stored; answers whether there is anything in it.
fn packed(bits: &Bits, blob: &mut Vec<u8>) -> bool {
    blob.clear();
    let count: u32 = bits.iter().map(|w| w.count_ones()).sum();
    if (count as usize) * 2 < size_of::<Bits>() {
        for (at, word) in (0_u16..).zip(bits) {
            let mut left = *word;
            while left != 0 {
                let offset = at * 64 + u16::try_from(left.trailing_zeros()).unwrap_or(0);
                blob.extend(offset.to_le_bytes());
                left &= left - 1;
            }
        }
    } else {
        bits.iter().for_each(|word| blob.extend(word.to_le_bytes()));
    }
    count > 0
}

/// Joins a stored block's bits into `bits`.
fn join(bits: &mut [u64], blob: &[u8]) {
    if blob.len() == size_of::<Bits>() {
        for (word, bytes) in bits.iter_mut().zip(blob.as_chunks().0) {
            *word |= u64::from_le_bytes(*bytes);
        }
    } else {
        for bytes in blob.as_chunks().0 {
            set(bits, u64::from(u16::from_le_bytes(*bytes)));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn members(found: Positions) -> Vec<u64> {
        let counted = found.counted();
        (0..counted.total).map(|n| counted.nth(n).unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read_back_over_blocks_and_pages() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(super::super::schema::TABLES).unwrap();
        let size = 3 * BLOCK;
        let every = |n: u64| (1..=size).filter(move |seq| seq % n == 0);
        for page in [1..=2 * BLOCK - 7, 2 * BLOCK - 6..=size] {
            let mut posting = Posting::default();
            for seq in page {
                for (n, word) in [(1, "wide"), (9, "wider"), (700, "narrow"), (5_000, "ab")] {
                    if seq % n == 0 {
                        posting.text(seq, word);
                    }
                }
            }
            posting.write(&conn).unwrap();
        }
        let reader = Reader { conn: &conn, size };
        let word = |text: &str| members(reader.word(text).unwrap());
        assert_eq!(word("wide"), every(1).collect::<Vec<_>>());
        assert_eq!(word("wid"), word("wide"));
        assert_eq!(word("wider"), every(9).collect::<Vec<_>>());
        assert_eq!(word("narro"), every(700).collect::<Vec<_>>());
        assert_eq!(word("ab"), every(5_000).collect::<Vec<_>>());
        assert!(word("abc").is_empty());
        assert!(word("none").is_empty());

        let mut posting = Posting::default();
        posting.remove(700, "narrow");
        posting.add(1, "narrow");
        every(9).for_each(|seq| posting.remove(seq, "wider"));
        posting.write(&conn).unwrap();
        let first: Vec<u64> = word("narrow").into_iter().take(2).collect();
        assert_eq!(first, [1, 1_400]);
        let left: u32 =
            conn.query_row("SELECT count(*) FROM postings WHERE term = 'wider'", [], |r| r.get(0)).unwrap();
        assert_eq!(left, 0, "an empty row is no row");
        drop_block(&conn, 0).unwrap();
        assert_eq!(word("wide").first(), Some(&BLOCK));
    }
}
