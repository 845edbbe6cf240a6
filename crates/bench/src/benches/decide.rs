//! From the decision on one desktop to the notification on the other.

use crate::place::Place;
use crate::report::{Bound, Measurement, Run};
use crate::screen::{PROFILE, Recorder, bus, join, notify, start_hidden};
use crate::stats::{median, percentile};
use crate::watcher::Watcher;
use crate::{Outcome, device::Device};
use gatepass_client::ui::DecisionDraft;
use gatepass_client::{Client, KeyStore, Profile};
use gatepass_core::id::RequestId;
use gatepass_core::wire::Verdict;
use gatepass_tests::Session;
use std::path::Path;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Between two decisions: what the last one left to do is done.
const BETWEEN: Duration = Duration::from_millis(50);

/// Those who take part.
struct Stage {
    /// The same person as the desktop's, who asks and gives back from elsewhere.
    asker: Device,
    /// What the deciding desktop calls.
    decider: Client,
    watcher: Watcher,
    recorder: Recorder,
}

pub async fn measure(quick: bool) -> Outcome<Measurement> {
    let (runs, decisions) = if quick { (1, 5) } else { (3, 120) };
    let place = Place::with_fake()?;
    let session = Session::start((800, 600)).await;
    join(&session, &place)?;
    let desktop = start_hidden(&session, &[]);
    session.tray.icon(desktop.id()).await.label("Request access").await;

    let profile = Profile::within(place.dir().join("decider"), "noor")?;
    let decider = Client::open(profile, KeyStore::File)?;
    decider.join(&place.invite("noor", "dba", &[])?, None).await?;
    let following = decider.clone();
    let following = tokio::spawn(async move { following.run().await });
    let mut stage = Stage {
        asker: place.device(PROFILE, "backend", &[]).await?,
        decider,
        watcher: Watcher::start(place.device("iris", "", &["--auditor"]).await?).await?,
        recorder: Recorder::start(&session).await?,
    };
    let bare = bus(&session).await?;

    // The first finds nothing warm, and there is one of it in a day.
    stage.decide().await?;
    let mut measured = Vec::new();
    for _ in 0..runs {
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        for number in 0..decisions {
            let decided = stage.decide().await;
            ours.push(decided.map_err(|e| format!("decision {number}: {e}\n{}", desktop.log()))?);
            // As a person would: the bus has room for so many connections, and each notification holds one.
            session.command(Path::new("dunstctl")).arg("close-all").status()?;
            let (from, summary) = (Instant::now(), format!("bare {number}"));
            stage.asker.ping().await?;
            notify(&bare, &summary).await?;
            let seen = stage.recorder.until(&summary).await?;
            reference.push(seen.at.duration_since(from).as_secs_f64() * 1000.0);
        }
        eprintln!(
            "  {decisions} decisions: median {:.0} ms, p99 {:.0} ms",
            median(&ours),
            percentile(&ours, 0.99)
        );
        measured.push(Run { measured: percentile(&ours, 0.99), reference: percentile(&reference, 0.99) });
    }
    following.abort();
    let note = format!("p99 of {decisions} decisions a run, from the call that signs to the bus");
    let name = "a bare GET /healthz, then a bare D-Bus Notify";
    Ok(Measurement::of("decide-to-notification", "ms", name, Bound::Under(150.0), &measured, note))
}

impl Stage {
    /// One decision on a request of its own; milliseconds until the other desktop's notification is on the bus.
    async fn decide(&mut self) -> Outcome<f64> {
        let id = Uuid::now_v7();
        let mut told = self.watcher.listen(RequestId(id));
        let asked = self.asker.ask(id, "orders-db", "write", 3600).await?;
        let request = asked.request.id;
        while self.decider.request(request).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let draft = DecisionDraft { request, verdict: Verdict::Approve, duration_s: None, note: None };
        let prepared = self.decider.prepare_decision(draft).await?;
        tokio::time::sleep(BETWEEN).await;
        self.recorder.clear();
        let from = Instant::now();
        self.decider.send_prepared(&prepared.id).await?;
        let seen = self.recorder.until("Approved").await?;
        // Lived to its end, so that each decision finds the desktop as the first did.
        let (grant, _) = told.active().await?;
        self.recorder.until("Ready").await?;
        self.asker.give_back(grant).await?;
        told.ended().await?;
        self.recorder.until("Ended").await?;
        Ok(seen.at.duration_since(from).as_secs_f64() * 1000.0)
    }
}
