//! Whether a program is only as changeable as the server itself.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const EXECUTABLE: u32 = 0o111;
const BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Where the program really is. `Err` is a sentence for people.
pub fn resolved(program: &Path) -> Result<PathBuf, String> {
    match fault(program) {
        Some(fault) => Err(fault),
        None => program.canonicalize().map_err(|e| unreadable(program, &e)),
    }
}

/// Why the program must not be run: it is not there, or somebody else than root and the server's own user could
/// change it, or what is run under its name.
pub fn fault(program: &Path) -> Option<String> {
    if !program.is_absolute() {
        return Some(format!("“{}” is not absolute, expected a path from / on", program.display()));
    }
    let real = match program.canonicalize() {
        Ok(real) => real,
        Err(error) => return Some(unreadable(program, &error)),
    };
    let found = match real.metadata() {
        Ok(found) => found,
        Err(error) => return Some(unreadable(&real, &error)),
    };
    if !found.is_file() || found.mode() & EXECUTABLE == 0 {
        return Some(format!("{} is not an executable file, expected a program", real.display()));
    }
    if found.mode() & BY_OTHERS != 0 {
        return Some(changeable(&real));
    }
    // Where the name as written leads through, too: a link can be replaced like a file.
    real.ancestors().chain(program.ancestors().skip(1)).find_map(|place| match place.metadata() {
        Ok(found) => wrong(&found).then(|| changeable(place)),
        Err(error) => Some(unreadable(place, &error)),
    })
}

fn wrong(found: &Metadata) -> bool {
    let ours = [0, rustix::process::geteuid().as_raw()];
    let by_others = found.mode() & BY_OTHERS != 0 && !(found.is_dir() && found.mode() & STICKY != 0);
    by_others || !ours.contains(&found.uid())
}

fn changeable(path: &Path) -> String {
    format!(
        "{} can be changed by others, expected it to be writable only by root or by the user Gatepass runs as",
        path.display()
    )
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("{} cannot be read: {error}, expected a program", path.display())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn only_what_nobody_else_can_change() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("bin");
        fs::create_dir(&folder).unwrap();
        let program = folder.join("program");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        let mode = |path: &Path, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let told = |path: &Path| fault(path).unwrap_or_default();

        mode(&program, 0o644);
        assert!(told(&program).contains("not an executable file"), "{}", told(&program));
        for (of_file, of_folder, good) in [
            (0o755, 0o755, true),
            (0o700, 0o700, true),
            (0o775, 0o755, false),
            (0o757, 0o755, false),
            (0o755, 0o775, false),
            (0o755, 0o777, false),
            (0o755, 0o1777, true),
        ] {
            mode(&program, of_file);
            mode(&folder, of_folder);
            assert_eq!(fault(&program).is_none(), good, "{of_file:o} in {of_folder:o}: {}", told(&program));
        }
        mode(&folder, 0o755);
        let (link, open) = (folder.join("link"), directory.path().join("open"));
        symlink(&program, &link).unwrap();
        assert_eq!(resolved(&link).unwrap(), program.canonicalize().unwrap());
        fs::create_dir(&open).unwrap();
        mode(&open, 0o777);
        symlink(&program, open.join("link")).unwrap();
        assert!(
            told(&open.join("link")).contains("can be changed by others"),
            "whoever may write there may relink"
        );
        assert!(told(&folder).contains("not an executable file"));
        assert!(told(Path::new("bin/program")).contains("not absolute"));
        assert!(told(&folder.join("absent")).contains("cannot be read"));
    }

    /// As root only: others cannot give files away.
    #[test]
    fn another_users_program_is_not_run() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(fault(&program), None);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&program, Some(12345), None).unwrap();
            assert!(fault(&program).unwrap().contains("can be changed by others"));
        }
    }
}
