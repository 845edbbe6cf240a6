//! Setting an access up.

use super::{again_at, ahead, worth_telling};
use crate::Time;
use crate::app::{App, ReportError};
use crate::store::{Device, Job, Row, Sealed, Settled, StoreError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::TimeDelta;
use gatepass_connectors::points::{Point, reached};
use gatepass_connectors::{Access, Holder, TargetError};
use gatepass_core::command::Report;
use gatepass_core::request::{Grant, SETUP_LIMIT_S};
use gatepass_core::wire::{GrantState, Secret};
use rand::rngs::OsRng;

/// When setting up took longer, the holder's time starts after it.
const QUICK: TimeDelta = TimeDelta::seconds(1);

pub async fn run(app: &App, job: &Job) -> Result<(), StoreError> {
    reached(Point::ProvisionClaimed);
    let row = match app.report(job, Settled::Hold, &Report::SetupStarted, None).await {
        Ok(row) => row,
        // Given back or revoked before it began.
        Err(ReportError::Refused(_)) => return app.settle(job, Settled::Done).await,
        Err(ReportError::Store(error)) => return Err(error),
    };
    let Some(grant) = row.request.grant.as_ref().filter(|g| g.state == GrantState::Provisioning) else {
        return app.settle(job, Settled::Done).await;
    };
    reached(Point::ProvisionStarted);
    match set_up(app, job, &row, grant).await {
        Ok((secret, since)) => active(app, job, &row, grant, &secret, since).await,
        Err(error) => failed(app, job, &row, error).await,
    }
}

/// The secret, and when the holder's time began.
async fn set_up(app: &App, job: &Job, row: &Row, grant: &Grant) -> Result<(Secret, Time), TargetError> {
    let connector = app.targets.get(&job.target)?;
    let began = app.clock.now();
    let until = ahead::guard(app, &job.target, &**connector, in_time(grant, began)?).await;
    let mut access = access(app, row, grant, until)?;
    let secret = connector.provision(&access).await?;
    reached(Point::ProvisionCalled);
    let done = app.clock.now();
    if done - began <= QUICK {
        return Ok((secret, began));
    }
    access.until = ahead::guard(app, &job.target, &**connector, in_time(grant, done)?).await;
    let secret = connector.guard(&access).await?.unwrap_or(secret);
    reached(Point::ProvisionGuarded);
    Ok((secret, done))
}

/// What a connector is told of a grant.
pub fn access(app: &App, row: &Row, grant: &Grant, until: Time) -> Result<Access, TargetError> {
    let request = &row.request;
    let people = app.people.now();
    let person = people
        .person(request.by)
        .ok_or_else(|| TargetError::Configuration("the person who asked is not known any more".to_owned()))?;
    Ok(Access {
        grant: grant.id,
        holder: Holder {
            person: request.by,
            handle: person.handle.clone(),
            ssh_key: request.ssh_key.clone(),
        },
        grants: request.rule.grants.clone(),
        session: request.rule.session,
        until,
    })
}

/// The end as the core fixes it, if there is any time left.
fn in_time(grant: &Grant, since: Time) -> Result<Time, TargetError> {
    let end = (since + TimeDelta::seconds(grant.duration_s.into())).min(grant.latest_end);
    if end > since {
        Ok(end)
    } else {
        Err(TargetError::Unreachable("setting up took longer than the access may last".to_owned()))
    }
}

async fn active(
    app: &App,
    job: &Job,
    row: &Row,
    grant: &Grant,
    secret: &Secret,
    since: Time,
) -> Result<(), StoreError> {
    let sealed = match sealed(app, row, grant, secret) {
        Ok(sealed) => sealed,
        Err(error) => return failed(app, job, row, error).await,
    };
    reached(Point::ProvisionSealed);
    match app.report(job, Settled::Done, &Report::SetUp { since }, Some(sealed)).await {
        Ok(_) => {
            reached(Point::ProvisionReported);
            metrics::counter!("gatepass_grants_active_total").increment(1);
            Ok(())
        }
        Err(ReportError::Store(error)) => Err(error),
        // Revoked while it was set up: its end job, which waits for this one, removes it.
        Err(ReportError::Refused(_)) => app.settle(job, Settled::Done).await,
    }
}

async fn failed(app: &App, job: &Job, row: &Row, error: TargetError) -> Result<(), StoreError> {
    let now = app.clock.now();
    let attempts = job.attempts + 1;
    let decided = row.request.decided_at.unwrap_or(now);
    // What an admin has to change first does not heal by trying again.
    let hopeless = matches!(error, TargetError::Configuration(_));
    let last = hopeless || now - decided >= TimeDelta::seconds(SETUP_LIMIT_S.into());
    tracing::warn!(%error, attempts, last, request = %row.request.number, target = job.target, "could not set up");
    metrics::counter!("gatepass_setup_failures_total").increment(1);
    let how =
        if last { Settled::Done } else { Settled::Again { due: again_at(now, attempts), failed: true } };
    if !last && !worth_telling(attempts) {
        return app.settle(job, how).await;
    }
    let said = Report::SetupFailed { message: error.to_string(), attempts, last };
    match app.report(job, how, &said, None).await {
        Ok(_) => Ok(()),
        Err(ReportError::Store(error)) => Err(error),
        Err(ReportError::Refused(_)) => app.settle(job, Settled::Done).await,
    }
}

/// The secret, for the device that asked.
pub fn sealed(app: &App, row: &Row, grant: &Grant, secret: &Secret) -> Result<Sealed, TargetError> {
    let people = app.people.now();
    let sealed =
        people.device(row.request.device).and_then(|device| seal(secret, device)).ok_or_else(|| {
            TargetError::Configuration("the device that asked has no key to seal a secret to".to_owned())
        })?;
    Ok(Sealed { grant: grant.id, device: row.request.device, sealed })
}

/// Seals the secret so that only the device can open it; `None` when its key is not one.
fn seal(secret: &Secret, device: &Device) -> Option<String> {
    let key: [u8; 32] = BASE64.decode(&device.seal_key).ok()?.try_into().ok()?;
    let plain = zeroize::Zeroizing::new(serde_json::to_vec(secret).ok()?);
    let sealed = crypto_box::PublicKey::from(key).seal(&mut OsRng, &plain).ok()?;
    Some(BASE64.encode(sealed))
}
