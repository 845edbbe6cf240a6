//! Where the programs under test are.

use std::path::{Path, PathBuf};

/// The folder with the binaries of this build, or `GATEPASS_BIN` (for packages and release builds).
pub fn dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("GATEPASS_BIN") {
        return PathBuf::from(dir);
    }
    let here = std::env::current_exe().expect("this program's path");
    // target/debug/deps/test-… for tests, target/debug/tour for programs.
    let dir = here.parent().expect("its folder");
    if dir.ends_with("deps") { dir.parent().expect("the folder above").to_owned() } else { dir.to_owned() }
}

/// A program of this workspace; panics with what to do when it was not built.
pub fn path(name: &str) -> PathBuf {
    let path = dir().join(name);
    assert!(
        path.exists(),
        "{} is missing: build it with `cargo build --workspace --all-targets`",
        path.display()
    );
    path
}

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

/// A program that `./dev setup` installs; not on everybody's path when it is for administrators.
pub fn system(name: &str) -> PathBuf {
    let administrators = PathBuf::from("/usr/sbin").join(name);
    if administrators.exists() { administrators } else { tool(name) }
}

/// A tool that `./dev setup` installs; on the path, or where setup puts it.
pub fn tool(name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::home_dir().map(|home| home.join(".cache"))).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).chain([cache.join("gatepass/tools/bin")]).map(|dir| dir.join(name));
    found
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is missing: run ./dev setup"))
}
