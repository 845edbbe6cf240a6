//! Which signed heads the witnesses were asked about, what they said, and which of them is shown. Pure.

use crate::signing::Signed;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// So long a head that has the quorum is preferred to a newer one that has not.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// So many heads a late cosignature may still be of.
const KEPT: usize = 32;

pub struct Rounds {
    quorum: usize,
    /// In the order of their sizes.
    kept: VecDeque<Round>,
    /// Since when the newest asked about lacks the quorum.
    since: Option<Instant>,
    shown: Option<Arc<Signed>>,
}

struct Round {
    began: Instant,
    /// The note as the log signed it.
    bare: Arc<Signed>,
    /// With what witnesses said of it, by name.
    lines: BTreeMap<String, String>,
    with: Arc<Signed>,
}

impl Rounds {
    /// None of the witnesses has to be heard with a quorum of 0.
    pub fn new(quorum: usize) -> Self {
        Self { quorum, kept: VecDeque::new(), since: None, shown: None }
    }

    /// The witnesses are asked about this.
    pub fn begin(&mut self, signed: Arc<Signed>, now: Instant) {
        if self.kept.back().is_some_and(|last| last.bare.head.size >= signed.head.size) {
            return;
        }
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        if self.quorum > 0 {
            self.since.get_or_insert(now);
        }
        let (bare, with) = (signed.clone(), signed);
        self.kept.push_back(Round { began: now, bare, lines: BTreeMap::new(), with });
    }

    /// One of them cosigned a head that it was asked about.
    pub fn cosigned(&mut self, signed: &Signed, witness: &str, line: String) {
        let Some(at) = self.kept.iter().position(|round| round.bare.head == signed.head) else { return };
        let round = &mut self.kept[at];
        round.lines.insert(witness.to_owned(), line);
        let note = round.lines.values().fold(round.bare.note.clone(), |note, line| note + line);
        round.with = Arc::new(Signed { head: signed.head.clone(), note });
        if self.quorum > 0 && self.witnessed().is_some_and(|newest| newest.head == signed.head) {
            self.since = self.kept.get(at + 1).map(|next| next.began);
        }
    }

    /// The newest that enough of them cosigned.
    fn witnessed(&self) -> Option<Arc<Signed>> {
        let enough = |round: &&Round| round.lines.len() >= self.quorum;
        self.kept.iter().rev().find(enough).map(|round| round.with.clone())
    }

    /// For how long heads have lacked the quorum.
    pub fn lacking(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// How many of them cosigned the newest that they were asked about.
    pub fn heard(&self) -> usize {
        self.kept.back().map_or(0, |round| round.lines.len())
    }

    /// The head for everybody who asks: the newest with the quorum, unless that is long ago; never one before what was
    /// shown already. `newest` is what the log signed last.
    pub fn show(&mut self, newest: Arc<Signed>, now: Instant) -> Arc<Signed> {
        let newest =
            self.kept.iter().find(|round| round.bare.head == newest.head).map_or(newest, |r| r.with.clone());
        let witnessed = self.witnessed().filter(|_| self.quorum > 0 && self.lacking(now) <= PATIENCE);
        let chosen = witnessed.unwrap_or(newest);
        let before = self.shown.take();
        let chosen = before.filter(|before| before.head.size > chosen.head.size).unwrap_or(chosen);
        self.shown = Some(chosen.clone());
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepass_core::text::Digest;
    use gatepass_core::wire::Head;

    fn signed(size: u64) -> Arc<Signed> {
        let head = Head { size, root: Digest(size.to_string()) };
        Arc::new(Signed { head, note: format!("{size}\n") })
    }

    fn note(rounds: &mut Rounds, newest: u64, at: Instant) -> String {
        rounds.show(signed(newest), at).note.replace('\n', " ")
    }

    #[test]
    fn without_a_quorum_the_newest_is_shown_with_what_there_is() {
        let (mut rounds, now) = (Rounds::new(0), Instant::now());
        assert_eq!(note(&mut rounds, 3, now), "3 ");
        rounds.begin(signed(3), now);
        rounds.cosigned(&signed(3), "b", "b\n".to_owned());
        rounds.cosigned(&signed(3), "a", "a\n".to_owned());
        rounds.cosigned(&signed(3), "a", "a\n".to_owned());
        assert_eq!(note(&mut rounds, 3, now), "3 a b ");
        assert_eq!(note(&mut rounds, 4, now), "4 ");
        // Not asked about.
        rounds.cosigned(&signed(4), "a", "a\n".to_owned());
        assert_eq!(note(&mut rounds, 4, now), "4 ");
        assert_eq!(rounds.lacking(now + PATIENCE), Duration::ZERO);
    }

    #[test]
    fn what_enough_cosigned_is_shown_until_it_is_old() {
        let (mut rounds, now) = (Rounds::new(2), Instant::now());
        let second = Duration::from_secs(1);
        rounds.begin(signed(3), now);
        assert_eq!(note(&mut rounds, 3, now), "3 ", "there is none yet");
        rounds.cosigned(&signed(3), "a", "a\n".to_owned());
        assert_eq!(rounds.lacking(now + second), second);
        rounds.cosigned(&signed(3), "b", "b\n".to_owned());
        assert_eq!(rounds.lacking(now + second), Duration::ZERO);
        assert_eq!(note(&mut rounds, 4, now + second), "3 a b ");
        rounds.begin(signed(4), now + second);
        rounds.begin(signed(5), now + 2 * second);
        rounds.cosigned(&signed(4), "a", "a\n".to_owned());
        rounds.cosigned(&signed(5), "a", "a\n".to_owned());
        assert_eq!(note(&mut rounds, 5, now + second + PATIENCE), "3 a b ");
        assert_eq!(rounds.lacking(now + 3 * second), 2 * second, "since 4");
        // One of the two was away for long.
        let late = now + 2 * second + PATIENCE;
        assert_eq!(note(&mut rounds, 5, late), "5 a ");
        // What is late is not shown after what is newer, and counts.
        rounds.cosigned(&signed(4), "b", "b\n".to_owned());
        assert_eq!(note(&mut rounds, 5, late), "5 a ");
        assert_eq!(rounds.lacking(late), PATIENCE, "since 5");
        rounds.cosigned(&signed(5), "b", "b\n".to_owned());
        assert_eq!(note(&mut rounds, 6, late), "5 a b ");
        assert_eq!((rounds.lacking(late), rounds.heard()), (Duration::ZERO, 2));
    }

    #[test]
    fn a_late_cosignature_is_still_of_its_head() {
        let (mut rounds, now) = (Rounds::new(1), Instant::now());
        (1..=40).for_each(|size| rounds.begin(signed(size), now));
        // Nobody remembers it.
        rounds.cosigned(&signed(8), "a", "a\n".to_owned());
        assert_eq!(note(&mut rounds, 8, now), "8 ");
        rounds.cosigned(&signed(9), "a", "a\n".to_owned());
        assert_eq!(note(&mut rounds, 40, now), "9 a ");
    }
}
