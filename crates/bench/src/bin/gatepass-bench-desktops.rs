//! Many desktops as one process, as far as a server sees them: `streams ADDRESS COUNT TOKENS` holds so many streams open,
//! comes back as the client does, pulls what it missed, and pulls once a minute all the same. `bare` is the least that
//! could be at the other end.
//!
//! Commands come on standard input, one per line, and each is answered by one line:
//!
//! - `expect SIZE`, `expect SIZE pull`: `ready`; then `reached MEDIAN P99 LAST` once every stream was told of a larger
//!   log than SIZE, or has pulled it. Times are microseconds since 1970.
//! - `part`: `ready`; then `back MEDIAN P99 LAST FAILED` once every stream was lost, came back and caught up; FAILED is
//!   how many tries came to nothing.
//! - of `bare`: `say SIZE`: a line with it on every socket; `said`.

use std::collections::VecDeque;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Addresses that streams come from: one has not enough ports for all of them and their pulls.
const SOURCES: usize = 16;
/// How many connect at once at first; later they come when they come.
const FIRST: usize = 128;
/// How many pull at once: beside the streams, a process may have 20,000 sockets.
const PULLS: usize = 2_000;
/// As the client's: the first wait after a stream that was lost without a word, doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// As the client's: how often it pulls without having been told to.
const POLL: Duration = Duration::from_secs(60);
const NEVER: Duration = Duration::from_secs(86_400);
/// A server that is not there says nothing at all.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Err(error) = many_files() {
        eprintln!("the limit of open files stays as it is: {error}");
    }
    let outcome = match args.as_slice() {
        ["streams", address, count, tokens] => streams(address, count, tokens).await,
        ["bare"] => bare().await,
        _ => Err("usage: gatepass-bench-desktops streams ADDRESS COUNT TOKENS | bare".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn many_files() -> rustix::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
}

#[allow(clippy::disallowed_methods, reason = "this is the edge")]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// What all streams share.
struct Crowd {
    address: SocketAddr,
    tokens: Vec<String>,
    count: usize,
    entering: Semaphore,
    pulling: Semaphore,
    /// What is measured now: a log larger than this, or a return.
    round: AtomicU64,
    above: AtomicU64,
    pull: AtomicBool,
    parting: AtomicBool,
    failed: AtomicU64,
    /// When each stream had it.
    times: Mutex<Vec<u64>>,
    full: Notify,
}

impl Crowd {
    fn begin(&self, above: u64, pull: bool, parting: bool) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.clear();
        self.failed.store(0, Ordering::SeqCst);
        self.above.store(above, Ordering::SeqCst);
        self.pull.store(pull, Ordering::SeqCst);
        self.parting.store(parting, Ordering::SeqCst);
        self.round.fetch_add(1, Ordering::SeqCst);
    }

    fn arrived(&self, at: u64) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.push(at);
        if times.len() == self.count {
            self.full.notify_one();
        }
    }

    /// Waits until all have arrived: the median, the 99th of a hundred, and the last.
    async fn all(&self) -> (u64, u64, u64) {
        self.full.notified().await;
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        times.sort_unstable();
        let at = |share: usize| times.get((times.len() * share / 100).min(times.len() - 1)).copied();
        (at(50).unwrap_or(0), at(99).unwrap_or(0), times.last().copied().unwrap_or(0))
    }

    async fn connect(&self, number: usize) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        let source = Ipv4Addr::new(127, 0, 1, (number % SOURCES) as u8 + 1);
        socket.bind((source, 0).into())?;
        socket.connect(self.address).await
    }

    fn token(&self, number: usize) -> &str {
        self.tokens.get(number % self.tokens.len().max(1)).map_or("", String::as_str)
    }
}

