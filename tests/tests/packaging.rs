//! The units that an operator installs, held against systemd and the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::bins;
use std::path::{Path, PathBuf};
use std::process::Command;

const INSTALLED: &str = "/usr/bin/gatepass-server";
/// In tenths; 10.0 is a service without any bound.
const EXPOSURE: &str = "15";

/// The units with the binary of this build, in a folder of their own.
fn units(folder: &Path) -> Vec<PathBuf> {
    let there = bins::root().join("packaging");
    let mut units = Vec::new();
    for file in there.read_dir().unwrap().map(|e| e.unwrap().path()) {
        if file.extension().is_some_and(|e| e == "service") {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains(INSTALLED), "{}", file.display());
            let unit = folder.join(file.file_name().unwrap());
            let binary = bins::path("gatepass-server");
            std::fs::write(&unit, text.replace(INSTALLED, binary.to_str().unwrap())).unwrap();
            units.push(unit);
        }
    }
    units.sort();
    let names: Vec<_> = units.iter().map(|u| u.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["gatepass-server-worker.service", "gatepass-server.service"]);
    units
}

/// Whether `systemd-analyze` is content, and what it said.
fn analyze(args: &[&str], unit: &Path) -> (bool, String) {
    let mut command = Command::new(bins::tool("systemd-analyze"));
    let done = command.args(args).arg(unit).env("SYSTEMD_COLORS", "0").output().unwrap();
    let said = [done.stdout, done.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
    (done.status.success(), said)
}

#[test]
fn systemd_understands_every_line() {
    let folder = tempfile::tempdir().unwrap();
    for unit in units(folder.path()) {
        assert_eq!(analyze(&["verify", "--man=no"], &unit), (true, String::new()), "{}", unit.display());
        // It does find what is wrong.
        let text = std::fs::read_to_string(&unit).unwrap();
        for (right, wrong) in [("ProtectSystem=", "ProtectSytem="), ("Type=notify", "Type=notifies")] {
            let other = folder.path().join("wrong.service");
            std::fs::write(&other, text.replacen(right, wrong, 1)).unwrap();
            assert!(!analyze(&["verify", "--man=no"], &other).1.is_empty(), "{wrong}");
        }
    }
}

#[test]
fn little_is_exposed() {
    let folder = tempfile::tempdir().unwrap();
    let measure = |unit: &Path| {
        let threshold = format!("--threshold={EXPOSURE}");
        analyze(&["security", "--offline=true", "--no-pager", &threshold], unit)
    };
    for unit in units(folder.path()) {
        let (content, said) = measure(&unit);
        assert!(content, "{said}");
        let other = folder.path().join("open.service");
        let text = std::fs::read_to_string(&unit).unwrap().replace("SystemCallFilter=", "#");
        std::fs::write(&other, text).unwrap();
        assert!(!measure(&other).0, "without a filter of system calls it is over the bound");
    }
}

#[test]
fn the_binary_takes_each_command_line() {
    let folder = tempfile::tempdir().unwrap();
    for unit in units(folder.path()) {
        let text = std::fs::read_to_string(&unit).unwrap();
        let lines: Vec<&str> =
            text.lines().filter_map(|l| l.strip_prefix("Exec")?.split_once('=')).map(|(_, l)| l).collect();
        assert_eq!(lines.len(), 2, "{}", unit.display());
        for line in lines {
            let run = |extra: &[&str]| {
                let mut words = line.split(' ');
                let mut command = Command::new(words.next().unwrap());
                command.args(words).args(extra).output().unwrap()
            };
            // What the binary does not know it says before it helps.
            let done = run(&["--help"]);
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(done.status.success(), "{line}: {said}");
            assert!(!run(&["--no-such-option", "--help"]).status.success());
        }
    }
}

#[test]
fn the_user_is_made() {
    let root = tempfile::tempdir().unwrap();
    let there = root.path().join("etc/sysusers.d");
    std::fs::create_dir_all(&there).unwrap();
    std::fs::copy(bins::root().join("packaging/gatepass.conf"), there.join("gatepass.conf")).unwrap();
    let mut command = Command::new(bins::tool("systemd-sysusers"));
    let done = command.arg("--dry-run").arg("--root").arg(root.path()).output().unwrap();
    let said = [done.stdout, done.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
    assert!(said.contains("Creating user 'gatepass'"), "{said}");
}
