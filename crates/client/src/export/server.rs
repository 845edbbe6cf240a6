//! All of the log as the server has it, streamed into the same places as what comes from the local copy.

use super::file::Target;
use super::{ExportAsk, ExportPlace, ExportProgress, Exported, cancelled, check, file_name, unwritable};
use crate::client::Client;
use crate::ui::Failure;
use gatepass_core::report::Lines;
use gatepass_core::{Code, Time};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

/// Chunks that are read ahead of the disk.
const AHEAD: usize = 4;

/// A chunk; `None` says that it was the last. What just ends was broken off.
type Chunk = Result<Option<Vec<u8>>, Failure>;

impl Client {
    /// As [`Client::export`], from the server: what it says, not checked against anything on this device.
    pub async fn export_from_server(
        &self,
        ask: ExportAsk,
        place: ExportPlace,
        progress: Arc<ExportProgress>,
    ) -> Result<Exported, Failure> {
        check(&ask)?;
        let lines = ask.format.lines().filter(|_| ask.grant.is_none() && ask.query.is_none());
        let lines = lines.ok_or_else(|| {
            Failure::new(
                Code::Malformed,
                "The server exports csv, jsonl and ocsf, of everything or of a period.",
            )
        })?;
        let joined = self.joined()?;
        let name = file_name(&ask, joined.api.now());
        let mut answer = joined.api.export(&query(lines, &ask)).await?;
        let (sender, chunks) = mpsc::channel::<Chunk>(AHEAD);
        let writing = tokio::task::spawn_blocking(move || write(lines, place, &name, chunks));
        loop {
            let chunk = match answer.chunk().await {
                _ if progress.cancelled() => Err(cancelled()),
                Ok(chunk) => Ok(chunk.map(|bytes| bytes.to_vec())),
                Err(error) => Err(Failure::new(
                    Code::Unreachable,
                    format!("The server broke off in the middle; nothing was written: {error}."),
                )),
            };
            let last = !matches!(chunk, Ok(Some(_)));
            progress.done.fetch_add(
                chunk.as_ref().ok().and_then(Option::as_ref).map_or(0, |c| c.len() as u64),
                Ordering::Relaxed,
            );
            // The writer that is gone says why.
            if sender.send(chunk).await.is_err() || last {
                break;
            }
        }
        drop(sender);
        let (path, events) =
            writing.await.map_err(|e| Failure::local("Writing the export ended early", e))??;
        Ok(Exported { paths: path.into_iter().collect(), events, ..Exported::default() })
    }
}

fn query(lines: Lines, ask: &ExportAsk) -> String {
    let utc = |at: Time| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let format = match lines {
        Lines::Csv => "csv",
        Lines::Jsonl => "jsonl",
        Lines::Ocsf => "ocsf",
    };
    let mut query = format!("format={format}");
    for (key, at) in [("after", ask.after), ("before", ask.before)] {
        query.extend(at.map(|at| format!("&{key}={}", utc(at))));
    }
    query
}

fn write(
    lines: Lines,
    place: ExportPlace,
    name: &str,
    mut chunks: mpsc::Receiver<Chunk>,
) -> Result<(Option<PathBuf>, u64), Failure> {
    let mut target = Target::open(place, name)?;
    let mut count = Count { csv: lines == Lines::Csv, quoted: false, lines: 0 };
    loop {
        match chunks.blocking_recv() {
            Some(Ok(Some(bytes))) => {
                count.take(&bytes);
                target.write_all(&bytes).map_err(unwritable)?;
            }
            Some(Ok(None)) => return Ok((target.finish()?, count.events())),
            Some(Err(failure)) => return Err(failure),
            None => return Err(cancelled()),
        }
    }
}

/// Counts records; a quoted cell of CSV may have lines in it.
struct Count {
    csv: bool,
    quoted: bool,
    lines: u64,
}

impl Count {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'"' if self.csv => self.quoted = !self.quoted,
                b'\n' if !self.quoted => self.lines += 1,
                _ => {}
            }
        }
    }

    /// Without the names of the columns.
    fn events(&self) -> u64 {
        self.lines.saturating_sub(u64::from(self.csv))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_not_lines() {
        let mut count = Count { csv: true, quoted: false, lines: 0 };
        count.take(b"a,b\r\n1,\"x\n");
        count.take(b"\"\"y\"\r\n2,z\r\n");
        assert_eq!(count.events(), 2);
        let mut count = Count { csv: false, quoted: false, lines: 0 };
        count.take(b"{\"a\":\"\"}\n{\"");
        count.take(b"b\":1}\n");
        assert_eq!(count.events(), 2);
    }
}
