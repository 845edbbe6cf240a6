//! What a role's `grants` mean: roles of the target, or privileges on a schema or a table.

use crate::TargetError;
use serde::Serialize;
use std::collections::BTreeSet;

/// One entry, as the procedures on the target take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Entitlement {
    Role {
        role: String,
    },
    Privileges {
        /// In capitals, sorted, separated by a comma and a space.
        privileges: String,
        schema: String,
        /// `None` for all of the schema.
        table: Option<String>,
    },
}

/// What can be given on a schema or a table. `ALL` is not among them: it would change with the server's version.
const PRIVILEGES: &[&str] = &[
    "ALTER",
    "ALTER ROUTINE",
    "CREATE",
    "CREATE ROUTINE",
    "CREATE TEMPORARY TABLES",
    "CREATE VIEW",
    "DELETE",
    "DELETE HISTORY",
    "DROP",
    "EVENT",
    "EXECUTE",
    "INDEX",
    "INSERT",
    "LOCK TABLES",
    "REFERENCES",
    "SELECT",
    "SHOW VIEW",
    "TRIGGER",
    "UPDATE",
];

/// `orders_reader` is a role; `SELECT, INSERT ON orders.*` are privileges.
pub(super) fn parse(entry: &str) -> Result<Entitlement, TargetError> {
    let Some((list, on)) = split(entry) else {
        return Ok(Entitlement::Role { role: entry.to_owned() });
    };
    let wrong = |why: &str| TargetError::Configuration(format!("“{entry}” {why}"));
    let mut privileges = BTreeSet::new();
    for one in list.split(',') {
        let name = one.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
        if !PRIVILEGES.contains(&name.as_str()) {
            let all = PRIVILEGES.join(", ");
            return Err(wrong(&format!(
                "gives “{name}”, which is no privilege on a schema; there are {all}"
            )));
        }
        privileges.insert(name);
    }
    let expected = "names no schema: after ON comes SCHEMA.* or SCHEMA.TABLE";
    let (schema, rest) = name(on.trim()).ok_or_else(|| wrong(expected))?;
    let rest = rest.strip_prefix('.').ok_or_else(|| wrong(expected))?;
    let table = if rest == "*" {
        None
    } else {
        match name(rest) {
            Some((table, "")) => Some(table),
            _ => return Err(wrong(expected)),
        }
    };
    let privileges = privileges.into_iter().collect::<Vec<_>>().join(", ");
    Ok(Entitlement::Privileges { privileges, schema, table })
}

fn split(entry: &str) -> Option<(&str, &str)> {
    let at = entry.to_ascii_uppercase().find(" ON ")?;
    Some((&entry[..at], &entry[at + 4..]))
}

/// A name at the beginning, in backticks or plain, and what follows it.
fn name(text: &str) -> Option<(String, &str)> {
    if let Some(mut rest) = text.strip_prefix('`') {
        let mut name = String::new();
        loop {
            let (part, after) = rest.split_once('`')?;
            name.push_str(part);
            match after.strip_prefix('`') {
                Some(more) => {
                    name.push('`');
                    rest = more;
                }
                None => return (!name.is_empty()).then_some((name, after)),
            }
        }
    }
    let end =
        text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '-'))).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

/// All entries, each once, for the procedures on the target.
pub(super) fn json(entries: &[String]) -> Result<String, TargetError> {
    let mut all: Vec<Entitlement> = Vec::new();
    for entry in entries {
        let one = parse(entry)?;
        if !all.contains(&one) {
            all.push(one);
        }
    }
    write(&all)
}

/// All entries in their places, also those that stand there twice.
pub(super) fn json_in_places(entries: &[String]) -> Result<String, TargetError> {
    write(&entries.iter().map(|entry| parse(entry)).collect::<Result<_, _>>()?)
}

fn write(all: &Vec<Entitlement>) -> Result<String, TargetError> {
    serde_json::to_string(all).map_err(|e| TargetError::Configuration(e.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn roles_and_privileges_are_told_apart() {
        let entries = [
            "orders_reader",
            "select ,INSERT on orders.*",
            "INSERT, SELECT ON `orders`.*",
            "CREATE  TEMPORARY TABLES ON `a``b.c`.`t x`",
            "version",
        ];
        let json = json(&entries.map(String::from)).unwrap();
        assert_eq!(
            json,
            r#"[{"role":"orders_reader"},{"privileges":"INSERT, SELECT","schema":"orders","table":null},"#
                .to_owned()
                + r#"{"privileges":"CREATE TEMPORARY TABLES","schema":"a`b.c","table":"t x"},{"role":"version"}]"#
        );
    }

    #[test]
    fn what_is_too_much_or_makes_no_sense_is_refused() {
        for entry in [
            "ALL PRIVILEGES ON orders.*",
            "SUPER ON *.*",
            "SELECT ON *.*",
            "SELECT ON orders",
            "SELECT ON orders.t TO root; DROP",
            "SELECT ON `orders.*",
            "SELECT ON ``.*",
            "GRANT OPTION ON orders.*",
            " ON orders.*",
        ] {
            assert!(matches!(parse(entry), Err(TargetError::Configuration(_))), "{entry}");
        }
    }
}