async fn streams(address: &str, count: &str, tokens: &str) -> Outcome<()> {
    let count = count.parse()?;
    let crowd = Arc::new(Crowd {
        address: address.parse()?,
        tokens: std::fs::read_to_string(tokens)?.lines().map(str::to_owned).collect(),
        count,
        entering: Semaphore::new(FIRST),
        pulling: Semaphore::new(PULLS),
        round: AtomicU64::new(0),
        above: AtomicU64::new(0),
        pull: AtomicBool::new(false),
        parting: AtomicBool::new(true),
        failed: AtomicU64::new(0),
        times: Mutex::new(Vec::with_capacity(count)),
        full: Notify::new(),
    });
    // Coming in at first is a return too.
    crowd.begin(0, false, true);
    for number in 0..count {
        tokio::spawn(Stream::new(crowd.clone(), number).live());
    }
    let (median, p99, last) = crowd.all().await;
    println!("in {median} {p99} {last}");
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = commands.next_line().await? {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["expect", size, pull @ ..] => {
                crowd.begin(size.parse()?, *pull == ["pull"], false);
                println!("ready");
                let (median, p99, last) = crowd.all().await;
                println!("reached {median} {p99} {last}");
            }
            ["part"] => {
                crowd.begin(0, false, true);
                println!("ready");
                let (median, p99, last) = crowd.all().await;
                println!("back {median} {p99} {last} {}", crowd.failed.load(Ordering::SeqCst));
            }
            _ => return Err(format!("unknown command “{line}”").into()),
        }
    }
    Ok(())
}

/// One desktop.
struct Stream {
    crowd: Arc<Crowd>,
    number: usize,
    /// The largest log it was told of.
    size: u64,
    /// The last round it arrived in.
    arrived: u64,
    /// Tries that came to nothing.
    tries: u32,
    poll: Instant,
}

/// What a server said.
enum Word {
    Size(u64),
    Retry(Duration),
}

impl Stream {
    fn new(crowd: Arc<Crowd>, number: usize) -> Self {
        // The bare server has nothing to pull.
        let poll = if crowd.tokens.is_empty() { NEVER } else { POLL.mul_f64(rand::random()) };
        let poll = Instant::now() + poll;
        Self { crowd, number, size: 0, arrived: 0, tries: 0, poll }
    }

