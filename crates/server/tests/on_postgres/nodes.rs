//! Several nodes on one database: who works, who takes over, and how much at once.

use chrono::TimeDelta;
use gatepass_connectors::fake::{Fake, Fault, Hold, Verb};
use gatepass_core::Time;
use gatepass_core::wire::Accepted;
use gatepass_server::testing::database::Database;
use gatepass_server::testing::{CATALOGUE, PATIENCE, Setup, TestClock, TestServer};
use gatepass_server::worker::{self, Worker};
use gatepass_server::{Config, Options, StartError};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// One database, one target and one clock for all nodes of a test.
struct Nodes {
    database: Database,
    fake: Fake,
    clock: Arc<TestClock>,
}

impl Nodes {
    async fn new() -> Self {
        let noon: Time = "2026-11-17T12:00:00Z".parse().unwrap();
        Self { database: Database::fresh().await, fake: Fake::new(), clock: TestClock::new(noon) }
    }

    async fn serve(&self, server: &str, catalogue: &str) -> TestServer {
        TestServer::with(Setup {
            catalogue: catalogue.to_owned(),
            clock: self.clock.clone(),
            fake: self.fake.clone(),
            server: server.to_owned(),
            database: Some(self.database.options()),
            ..Setup::default()
        })
        .await
    }

    async fn work(&self, like: &TestServer) -> Worker {
        let options = Options {
            clock: Some(self.clock.clone()),
            connectors: BTreeMap::from([("pg".to_owned(), Arc::new(self.fake.clone()) as Arc<_>)]),
            ..Options::default()
        };
        worker::start(like.config.clone(), options).await.unwrap()
    }
}

/// Waits for something that another node has to see or do.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

