//! The server's stream of hints (server-sent events). A hint only says that there is something to pull.

use super::answer::unreachable;
use crate::ui::Failure;
use gatepass_core::Code;
use reqwest::Response;
use serde::Deserialize;
use std::collections::VecDeque;

/// A line longer than this is not from our server.
const LONGEST_LINE: usize = 4_096;

/// An open stream.
pub(crate) struct Hints {
    answer: Response,
    lines: Lines,
    ready: VecDeque<u64>,
}

impl Hints {
    pub(super) fn new(answer: Response) -> Self {
        Self { answer, lines: Lines::default(), ready: VecDeque::new() }
    }

    /// The size of the log as the server says it changed. Fails when the stream ends or falls silent; then open
    /// a new one. Cancelling loses nothing but a hint.
    pub async fn next(&mut self) -> Result<u64, Failure> {
        loop {
            // Only the newest matters.
            if let Some(size) = self.ready.drain(..).next_back() {
                return Ok(size);
            }
            match self.answer.chunk().await {
                Ok(Some(bytes)) => {
                    self.ready.extend(self.lines.feed(&bytes).filter_map(hint));
                    if self.lines.too_long() {
                        return Err(Failure::new(Code::Malformed, "The server’s stream can’t be read."));
                    }
                }
                Ok(None) => return Err(Failure::new(Code::Unreachable, "The server ended the stream.")),
                Err(error) => return Err(unreachable(&error)),
            }
        }
    }
}

fn hint(line: String) -> Option<u64> {
    #[derive(Deserialize)]
    struct Size {
        size: u64,
    }
    let data = line.strip_prefix("data:")?;
    serde_json::from_str::<Size>(data.trim()).ok().map(|s| s.size)
}

/// Whole lines out of pieces.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn feed(&mut self, bytes: &[u8]) -> impl Iterator<Item = String> + use<> {
        self.0.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.0.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.0.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        lines.into_iter()
    }

    fn too_long(&self) -> bool {
        self.0.len() > LONGEST_LINE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_come_out_of_pieces() {
        let mut lines = Lines::default();
        let mut sizes = Vec::new();
        for piece in [
            ": hello\n\nevent: he",
            "ad\ndata: {\"si",
            "ze\":7}\r\n\ndata:{\"size\":8}\n",
            "data: nonsense\n",
        ] {
            sizes.extend(lines.feed(piece.as_bytes()).filter_map(hint));
        }
        assert_eq!(sizes, [7, 8]);
    }
}
