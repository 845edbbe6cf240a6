//! A command: a program on this machine.

use super::target::{Kind, TargetSection};
use super::{fault, limit};
use gatepass_connectors::command::{self, Settings};
use gatepass_core::catalogue::Fault;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandTarget {
    pub program: PathBuf,
    /// Names of environment variables it gets.
    pub env: Vec<String>,
    pub timeout: Duration,
}

impl CommandTarget {
    pub fn settings(&self) -> Settings {
        Settings { program: self.program.clone(), env: self.env.clone(), limit: self.timeout }
    }

    /// A program that is yet to be installed is no fault of the configuration.
    pub fn note(&self) -> Option<String> {
        let absent = !self.program.exists();
        absent.then(|| format!("{} is not there yet; until it is, every call fails", self.program.display()))
    }
}

pub fn check(section: &TargetSection, faults: &mut Vec<Fault>) -> Option<Kind> {
    let timeout = limit(section.timeout.as_ref(), command::LIMIT, faults);
    let program = section.program.as_ref()?;
    let path = PathBuf::from(program.get_ref());
    if (!path.is_absolute() || path.exists())
        && let Some(message) = command::fault(&path)
    {
        faults.push(fault(program, message));
    }
    let env = section.env.as_ref().map(|names| names.get_ref().clone()).unwrap_or_default();
    if let Some(names) = &section.env
        && let Some(wrong) = env.iter().find(|name| !is_name(name))
    {
        let message = format!("“{wrong}” is no environment variable, expected a name such as AWS_PROFILE");
        faults.push(fault(names, message));
    }
    Some(Kind::Command(CommandTarget { program: path, env, timeout }))
}

fn is_name(text: &str) -> bool {
    let mut letters = text.bytes();
    letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
