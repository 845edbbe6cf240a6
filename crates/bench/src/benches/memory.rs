//! What the tray alone weighs: joined and synced, second start, no window ever.

use crate::Outcome;
use crate::place::Place;
use crate::report::{Bound, Measurement, Run};
use crate::screen::{PROFILE, bare, join, start_hidden};
use crate::{proc, watcher::Watcher};
use gatepass_core::id::RequestId;
use gatepass_tests::Session;
use std::time::Duration;
use uuid::Uuid;

/// How long a process is left alone before it is weighed: what a start allocates for a moment is gone by then.
const SETTLE: Duration = Duration::from_secs(5);

pub async fn measure(quick: bool) -> Outcome<Measurement> {
    let (runs, settle) = if quick { (1, SETTLE / 5) } else { (3, SETTLE) };
    let place = Place::with_fake()?;
    let session = Session::start((800, 600)).await;
    join(&session, &place)?;
    hold_access(&place, 3600).await?;
    let (mut measured, mut first, mut whole, mut sharing) = (Vec::new(), None, 0.0, 0);
    for start in 0..=runs {
        let process = start_hidden(&session, &[]);
        session.tray.icon(process.id()).await.label(" left").await;
        tokio::time::sleep(settle).await;
        let memory = proc::memory(process.id())?;
        whole = memory.rss;
        sharing = sharing.max(proc::sharing_gtk(process.id())?);
        drop(process);
        if start == 0 {
            first = Some(memory.pss);
            continue;
        }
        // Alone, so that the two do not share pages with each other.
        let other = bare(&session, &["tray"]);
        session.tray.icon(other.id()).await.menu().await;
        tokio::time::sleep(settle).await;
        measured.push(Run { measured: memory.pss, reference: proc::memory(other.id())?.pss });
    }
    let mut note =
        format!("RSS {whole:.1} MiB; the first start had {:.1} MiB PSS", first.unwrap_or_default());
    if sharing > 0 {
        note.push_str(&format!("; {sharing} other programs had GTK mapped, alone it is more"));
    }
    let name = "a bare GTK 3 program with the same tray icon";
    Ok(Measurement::of("tray-memory", "MiB", name, Bound::AtMost(70.0), &measured, note))
}

/// Has the profile's person hold an access, which their tray then shows.
pub async fn hold_access(place: &Place, seconds: u32) -> Outcome<()> {
    let watcher = Watcher::start(place.device("iris", "", &["--auditor"]).await?).await?;
    let (asker, approver) =
        (place.device(PROFILE, "backend", &[]).await?, place.device("noor", "dba", &[]).await?);
    let id = Uuid::now_v7();
    let mut told = watcher.listen(RequestId(id));
    let asked = asker.ask(id, "orders-db", "write", seconds).await?;
    approver.approve(&asked.request).await?;
    told.active().await?;
    Ok(())
}
