//! The benchmarks, one module each.

mod bare_lives;
mod cpu;
mod decide;
mod end;
mod lifecycle;
mod memory;
mod sync;
mod sync_fill;
mod sync_rows;
mod window;

use crate::Outcome;
use crate::report::Measurement;

/// What can be chosen.
pub const NAMES: [&str; 10] = [
    "decide-to-notification",
    "end-of-grant",
    "tray-memory",
    "tray-idle-cpu",
    "window-open",
    "sync",
    "lifecycle",
    "lifecycle-1",
    "lifecycle-16",
    "lifecycle-64",
];

/// The benchmarks to run for these names, in their order; those that share a setup are one.
pub fn chosen(names: &[String]) -> Vec<&'static str> {
    let wanted = |name: &str| {
        names.is_empty()
            || names.iter().any(|n| n == name || (name == "lifecycle" && n.starts_with("lifecycle-")))
    };
    NAMES.into_iter().take(7).filter(|name| wanted(name)).collect()
}

/// Measures `name`; `names` says which of its parts.
pub async fn measure(name: &'static str, names: Vec<String>, quick: bool) -> Outcome<Vec<Measurement>> {
    match name {
        "decide-to-notification" => decide::measure(quick).await.map(|m| vec![m]),
        "end-of-grant" => end::measure(quick).await.map(|m| vec![m]),
        "tray-memory" => memory::measure(quick).await.map(|m| vec![m]),
        "tray-idle-cpu" => cpu::measure(quick).await.map(|m| vec![m]),
        "window-open" => window::measure(quick).await.map(|m| vec![m]),
        "sync" => sync::measure(quick).await.map(|m| vec![m]),
        _ => lifecycle::measure(&names, quick).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose() {
        let of = |names: &[&str]| chosen(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]).len(), 7);
        assert_eq!(of(&["lifecycle-16"]), ["lifecycle"]);
        assert_eq!(of(&["sync", "end-of-grant"]), ["end-of-grant", "sync"]);
    }
}
