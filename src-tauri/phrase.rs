//! Small pieces of text for places with little room: the tray and notifications.

use chrono::{FixedOffset, TimeDelta};
use gatepass_core::Time;
use gatepass_core::text::visible;

/// Under this, an access ends soon and is counted in seconds.
pub const SOON: TimeDelta = TimeDelta::minutes(5);

/// One line of at most `max` characters: control and bidi characters made visible, breaks made spaces, the end
/// cut with an ellipsis.
pub fn line(text: &str, max: usize) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    cut(&visible(&words.join(" ")), max)
}

/// At most `max` characters, the last an ellipsis when something was cut.
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Whole seconds to `end`, rounded up so that the last one is seen; never negative.
pub fn seconds_left(end: Time, now: Time) -> i64 {
    let ms = (end - now).num_milliseconds().max(0);
    ms / 1000 + i64::from(ms % 1000 > 0)
}

/// `1 h 5 min left`, `12 min left`; from five minutes down `4:59 left`.
pub fn left(seconds: i64) -> String {
    match seconds {
        s if s <= SOON.num_seconds() => format!("{}:{:02} left", s / 60, s % 60),
        s if s < 3600 => format!("{} min left", s / 60),
        s if s < 86_400 => format!("{} h {} min left", s / 3600, s % 3600 / 60),
        s => format!("{} d {} h left", s / 86_400, s % 86_400 / 3600),
    }
}

/// `10:53 (09:53 UTC)`, or only the one when they are the same.
pub fn both_clocks(at: Time, zone: FixedOffset) -> String {
    let local = clock(at, zone);
    if zone.local_minus_utc() == 0 {
        format!("{local} UTC")
    } else {
        format!("{local} ({} UTC)", at.format("%H:%M"))
    }
}

/// `10:53`, local.
pub fn clock(at: Time, zone: FixedOffset) -> String {
    at.with_timezone(&zone).format("%H:%M").to_string()
}

/// `14:02:07`, local.
pub fn exact_clock(at: Time, zone: FixedOffset) -> String {
    at.with_timezone(&zone).format("%H:%M:%S").to_string()
}

/// `30 minutes`, `1 hour 30 minutes`, the largest two units.
pub fn long_duration(seconds: u32) -> String {
    const UNITS: [(u32, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, name) in UNITS {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 seconds".to_owned() } else { parts.join(" ") }
}

/// `Noor`, `Noor and Mara`, `Noor, Mara and Ivo`.
pub fn and(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_from_people_stays_one_bounded_visible_line() {
        assert_eq!(line("two\n  lines\t", 20), "two lines");
        assert_eq!(line("abcdef", 4), "abc…");
        assert_eq!(line("ab cdef", 4), "ab…");
        assert_eq!(line("a\u{202e}b", 20), "a⟨U+202E⟩b");
    }

    #[test]
    fn what_is_left_gets_finer_at_the_end() {
        assert_eq!(left(26 * 3600), "1 d 2 h left");
        assert_eq!(left(5_100), "1 h 25 min left");
        assert_eq!(left(301), "5 min left");
        assert_eq!(left(300), "5:00 left");
        assert_eq!(left(9), "0:09 left");
        assert_eq!(left(0), "0:00 left");
    }

    #[test]
    fn both_clocks_are_said_when_they_differ() {
        let at: Time = "2026-11-17T09:53:00Z".parse().unwrap();
        assert_eq!(both_clocks(at, FixedOffset::east_opt(3600).unwrap()), "10:53 (09:53 UTC)");
        assert_eq!(both_clocks(at, FixedOffset::east_opt(0).unwrap()), "09:53 UTC");
    }
}
