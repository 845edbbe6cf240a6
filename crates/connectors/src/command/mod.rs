//! A program on this machine, run once for each verb.
//!
//! What the program must do is in docs/connectors/writing-your-own.md, what the operator should know in
//! docs/connectors/command.md.

mod group;
mod run;
mod trusted;

use crate::TargetError;
use crate::foreign::{Ask, Foreign, Way, spoken_error, texts};
use async_trait::async_trait;
use gatepass_core::wire::Secret;
use run::{Ended, run};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
pub use trusted::fault;

/// How long a call may take unless set.
pub const LIMIT: Duration = Duration::from_secs(30);
/// So that a program finds others, whatever the server was started with.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is shorter is no secret, and stands everywhere.
const SHORTEST: usize = 4;

/// What a command is made of.
pub struct Settings {
    /// Absolute.
    pub program: PathBuf,
    /// Names of the server's environment variables that it gets besides `PATH` and `LANG`.
    pub env: Vec<String>,
    pub limit: Duration,
}

/// The way to a program.
pub struct Command {
    target: String,
    settings: Settings,
}

impl Command {
    /// Runs nothing yet. The program is looked at before every call.
    pub fn connector(target: &str, settings: Settings) -> Foreign<Self> {
        Foreign::new(target, Self { target: target.to_owned(), settings })
    }

    /// What the program wrote to its standard error, for whoever runs this server.
    fn log(&self, ask: &Ask<'_>, ended: &Ended, good: bool) {
        if ended.said.is_empty() {
            return;
        }
        let said = without_secrets(&ended.said, &ended.answer);
        let (target, verb) = (&self.target, ask.verb);
        let grant = ask.grant.map(|grant| grant.to_string());
        if good {
            tracing::info!(target, verb, grant, said, "the program said");
        } else {
            tracing::warn!(target, verb, grant, said, "the program failed, and said");
        }
    }
}

#[async_trait]
impl Way for Command {
    async fn ask(&self, ask: Ask<'_>) -> Result<Vec<u8>, TargetError> {
        let program = trusted::resolved(&self.settings.program).map_err(TargetError::Configuration)?;
        let mut command = tokio::process::Command::new(program);
        command.arg(ask.verb).env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").current_dir("/");
        for name in &self.settings.env {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let ended = run(command, ask.body, self.settings.limit, ask.most).await?;
        let failed = ended.failed();
        self.log(&ask, &ended, failed.is_none());
        match failed {
            None => Ok(ended.answer),
            // Why, in its own words, if it found any.
            Some(error) => Err(spoken_error(&ended.answer).unwrap_or(error)),
        }
    }

    fn secret(&self, details: Value) -> Secret {
        Secret::Command { details }
    }
}

/// A program that traces what it does may well trace the secret it made.
fn without_secrets(said: &[u8], answer: &[u8]) -> String {
    let mut said = String::from_utf8_lossy(said).trim_end().to_owned();
    let mut secrets = texts(answer);
    // A text within another goes after it, or the rest of the longer one would stay.
    secrets.sort_by_key(|text| std::cmp::Reverse(text.len()));
    for text in secrets.iter().filter(|text| text.len() >= SHORTEST) {
        said = said.replace(text.as_str(), "…");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_details_is_not_logged() {
        let answer = br#"{"ok": true, "details": {"token": "hunter2-long", "user": "hunter2", "n": "a"}}"#;
        let said = without_secrets(b"+ token=hunter2-long\n+ user=hunter2 a\n", answer);
        assert_eq!(said, "+ token=…\n+ user=… a");
        assert_eq!(without_secrets(b"no answer\xff\n", b"hunter2"), "no answer\u{fffd}");
    }
}
