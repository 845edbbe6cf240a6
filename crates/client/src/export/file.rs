//! Where an export is written: beside its place under another name first, so that what is there is whole or not there.

use super::{ExportPlace, unwritable};
use crate::ui::Failure;
use gatepass_core::Code;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// So many names are tried in a folder.
const NAMES: u32 = 1_000;

pub(super) enum Target {
    File { file: BufWriter<NamedTempFile>, place: Place },
    Out(Box<dyn Write + Send>),
}

pub(super) enum Place {
    At { path: PathBuf, over: bool },
    In { folder: PathBuf, name: String },
}

impl Target {
    /// `name` is what it is called in a folder.
    pub fn open(place: ExportPlace, name: &str) -> Result<Self, Failure> {
        let (folder, place) = match place {
            ExportPlace::Out(out) => return Ok(Self::Out(out)),
            ExportPlace::Folder(folder) => (folder.clone(), Place::In { folder, name: safe(name) }),
            ExportPlace::File { path, over } => {
                if !over && path.symlink_metadata().is_ok() {
                    return Err(taken(&path));
                }
                let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
                (folder.unwrap_or(Path::new(".")).to_owned(), Place::At { path, over })
            }
        };
        let file = tempfile::Builder::new().prefix(".gatepass-").suffix(".part").tempfile_in(&folder);
        let file =
            file.map_err(|e| Failure::local(&format!("Nothing can be written in {}", folder.display()), e))?;
        Ok(Self::File { file: BufWriter::with_capacity(1 << 16, file), place })
    }

    /// Puts the file, whole, where it belongs.
    pub fn finish(self) -> Result<Option<PathBuf>, Failure> {
        match self {
            Self::Out(mut out) => {
                out.flush().map_err(unwritable)?;
                Ok(None)
            }
            Self::File { file, place } => {
                let file = file.into_inner().map_err(|e| unwritable(e.into_error()))?;
                file.as_file().sync_all().map_err(unwritable)?;
                match place {
                    Place::At { path, over: true } => match file.persist(&path) {
                        Ok(_) => Ok(Some(path)),
                        Err(e) => Err(unwritable(e.error)),
                    },
                    Place::At { path, over: false } => match file.persist_noclobber(&path) {
                        Ok(_) => Ok(Some(path)),
                        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Err(taken(&path)),
                        Err(e) => Err(unwritable(e.error)),
                    },
                    Place::In { folder, name } => free(file, &folder, &name).map(Some),
                }
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } => file.write(bytes),
            Self::Out(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File { file, .. } => file.flush(),
            Self::Out(out) => out.flush(),
        }
    }
}

fn taken(path: &Path) -> Failure {
    Failure::new(
        Code::Malformed,
        format!("{} is there already; say --force to write over it.", path.display()),
    )
}

/// A name is one part of a path and no hidden file, whatever it is made of.
fn safe(name: &str) -> String {
    let name = name.trim_start_matches(['.', '/', '-']);
    name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}

/// `log.csv`, `log (2).csv`, …: the first that nobody has.
fn free(mut file: NamedTempFile, folder: &Path, name: &str) -> Result<PathBuf, Failure> {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    for n in 1..=NAMES {
        let name = if n == 1 { name.to_owned() } else { format!("{stem} ({n}).{extension}") };
        let path = folder.join(name);
        match file.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => file = e.file,
            Err(e) => return Err(unwritable(e.error)),
        }
    }
    Err(taken(&folder.join(name)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let at = |over| ExportPlace::File { path: path.clone(), over };
        let mut target = Target::open(at(false), "").unwrap();
        target.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(target);
        assert_eq!(names(folder.path()), [""; 0]);
        let mut target = Target::open(at(false), "").unwrap();
        target.write_all(b"whole").unwrap();
        assert_eq!(target.finish().unwrap().as_deref(), Some(path.as_path()));
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        let Err(refused) = Target::open(at(false), "") else { panic!("written over") };
        assert!(refused.message.contains("--force"));
        let mut target = Target::open(at(true), "").unwrap();
        target.write_all(b"another").unwrap();
        target.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
        assert_eq!(names(folder.path()), ["out.csv"]);
    }

    #[test]
    fn what_came_meanwhile_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        let target = Target::open(ExportPlace::File { path: path.clone(), over: false }, "").unwrap();
        std::fs::write(&path, "theirs").unwrap();
        assert!(target.finish().is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        assert_eq!(names(folder.path()), ["out.csv"]);
    }

    #[test]
    fn a_folder_gets_the_next_free_name() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let target = Target::open(ExportPlace::Folder(folder.path().to_owned()), "../R-1.evidence.json");
            target.unwrap().finish().unwrap();
        }
        assert_eq!(names(folder.path()), ["R-1 (2).evidence.json", "R-1.evidence.json"]);
    }
}
