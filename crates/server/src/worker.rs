//! `gatepass-server worker`: a node that works and serves nobody.

use crate::app::App;
use crate::auth::Auth;
use crate::config::Config;
use crate::connect::{self, Targets};
use crate::gate::Gate;
use crate::serve::{self, Options, StartError, Tasks};
use crate::store::Store;
use crate::{listen, router};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A running worker. Dropping it stops it without waiting; [`Worker::shutdown`] lets it finish.
pub struct Worker {
    /// Where `/metrics` is, if anywhere.
    pub metrics: Option<SocketAddr>,
    app: App,
    stop: watch::Sender<bool>,
    tasks: Tasks,
}

/// Starts a worker of a shared database and answers once it works. It takes no connections, except for its metrics
/// where the configuration says so.
pub async fn start(config: Config, options: Options) -> Result<Worker, StartError> {
    if config.database.is_none() {
        return Err(StartError::Alone);
    }
    crate::metrics::start(&config.data);
    let targets = Targets::new(&config, &options.connectors)?;
    connect::make_missing(&config)?;
    let (stop, stopping) = watch::channel(false);
    let gate = Arc::new(Gate::default());
    let (mut tasks, mut metrics) = (Tasks(Vec::new()), None);
    if let Some(address) = &config.metrics_listen {
        let refused = |e| StartError::Listen(address.clone(), e);
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        metrics = Some(listener.local_addr().map_err(refused)?);
        tasks.0.push(tokio::spawn(listen::serve(listener, None, gate.clone(), stopping.clone())));
    }
    let (app, _) = serve::assemble(config, targets, options.clock, options.sqlite, stopping, false).await?;
    tasks.0.extend([tokio::spawn(Auth::follow(app.clone())), tokio::spawn(serve::follow(app.clone()))]);
    tasks.0.push(tokio::spawn(crate::seen::follow(app.clone())));
    tasks.0.extend(serve::work(&app));
    gate.open(router::of_worker(app.clone()));
    tracing::info!("working");
    Ok(Worker { metrics, app, stop, tasks })
}

impl Worker {
    /// Lets running jobs finish for a while, and answers when all is still.
    pub async fn shutdown(mut self) {
        let _ = self.stop.send(true);
        self.tasks.end().await;
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.app.store
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}
