//! What has to be right before GTK starts: the tray's library, a display, and the environment.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Why the app can't start, as a sentence with the way on.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    #[error(
        "the tray needs libayatana-appindicator3, which is not on this computer.\n\
         On Debian and Ubuntu: sudo apt-get install libayatana-appindicator3-1"
    )]
    TrayLibrary,
    #[error("there is no display to show anything on (neither WAYLAND_DISPLAY nor DISPLAY is set)")]
    NoDisplay,
    #[error("the display {0} (from DISPLAY) does not answer")]
    Display(String),
    #[error("the app could not start itself again with its environment: {0}")]
    Restart(std::io::Error),
}

/// Set for GTK and the allocator before any thread runs, unless the person set it: the first keeps the tray from
/// loading a software GL driver (26 MB), and WebKit from more of it in the window; the others keep the allocator
/// from holding a pool for each thread, and from keeping what a sync needed for a moment.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("GDK_GL", "disable"),
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "65536"),
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
];
/// With GL off in GTK this would leave the window black, and there is nothing left for it to save.
const NOT_WITH_IT: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";

/// Checks, and starts this program once more in the same process when its environment lacks something.
/// Changing it from within would need `unsafe`, and the allocator reads its part only at start.
pub fn check() -> Result<(), Missing> {
    display_answers()?;
    if !tray_library_present() {
        return Err(Missing::TrayLibrary);
    }
    let unset: Vec<_> = ENVIRONMENT.iter().filter(|(name, _)| std::env::var_os(name).is_none()).collect();
    if unset.is_empty() {
        return Ok(());
    }
    let program = std::env::current_exe().map_err(Missing::Restart)?;
    let error = Command::new(program)
        .args(std::env::args_os().skip(1))
        .envs(unset.into_iter().copied())
        .env_remove(NOT_WITH_IT)
        .exec();
    Err(Missing::Restart(error))
}

/// GTK would panic. A remote display is taken at its word.
fn display_answers() -> Result<(), Missing> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if set("WAYLAND_DISPLAY").is_some() {
        return Ok(());
    }
    let display = set("DISPLAY").ok_or(Missing::NoDisplay)?;
    let Some(local) = display.strip_prefix(':').and_then(|rest| rest.split('.').next()) else {
        return Ok(());
    };
    let path = format!("/tmp/.X11-unix/X{local}");
    let unnamed =
        SocketAddr::from_abstract_name(&path).and_then(|address| UnixStream::connect_addr(&address));
    match unnamed.or_else(|_| UnixStream::connect(&path)) {
        Ok(_) => Ok(()),
        Err(_) => Err(Missing::Display(display)),
    }
}

/// The names the tray's binding would load; it panics when there is none.
fn tray_library_present() -> bool {
    const NAMES: [&str; 2] = ["libayatana-appindicator3.so.1", "libappindicator3.so.1"];
    NAMES.iter().any(|name| loader_finds(name))
}

/// The loader's own answer would need `unsafe`; its cache and the usual folders say the same.
fn loader_finds(name: &str) -> bool {
    let listed = ["/sbin/ldconfig", "/usr/sbin/ldconfig"].iter().any(|program| {
        Command::new(program)
            .arg("-p")
            .output()
            .is_ok_and(|out| out.stdout.split(|&b| b == b'\n').any(|line| contains(line, name.as_bytes())))
    });
    let folders = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    listed
        || folders
            .split(':')
            .filter(|folder| !folder.is_empty())
            .chain([
                "/usr/lib",
                "/usr/lib64",
                "/usr/local/lib",
                "/usr/lib/x86_64-linux-gnu",
                "/usr/lib/aarch64-linux-gnu",
            ])
            .any(|folder| Path::new(folder).join(name).exists())
}

fn contains(line: &[u8], name: &[u8]) -> bool {
    line.windows(name.len()).any(|part| part == name)
}
