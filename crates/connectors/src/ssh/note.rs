//! What is remembered of one access: which certificates there are, and up to which one they were taken back.

use super::CLOCK_BOUND;
use crate::{Access, TargetError};
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::catalogue::Session;
use serde::{Deserialize, Serialize};

/// How long after its end a certificate stays on the revocation list: hosts may be further behind than is promised for.
const LISTED: TimeDelta = TimeDelta::hours(1);

/// Certificates of one access are numbered upwards, so that taking all of them back is one number, and one that is made
/// after that is good again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The key id's last part.
    pub name: String,
    pub session: Session,
    /// As given last.
    pub until: Time,
    /// Those that have not ended: number, and end in seconds.
    issued: Vec<(u64, i64)>,
    /// All up to this number are taken back; 0 for none.
    pub revoked: u64,
    /// When, in seconds; 0 for never.
    pub revoked_at: u64,
    /// Hosts were read back.
    #[serde(default)]
    pub removed: bool,
}

/// The lowest number that a certificate made now may have. By time, so that it is higher than what a host remembers
/// also after an older state of the database was restored.
pub fn number(now: Time) -> u64 {
    now.timestamp_millis().try_into().unwrap_or_default()
}

/// The second in which a certificate is no longer good: never after the end.
pub fn end(until: Time) -> i64 {
    until.timestamp()
}

impl Note {
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        serde_json::from_str(text).map_err(|e| {
            TargetError::Configuration(format!("what was remembered of an access can’t be read: {e}"))
        })
    }

    pub fn text(&self) -> String {
        // It has no maps with keys other than text, so it can be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// One more certificate; answers its number.
    pub fn issue(&mut self, access: &Access, now: Time) -> u64 {
        let number = number(now).max(self.newest() + 1).max(self.revoked + 1);
        let over = (now - LISTED).timestamp();
        self.issued.retain(|(_, end)| *end >= over);
        self.issued.push((number, end(access.until)));
        self.name = super::certificate::plain(&access.holder.handle);
        self.session = access.session;
        self.until = access.until;
        self.removed = false;
        number
    }

    pub fn newest(&self) -> u64 {
        self.issued.iter().map(|(number, _)| *number).max().unwrap_or_default()
    }

    /// Whether that was new.
    pub fn revoke(&mut self, now: Time) -> bool {
        let newest = self.newest();
        let new = newest > self.revoked;
        if new {
            self.revoked = newest;
            self.revoked_at = now.timestamp().try_into().unwrap_or_default();
        }
        new
    }

    /// When the last certificate ends.
    pub fn latest(&self) -> Time {
        let latest = self.issued.iter().map(|(_, end)| *end).max().unwrap_or_default();
        Time::from_timestamp(latest, 0).unwrap_or_default()
    }

    /// When it has ended for hosts whose clocks are behind as well.
    pub fn over(&self) -> Time {
        self.latest() + CLOCK_BOUND
    }

    /// Whether nothing has to be known of it any more.
    pub fn forgettable(&self, now: Time) -> bool {
        let kept = if self.revoked == 0 { CLOCK_BOUND } else { LISTED };
        self.latest() + kept <= now
    }

    /// The numbers that hosts still have to refuse.
    pub fn revoked(&self, now: Time) -> impl Iterator<Item = u64> {
        let over = (now - LISTED).timestamp();
        let listed = self.issued.iter().filter(move |(number, end)| *number <= self.revoked && *end >= over);
        listed.map(|(number, _)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Holder;
    use gatepass_core::id::{GrantId, PersonId};
    use uuid::Uuid;

    fn at(s: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + s, 0).unwrap()
    }

    fn access(until: Time) -> Access {
        let holder = Holder { person: PersonId(Uuid::nil()), handle: "tomas".into(), ssh_key: None };
        Access { grant: GrantId(Uuid::nil()), holder, grants: Vec::new(), session: Session::Cut, until }
    }

    #[test]
    fn numbers_only_rise() {
        let mut note = Note::default();
        let first = note.issue(&access(at(60)), at(0));
        assert_eq!(first, 1_800_000_000_000);
        // The clock was set back.
        assert_eq!(note.issue(&access(at(60)), at(-5)), first + 1);
        assert!(note.revoke(at(0)));
        assert!(!note.revoke(at(1)), "nothing new");
        assert_eq!(note.issue(&access(at(60)), at(-5)), first + 2);
        assert_eq!(note.revoked(at(0)).collect::<Vec<_>>(), [first, first + 1], "not the new one");
    }

    #[test]
    fn the_last_end_counts_also_when_it_was_moved_earlier() {
        let mut note = Note::default();
        note.issue(&access(at(3600)), at(0));
        note.issue(&access(at(60)), at(1));
        assert_eq!((note.until, note.latest(), note.over()), (at(60), at(3600), at(3602)));
        assert_eq!(Note::parse(&note.text()).unwrap(), note);
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let mut note = Note::default();
        note.issue(&access(at(60)), at(0));
        let second = note.issue(&access(at(6000)), at(3700));
        note.revoke(at(3700));
        assert_eq!(note.revoked(at(3700)).collect::<Vec<_>>(), [second]);
        assert_eq!(note.revoked(at(6000 + 3601)).count(), 0);
    }
}
