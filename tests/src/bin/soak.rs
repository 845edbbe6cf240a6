//! The seeded workload over three nodes, again and again: `soak [RUNS] [SEED]`. One run after the other; with a seed the
//! first run has it, and the next ones those after it. Stops at the first that found something.

use gatepass_tests::soak::{Machines, run};
use std::process::ExitCode;
use std::sync::Arc;

const RUNS: u64 = 100;

#[tokio::main]
async fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (runs, seed) = match (numbers.next().transpose(), numbers.next().transpose(), numbers.next()) {
        (Ok(runs), Ok(seed), None) => (runs.unwrap_or(RUNS), seed),
        _ => {
            eprintln!("usage: soak [RUNS] [SEED]");
            return ExitCode::from(2);
        }
    };
    let machines = Arc::new(Machines::start().await);
    let first = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    for number in 0..runs {
        match run(&machines, first.wrapping_add(number)).await {
            Ok(summary) => println!("{} of {runs}: {summary}", number + 1),
            Err(wrong) => {
                eprintln!("{wrong}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
