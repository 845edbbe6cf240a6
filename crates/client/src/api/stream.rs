//! The server's stream of hints (server-sent events). A hint only says that there is something to pull.

use super::answer::unreachable;
use crate::ui::Failure;
use gatepass_core::Code;
use reqwest::Response;
use serde::Deserialize;
use std::collections::VecDeque;
use std::time::Duration;

/// A line longer than this is not from our server.
const LONGEST_LINE: usize = 4_096;
/// Nobody is sent away for longer than this.
const LONGEST_RETRY: Duration = Duration::from_secs(300);

/// An open stream.
pub(crate) struct Hints {
    answer: Response,
    lines: Lines,
    ready: VecDeque<u64>,
    retry: Option<Duration>,
}

/// Why a stream gives no more hints.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The server ended it without a word, as it does when the token is over.
    Over,
    /// The server said when to come back.
    Later(Duration),
    /// It broke off, or fell silent.
    Cut(Failure),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Over => f.write_str("ended"),
            Self::Later(wait) => write!(f, "ended for {wait:?}"),
            Self::Cut(failure) => write!(f, "broke off: {failure}"),
        }
    }
}

impl Hints {
    pub(super) fn new(answer: Response) -> Self {
        Self { answer, lines: Lines::default(), ready: VecDeque::new(), retry: None }
    }

    /// The size of the log as the server says it changed, until the stream ended; then open a new one. Cancelling
    /// loses nothing but a hint.
    pub async fn next(&mut self) -> Result<u64, Ended> {
        loop {
            // Only the newest matters.
            if let Some(size) = self.ready.drain(..).next_back() {
                return Ok(size);
            }
            let ended = match self.answer.chunk().await {
                Ok(Some(bytes)) => {
                    for line in self.lines.feed(&bytes) {
                        self.retry = retry(&line).or(self.retry);
                        self.ready.extend(hint(line));
                    }
                    if !self.lines.too_long() {
                        continue;
                    }
                    Ended::Cut(Failure::new(Code::Malformed, "The server’s stream can’t be read."))
                }
                Ok(None) => Ended::Over,
                Err(error) => Ended::Cut(unreachable(&error)),
            };
            return Err(self.retry.map_or(ended, Ended::Later));
        }
    }
}

fn retry(line: &str) -> Option<Duration> {
    let ms = line.strip_prefix("retry:")?.trim().parse().ok()?;
    Some(Duration::from_millis(ms).min(LONGEST_RETRY))
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
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

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

    #[test]
    fn a_retry_is_milliseconds_and_has_a_bound() {
        assert_eq!(retry("retry: 1500"), Some(Duration::from_millis(1_500)));
        assert_eq!(retry("retry:0"), Some(Duration::ZERO));
        assert_eq!(retry("retry: 999999999999"), Some(LONGEST_RETRY));
        for wrong in ["retry: soon", "retry: -1", "retry", "data: 7"] {
            assert_eq!(retry(wrong), None, "{wrong}");
        }
    }

    /// What is left of a stream whose body came as `chunks`, each a chunk of its own.
    async fn ended(chunks: &[&str], whole: bool) -> (Vec<u64>, Ended) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let mut said = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
        for chunk in chunks {
            said.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        }
        if whole {
            said.push_str("0\r\n\r\n");
        }
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                asked.extend(byte);
            }
            socket.write_all(said.as_bytes()).unwrap();
        });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut hints = Hints::new(http.get(url).send().await.unwrap());
        let mut sizes = Vec::new();
        let ended = loop {
            match hints.next().await {
                Ok(size) => sizes.push(size),
                Err(ended) => break ended,
            }
        };
        server.join().unwrap();
        (sizes, ended)
    }

    #[tokio::test]
    async fn how_a_stream_ended_is_told_apart() {
        let head = "event: head\ndata: {\"size\":7}\n\n";
        assert!(matches!(ended(&[head], true).await, (sizes, Ended::Over) if sizes == [7]));
        assert!(matches!(ended(&[head], false).await, (sizes, Ended::Cut(_)) if sizes == [7]));
        let bye = "event: bye\nretry: 4321\ndata: {}\n\n";
        for whole in [true, false] {
            let (sizes, Ended::Later(wait)) = ended(&[head, bye], whole).await else { panic!("no goodbye") };
            assert_eq!((sizes, wait), (vec![7], Duration::from_millis(4_321)));
        }
        let endless = "x".repeat(5_000);
        assert!(matches!(ended(&[&endless], true).await, (_, Ended::Cut(f)) if f.code == Code::Malformed));
    }
}
