//! Active Directory answers many values in parts: `member;range=0-1499`, and the last part as `member;range=1500-*`.

use std::collections::HashMap;

/// The values of `attribute` in an answer, and what to ask for next when there are more.
pub(super) fn read(
    attributes: HashMap<String, Vec<String>>,
    attribute: &str,
) -> (Vec<String>, Option<String>) {
    let mut values = Vec::new();
    let mut next = None;
    for (name, some) in attributes {
        let (base, option) = name.split_once(';').unwrap_or((&name, ""));
        if !base.eq_ignore_ascii_case(attribute) {
            continue;
        }
        let last = option.to_ascii_lowercase().strip_prefix("range=").and_then(|r| {
            let (_, last) = r.split_once('-')?;
            last.parse::<u64>().ok()
        });
        // A part without values would go on for ever.
        if let Some(last) = last.filter(|_| !some.is_empty()) {
            next = Some(format!("{attribute};range={}-*", last + 1));
        }
        values.extend(some);
    }
    (values, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(name: &str, values: &[&str]) -> HashMap<String, Vec<String>> {
        // An empty `member` stands beside the part.
        HashMap::from([
            (name.to_owned(), values.iter().map(ToString::to_string).collect()),
            ("objectClass".to_owned(), vec!["group".to_owned()]),
        ])
    }

    #[test]
    fn parts_are_asked_for_until_the_last() {
        let cases: [(&str, &[&str], Option<&str>); 5] = [
            ("member", &["a", "b"], None),
            ("Member", &["a"], None),
            ("member;range=0-1499", &["a"], Some("member;range=1500-*")),
            ("member;Range=1500-*", &["z"], None),
            ("member;range=0-1499", &[], None),
        ];
        for (name, values, next) in cases {
            assert_eq!(
                read(answer(name, values), "member"),
                (values.iter().map(ToString::to_string).collect(), next.map(str::to_owned)),
                "{name}"
            );
        }
    }
}
