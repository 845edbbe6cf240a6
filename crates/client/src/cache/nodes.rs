//! The roots of complete subtrees at every eighth height, so that a proof or the root at an earlier size costs a few
//! rows, however long the log is.

use super::ingest::{Signed, Verified, tree};
use super::{Cache, meta};
use crate::ui::Failure;
use gatepass_core::wire::Head;
use gatepass_log::{HEIGHT, Hash, Nodes, Proof, Tree, inclusion, root_at};
use rusqlite::{Connection, params};

/// Reads what one transaction or connection sees.
pub(super) struct Kept<'c>(pub &'c Connection);

impl Nodes for Kept<'_> {
    fn read(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, String> {
        let found = if height == 0 {
            self.hashes("SELECT leaf FROM events WHERE seq > ?1 AND seq <= ?1 + ?2 ORDER BY seq", |s| {
                s.query_map(params![index, count], |row| row.get(0))?.collect()
            })
        } else {
            self.hashes(
                "SELECT root FROM nodes WHERE height = ?3 AND place >= ?1 AND place < ?1 + ?2 ORDER BY place",
                |s| s.query_map(params![index, count, height], |row| row.get(0))?.collect(),
            )
        };
        let found = found.map_err(|e| e.to_string())?;
        if found.len() == count {
            Ok(found)
        } else {
            Err(format!("The local cache misses subtree {index} of height {height}."))
        }
    }
}

impl Kept<'_> {
    fn hashes(
        &self,
        sql: &str,
        read: impl FnOnce(&mut rusqlite::CachedStatement<'_>) -> rusqlite::Result<Vec<[u8; 32]>>,
    ) -> rusqlite::Result<Vec<Hash>> {
        Ok(read(&mut self.0.prepare_cached(sql)?)?.into_iter().map(Hash).collect())
    }

    /// The head when the log was `size` long, which is not more than is held; `None` when what is kept has gaps.
    pub fn head_at(&self, size: u64) -> Option<Head> {
        Some(Head { size, root: root_at(self, size).ok()?.digest() })
    }
}

/// Appends `leaf` to `tree` and keeps what that completes.
pub(super) fn append(conn: &Connection, tree: &mut Tree, leaf: Hash) -> Result<(), Failure> {
    let mut complete = Vec::new();
    tree.append_with(leaf, |height, index, root| {
        if height.is_multiple_of(HEIGHT) {
            complete.push((height, index, root));
        }
    });
    for (height, index, root) in complete {
        conn.prepare_cached("INSERT OR REPLACE INTO nodes(height, place, root) VALUES(?1, ?2, ?3)")?
            .execute(params![height, index, root.0])?;
    }
    Ok(())
}

impl Cache {
    /// The head when the log was `size` long; `None` when less is held.
    pub fn head_at(&self, size: u64) -> Result<Option<Head>, Failure> {
        let conn = self.reader();
        Ok(if size <= tree(&conn)?.size() { Kept(&conn).head_at(size) } else { None })
    }

    /// The newest head that held: the last one signed, or else the last one checked.
    pub fn known(&self) -> Result<Head, Failure> {
        let conn = self.reader();
        let signed = meta::<Signed>(&conn, "signed")?.map(|s| s.head);
        let checked = meta::<Verified>(&conn, "verified")?.map(|v| v.head);
        Ok(signed.or(checked).unwrap_or_else(|| Tree::default().head()))
    }

    /// The roots of all complete blocks of 256 leaves, of a log `size` long.
    pub fn subtrees(&self, size: u64) -> Result<Vec<Hash>, Failure> {
        let blocks = usize::try_from(size >> HEIGHT).unwrap_or(usize::MAX);
        Kept(&self.reader()).read(HEIGHT, 0, blocks).map_err(|e| Failure::local("The log can’t be read", e))
    }

    /// Leaves from an index on, as far as there are.
    pub fn leaves(&self, from: u64, most: u64) -> Result<Vec<Hash>, Failure> {
        let conn = self.reader();
        let size = tree(&conn)?.size();
        let count = usize::try_from(size.saturating_sub(from).min(most)).unwrap_or(usize::MAX);
        Kept(&conn).read(0, from, count).map_err(|e| Failure::local("The log can’t be read", e))
    }

    /// The way from the leaf at `seq` to the head at `size`, and that head.
    pub fn proof(&self, seq: u64, size: u64) -> Result<(Head, Proof), Failure> {
        let conn = self.reader();
        let failed = |e| Failure::local("The proof can’t be made", e);
        let proof = inclusion(&Kept(&conn), seq, size).map_err(failed)?;
        let root = root_at(&Kept(&conn), size).map_err(failed)?;
        Ok((Head { size, root: root.digest() }, proof))
    }
}
