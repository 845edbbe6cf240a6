//! `gatepass-server`.

mod command;
mod systemd;

use clap::{Args, Parser, Subcommand};
use gatepass_server::Config;
use gatepass_server::backup;
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::config::{Database, Kept};
use gatepass_server::invite::{Invitation, invite};
use gatepass_server::seen;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// The Gatepass server: just-in-time access approval.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether a configuration is right, and if not, where and why.
    Check(File),
    /// Serve.
    Serve {
        #[command(flatten)]
        file: File,
        /// HOST:PORT, instead of the configuration's; port 0 takes a free one.
        #[arg(long, value_name = "ADDR")]
        listen: Option<String>,
        /// How to log, on stderr.
        #[arg(long, value_enum, default_value = "text", env = "GATEPASS_LOG_FORMAT")]
        log_format: LogFormat,
    },
    /// Do the work on the targets for the servers that share this configuration's PostgreSQL, and serve nobody.
    Worker {
        #[command(flatten)]
        file: File,
        /// How to log, on stderr.
        #[arg(long, value_enum, default_value = "text", env = "GATEPASS_LOG_FORMAT")]
        log_format: LogFormat,
    },
    /// Copy the data of a server, also while it runs, into one file that was checked.
    Backup {
        #[command(flatten)]
        file: File,
        /// What to write. Replaced if it is there, once the new one is whole.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Put a backup in the place of the data of a server that does not run.
    Restore {
        #[command(flatten)]
        file: File,
        /// What `backup` wrote.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
    /// The log: its key, and how it goes on from an older copy of the data.
    Log(command::Log),
    /// Check the whole log, from the first event on: hashes, signatures, who was entitled, and that each event follows from
    /// those before. Exits with 1 when anything does not hold. Beside a running server, or without.
    VerifyLog(command::VerifyLog),
    /// Look at everything that a server with this configuration depends on; exits with 1 when anything fails.
    Doctor(command::Doctor),
    /// Put the connector of a target through what every connector promises.
    Connector(command::Connector),
    /// Move the data of a server that does not run into the shared PostgreSQL, which is empty.
    Import(command::Import),
    /// Bring the schema of the shared PostgreSQL up to date, beside nodes that run.
    Migrate(command::Migrate),
    /// Record a person and print a link with which one device of theirs joins. It ends after 24 hours.
    Invite {
        #[command(flatten)]
        file: File,
        /// Their id, such as `tomas` or an address. Invited again, it is the same person.
        #[arg(long)]
        person: String,
        #[arg(long)]
        name: String,
        /// The groups they are in, with commas.
        #[arg(long, value_delimiter = ',')]
        groups: Vec<String>,
        /// They see every request and every event.
        #[arg(long)]
        auditor: bool,
        /// As an auditor, and they may end any access.
        #[arg(long)]
        admin: bool,
        /// One JSON document on stdout.
        #[arg(long)]
        json: bool,
    },
    /// End everything of a person who left or lost a device: their accesses, their devices, what they asked for and
    /// what they approved of requests that wait. Beside a running server, or without: then at its next start.
    RevokeAll(command::RevokeAll),
    /// Erase what is known of a person who holds nothing any more: what they are called and what they wrote. The log
    /// stays as it is and verifies; devices erase it too. Backups made before still hold it.
    Erase(command::Erase),
    /// Print the line that hosts of an ssh target trust, and make its key when it is not there.
    SshCa(command::SshCa),
    /// Change the key that tokens are stamped with. Running servers take it up by themselves, and nobody has to
    /// sign in again: what the key before stamped stays good until it ends.
    RotateTokenKey(File),
}

#[derive(Args)]
struct File {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Check(file) => {
            let config = Config::load(&file.config)?;
            gatepass_server::check(&config, SystemClock.now())?;
            let roles: usize = config.catalogue.resources.iter().map(|r| r.roles.len()).sum();
            let (targets, resources) = (config.targets.len(), config.catalogue.resources.len());
            println!("ok: {targets} targets, {resources} resources, {roles} roles");
            if let Some(note) = config.database.as_ref().and_then(Database::note) {
                eprintln!("note: {note}");
            }
            for (target, note) in config.targets.iter().filter_map(|t| Some((&t.id, t.kind.note()?))) {
                eprintln!("note: target “{target}”: {note}");
            }
            Ok(())
        }
        Command::Serve { file, listen, log_format } => {
            log(log_format);
            command::serve(Config::load(&file.config)?, listen).await
        }
        Command::Worker { file, log_format } => {
            log(log_format);
            command::work(Config::load(&file.config)?).await
        }
        Command::Backup { file, to } => {
            println!("{}", backup::backup(&directory(&file)?, &to)?);
            Ok(())
        }
        Command::Restore { file, from } => {
            println!("{}", backup::restore(&directory(&file)?, &from, SystemClock.now())?);
            Ok(())
        }
        Command::Doctor(doctor) => match doctor.run().await? {
            true => Ok(()),
            false => std::process::exit(1),
        },
        Command::Log(log) => log.run().await,
        Command::VerifyLog(verify) => match verify.run().await? {
            true => Ok(()),
            false => std::process::exit(1),
        },
        Command::Connector(connector) => {
            log(LogFormat::Text);
            match connector.run().await? {
                true => Ok(()),
                false => std::process::exit(1),
            }
        }
        Command::Import(import) => import.run().await,
        Command::Migrate(migrate) => migrate.run().await,
        Command::RevokeAll(revoke_all) => revoke_all.run().await,
        Command::Erase(erase) => erase.run().await,
        Command::SshCa(authority) => authority.run(),
        Command::RotateTokenKey(file) => {
            let config = Config::load(&file.config)?;
            let store = gatepass_server::open_store(&config, Default::default()).await?;
            gatepass_server::auth::rotate(&*store, SystemClock.now()).await?;
            println!("changed; tokens stamped before stay good until they end");
            Ok(())
        }
        Command::Invite { file, person, name, groups, auditor, admin, json } => {
            let config = Config::load(&file.config)?;
            let groups = groups.into_iter().map(|g| g.trim().to_owned()).filter(|g| !g.is_empty()).collect();
            let person = person.trim().to_owned();
            let invitation =
                Invitation { handle: person, name: name.trim().to_owned(), groups, auditor, admin };
            let store = gatepass_server::open_store(&config, Default::default()).await?;
            seen::check(&*store, &config.data).await?;
            let invited = invite(&*store, &config, invitation, SystemClock.now()).await?;
            if json {
                println!("{}", serde_json::to_string(&invited)?);
            } else {
                println!("{}", invited.link);
                eprintln!("For {}, one device, until {}.", invited.person, invited.expires_at);
            }
            Ok(())
        }
    }
}

/// Where the data is that `backup` and `restore` know how to copy.
fn directory(file: &File) -> Result<PathBuf, Box<dyn Error>> {
    match Kept::load(&file.config)? {
        Kept::Directory(data) => Ok(data),
        Kept::Database => Err(backup::ELSEWHERE.into()),
    }
}

fn log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,refinery_core=warn,ldap3=off"));
    let to_stderr = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => to_stderr.with_ansi(false).init(),
        LogFormat::Json => to_stderr.json().init(),
    }
}
