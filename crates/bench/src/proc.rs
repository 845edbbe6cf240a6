//! What the kernel says about processes and the machine.

use crate::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Ticks of `utime` and `stime` in a second; fixed on Linux for what user space sees.
const TICKS: f64 = 100.0;

/// Memory of a process and all below it, in MiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Each shared page divided by those who share it.
    pub pss: f64,
    /// Each page whole: as if nobody else had it.
    pub rss: f64,
}

pub fn memory(root: u32) -> Outcome<Memory> {
    let mut sum = Memory { pss: 0.0, rss: 0.0 };
    for id in tree(root)? {
        let Ok(text) = fs::read_to_string(format!("/proc/{id}/smaps_rollup")) else { continue };
        let mib = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("0");
            line.trim().trim_end_matches("kB").trim().parse::<f64>().map(|kib| kib / 1024.0)
        };
        sum = Memory { pss: sum.pss + mib("Pss:")?, rss: sum.rss + mib("Rss:")? };
    }
    if sum.rss == 0.0 {
        return Err(format!("process {root} is not there").into());
    }
    Ok(sum)
}

/// How many processes outside the tree of `root` have GTK mapped: pages they share count less for each.
pub fn sharing_gtk(root: u32) -> Outcome<usize> {
    let own = tree(root)?;
    let others = tree(1)?.into_iter().filter(|id| !own.contains(id));
    let maps = |id: u32| fs::read_to_string(format!("/proc/{id}/maps")).unwrap_or_default();
    Ok(others.filter(|id| maps(*id).contains("/libgtk-3")).count())
}

/// CPU seconds that a process and all below it have used.
pub fn cpu_s(root: u32) -> Outcome<f64> {
    let mut ticks = 0;
    for id in tree(root)? {
        let Some(stat) = stat(id) else { continue };
        // utime and stime; `stat` begins after the name.
        for field in [11, 12] {
            ticks += stat.get(field).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(ticks as f64 / TICKS)
}

/// A process and all below it.
pub fn tree(root: u32) -> Outcome<BTreeSet<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let parent = stat(id).and_then(|stat| stat.get(1)?.parse::<u32>().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(id);
        }
    }
    let (mut found, mut queue) = (BTreeSet::new(), vec![root]);
    while let Some(id) = queue.pop() {
        if found.insert(id) {
            queue.extend(children.remove(&id).unwrap_or_default());
        }
    }
    Ok(found)
}

/// The fields of `/proc/ID/stat` from the state on: the name before may hold anything.
fn stat(id: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let rest = text.rsplit_once(") ")?.1;
    Some(rest.split(' ').map(str::to_owned).collect())
}

/// The machine in one line.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once(':').map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory =
        after(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0.0) / 1048576.0;
    let built = if cfg!(debug_assertions) { "debug build: the numbers say little" } else { "release build" };
    format!(
        "{}, {cores} cores, {memory:.0} GiB, Linux {}, {built}",
        after(&read("/proc/cpuinfo"), "model name"),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_finds_itself_and_its_children() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found = tree(std::process::id()).unwrap();
        let (memory, cpu) = (memory(std::process::id()).unwrap(), cpu_s(std::process::id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&std::process::id()) && found.contains(&child.id()));
        assert!(memory.pss > 0.5 && memory.rss >= memory.pss && cpu >= 0.0);
        assert!(super::memory(child.id()).is_err());
    }
}
