//! What may be written on the command line. docs/cli.md is held to this by a test.

use clap::{Args, Parser, Subcommand};
use gatepass_core::duration;
use gatepass_core::id::{DriftId, parse_number};
use std::path::PathBuf;
use uuid::Uuid;

/// Just-in-time access: ask, decide, use, give back.
#[derive(Debug, Parser)]
#[command(name = "gatepass", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// Which profile on this computer
    #[arg(long, global = true, value_name = "NAME", default_value = gatepass_client::DEFAULT_PROFILE)]
    pub profile: String,
    /// Print one JSON document on stdout, and errors as JSON on stderr
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Join a server by an invite link
    Join {
        /// gatepass://join?server=…&code=…
        link: String,
        /// What to call this device; this computer's name unless given
        #[arg(long, value_name = "NAME")]
        device_name: Option<String>,
    },
    /// Who is signed in, on which device
    Me,
    /// Resources and roles that can be asked for
    Catalogue,
    /// Ask for a role on a resource
    Request(RequestArgs),
    /// Requests, newest first; yours unless told otherwise
    Requests(RequestsArgs),
    /// Approve a request
    Approve {
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// Allow a shorter time than was asked for
        #[arg(long = "for", value_name = "D", value_parser = length)]
        length: Option<u32>,
        /// A note to go with it
        #[arg(long, value_name = "T")]
        note: Option<String>,
    },
    /// Deny a request
    Deny {
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// Why
        #[arg(long, value_name = "T")]
        reason: String,
    },
    /// Take your own request back
    Withdraw {
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
    /// Accesses, newest first; yours unless told otherwise
    Grants(GrantsArgs),
    /// The credential of an access you hold, with its secret
    Credential {
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
    /// Give an access back before its end
    Return {
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
    },
    /// End someone's access
    Revoke {
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// Why
        #[arg(long, value_name = "T")]
        reason: String,
    },
    /// End everything of a person: accesses, devices, what they asked for and what they approved
    RevokeAll {
        /// Their id, as they were invited
        #[arg(value_name = "PERSON")]
        person: String,
        /// Why
        #[arg(long, value_name = "T")]
        reason: String,
        /// Do not ask first
        #[arg(long)]
        yes: bool,
    },
    /// Ask for more time on an access you hold
    Extend {
        #[arg(value_name = "ID", value_parser = id)]
        id: String,
        /// How much more, such as 30m
        #[arg(long = "for", value_name = "D", value_parser = length)]
        length: u32,
        /// Why
        #[arg(long, value_name = "T")]
        reason: String,
    },
    /// Access on targets that no grant explains
    Drift(DriftArgs),
    /// What happened: the log, from the local copy
    Audit {
        #[command(subcommand)]
        command: Audit,
    },
    /// Print events as they happen, until interrupted
    Watch,
}

#[derive(Debug, Args)]
pub struct RequestArgs {
    /// Resource and role, such as orders-db/write
    #[arg(value_name = "RESOURCE/ROLE", value_parser = role)]
    pub role: Role,
    /// How long, such as 30m
    #[arg(long = "for", value_name = "D", value_parser = length)]
    pub length: u32,
    /// Why
    #[arg(long, value_name = "T")]
    pub reason: Option<String>,
    /// The ticket it is about
    #[arg(long, value_name = "T")]
    pub ticket: Option<String>,
    /// Only say what would happen
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    /// Wait until it is decided and, if approved, usable; at most D
    #[arg(long, value_name = "D", num_args = 0..=1, value_parser = length)]
    pub wait: Option<Option<u32>>,
}

#[derive(Debug, Args)]
pub struct RequestsArgs {
    /// Those you made
    #[arg(long, group = "scope")]
    pub mine: bool,
    /// Those that wait for your decision
    #[arg(long, group = "scope")]
    pub to_review: bool,
    /// All you may see
    #[arg(long, group = "scope")]
    pub all: bool,
    /// At most this many; all unless given
    #[arg(long, value_name = "N", value_parser = limit)]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct GrantsArgs {
    /// Those you hold or held
    #[arg(long, group = "scope")]
    pub mine: bool,
    /// All you may see
    #[arg(long, group = "scope")]
    pub all: bool,
    /// At most this many; all unless given
    #[arg(long, value_name = "N", value_parser = limit)]
    pub limit: Option<usize>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DriftArgs {
    #[command(subcommand)]
    pub command: Option<Drift>,
    /// Also what is gone again
    #[arg(long)]
    pub gone: bool,
}

#[derive(Debug, Subcommand)]
pub enum Drift {
    /// Mark it as known: it is as it should be
    Known {
        #[arg(value_name = "ID")]
        id: DriftId,
        /// Why
        #[arg(long, value_name = "T")]
        reason: String,
    },
    /// Take that back
    Unknown {
        #[arg(value_name = "ID")]
        id: DriftId,
        /// Why
        #[arg(long, value_name = "T")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Events, newest first
    List {
        /// At most this many; all unless given
        #[arg(long, value_name = "N", value_parser = limit)]
        limit: Option<usize>,
    },
    /// Events that match words and person: resource: role: kind: outcome: env: after: before:; - before what must not be
    Search {
        #[arg(value_name = "Q", required = true, num_args = 1..)]
        query: Vec<String>,
        /// At most this many; all unless given
        #[arg(long, value_name = "N", value_parser = limit)]
        limit: Option<usize>,
    },
    /// One event, with what was signed
    Show {
        #[arg(value_name = "N")]
        seq: u64,
    },
    /// Check everything again, offline: the local copy, or an exported bundle
    Verify {
        /// A bundle, as `audit export` writes it; needs no server and no profile
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Write events, with their proofs or for other programs, or the evidence of one access
    Export(ExportArgs),
    /// Write who held what in a period, how often and for how long
    Review(ReviewArgs),
    /// What shows that the server's log contradicts itself, for others
    Evidence {
        /// Where to write it; stdout unless given
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

pub use crate::args_export::{ExportArgs, ReviewArgs};

/// `orders-db/write`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub resource: String,
    pub role: String,
}

fn role(text: &str) -> Result<Role, String> {
    match text.split_once('/') {
        Some((resource, role)) if !resource.is_empty() && !role.is_empty() && !role.contains('/') => {
            Ok(Role { resource: resource.to_owned(), role: role.to_owned() })
        }
        _ => Err("expected RESOURCE/ROLE, such as orders-db/write".to_owned()),
    }
}

fn length(text: &str) -> Result<u32, String> {
    match duration::parse(text)? {
        0 => Err("expected at least 1s".to_owned()),
        seconds => Ok(seconds),
    }
}

fn limit(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "expected a number from 1".to_owned())
}

/// An id or a request's short number, in the form the server knows.
pub fn id(text: &str) -> Result<String, String> {
    if let Some(number) = parse_number(text) {
        return Ok(number.to_string());
    }
    Uuid::parse_str(text)
        .map(|id| id.to_string())
        .map_err(|_| "expected an id or a number like R-3187".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wait_may_have_a_time() {
        let wait = |args: &[&str]| {
            let given = ["gatepass", "request", "a/b", "--for", "5m", "--reason", "r"];
            let cli = Cli::try_parse_from(given.iter().chain(args)).unwrap();
            let Command::Request(request) = cli.command else { panic!("not a request") };
            request.wait
        };
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&["--wait"]), Some(None));
        assert_eq!(wait(&["--wait", "90s"]), Some(Some(90)));
        assert_eq!(wait(&["--wait", "--json"]), Some(None));
    }

    #[test]
    fn what_is_not_understood_is_refused_here() {
        for wrong in [
            &["request", "orders-db", "--for", "5m"][..],
            &["request", "a/b/c", "--for", "5m"],
            &["request", "a/b", "--for", "soon"],
            &["request", "a/b", "--for", "0s"],
            &["approve", "R-"],
            &["approve", "no-id"],
            &["deny", "R-1"],
            &["requests", "--mine", "--all"],
            &["requests", "--limit", "0"],
        ] {
            let args = ["gatepass"].iter().chain(wrong);
            assert!(Cli::try_parse_from(args).is_err(), "{wrong:?}");
        }
        assert_eq!(id("r-12").unwrap(), "R-12");
    }
}
