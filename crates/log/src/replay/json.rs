//! Whether a text is canonical JSON (RFC 8785), in one pass and without building it again; and its members, as they stand
//! in it. What is hashed and signed are these very bytes.

use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::cmp::Ordering;

/// No deeper than what `serde_json` reads.
const DEPTH: usize = 100;
/// Integers of so many digits are below 2^53, and stand as they are.
const DIGITS: usize = 15;

/// The members of a canonical object: each key without its quotes, each value as it stands in the text.
pub type Members<'a> = Vec<(&'a str, &'a str)>;

/// `None` unless the text is one canonical object.
pub fn members(text: &str) -> Option<Members<'_>> {
    let mut scan = Scan { text, bytes: text.as_bytes(), at: 0 };
    let mut found = Members::with_capacity(12);
    scan.object(0, |key, value| found.push((key, value)))?;
    (scan.at == text.len()).then_some(found)
}

/// The value of a member that was scanned.
pub fn member<'a>(members: &[(&'a str, &'a str)], key: &str) -> Option<&'a str> {
    members.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.bytes.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.bytes.get(self.at)? {
            b'"' => self.string().map(|_| ()),
            b'{' => self.object(depth + 1, |_, _| {}),
            b'[' => self.array(depth + 1),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                let word =
                    ["true", "false", "null"].into_iter().find(|w| self.text[self.at..].starts_with(w))?;
                self.at += word.len();
                Some(())
            }
        }
    }

    fn object(&mut self, depth: usize, mut each: impl FnMut(&'a str, &'a str)) -> Option<()> {
        self.take(b'{')?;
        if depth > DEPTH {
            return None;
        }
        if self.take(b'}').is_some() {
            return Some(());
        }
        let mut before: Option<&str> = None;
        loop {
            let key = self.string()?;
            if before.is_some_and(|before| order(before, key) != Some(Ordering::Less)) {
                return None;
            }
            before = Some(key);
            self.take(b':')?;
            let from = self.at;
            self.value(depth)?;
            each(key, &self.text[from..self.at]);
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.take(b'[')?;
        if depth > DEPTH {
            return None;
        }
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            self.value(depth)?;
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }

    /// Without its quotes.
    fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let from = self.at;
        loop {
            let rest = self.bytes.get(self.at..)?;
            self.at += rest.iter().position(|b| *b == b'"' || *b == b'\\' || *b < b' ')?;
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(&self.text[from..self.at - 1]);
                }
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    /// Only what has to be escaped is, each in its shortest way.
    fn escape(&mut self) -> Option<()> {
        match self.bytes.get(self.at + 1)? {
            b'"' | b'\\' | b'b' | b't' | b'n' | b'f' | b'r' => self.at += 2,
            b'u' => {
                let [b'0', b'0', high @ (b'0' | b'1'), low] = self.bytes.get(self.at + 2..self.at + 6)?
                else {
                    return None;
                };
                let short = *high == b'0' && matches!(low, b'8' | b'9' | b'a' | b'c' | b'd');
                if short || !matches!(low, b'0'..=b'9' | b'a'..=b'f') {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        let end = rest.iter().position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let end = self.at + end.unwrap_or(rest.len());
        let token = &self.text[self.at..end];
        self.at = end;
        let digits = token.strip_prefix('-').unwrap_or(token);
        let integer = digits.len() <= DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        if integer && matches!(digits.as_bytes(), [b'1'..=b'9', ..]) || token == "0" {
            return Some(());
        }
        let value: serde_json::Value = serde_json::from_str(token).ok()?;
        (crate::leaf::canonical(&value).ok()? == token.as_bytes()).then_some(())
    }
}

/// The order of RFC 8785: of UTF-16 code units. `None` when a key can't be read.
fn order(a: &str, b: &str) -> Option<Ordering> {
    let plain = |key: &str| key.bytes().all(|b| b.is_ascii() && b != b'\\');
    if plain(a) && plain(b) {
        return Some(a.cmp(b));
    }
    let read = |key: &str| serde_json::from_str::<String>(&format!("\"{key}\"")).ok();
    Some(read(a)?.encode_utf16().cmp(read(b)?.encode_utf16()))
}

/// Reads a type from members, without putting their text together again.
pub fn read<'a, T: Deserialize<'a>>(
    members: impl Iterator<Item = (&'a str, &'a str)>,
) -> serde_json::Result<T> {
    T::deserialize(MapDeserializer::new(members.map(|(key, value)| (key, Raw(value)))))
}

/// A value that was scanned and not yet read.
#[derive(Clone, Copy)]
struct Raw<'a>(&'a str);

impl<'de> IntoDeserializer<'de, serde_json::Error> for Raw<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Raw<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.0).deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.0).deserialize_option(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.0).deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        serde_json::Deserializer::from_str(self.0).deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// By the crate that writes leaves.
    fn is_canonical(text: &str) -> bool {
        let value: Result<Value, _> = serde_json::from_str(text);
        value.is_ok_and(|v| v.is_object() && crate::leaf::canonical(&v).unwrap() == text.as_bytes())
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1i64 << 53)..1 << 53).prop_map(Value::from),
            any::<f64>().prop_filter("a number", |f| f.is_finite()).prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[\u{0}-\u{7f}]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Zé\u{fb33}\u{1f600}\\\\\"\n]{0,3}", inner, 0..6)
                    .prop_map(|m| Value::from(m.into_iter().collect::<serde_json::Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_in_canonical_form_is_seen_as_that(value in values()) {
            let text = String::from_utf8(crate::leaf::canonical(&json!({ "it": value })).unwrap()).unwrap();
            let found = members(&text);
            prop_assert_eq!(found.map(|m| m.len()), Some(1), "{}", text);
        }

        #[test]
        fn another_form_is_not(value in values(), at: prop::sample::Index, by in "[ -~]") {
            let text = String::from_utf8(crate::leaf::canonical(&json!({ "it": value })).unwrap()).unwrap();
            let mut at = at.index(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            let mut inserted = text.clone();
            inserted.insert_str(at, &by);
            prop_assert_eq!(members(&inserted).is_some(), is_canonical(&inserted), "{}", inserted);
            let mut removed = text;
            removed.remove(at);
            prop_assert_eq!(members(&removed).is_some(), is_canonical(&removed), "{}", removed);
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for wrong in [
            r#"{"a":1,"a":2}"#,
            r#"{"b":1,"a":2}"#,
            r#"{"a": 1}"#,
            r#"{"a":01}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e2}"#,
            r#"{"a":-0}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":"\/"}"#,
            r#"{"a":"\u001F"}"#,
            r#"{"a":"\u000a"}"#,
            r#"{"a":1}
"#,
            r#"{"a":1}x"#,
            r#"["a"]"#,
            "",
            "{",
            r#"{"a":tru}"#,
            r#"{"a":[1,]}"#,
            "{\"\u{fb33}\":1,\"\u{1f600}\":2}",
        ] {
            assert_eq!(members(wrong), None, "{wrong}");
        }
        // UTF-16 puts the second before the first.
        assert!(members("{\"\u{1f600}\":1,\"\u{fb33}\":2}").is_some());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(members(&deep), None);
    }
}
