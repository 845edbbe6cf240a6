//! `gatepass`, the command line: thin over the client. See docs/cli.md.

mod args;
mod args_export;
mod exit;
mod export;
mod revoke_all;
mod run;
mod show;
mod verify;

use clap::Parser as _;
use clap::error::ErrorKind;
use exit::Trouble;
use std::process::ExitCode;
use std::time::Duration;

/// How long threads have to end.
const GRACE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_understood(&error),
    };
    let json = cli.json;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let done = runtime.block_on(run::run(cli));
            // What still works with the cache ends first: the exit takes OpenSSL from under it. A blocked keyring or
            // resolver must not hold the exit.
            runtime.shutdown_timeout(GRACE);
            done
        }
        Err(error) => Err(Trouble::Usage(format!("The runtime can’t start: {error}"))),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => trouble.say(json),
    }
}

/// clap's answer: help and versions on stdout, everything else as an error of usage.
fn not_understood(error: &clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked || !std::env::args_os().any(|a| a == "--json") {
        // Nothing can be done when this can't be printed.
        let _ = error.print();
        return ExitCode::from(if asked { exit::DONE } else { exit::USAGE });
    }
    let text = error.render().to_string();
    let message = text.strip_prefix("error: ").unwrap_or(&text);
    let message = message.split("\n\n").next().unwrap_or(message).trim();
    Trouble::Usage(message.to_owned()).say(true)
}
