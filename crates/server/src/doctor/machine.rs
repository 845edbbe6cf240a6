//! The machine: files, room, clock, certificate.

use super::{Finding, fail, ok, warn};
use crate::clock::BOUND;
use crate::config::{Config, Kind, Password};
use crate::{Time, seen, tls};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Fewer days than these are too few for a certificate.
const DAYS: i64 = 14;
/// Less room than this, in bytes, is soon used up; and less than that is.
const LITTLE: u64 = 1 << 30;
const NOTHING: u64 = 100 << 20;

/// Files with secrets: nobody else reads them.
pub fn files(config: &Config) -> Vec<Finding> {
    let of_targets = config.targets.iter().filter_map(|target| match &target.kind {
        Kind::Postgres { password: Some(Password::File(path)), .. } => Some(path),
        Kind::Mariadb(target) => match &target.password {
            Some(Password::File(path)) => Some(path),
            _ => None,
        },
        _ => None,
    });
    let of_database = config.database.iter().filter_map(|database| match &database.password {
        Some(Password::File(path)) => Some(path),
        _ => None,
    });
    let key = config.tls.iter().map(|files| &files.key);
    of_targets.chain(of_database).chain(key).map(|path| file(path)).collect()
}

fn file(path: &Path) -> Finding {
    const ABOUT: &str = "files.secret";
    let shown = path.display();
    match std::fs::metadata(path) {
        Err(error) => {
            fail(ABOUT, format!("{shown} cannot be read: {error}"), "Put it where the configuration says")
        }
        Ok(file) if file.permissions().mode() & 0o007 != 0 => fail(
            ABOUT,
            format!("everybody on this machine may read {shown}"),
            format!("chmod o-rwx {shown}, and change the password or key in it"),
        ),
        Ok(_) => match std::fs::File::open(path) {
            Err(error) => {
                fail(ABOUT, format!("{shown} cannot be read: {error}"), "Let the server’s user read it")
            }
            Ok(_) => ok(ABOUT, format!("{shown} is readable, and not for everybody")),
        },
    }
}

/// The data directory of an embedded server.
pub fn data(data: &Path) -> Vec<Finding> {
    const ABOUT: &str = "data.directory";
    let shown = data.display();
    let Ok(there) = std::fs::metadata(data) else {
        return vec![warn(ABOUT, format!("{shown} is not there yet"), "The first start makes it")];
    };
    let mode = there.permissions().mode() & 0o777;
    let directory = if mode & 0o077 == 0 {
        ok(ABOUT, format!("{shown} is its own"))
    } else {
        fail(ABOUT, format!("others may look into {shown} ({mode:o})"), format!("chmod 0700 {shown}"))
    };
    let disk = match rustix::fs::statvfs(data) {
        Ok(disk) => room(disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => warn("data.room", format!("cannot ask how much room is left: {error}"), "Look with df"),
    };
    vec![directory, disk]
}

fn room(free: u64) -> Finding {
    const ABOUT: &str = "data.room";
    let says = format!("{} MiB are left where the data is", free >> 20);
    let todo = "Make room: a full disk refuses every write";
    match free {
        _ if free < NOTHING => fail(ABOUT, says, todo),
        _ if free < LITTLE => warn(ABOUT, says, todo),
        _ => ok(ABOUT, says),
    }
}

pub fn certificate(config: &Config, now: Time) -> Option<Finding> {
    const ABOUT: &str = "certificate.end";
    let files = config.tls.as_ref()?;
    Some(match tls::expiry(&files.certificate) {
        Err(error) => fail(ABOUT, error.to_string(), "Put a certificate in PEM there"),
        Ok(ends) => {
            let days = (ends - now).num_days();
            let says = format!("the server’s certificate ends at {ends}, in {days} days");
            let todo = "Renew it: replacing the file is enough";
            match ends {
                _ if ends <= now => fail(ABOUT, format!("the server’s certificate ended at {ends}"), todo),
                _ if days < DAYS => warn(ABOUT, says, todo),
                _ => ok(ABOUT, says),
            }
        }
    })
}

/// Whether the clock is where it was, and went on.
pub fn clock_went_on(data: &Path, now: Time) -> Finding {
    const ABOUT: &str = "clock.back";
    match seen::time(data).map(|known| known - now).filter(|behind| *behind > BOUND) {
        None => ok(ABOUT, "this machine’s clock is not behind what the server knew"),
        Some(behind) => warn(
            ABOUT,
            format!(
                "this machine’s clock is {} s behind what the server knew; it goes by what it knew, so that no access \
                 becomes longer",
                behind.num_seconds()
            ),
            "If the clock is wrong, set it right. If it was wrong before, the server goes by its time until then, and \
             targets with clocks of their own by theirs",
        ),
    }
}

/// Whether somebody sets this machine's clock.
pub async fn clock() -> Finding {
    const ABOUT: &str = "clock.set";
    let mut ask = Command::new("timedatectl");
    ask.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null()).kill_on_drop(true);
    let said = tokio::time::timeout(Duration::from_secs(5), ask.output()).await;
    let said = said.ok().and_then(Result::ok).filter(|done| done.status.success());
    match said.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned()).as_deref() {
        Some("yes") => ok(ABOUT, "the machine’s clock is set by a time server"),
        Some("no") => warn(
            ABOUT,
            "no time server sets the machine’s clock",
            "Run systemd-timesyncd or chrony: devices whose clocks differ by minutes are refused",
        ),
        _ => ok(ABOUT, "nobody here says whether a time server sets the machine’s clock"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn room_runs_out_in_steps() {
        assert_eq!(room(5 << 30).verdict, Verdict::Ok);
        assert_eq!(room(500 << 20).verdict, Verdict::Warn);
        assert_eq!(room(0).verdict, Verdict::Fail);
    }
}
