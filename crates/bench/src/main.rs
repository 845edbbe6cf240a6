//! `./dev bench`: measures the budgets on this machine, with the real programs, and says what came out next to a
//! bare reference of the same run. It never fails because something was slow.

mod bao;
mod benches;
mod clock;
mod crowd;
mod device;
mod place;
mod proc;
mod report;
mod screen;
mod shared;
mod stats;
mod watcher;

use clap::Parser;
use report::Measurement;
use std::process::ExitCode;

/// What can go wrong here is told, never handled.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures the budgets of Gatepass.
#[derive(Parser)]
#[command(name = "./dev bench")]
struct Options {
    /// Only these; all without any.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// One object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Few and short runs, to see that it works; the numbers say little.
    #[arg(long, hide = true)]
    quick: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    tokio::task::LocalSet::new().run_until(run(Options::parse())).await
}

async fn run(options: Options) -> ExitCode {
    if let Some(unknown) = options.names.iter().find(|name| !benches::names().contains(&name.as_str())) {
        eprintln!("There is no benchmark “{unknown}”. There are: {}", benches::names().join(", "));
        return ExitCode::from(2);
    }
    eprintln!("{}", proc::machine());
    let (mut rows, mut failed) = (Vec::new(), false);
    for name in benches::chosen(&options.names) {
        eprintln!("measuring {name} …");
        // A task of its own: the parts shared with the tests panic when something does not come about.
        let task = tokio::task::spawn_local(benches::measure(name, options.names.clone(), options.quick));
        match task.await {
            Ok(Ok(measured)) => measured.into_iter().for_each(|row| {
                if options.json {
                    print_line(&row);
                }
                rows.push(row);
            }),
            Ok(Err(error)) => {
                eprintln!("{name} could not be measured: {error}");
                failed = true;
            }
            Err(error) => {
                eprintln!("{name} could not be measured: {error}");
                failed = true;
            }
        }
    }
    if !options.json && !rows.is_empty() {
        println!("{}", report::table(&rows));
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn print_line(row: &Measurement) {
    match serde_json::to_string(row) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("{} could not be printed: {error}", row.name),
    }
}
