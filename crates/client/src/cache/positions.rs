//! Sets of positions of the log, as bits: what a search is made of. A million positions are 125 kB, so that any two sets
//! are joined in microseconds and any place in the result is found without walking to it.

/// Positions that go into one stored row; see `postings`.
pub(super) const BLOCK: u64 = 4_096;

/// Words of bits that are counted together.
const STRIDE: usize = 64;

/// A set in the making.
#[derive(Clone, Debug)]
pub(super) struct Positions(Vec<u64>);

impl Positions {
    /// Nothing, with room for the positions up to `size`.
    pub fn none(size: u64) -> Self {
        // Whole blocks, so that a stored one is never cut.
        let blocks = size / BLOCK + 1;
        Self(vec![0; usize::try_from(blocks * BLOCK / 64).unwrap_or(0)])
    }

    pub fn insert(&mut self, seq: u64) {
        if let Some(word) = usize::try_from(seq / 64).ok().and_then(|at| self.0.get_mut(at)) {
            *word |= 1 << (seq % 64);
        }
    }

    /// All positions in `from..below`.
    pub fn fill(&mut self, from: u64, below: u64) {
        for (at, word) in (0_u64..).zip(&mut self.0) {
            let (first, next) = (at * 64, at * 64 + 64);
            if first >= from && next <= below {
                *word = u64::MAX;
            } else if next > from && first < below {
                for seq in first.max(from)..next.min(below) {
                    *word |= 1 << (seq % 64);
                }
            }
        }
    }

    /// The bits of block `block`, to be joined with; `None` where there is no room for it.
    pub fn block(&mut self, block: u64) -> Option<&mut [u64]> {
        let wide = usize::try_from(BLOCK / 64).ok()?;
        let from = usize::try_from(block).ok()?.checked_mul(wide)?;
        self.0.get_mut(from..from + wide)
    }

    pub fn or(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    pub fn and(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }

    pub fn without(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub fn counted(self) -> Counted {
        let mut before = Vec::with_capacity(self.0.len() / STRIDE + 1);
        let mut total = 0;
        for words in self.0.chunks(STRIDE) {
            before.push(total);
            total += words.iter().map(|w| u64::from(w.count_ones())).sum::<u64>();
        }
        Counted { bits: self.0, before, total }
    }
}

/// A finished set, of which any member can be found by its number.
#[derive(Debug)]
pub(super) struct Counted {
    bits: Vec<u64>,
    /// Members before each stride.
    before: Vec<u64>,
    pub total: u64,
}

impl Counted {
    /// How many members are below `seq`.
    pub fn below(&self, seq: u64) -> u64 {
        let word = usize::try_from(seq / 64).unwrap_or(usize::MAX);
        if word >= self.bits.len() {
            return self.total;
        }
        let stride = word / STRIDE;
        let whole = self.bits.get(stride * STRIDE..word).unwrap_or_default();
        let part = self.bits.get(word).copied().unwrap_or(0) & ((1 << (seq % 64)) - 1);
        self.before.get(stride).copied().unwrap_or(0)
            + whole.iter().map(|w| u64::from(w.count_ones())).sum::<u64>()
            + u64::from(part.count_ones())
    }

    /// The member before which there are `n` smaller ones.
    pub fn nth(&self, n: u64) -> Option<u64> {
        if n >= self.total {
            return None;
        }
        let stride = self.before.partition_point(|count| *count <= n).checked_sub(1)?;
        let mut left = n - self.before.get(stride)?;
        for (at, word) in self.bits.iter().enumerate().skip(stride * STRIDE) {
            let here = u64::from(word.count_ones());
            if left < here {
                let mut word = *word;
                for _ in 0..left {
                    word &= word - 1;
                }
                return Some(at as u64 * 64 + u64::from(word.trailing_zeros()));
            }
            left -= here;
        }
        None
    }

    /// Members from the `offset`-th newest on.
    pub fn newest(&self, offset: u64, limit: usize) -> Vec<u64> {
        let mut found = Vec::new();
        while found.len() < limit {
            let place = self.total.checked_sub(offset + found.len() as u64 + 1);
            match place.and_then(|n| self.nth(n)) {
                Some(seq) => found.push(seq),
                None => break,
            }
        }
        found
    }

    /// Which of `count` equal parts of `1..=size` have a member.
    pub fn parts(&self, size: u64, count: u64) -> Vec<u32> {
        let from = |part: u64| 1 + part * size / count;
        (0..count)
            .filter(|part| self.below(from(part + 1)) > self.below(from(*part)))
            .filter_map(|part| u32::try_from(part).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn members_are_found_by_their_number_as_in_an_ordered_set() {
        let mut seed = 7_u64;
        for size in [1, 63, 64, 5_000, 300_000] {
            let (mut bits, mut model) = (Positions::none(size), BTreeSet::new());
            for _ in 0..400 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let seq = 1 + (seed >> 33) % size;
                bits.insert(seq);
                model.insert(seq);
            }
            let counted = bits.counted();
            assert_eq!(counted.total, model.len() as u64);
            for (n, seq) in model.iter().enumerate() {
                assert_eq!(counted.nth(n as u64), Some(*seq));
                assert_eq!(counted.below(*seq), n as u64);
                assert_eq!(counted.below(*seq + 1), n as u64 + 1);
            }
            assert_eq!(counted.nth(counted.total), None);
            assert_eq!(counted.below(u64::MAX), counted.total);
            let newest: Vec<u64> = model.iter().rev().skip(3).take(50).copied().collect();
            assert_eq!(counted.newest(3, 50), newest);
            let parts: BTreeSet<u32> = (0..100)
                .filter(|p| model.iter().any(|s| (1 + p * size / 100..1 + (p + 1) * size / 100).contains(s)))
                .map(|p| p as u32)
                .collect();
            assert_eq!(counted.parts(size, 100), parts.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn ranges_and_sets_are_joined_exactly() {
        for (from, below) in [(1, 1), (1, 64), (63, 65), (64, 128), (100, 9_000)] {
            let mut range = Positions::none(10_000);
            range.fill(from, below);
            let counted = range.clone().counted();
            assert_eq!(counted.total, below - from);
            assert_eq!(counted.nth(0), (below > from).then_some(from));
            let mut rest = Positions::none(10_000);
            rest.fill(1, 10_001);
            rest.without(&range);
            let mut both = rest.clone();
            both.and(&range);
            assert!(both.is_empty());
            rest.or(&range);
            assert_eq!(rest.counted().total, 10_000);
        }
    }
}
