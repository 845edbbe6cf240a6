//! What a text is looked for by: words without case and accents, and what people write together (`R-12`, `orders-db`).

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Longer words are looked for by their beginning.
const LONGEST: usize = 48;

/// The text without case and accents.
pub(super) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect()
}

/// What may stand between the words of a compound.
const fn joins(c: char) -> bool {
    matches!(c, '-' | '_' | '.' | ':' | '/' | '@' | '#')
}

/// The words of a folded text in their order.
pub(super) fn words(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(cut)
}

/// What is written together in a folded text, of more than one word.
pub(super) fn compounds(folded: &str) -> impl Iterator<Item = &str> {
    folded
        .split(|c: char| !c.is_alphanumeric() && !joins(c))
        .map(|w| w.trim_matches(joins))
        .filter(|w| w.contains(joins))
        .map(cut)
}

/// The first `chars` characters; all of it when it is shorter.
pub(super) fn beginning(word: &str, chars: usize) -> &str {
    word.char_indices().nth(chars).and_then(|(at, _)| word.get(..at)).unwrap_or(word)
}

fn cut(word: &str) -> &str {
    beginning(word, LONGEST)
}

/// Whether `wanted` stands in the text, word by word; the last may go on.
pub(super) fn holds(folded: &str, wanted: &[String]) -> bool {
    let Some((last, first)) = wanted.split_last() else { return true };
    let all: Vec<&str> = words(folded).collect();
    all.windows(wanted.len()).any(|here| {
        here.iter().zip(first).all(|(a, b)| a == b)
            && here.last().is_some_and(|w| w.starts_with(last.as_str()))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_text_is_taken_apart_without_case_and_accents() {
        let text = folded("Tomás asked for ORDERS-db/write (R-12), „Zürich“ e\u{301}t 09:50.");
        assert_eq!(
            words(&text).collect::<Vec<_>>(),
            ["tomas", "asked", "for", "orders", "db", "write", "r", "12", "zurich", "et", "09", "50"]
        );
        assert_eq!(compounds(&text).collect::<Vec<_>>(), ["orders-db/write", "r-12", "09:50"]);
        assert_eq!(words(&folded(&"x".repeat(500))).next().unwrap().len(), LONGEST);
        assert_eq!(beginning("日本語", 2), "日本");
        assert_eq!(beginning("a", 3), "a");
    }

    #[test]
    fn words_in_a_row_are_told_from_words_apart() {
        let holds = |text: &str, wanted: &str| {
            let wanted: Vec<String> = words(&folded(wanted)).map(str::to_owned).collect();
            super::holds(&folded(text), &wanted)
        };
        assert!(holds("orders are stuck", "are stu"));
        assert!(!holds("orders are stuck", "stuck are"));
        assert!(!holds("orders are stuck", "ord are"));
        assert!(holds("anything", ""));
    }
}
