//! What a person sees: rows through the core's lens.

use crate::app::App;
use crate::error::Problem;
use crate::people::Snapshot;
use crate::store::{Detail, DriftRow, Lookup, Row};
use gatepass_core::error::Code;
use gatepass_core::id::PersonId;
use gatepass_core::text::Digest;
use gatepass_core::view::{Lens, may_see};
use gatepass_core::wire::{Accepted, DriftView, GrantView, Head, RequestView};

/// Runs `look` with a lens of `viewer` over `detail`'s texts.
pub fn through<T>(
    app: &App,
    people: &Snapshot,
    viewer: PersonId,
    detail: &Detail,
    look: impl FnOnce(&Lens<'_>) -> T,
) -> T {
    let text = |digest: &Digest| detail.texts.get(digest).cloned();
    look(&Lens {
        catalogue: &app.catalogue,
        directory: &people.directory,
        text: &text,
        viewer,
        now: app.clock.now(),
    })
}

pub fn request(app: &App, row: &Row, detail: &Detail, viewer: PersonId) -> RequestView {
    through(app, &app.people.now(), viewer, detail, |lens| lens.request(&row.request))
}

pub fn grant(app: &App, row: &Row, detail: &Detail, viewer: PersonId) -> Option<GrantView> {
    through(app, &app.people.now(), viewer, detail, |lens| lens.grant(&row.request, detail.extension))
}

/// `None` when `viewer` may not see it.
pub fn drift(app: &App, row: &DriftRow, viewer: PersonId) -> Option<DriftView> {
    let detail = Detail { texts: row.texts.clone(), extension: None };
    through(app, &app.people.now(), viewer, &detail, |lens| lens.drift(&row.drift))
}

/// The answer to a write. An extension comes with the grant it extends.
pub async fn accepted(
    app: &App,
    row: &Row,
    viewer: PersonId,
    head: Option<Head>,
) -> Result<Accepted, Problem> {
    let detail = app.store.detail(&row.request).await?;
    let own = grant(app, row, &detail, viewer);
    let extended = match row.request.extends {
        None => None,
        Some(id) => match app.store.load(None, Some(Lookup::Grant(id))).await?.row {
            None => None,
            Some(parent) => grant(app, &parent, &app.store.detail(&parent.request).await?, viewer),
        },
    };
    let head = match head {
        Some(head) => head,
        None => app.store.head().await?,
    };
    Ok(Accepted { request: request(app, row, &detail, viewer), grant: own.or(extended), head })
}

/// The row, if `viewer` may see it.
pub async fn visible(app: &App, lookup: Lookup, viewer: PersonId) -> Result<Row, Problem> {
    let row = app.store.load(None, Some(lookup)).await?.row.ok_or(Code::NotFound)?;
    let people = app.people.now();
    match people.person(viewer) {
        Some(person) if may_see(person, &row.request) => Ok(row),
        // Numbers are dense, so that there is something at this one is no secret.
        _ => Err(Problem::new(
            Code::NotAllowed,
            "You may not see this: it is not yours, and not for you to decide.",
        )),
    }
}
