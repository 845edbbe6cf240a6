//! Text in a page: escaped, hidden characters made visible. A page here has no script, no link and nothing from elsewhere.

use crate::Time;
use crate::text::{Digest, visible};
use chrono::{DateTime, FixedOffset};

/// The reader's own time.
pub type Local<'a> = &'a dyn Fn(Time) -> DateTime<FixedOffset>;

/// For content and for attributes in quotes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// `b07e 4411 2a9c … 19c3`: for pages that come with the whole.
pub(super) fn short(digest: &Digest) -> String {
    let hex: Vec<char> = digest.0.chars().collect();
    let (head, tail) = (hex.get(..12), hex.len().checked_sub(4).and_then(|at| hex.get(at..)));
    match head.zip(tail).filter(|_| hex.len() > 16) {
        Some((head, tail)) => {
            let groups: Vec<String> = head.chunks(4).map(|g| g.iter().collect()).collect();
            format!("{} … {}", groups.join(" "), tail.iter().collect::<String>())
        }
        None => digest.0.clone(),
    }
}

/// `48,391`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `17 Nov 2026, 10:29:14`
pub(super) fn moment(at: Time, local: Local<'_>) -> String {
    local(at).format("%-d %b %Y, %H:%M:%S").to_string()
}

/// `09:29:14 UTC`, with the day where it is another.
pub(super) fn in_utc(at: Time, local: Local<'_>) -> String {
    if local(at).date_naive() == at.date_naive() {
        at.format("%H:%M:%S UTC").to_string()
    } else {
        at.format("%-d %b, %H:%M:%S UTC").to_string()
    }
}

/// The page around `body`; `style` and `body` are markup.
pub(super) fn page(title: &str, style: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n<style>\n{}{}</style>\n</head>\n\
         <body>\n{}</body>\n</html>\n",
        escape(title),
        include_str!("page.css"),
        style,
        body
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_is_markup() {
        assert_eq!(
            escape("<img src=x onerror='a()'>&\"\u{202e}"),
            "&lt;img src=x onerror=&#39;a()&#39;&gt;&amp;&quot;⟨U+202E⟩"
        );
    }

    #[test]
    fn digests_and_numbers_are_grouped() {
        assert_eq!(
            short(&Digest("b07e44112a9c".to_owned() + &"0".repeat(48) + "19c3")),
            "b07e 4411 2a9c … 19c3"
        );
        assert_eq!(short(&Digest("short".to_owned())), "short");
        assert_eq!((grouped(0), grouped(999), grouped(48_391)), ("0".into(), "999".into(), "48,391".into()));
        assert_eq!(grouped(1_000_000), "1,000,000");
    }
}
