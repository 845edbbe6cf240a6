//! Who else holds what the catalogue gives on a target. Told, and never touched.

use super::Failed;
use crate::Time;
use crate::app::App;
use crate::store::{Change, DriftChange, DriftFilter, DriftRow, StoreError};
use gatepass_connectors::{Connector, Stranger, TargetError};
use gatepass_core::drift::{self, Drift, Found, News, Shown, Who};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DriftId, EventId};
use gatepass_core::text::{SaltedText, Texts};
use rand::RngCore as _;
use rand::rngs::OsRng;
use uuid::Uuid;

pub(super) async fn compare(app: &App, target: &str, connector: &dyn Connector) -> Result<(), Failed> {
    let asked = drift::entitlements(&app.catalogue, target);
    let first = shown(connector, &asked).await?;
    let filter = DriftFilter { target: Some(target.to_owned()), limit: usize::MAX, ..DriftFilter::default() };
    let told = app.store.drift(filter).await?;
    let known: Vec<_> = told.iter().map(|row| (&row.drift, name(row))).collect();
    if drift::compare(&known, [&first, &first]).is_empty() {
        return Ok(());
    }
    let second = shown(connector, &asked).await?;
    let news = drift::compare(&known, [&first, &second]);
    let change = Telling { app, target, told: &told, now: app.clock.now() }.all(news);
    if change.events.is_empty() {
        return Ok(());
    }
    let found = change.events.iter().filter(|e| matches!(e.fact, Fact::DriftFound { .. })).count();
    match app.commit(change).await {
        Ok(_) => {
            if found > 0 {
                tracing::error!(target, found, alarm = true, "access on a target that no grant explains");
            }
            Ok(())
        }
        Err(StoreError::Conflict) => {
            // Somebody marked one of them at this moment.
            app.suspects.add(target);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

async fn shown(connector: &dyn Connector, asked: &[String]) -> Result<Shown, TargetError> {
    let mut shown = Shown::new();
    if asked.is_empty() {
        return Ok(shown);
    }
    for Stranger { name, grants } in connector.strangers(asked).await? {
        // No database keeps a NUL.
        shown.entry(name.replace('\0', "\u{fffd}")).or_default().extend(grants);
    }
    Ok(shown)
}

fn name(row: &DriftRow) -> Option<&str> {
    match &row.drift.found.who {
        Who::Name(digest) => row.texts.get(digest).map(String::as_str),
        Who::More(_) => None,
    }
}

struct Telling<'a> {
    app: &'a App,
    target: &'a str,
    told: &'a [DriftRow],
    now: Time,
}

impl Telling<'_> {
    fn all(&self, news: Vec<News>) -> Change {
        let mut change = Change::default();
        for one in news {
            let (id, fact) = self.fact(one, &mut change.texts);
            let before = id.and_then(|id| self.told.iter().find(|row| row.drift.id == id));
            let event = Event {
                id: EventId(Uuid::now_v7()),
                at: self.now,
                by: By::Gatepass,
                request: None,
                fact,
                command: None,
            };
            let drift: Option<Drift> = drift::apply(before.map(|row| row.drift.clone()), &event);
            let expected = before.map_or(0, |row| row.drift.revision);
            change.drift.extend(drift.map(|drift| DriftChange { drift, expected }));
            change.events.push(event);
        }
        change
    }

    /// The fact, and the drift that is told already.
    fn fact(&self, one: News, texts: &mut Texts) -> (Option<DriftId>, Fact) {
        let (told, who, grants) = match one {
            News::Gone { drift } => {
                let row = self.told.iter().find(|row| row.drift.id == drift);
                let gone = |who| Found::of(&self.app.catalogue, self.target, who, Vec::new());
                let found = row.map_or_else(|| gone(Who::More(0)), |row| row.drift.found.clone());
                return (Some(drift), Fact::DriftGone { drift, found });
            }
            News::More { drift, count } => (drift, Who::More(count), Vec::new()),
            News::Found { drift, name, grants } => {
                let mut salt = [0; 16];
                OsRng.fill_bytes(&mut salt);
                let text = SaltedText::new(salt, name);
                // A salt of 16 bytes always has a digest.
                let digest = text.digest().unwrap_or_else(|| gatepass_core::text::Digest::of(&salt));
                texts.insert(digest.clone(), text);
                (drift, Who::Name(digest), grants)
            }
        };
        let mut found = Found::of(&self.app.catalogue, self.target, who, grants);
        // Whoever was told of it hears what becomes of it.
        let before = self.told.iter().find(|row| Some(row.drift.id) == told);
        found.groups.extend(before.into_iter().flat_map(|row| row.drift.found.groups.iter().cloned()));
        found.groups.sort_unstable();
        found.groups.dedup();
        let drift = told.unwrap_or_else(|| DriftId(Uuid::now_v7()));
        (told, Fact::DriftFound { drift, found })
    }
}
