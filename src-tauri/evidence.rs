//! The proof of a contradiction, as a file in the person's Downloads.

use crate::desktop::Desktop;
use crate::exports::downloads;
use gatepass_client::ui::Failure;
use gatepass_core::Code;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use tauri::{AppHandle, State};

/// So many names are tried before it is said that something is wrong with the folder.
const NAMES: u32 = 1_000;

/// Answers where it was written.
#[tauri::command]
pub async fn export_evidence(handle: AppHandle, app: State<'_, Desktop>) -> Result<String, Failure> {
    let client = app.client().await?;
    let (Some(found), Some(text)) = (client.mismatch()?, client.evidence().await?) else {
        return Err(Failure::new(
            Code::NotFound,
            "Nothing contradicts this device; there is nothing to save.",
        ));
    };
    let name = format!("gatepass-contradiction-{}", found.at.format("%Y-%m-%d"));
    let path = save(&downloads(&handle)?, &name, &text)
        .map_err(|e| Failure::new(Code::Internal, format!("The evidence can’t be written: {e}.")))?;
    Ok(path.display().to_string())
}

/// Under a name that is not taken: what was saved before stays.
fn save(folder: &Path, name: &str, text: &str) -> std::io::Result<PathBuf> {
    let (path, mut file) = free(folder, name)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a proof proves nothing.
        let _ = std::fs::remove_file(&path);
        return Err(error);
    }
    Ok(path)
}

fn free(folder: &Path, name: &str) -> std::io::Result<(PathBuf, File)> {
    for n in 1..NAMES {
        let file = if n == 1 { format!("{name}.json") } else { format!("{name}-{n}.json") };
        let path = folder.join(file);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_saved_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = save(folder.path(), "it", "one").unwrap();
        let second = save(folder.path(), "it", "two").unwrap();
        assert_eq!(first.file_name().unwrap(), "it.json");
        assert_eq!(second.file_name().unwrap(), "it-2.json");
        assert_eq!(std::fs::read_to_string(first).unwrap(), "one");
        assert_eq!(std::fs::read_to_string(second).unwrap(), "two");
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(save(&folder.path().join("none"), "it", "one").is_err());
    }
}
