//! When to say that an access ends soon.

use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::wire::{GrantState, GrantView};

use crate::phrase::SOON;

/// Below this there is no time left to act on the notification.
const SHORTEST_LEAD: TimeDelta = TimeDelta::seconds(30);

/// Five minutes before the end, but not before half of the time is over; in an access of five minutes or less
/// when a quarter is left. `None` when that would leave too little to act.
pub fn warn_at(starts: Time, ends: Time) -> Option<Time> {
    let total = ends - starts;
    let lead = if total > SOON { SOON.min(total / 2) } else { total / 4 };
    (lead >= SHORTEST_LEAD).then(|| ends - lead)
}

/// The accesses to warn about now, by the server's clock: this person's, running, past their moment and not
/// over. One whose moment passed while the computer slept or the app was closed is still due.
pub fn due(grants: &[GrantView], now: Time) -> Vec<(&GrantView, Time)> {
    running(grants).filter(|(_, ends, at)| *at <= now && now < *ends).map(|(g, ends, _)| (g, ends)).collect()
}

/// The next moment at which [`due`] has more to say.
pub fn next(grants: &[GrantView], now: Time) -> Option<Time> {
    running(grants).map(|(_, _, at)| at).filter(|at| *at > now).min()
}

fn running(grants: &[GrantView]) -> impl Iterator<Item = (&GrantView, Time, Time)> {
    grants.iter().filter(|g| g.mine && g.state == GrantState::Active).filter_map(|g| {
        let (starts, ends) = (g.starts_at?, g.ends_at?);
        Some((g, ends, warn_at(starts, ends)?))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fixture::{grant, now};

    fn lead(total_s: i64) -> Option<i64> {
        warn_at(now(), now() + TimeDelta::seconds(total_s)).map(|at| total_s - (at - now()).num_seconds())
    }

    #[test]
    fn the_lead_fits_the_length() {
        assert_eq!(lead(7200), Some(300));
        assert_eq!(lead(600), Some(300));
        assert_eq!(lead(400), Some(200));
        assert_eq!(lead(300), Some(75));
        assert_eq!(lead(120), Some(30));
        assert_eq!(lead(119), None);
        assert_eq!(lead(20), None);
    }

    #[test]
    fn only_running_accesses_of_this_person_are_due_and_only_until_they_end() {
        let soon = grant(1, GrantState::Active, 200);
        let later = grant(2, GrantState::Active, 900);
        let over = grant(3, GrantState::Active, -1);
        let ending = grant(4, GrantState::Ending, 100);
        let mut theirs = grant(5, GrantState::Active, 100);
        theirs.mine = false;
        let grants = [soon.clone(), later.clone(), over, ending, theirs];
        let found: Vec<_> = due(&grants, now()).into_iter().map(|(g, _)| g.id).collect();
        assert_eq!(found, [soon.id]);
        let at = next(&grants, now()).unwrap();
        assert_eq!(at, later.ends_at.unwrap() - SOON);
        assert_eq!(due(&grants, at).len(), 1, "the first has ended by then");
        assert_eq!(next(&grants, at), None);
    }
}
