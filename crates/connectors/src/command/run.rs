//! One run of a program: what it is told, what it answers, and that nothing of it is left.

use super::group::Group;
use crate::TargetError;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// Of what it says on standard error.
const SAID: usize = 8 * 1024;
/// How long somebody who left the group may hold on to the program's output after its end.
const GRACE: Duration = Duration::from_millis(500);
/// How long the kernel may take to end what was killed.
const REAP: Duration = Duration::from_secs(5);

/// How a run ended.
pub struct Ended {
    /// Standard output.
    pub answer: Vec<u8>,
    /// The beginning of standard error.
    pub said: Vec<u8>,
    how: How,
}

enum How {
    Exit(ExitStatus),
    TooLong(Duration),
    TooMuch(usize),
}

impl Ended {
    pub fn failed(&self) -> Option<TargetError> {
        use std::os::unix::process::ExitStatusExt as _;
        Some(match &self.how {
            How::Exit(status) if status.success() => return None,
            How::Exit(status) => TargetError::Refused(match (status.code(), status.signal()) {
                (Some(code), _) => format!("the program ended with status {code}"),
                (None, Some(signal)) => format!("the program was ended by signal {signal}"),
                (None, None) => "the program ended in a way that is not known".to_owned(),
            }),
            How::TooLong(limit) => {
                TargetError::Unreachable(format!("the program did not end within {} s", limit.as_secs()))
            }
            How::TooMuch(most) => {
                TargetError::Refused(format!("the program’s answer is longer than {} KiB", most / 1024))
            }
        })
    }
}

/// Runs `command` with `input` as its standard input. When this returns, or is dropped, nobody of the program's
/// process group lives on.
pub async fn run(
    mut command: Command,
    input: &[u8],
    limit: Duration,
    most: usize,
) -> Result<Ended, TargetError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = spawn(&mut command).await?;
    let (stdin, stdout, stderr) = {
        let leader = group.leader();
        (leader.stdin.take(), leader.stdout.take(), leader.stderr.take())
    };
    let (mut answer, mut said) = (Vec::new(), Vec::new());
    let how = {
        let mut talk = std::pin::pin!(async {
            let tell = async {
                if let Some(mut stdin) = stdin {
                    // A program may end without listening.
                    let _ = stdin.write_all(input).await;
                }
                Ok(())
            };
            let listen = async {
                match stdout {
                    Some(mut stdout) => {
                        kept(&mut stdout, &mut answer, most).await.then_some(()).ok_or(TooMuch)
                    }
                    None => Ok(()),
                }
            };
            let overhear = async {
                if let Some(mut stderr) = stderr
                    && !kept(&mut stderr, &mut said, SAID).await
                {
                    // So that the program can go on.
                    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
                }
                Ok(())
            };
            tokio::try_join!(tell, listen, overhear).map(|_| ())
        });
        let mut late = std::pin::pin!(sleep(limit));
        let mut talked = None;
        let ended = loop {
            tokio::select! {
                outcome = &mut talk, if talked.is_none() => match outcome {
                    Err(TooMuch) => break Some(How::TooMuch(most)),
                    Ok(()) => talked = Some(()),
                },
                () = group.ended() => break None,
                () = &mut late => break Some(How::TooLong(limit)),
            }
        };
        group.kill();
        match ended {
            Some(how) => Some(how),
            None if talked.is_some() => None,
            None => match timeout(GRACE, talk).await {
                Ok(Err(TooMuch)) => Some(How::TooMuch(most)),
                Ok(Ok(())) | Err(_) => None,
            },
        }
    };
    let status = timeout(REAP, group.reap()).await;
    let how = match (how, status) {
        (Some(how), _) => how,
        (None, Ok(Ok(status))) => How::Exit(status),
        (None, Ok(Err(error))) => return Err(unreachable(&error)),
        (None, Err(_)) => How::TooLong(limit),
    };
    Ok(Ended { answer, said, how })
}

struct TooMuch;

/// Reads to the end, or until there is more than `most`: then it answers false.
async fn kept(from: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>, most: usize) -> bool {
    let mut some = [0; 8 * 1024];
    loop {
        match from.read(&mut some).await {
            Ok(0) | Err(_) => return true,
            Ok(read) => {
                let room = most - into.len();
                into.extend_from_slice(&some[..read.min(room)]);
                if read > room {
                    return false;
                }
            }
        }
    }
}

async fn spawn(command: &mut Command) -> Result<Group, TargetError> {
    // Somebody who writes a program has it open for a moment; so has whoever is between fork and exec meanwhile.
    for _ in 0..10 {
        match Group::spawn(command) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                sleep(Duration::from_millis(20)).await;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(TargetError::Configuration(
                    "the program, or what its first line names, is not there".to_owned(),
                ));
            }
            Err(error) => return Err(unreachable(&error)),
            Ok(group) => return Ok(group),
        }
    }
    Err(TargetError::Unreachable("the program is being written".to_owned()))
}

fn unreachable(error: &io::Error) -> TargetError {
    TargetError::Unreachable(format!("the program cannot be run: {error}"))
}
