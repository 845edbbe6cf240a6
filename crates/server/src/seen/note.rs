//! The newest head that this node signed, and files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

const NOTE: &str = "checkpoint";
/// What the log was signed as before somebody gave that up.
pub(super) const GIVEN_UP: &str = "checkpoint.given-up";

/// Whole or not at all, whoever else writes it at the same moment.
pub(super) fn keep_whole(data: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data)?;
    let mut file = tempfile::Builder::new().prefix(&format!("{name}.unfinished-")).tempfile_in(data)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(data.join(name))?;
    File::open(data)?.sync_all()
}

/// Where the newest head that this node signed is.
pub fn note_file(data: &Path) -> PathBuf {
    data.join(NOTE)
}

/// The newest head that this node signed.
pub fn note(data: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(note_file(data)) {
        Ok(note) => Ok(Some(note)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Durable when it answers.
pub fn keep_note(data: &Path, note: &str) -> io::Result<()> {
    keep_whole(data, NOTE, note.as_bytes())
}

/// Kept aside: whoever asks what was given up finds it signed.
pub(super) fn give_up_note(data: &Path) -> io::Result<()> {
    match fs::rename(data.join(NOTE), data.join(GIVEN_UP)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
