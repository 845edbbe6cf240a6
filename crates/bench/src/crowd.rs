//! The program that stands for many desktops, or for the least a server can be: asked and answered line by line.

use crate::{Outcome, clock};
use gatepass_core::Time;
use gatepass_tests::bins;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Nothing that it waits for takes this long.
const PATIENCE: Duration = Duration::from_secs(180);

pub struct Crowd {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// When half of them, 99 of a hundred, and the last had it.
#[derive(Clone, Copy)]
pub struct Arrival {
    pub median: Time,
    pub p99: Time,
    pub last: Time,
    /// Tries that came to nothing.
    pub failed: u64,
}

impl Crowd {
    pub fn start(args: &[&str]) -> Outcome<Self> {
        let mut child = Command::new(bins::path("gatepass-bench-desktops"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = (input.ok_or("no input")?, output.ok_or("no output")?);
        Ok(Self { child, input, output: BufReader::new(output).lines() })
    }

    pub fn id(&self) -> Outcome<u32> {
        self.child.id().ok_or_else(|| "it has ended".into())
    }

    pub async fn tell(&mut self, line: &str) -> Outcome<()> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    pub async fn line(&mut self) -> Outcome<String> {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await;
        line.map_err(|_| "the crowd is silent")??.ok_or_else(|| "the crowd has ended".into())
    }

    /// Tells it, and waits until it is ready.
    pub async fn ready(&mut self, line: &str) -> Outcome<()> {
        self.tell(line).await?;
        match self.line().await?.as_str() {
            "ready" => Ok(()),
            other => Err(format!("expected “ready” and got “{other}”").into()),
        }
    }

    /// Waits until all have arrived.
    pub async fn arrival(&mut self) -> Outcome<Arrival> {
        let line = self.line().await?;
        let words: Vec<u64> = line.split(' ').skip(1).map(str::parse).collect::<Result<_, _>>()?;
        let at = |place: usize| -> Outcome<Time> {
            let micros = words.get(place).copied().ok_or_else(|| format!("no times in “{line}”"))?;
            Ok(Time::from_timestamp_micros(i64::try_from(micros)?).ok_or("not a time")?)
        };
        let failed = words.get(3).copied().unwrap_or(0);
        Ok(Arrival { median: at(0)?, p99: at(1)?, last: at(2)?, failed })
    }
}

/// Milliseconds from a time to another.
pub fn ms(from: Time, to: Time) -> f64 {
    (to - from).num_microseconds().unwrap_or_default() as f64 / 1000.0
}

/// Now, on the clock that arrivals are told in.
pub fn now() -> Time {
    clock::exact()
}
