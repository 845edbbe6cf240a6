//! A log as its tiles show it (C2SP tlog-tiles): as much of it as shows where it parts from another.

use crate::api::Api;
use crate::ui::Failure;
use gatepass_core::Code;
use gatepass_core::wire::Head;
use gatepass_log::{HEIGHT, Hash, Nodes, root_at};
use std::collections::BTreeMap;

/// Hashes in a full tile.
const WIDTH: u64 = 256;
/// A log of 2^32 events has 65,536 tiles above its leaves; more are not asked for.
const MOST: u64 = 1 << 16;

/// Hashes by height and index.
pub(crate) struct Tiles {
    size: u64,
    hashes: BTreeMap<(u8, u64), Hash>,
}

impl Nodes for Tiles {
    fn read(&self, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, String> {
        let one = |n| self.hashes.get(&(height, n)).copied();
        (index..index + count as u64)
            .map(|n| {
                one(n).ok_or_else(|| format!("The tile with subtree {n} of height {height} was not fetched."))
            })
            .collect()
    }
}

impl Tiles {
    /// Of the log when it was `size` long.
    pub fn new(size: u64) -> Self {
        Self { size, hashes: BTreeMap::new() }
    }

    /// Everything above the leaves.
    pub async fn fetch_upper(&mut self, api: &Api) -> Result<(), Failure> {
        for level in 1..8_u8 {
            let hashes = self.size >> (u32::from(level) * u32::from(HEIGHT));
            if hashes == 0 {
                break;
            }
            if hashes > MOST * WIDTH {
                return Err(Failure::new(
                    Code::Malformed,
                    "The server’s log is too long to be looked through.",
                ));
            }
            for tile in 0..hashes.div_ceil(WIDTH) {
                self.fetch(api, level, tile).await?;
            }
        }
        Ok(())
    }

    /// The leaves of a block of 256, as far as there are.
    pub async fn fetch_leaves(&mut self, api: &Api, block: u64) -> Result<(), Failure> {
        if block * WIDTH < self.size && !self.hashes.contains_key(&(0, block * WIDTH)) {
            self.fetch(api, 0, block).await?;
        }
        Ok(())
    }

    /// The leaves at the end, and where the log ended when it was `size` long: proofs need both.
    pub async fn fetch_edges(&mut self, api: &Api, size: u64) -> Result<(), Failure> {
        self.fetch_leaves(api, self.size / WIDTH).await?;
        self.fetch_leaves(api, size / WIDTH).await
    }

    async fn fetch(&mut self, api: &Api, level: u8, tile: u64) -> Result<(), Failure> {
        let there =
            (self.size >> (u32::from(level) * u32::from(HEIGHT))).saturating_sub(tile * WIDTH).min(WIDTH);
        let bytes = api.tile(&path(level, tile, there)).await?;
        if bytes.len() as u64 != there * 32 {
            return Err(Failure::new(Code::Malformed, "A tile of the server’s log has another length."));
        }
        for (hash, index) in bytes.chunks_exact(32).zip(tile * WIDTH..) {
            let mut copy = [0; 32];
            copy.copy_from_slice(hash);
            self.hashes.insert((level * HEIGHT, index), Hash(copy));
        }
        Ok(())
    }

    /// The first block of 256 leaves whose root is another than in `ours`; behind all of them when there is none.
    pub fn first_other(&self, ours: &[Hash]) -> u64 {
        let theirs = |n: u64| self.hashes.get(&(HEIGHT, n));
        let same = ours.iter().zip(0..).take_while(|(hash, n)| theirs(*n) == Some(hash));
        same.count() as u64
    }

    /// Whether what was fetched has this root, and what is above the leaves follows from itself.
    pub fn make_up(&self, head: &Head) -> bool {
        head.size == self.size && root_at(self, self.size).is_ok_and(|root| root.digest() == head.root)
    }

    /// The leaves of a block, as far as they were fetched.
    pub fn leaves(&self, block: u64) -> Vec<Hash> {
        let of = (0, block * WIDTH)..(0, (block + 1) * WIDTH);
        self.hashes.range(of).map(|(_, hash)| *hash).collect()
    }
}

/// `1/x001/234.p/5`: the level, the index in groups of three digits, and how many there are of a partial tile.
fn path(level: u8, tile: u64, width: u64) -> String {
    let mut index = format!("{:03}", tile % 1000);
    let mut rest = tile / 1000;
    while rest > 0 {
        index = format!("x{:03}/{index}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width < WIDTH { format!(".p/{width}") } else { String::new() };
    format!("{level}/{index}{partial}")
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn paths_are_those_of_c2sp() {
        assert_eq!(path(0, 0, 256), "0/000");
        assert_eq!(path(1, 67, 5), "1/067.p/5");
        assert_eq!(path(0, 1_234_067, 256), "0/x001/x234/067");
    }
}