#[tokio::test]
async fn a_server_without_workers_and_a_worker() {
    let nodes = Nodes::new().await;
    let server = nodes.serve("workers = false\nmetrics_listen = \"127.0.0.1:0\"", CATALOGUE).await;
    let tomas = server.person("tomas", &["backend"]).await;
    tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    let backlog = server.store().backlog().await.unwrap();
    assert!(backlog.jobs > 0 && backlog.leased == 0, "the server leaves it alone: {backlog:?}");

    let worker = nodes.work(&server).await;
    server.until("grant.active", 1).await;
    let at = |path: &str| format!("http://{}{path}", worker.metrics.unwrap());
    let metrics = server.http.get(at("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("gatepass_jobs_running"), "{metrics}");
    assert_eq!(server.http.get(at("/readyz")).send().await.unwrap().status(), 200);
    assert_eq!(server.http.get(at("/v1/me")).send().await.unwrap().status(), 404);
    nodes.clock.advance(TimeDelta::seconds(600));
    server.until("grant.ended", 1).await;
    let kinds = server.kinds().await;
    assert_eq!(kinds.iter().filter(|k| **k == "catalogue.published").count(), 1, "{kinds:?}");
    worker.shutdown().await;
    server.finish().await;
}

#[tokio::test]
async fn a_worker_has_nothing_to_do_for_sqlite() {
    let text =
        format!("[server]\nname = \"test\"\n{CATALOGUE}").replace("kind = \"fake\"", "kind = \"sample\"");
    let config = Config::parse(&text, Path::new("/nowhere/gatepass.toml")).unwrap();
    let error = worker::start(config, Options::default()).await.err().unwrap();
    assert!(matches!(error, StartError::Alone) && error.to_string().contains("set “database”"), "{error}");
}

/// A node dies in the middle of setting up; its lease ends, and another one does it.
#[tokio::test]
async fn a_lease_that_ended_is_taken_over() {
    let nodes = Nodes::new().await;
    let mut server = nodes.serve("", CATALOGUE).await;
    let mut tomas = server.person("tomas", &["backend"]).await;
    let (mut hold, held) = Hold::new();
    nodes.fake.next(Verb::Provision, Fault::Hang(held));
    let asked: Accepted = tomas.ask_because("read", 600, None, None).await.get();
    hold.reached(1).await;
    // Nothing renews its lease any more.
    drop(server.running.take());
    server.up().await;
    nodes.clock.advance(TimeDelta::seconds(29));
    let at = now(&nodes);
    assert_eq!(server.store().claim(at, at, Default::default()).await.unwrap().jobs, []);
    assert_eq!(nodes.fake.calls(Verb::Provision), 1);
    nodes.clock.advance(TimeDelta::seconds(2));
    server.until("grant.active", 1).await;
    hold.release();
    assert_eq!(nodes.fake.calls(Verb::Provision), 2);
    tomas.url = server.url.clone();
    tomas.give_back(&asked).await.get::<Accepted>();
    server.until("grant.ended", 1).await;
    server.finish().await;
}

fn now(nodes: &Nodes) -> Time {
    use gatepass_server::clock::Clock as _;
    nodes.clock.now()
}

/// A lease is renewed for as long as the work runs.
#[tokio::test]
async fn a_long_job_keeps_its_lease() {
    let nodes = Nodes::new().await;
    let first = nodes.serve("", CATALOGUE).await;
    let second = nodes.serve("", CATALOGUE).await;
    let tomas = first.person("tomas", &["backend"]).await;
    let (mut hold, held) = Hold::new();
    nodes.fake.next(Verb::Provision, Fault::Hang(held));
    let asked: Accepted = tomas.ask_because("read", 3_600, None, None).await.get();
    hold.reached(1).await;
    let until_when = || nodes.database.psql("SELECT extract(epoch FROM max(leased_until)) FROM job");
    for _ in 0..6 {
        let before = until_when();
        nodes.clock.advance(TimeDelta::seconds(10));
        until("the lease is renewed", async || until_when() != before).await;
    }
    assert_eq!(nodes.fake.calls(Verb::Provision), 1, "nobody took it over in a minute");
    hold.release();
    first.until("grant.active", 1).await;
    tomas.give_back(&asked).await.get::<Accepted>();
    first.until("grant.ended", 1).await;
    second.finish().await;
    first.finish().await;
}

/// A target has eight jobs at once, however many nodes there are.
#[tokio::test]
async fn a_target_s_bound_holds_over_all_nodes() {
    let nodes = Nodes::new().await;
    let first = nodes.serve("", CATALOGUE).await;
    let second = nodes.serve("", CATALOGUE).await;
    let mut tomas = first.person("tomas", &["backend"]).await;
    let (mut hold, held) = Hold::new();
    for call in 1..=24 {
        nodes.fake.at(Verb::Provision, call, Fault::Hang(held.clone()));
    }
    for n in 0..24 {
        tomas.url = if n % 2 == 0 { first.url.clone() } else { second.url.clone() };
        tomas.ask_because("read", 600, None, None).await.get::<Accepted>();
    }
    hold.reached(8).await;
    // Both have looked again since, and found no room.
    for server in [&first, &second] {
        let claimed = nodes.database.psql("SELECT count(*) FROM job WHERE leased_until IS NOT NULL");
        assert_eq!((claimed.as_str(), server.fake.calls(Verb::Provision)), ("8", 8));
        nodes.clock.advance(TimeDelta::seconds(2));
    }
    drop(held);
    hold.release();
    first.until("grant.active", 24).await;
    nodes.clock.advance(TimeDelta::seconds(600));
    first.until("grant.ended", 24).await;
    second.finish().await;
    first.finish().await;
}

/// Of nodes that start at once with a new catalogue, one tells it; nodes with different ones do not answer each other.
#[tokio::test]
async fn a_catalogue_is_published_once() {
    let nodes = Nodes::new().await;
    let mut servers = Vec::new();
    let (a, b, c) =
        tokio::join!(nodes.serve("", CATALOGUE), nodes.serve("", CATALOGUE), nodes.serve("", CATALOGUE));
    servers.extend([a, b, c]);
    let published = async |server: &TestServer| {
        server.kinds().await.iter().filter(|k| **k == "catalogue.published").count()
    };
    assert_eq!(published(&servers[0]).await, 1);
    let newer = CATALOGUE.replace("default = \"1h\"", "default = \"2h\"");
    let (d, e) = tokio::join!(nodes.serve("", &newer), nodes.serve("", &newer));
    servers.extend([d, e]);
    assert_eq!(published(&servers[0]).await, 2);
    // An old one that starts once more says so, once.
    servers.push(nodes.serve("", CATALOGUE).await);
    servers.push(nodes.serve("", CATALOGUE).await);
    assert_eq!(published(&servers[0]).await, 3);
    for server in servers {
        server.finish().await;
    }
}

/// Every minute one of them compares the target with the grants.
#[tokio::test]
async fn one_node_at_a_time_looks_at_the_targets() {
    let nodes = Nodes::new().await;
    let first = nodes.serve("", CATALOGUE).await;
    until("the first one looks", async || nodes.fake.calls(Verb::Inspect) == 1).await;
    let second = nodes.serve("", CATALOGUE).await;
    for minute in 1..4 {
        nodes.clock.advance(TimeDelta::seconds(60));
        until("somebody looks", async || nodes.fake.calls(Verb::Inspect) == minute + 1).await;
        let free = |server: &TestServer| {
            let store = server.store().clone();
            let at = now(&nodes);
            async move { store.turn("reconcile", at, at + TimeDelta::minutes(1)).await.unwrap() }
        };
        assert_eq!(free(&second).await, Some(now(&nodes) + TimeDelta::minutes(1)));
    }
    second.finish().await;
    first.finish().await;
}
