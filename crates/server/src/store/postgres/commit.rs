//! One change: its statements in one transaction, and then its place in the log.

use super::step::{Miss, Step};
use super::{Shared, command, drift, event, job, note, person, request, sealed, text};
use crate::store::{Change, Committed, Row, RowChange, StoreError};
use gatepass_core::event::Fact;
use gatepass_core::wire::Head;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a write waits for its place in the log. It is durable before, and gets its place whoever lives.
const PLACED: Duration = Duration::from_secs(5);

/// What a change does, in the order in which every change locks: devices, requests, drift, then jobs.
fn steps(change: &Change) -> Result<Vec<Step>, StoreError> {
    let mut steps: Vec<Step> = change.command.iter().map(command::write).collect();
    match &change.revoked {
        Some(revoked) => steps.extend(person::revoke(revoked, change.signer)),
        None => steps.extend(change.signer.map(person::check_signer)),
    }
    for row in &change.rows {
        steps.extend(request::write(row)?);
    }
    if let Some(revoked) = &change.revoked {
        steps.push(request::check_held(revoked.person, &change.named()));
    }
    if let Some(erased) = &change.erased {
        steps.extend(person::erase(erased));
        steps.push(request::check_held(erased.person, &erased.voided));
    }
    steps.extend(text::erase(&change.forgotten));
    for found in &change.drift {
        steps.push(drift::write(found)?);
    }
    steps.extend(change.settle.iter().map(job::settle));
    steps.extend(change.people.iter().map(person::write));
    steps.extend(change.invite.iter().map(person::write_invite));
    if let Some((device, invite)) = &change.device {
        steps.extend(person::join(device, invite));
    }
    if !change.people.is_empty() || change.device.is_some() || change.revoked.is_some() {
        steps.push(person::changed());
    }
    steps.extend(text::write(change));
    for work in &change.jobs {
        steps.extend(job::change(work, change.settle.as_ref()));
    }
    steps.extend(change.sealed.iter().map(sealed::write));
    steps.extend(change.settings.iter().map(|(key, value)| sealed::write_setting(key, value)));
    steps.extend(change.notes.iter().map(note::change));
    // Last, when nothing is waited for any more: between an event's id and its commit is as little time as can be.
    steps.extend(event::post(&change.events)?);
    Ok(steps)
}

/// Carries a change out. Runs to its end also when nobody waits for it any more: what was committed gets its place without delay.
pub async fn commit(shared: Arc<Shared>, mut change: Change) -> Result<Committed, StoreError> {
    let from = Instant::now();
    if change.events.iter().any(|e| matches!(e.fact, Fact::RequestCreated { .. })) {
        let number = request::read_number(&shared.link.read(request::next_number()).await?)?;
        change.give(number);
    }
    match shared.link.write(&steps(&change)?).await? {
        Ok(_) => {}
        Err(Miss::Repeated) => {
            let Some(recorded) = &change.command else { return Err(StoreError::Conflict) };
            let found = shared.link.read(command::find(recorded.id)).await?;
            let found = found.first().map(|row| command::read(recorded.id, row)).transpose()?;
            return Err(found.map_or(StoreError::Conflict, StoreError::Repeated));
        }
        Err(miss) => return Err(miss.error()),
    }
    metrics::histogram!("gatepass_commit_seconds").record(from.elapsed().as_secs_f64());
    let head = if change.events.is_empty() {
        shared.highest()
    } else if change.settle.is_some() {
        // A worker has the target to see to, and others wait for its turn there: nobody is told of this head.
        shared.want();
        shared.highest()
    } else {
        placed(&shared).await
    };
    let written = |r: RowChange| Row { version: r.expected + 1, request: r.request };
    Ok(Committed { head, rows: change.rows.into_iter().map(written).collect() })
}

/// Waits until what was committed before has its place.
async fn placed(shared: &Shared) -> Head {
    let mine = shared.want();
    let mut placed = shared.placed.subscribe();
    match tokio::time::timeout(PLACED, placed.wait_for(|(upto, _)| *upto >= mine)).await {
        Ok(Ok(now)) => now.1.clone(),
        // It is on its way; the look of any node sees to it.
        _ => shared.highest(),
    }
}