    async fn live(mut self) {
        let entering = self.crowd.clone();
        let mut first = entering.entering.acquire().await.ok();
        loop {
            let wait = match self.follow(&mut first).await {
                Ok(Some(retry)) => retry,
                Ok(None) => self.failed(),
                Err(_) => {
                    self.crowd.failed.fetch_add(1, Ordering::SeqCst);
                    self.failed()
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    fn failed(&mut self) -> Duration {
        let longest = FIRST_WAIT.saturating_mul(1 << self.tries.min(10)).min(LONGEST_WAIT);
        self.tries += 1;
        longest.mul_f64(rand::random())
    }

    /// One connection to its end: when to come back, if that was said. An error: there was no stream.
    async fn follow(
        &mut self,
        first: &mut Option<tokio::sync::SemaphorePermit<'_>>,
    ) -> Outcome<Option<Duration>> {
        let mut socket = self.crowd.connect(self.number).await?;
        let token = self.crowd.token(self.number);
        let ask = format!(
            "GET /v1/stream HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\naccept: text/event-stream\r\n\r\n",
            self.crowd.address
        );
        socket.write_all(ask.as_bytes()).await?;
        let mut lines = Lines::default();
        let mut told = false;
        let mut retry = None;
        loop {
            let read = if told {
                tokio::select! {
                    read = lines.read(&mut socket) => read,
                    () = tokio::time::sleep_until(self.poll) => {
                        self.poll += POLL;
                        self.pull(self.size).await?;
                        continue;
                    }
                }
            } else {
                tokio::time::timeout(PATIENCE, lines.read(&mut socket)).await?
            };
            if !read.unwrap_or(false) {
                return if told { Ok(retry) } else { Err("no stream".into()) };
            }
            while let Some(word) = lines.next()? {
                match word {
                    Word::Size(size) => {
                        let came = !std::mem::replace(&mut told, true);
                        self.tries = 0;
                        self.told(size, came).await?;
                        *first = None;
                    }
                    Word::Retry(wait) => retry = Some(wait),
                }
            }
        }
    }

    /// `came`: with the first word of a connection.
    async fn told(&mut self, size: u64, came: bool) -> Outcome<()> {
        let before = std::mem::replace(&mut self.size, size);
        let round = self.crowd.round.load(Ordering::SeqCst);
        let parting = self.crowd.parting.load(Ordering::SeqCst);
        if self.arrived == round {
            return Ok(());
        }
        if parting {
            if !came {
                return Ok(());
            }
            // One that was never there has nothing yet, and is not to pull a whole log now.
            if self.arrived > 0 {
                self.pull(before).await?;
            }
        } else {
            if size <= self.crowd.above.load(Ordering::SeqCst) {
                return Ok(());
            }
            if self.crowd.pull.load(Ordering::SeqCst) {
                self.pull(before).await?;
            }
        }
        self.arrived = round;
        self.crowd.arrived(now());
        Ok(())
    }

    /// Asks for the log after a position, on a connection of its own, and reads the answer.
    async fn pull(&self, after: u64) -> Outcome<()> {
        let _permit = self.crowd.pulling.acquire().await?;
        let mut socket = self.crowd.connect(self.number).await?;
        let ask = format!(
            "GET /v1/log/events?after={after}&limit=1000 HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             connection: close\r\n\r\n",
            self.crowd.address,
            self.crowd.token(self.number)
        );
        socket.write_all(ask.as_bytes()).await?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await?;
        if answer.starts_with(b"HTTP/1.1 200 ") {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&answer).into_owned().into())
        }
    }
}

/// As much of HTTP and server-sent events as tells sizes and waits apart from the rest.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    words: VecDeque<Word>,
    refused: Option<String>,
}

impl Lines {
    /// False at the end.
    async fn read(&mut self, socket: &mut TcpStream) -> std::io::Result<bool> {
        let mut bytes = [0; 512];
        // Ten thousand of these wait: the buffer is not kept while one does.
        socket.readable().await?;
        match socket.try_read(&mut bytes) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.feed(bytes.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte != b'\n' {
                self.begun.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.begun).into_owned();
            self.begun.clear();
            if line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.1 200") {
                self.refused = Some(line);
            } else if let Some(size) = line.strip_prefix("data: {\"size\":") {
                self.words.extend(size.trim_end_matches(['}', '\r']).parse().ok().map(Word::Size));
            } else if let Some(wait) = line.strip_prefix("retry: ") {
                let wait = wait.trim().parse().ok().map(Duration::from_millis);
                self.words.extend(wait.map(Word::Retry));
            }
        }
        self.begun.shrink_to_fit();
    }

    fn next(&mut self) -> Outcome<Option<Word>> {
        match self.refused.take() {
            Some(line) => Err(line.into()),
            None => Ok(self.words.pop_front()),
        }
    }
}

/// Accepts, says one size to each, and then what it is told to all.
async fn bare() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let sockets: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let held = sockets.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let held = held.clone();
            tokio::spawn(async move {
                let mut asked = [0; 1024];
                let hello = b"HTTP/1.1 200 OK\r\n\r\ndata: {\"size\":0}\n\n";
                if socket.read(&mut asked).await.is_ok() && socket.write_all(hello).await.is_ok() {
                    held.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
                }
            });
        }
    });
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = commands.next_line().await? {
        let Some(size) = line.strip_prefix("say ") else { return Err("unknown command".into()) };
        let line = format!("event: head\ndata: {{\"size\":{size}}}\n\n");
        for socket in sockets.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // One that does not read is none that is measured.
            let _ = socket.try_write(line.as_bytes());
        }
        println!("said");
    }
    Ok(())
}
