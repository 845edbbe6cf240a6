//! When to come back after a stream. A server that says goodbye says when, each of its devices another time. After
//! one that went without a word, the devices themselves see to it that they don't all come at once.

use crate::api::Ended;
use rand::Rng as _;
use std::time::Duration;

/// A stream that held this long was a good one.
const STABLE: Duration = Duration::from_secs(10);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Counts the tries that came to nothing.
#[derive(Default)]
pub(crate) struct Comeback(u32);

impl Comeback {
    /// How long to wait after a stream that `held` this long.
    pub fn after(&mut self, ended: &Ended, held: Duration) -> Duration {
        let stable = held >= STABLE;
        if stable {
            self.0 = 0;
        }
        match ended {
            Ended::Over if stable => Duration::ZERO,
            Ended::Later(wait) if stable => *wait,
            // A server that keeps sending its devices away does not get them back the faster.
            Ended::Later(wait) => self.failed().max(*wait),
            Ended::Over | Ended::Cut(_) => self.failed(),
        }
    }

    /// How long to wait after there was no stream: anything up to a bound that doubles (“full jitter”).
    pub fn failed(&mut self) -> Duration {
        let longest = FIRST_WAIT.saturating_mul(1 << self.0.min(10)).min(LONGEST_WAIT);
        self.0 = self.0.saturating_add(1);
        rand::thread_rng().gen_range(Duration::ZERO..=longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatepass_core::Code;

    const LONG: Duration = Duration::from_secs(60);

    fn cut() -> Ended {
        Ended::Cut(Code::Unreachable.into())
    }

    #[test]
    fn waits_are_anywhere_below_a_bound_that_doubles() {
        for tries in 0..40 {
            let bound = FIRST_WAIT.saturating_mul(1 << tries.min(10)).min(LONGEST_WAIT);
            let waits: Vec<Duration> = (0..200).map(|_| Comeback(tries).failed()).collect();
            assert!(waits.iter().all(|w| *w <= bound));
            // Fails by chance less than once in 10^24.
            assert!(waits.iter().any(|w| *w < bound / 4) && waits.iter().any(|w| *w > bound * 3 / 4));
        }
    }

    #[test]
    fn a_good_stream_starts_the_count_again() {
        let mut comeback = Comeback::default();
        for _ in 0..20 {
            comeback.after(&cut(), Duration::ZERO);
        }
        assert_eq!(comeback.0, 20);
        assert!(comeback.after(&cut(), LONG) <= FIRST_WAIT);
    }

    #[test]
    fn the_end_of_a_token_is_no_reason_to_wait() {
        let mut comeback = Comeback::default();
        assert_eq!(comeback.after(&Ended::Over, LONG), Duration::ZERO);
        // Unless streams end as soon as they are opened.
        for _ in 0..20 {
            comeback.after(&Ended::Over, Duration::ZERO);
        }
        assert_eq!(comeback.0, 20);
    }

    #[test]
    fn what_the_server_says_is_kept_to() {
        let mut comeback = Comeback::default();
        let wait = Duration::from_millis(42_000);
        assert_eq!(comeback.after(&Ended::Later(wait), LONG), wait);
        for _ in 0..20 {
            assert!(comeback.after(&Ended::Later(wait), Duration::ZERO) >= wait, "not before");
        }
        assert_eq!(comeback.0, 20);
    }
}
