//! What a node tells of itself when it starts: its catalogue, and where it is.

use crate::app::App;
use crate::invite::EFFECTIVE_URL;
use crate::store::{Change, Recorded, StoreError};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{CommandId, EventId};
use gatepass_core::text::{Digest, SaltedText};
use rand::RngCore as _;
use uuid::Uuid;

/// Logs the catalogue when it is another than the one published last, and keeps where this server listens. Only at
/// start: nodes with different catalogues, as during a rollout, do not answer each other for ever.
pub async fn publish(app: &App, url: &str) -> Result<(), StoreError> {
    const PUBLISHED: &str = "catalogue";
    const WITH: &str = "document";
    let keep = vec![(EFFECTIVE_URL, url.to_owned())];
    let last = app.store.setting(PUBLISHED).await?.unwrap_or_default();
    // The hash, which publication it was, and that it came with the catalogue itself.
    let mut parts = last.split(' ');
    let (hash, count) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("0"));
    let same = hash == app.catalogue_hash.0 && parts.next() == Some(WITH);
    if same || app.held.is() {
        return app.commit(Change { settings: keep, ..Change::default() }).await.map(|_| ());
    }
    let count = count.parse::<u64>().unwrap_or(0) + 1;
    let digest = Digest::of(format!("catalogue {count} {}", app.catalogue_hash.0).as_bytes());
    // Of several nodes that start at once with the same news, one tells it.
    let id = CommandId(Uuid::from_u128(u128::from_str_radix(&digest.0[..32], 16).unwrap_or(0)));
    let mut change = Change {
        command: Some(Recorded { id, digest, request: None }),
        settings: keep.clone(),
        ..Change::default()
    };
    let words = catalogue_document(app)?;
    let document = words.digest();
    change.texts.extend(document.clone().map(|digest| (digest, words)));
    change.settings.push((PUBLISHED, format!("{} {count} {WITH}", app.catalogue_hash.0)));
    change.events.push(Event {
        id: EventId(Uuid::now_v7()),
        at: app.clock.now(),
        by: By::Gatepass,
        request: None,
        fact: Fact::CataloguePublished { catalogue: app.catalogue_hash.clone(), document },
        command: None,
    });
    match app.commit(change).await {
        Err(StoreError::Repeated(_)) => app.commit(Change { settings: keep, ..Change::default() }).await,
        other => other,
    }
    .map(|_| ())
}

/// What everybody checks decisions by: the bytes that the catalogue's hash is over.
fn catalogue_document(app: &App) -> Result<SaltedText, StoreError> {
    let text = serde_json::to_string(&app.catalogue).map_err(|e| StoreError::Failed(e.to_string()))?;
    let mut salt = [0; 16];
    rand::rngs::OsRng.fill_bytes(&mut salt);
    Ok(SaltedText::new(salt, text))
}
