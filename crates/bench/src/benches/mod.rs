//! The benchmarks, one module each.

mod bare_lives;
mod bare_shared_lives;
mod cpu;
mod decide;
mod desktops;
mod end;
mod ends;
mod lifecycle;
mod list;
mod list_fill;
mod memory;
mod provision;
mod search;
mod sync;
mod sync_fill;
mod sync_rows;
mod verify;
mod window;

use crate::Outcome;
use crate::report::Measurement;
use crate::shared::Shared;

/// What can be measured, in this order, and the parts of which one may be chosen alone. With the suffix `-pg` the
/// server keeps its state in PostgreSQL.
const ALL: [(&str, &[&str]); 16] = [
    ("decide-to-notification", &[]),
    ("end-of-grant", &[]),
    ("ends", &["ends-ask-p99"]),
    (
        "provision",
        &[
            "provision-p99",
            "remove",
            "remove-p99",
            "provision-connector",
            "provision-connector-p99",
            "remove-connector",
            "remove-connector-p99",
        ],
    ),
    ("tray-memory", &[]),
    ("tray-idle-cpu", &[]),
    ("window-open", &[]),
    ("sync", &[]),
    ("verify", &["verify-new"]),
    ("search", &["audit-open", "audit-any"]),
    ("lifecycle", &["lifecycle-1", "lifecycle-16", "lifecycle-64"]),
    ("lifecycle-pg", &["lifecycle-pg-1", "lifecycle-pg-16", "lifecycle-pg-64"]),
    ("list", &["list-first", "list-any"]),
    ("list-pg", &["list-pg-first", "list-pg-any"]),
    (
        "desktops",
        &["desktop-memory", "desktop-reach", "desktop-pulled", "desktop-return", "desktop-return-killed"],
    ),
    (
        "desktops-pg",
        &[
            "desktop-memory-pg",
            "desktop-reach-pg",
            "desktop-pulled-pg",
            "desktop-return-pg",
            "desktop-return-killed-pg",
            "desktop-idle-pg",
        ],
    ),
];

/// What can be chosen.
pub fn names() -> Vec<&'static str> {
    ALL.iter().flat_map(|(name, parts)| std::iter::once(*name).chain(parts.iter().copied())).collect()
}

/// The benchmarks to run for these names, in their order; those that share a setup are one.
pub fn chosen(names: &[String]) -> Vec<&'static str> {
    let wanted = |name: &str, parts: &[&str]| {
        names.is_empty() || names.iter().any(|n| n == name || parts.contains(&n.as_str()))
    };
    ALL.iter().filter(|(name, parts)| wanted(name, parts)).map(|(name, _)| *name).collect()
}

/// Measures `name`; `names` says which of its parts.
pub async fn measure(name: &'static str, names: Vec<String>, quick: bool) -> Outcome<Vec<Measurement>> {
    let shared = if name.ends_with("-pg") { Some(Shared::start().await?) } else { None };
    let shared = shared.as_ref();
    let mut rows = match name {
        "decide-to-notification" => vec![decide::measure(quick).await?],
        "end-of-grant" => vec![end::measure(quick).await?],
        "ends" => ends::measure(quick).await?,
        "provision" => provision::measure(quick).await?,
        "tray-memory" => vec![memory::measure(quick).await?],
        "tray-idle-cpu" => vec![cpu::measure(quick).await?],
        "window-open" => vec![window::measure(quick).await?],
        "sync" => vec![sync::measure(quick).await?],
        "verify" => verify::measure(quick).await?,
        "search" => search::measure(quick).await?,
        "list" | "list-pg" => list::measure(name, shared, quick).await?,
        "desktops" | "desktops-pg" => desktops::measure(name, shared, quick).await?,
        _ => lifecycle::measure(name, shared, &names, quick).await?,
    };
    rows.retain(|row| names.is_empty() || names.iter().any(|n| *n == name || *n == row.name));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose() {
        let of = |names: &[&str]| chosen(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]).len(), ALL.len());
        assert_eq!(of(&["lifecycle-16"]), ["lifecycle"]);
        assert_eq!(of(&["lifecycle-pg-1", "list-any"]), ["lifecycle-pg", "list"]);
        assert_eq!(of(&["sync", "end-of-grant"]), ["end-of-grant", "sync"]);
        assert!(names().contains(&"list-pg-any"));
    }
}
