//! The desktop app's way in: arguments, what must be there, then the app.

use clap::Parser;
use gatepass_desktop::{Options, preflight};
use tracing_subscriber::EnvFilter;

fn main() -> std::process::ExitCode {
    let options = Options::parse();
    if let Err(problem) = preflight::check() {
        eprintln!("gatepass-desktop: {problem}");
        return std::process::ExitCode::FAILURE;
    }
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .init();
    match gatepass_desktop::run(options) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gatepass-desktop: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
