//! The processes that go on until they are told to end: `serve` and `worker`.

use crate::systemd;
use gatepass_server::{Config, Options};
use std::error::Error;
use std::pin::pin;
use tokio::signal::unix::{SignalKind, signal};

/// Answers when the process is told to end.
fn told() -> Result<impl Future<Output = ()>, Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

pub async fn serve(config: Config, listen: Option<String>) -> Result<(), Box<dyn Error>> {
    let mut told = pin!(told()?);
    raise_file_limit();
    let options = Options { listen, ..Options::default() };
    let running = tokio::select! {
        running = gatepass_server::start(config, options) => running?,
        // What it waits for may never come.
        () = &mut told => return Ok(()),
    };
    println!("listening on {}", running.origin);
    systemd::tell("READY=1");
    told.await;
    tracing::info!("stopping");
    systemd::tell("STOPPING=1");
    running.shutdown().await;
    Ok(())
}

pub async fn work(config: Config) -> Result<(), Box<dyn Error>> {
    let mut told = pin!(told()?);
    let worker = tokio::select! {
        worker = gatepass_server::worker::start(config, Options::default()) => worker?,
        () = &mut told => return Ok(()),
    };
    match worker.metrics {
        Some(address) => println!("working, metrics on http://{address}"),
        None => println!("working"),
    }
    systemd::tell("READY=1");
    told.await;
    tracing::info!("stopping");
    systemd::tell("STOPPING=1");
    worker.shutdown().await;
    Ok(())
}

/// A connection is an open file. As many as this process may raise itself to: the default is about 1000.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}
