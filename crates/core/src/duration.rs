//! Durations as people write them (`90s`, `30m`, `1h 30m`, `1d`), in whole seconds.

use serde::{Deserialize, Deserializer};

/// Seconds in `text`; `Err` is a sentence that says what was expected.
pub fn parse(text: &str) -> Result<u32, String> {
    let expected = || format!("“{text}” is not a duration; write it like 90s, 30m, 2h or 1d");
    let parsed = humantime::parse_duration(text.trim()).map_err(|_| expected())?;
    if parsed.subsec_nanos() != 0 {
        return Err(format!("“{text}” is not a whole number of seconds"));
    }
    u32::try_from(parsed.as_secs()).map_err(|_| format!("“{text}” is too long"))
}

/// `5400` as `1 h 30 min`, the largest two units.
pub fn say(seconds: u32) -> String {
    const UNITS: [(u32, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, name) in UNITS {
        let count = rest / size;
        rest %= size;
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

/// For `#[serde(deserialize_with)]` in configuration.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).map_err(serde::de::Error::custom)
}

/// As [`deserialize`], for an optional field.
pub fn deserialize_optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    deserialize(from).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse("90s"), Ok(90));
        assert_eq!(parse("30m"), Ok(1800));
        assert_eq!(parse("1h 30m"), Ok(5400));
        assert_eq!(parse("1d"), Ok(86_400));
        for wrong in ["", "30", "abc", "500ms", "-1s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn says_the_two_largest_units() {
        assert_eq!(say(5400), "1 h 30 min");
        assert_eq!(say(45), "45 s");
        assert_eq!(say(0), "0 s");
        assert_eq!(say(90_061), "1 d 1 h");
    }
}
