//! A device joins with an invite.

use super::Json;
use crate::app::{App, fingerprint};
use crate::auth::{check_skew, read};
use crate::error::Problem;
use crate::peer::Peer;
use crate::store::{Change, Device, Recorded, StoreError};
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gatepass_core::command::Enroll;
use gatepass_core::error::Code;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, EventId, PersonId};
use gatepass_core::text::{Digest, Texts};
use gatepass_core::wire::{EnrollSubmit, Enrolled, ProblemDetails};
use uuid::Uuid;

/// The longest name of a device, in bytes of UTF-8.
const MAX_NAME: usize = 200;

/// Join: enrol a device with an invite.
#[utoipa::path(post, path = "/v1/enroll", request_body = EnrollSubmit, responses(
    (status = 200, body = Enrolled),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn enroll(
    State(app): State<App>,
    Peer(peer): Peer,
    Json(submit): Json<EnrollSubmit>,
) -> Result<Json<Enrolled>, Problem> {
    app.limits.peer(peer)?;
    let body: Enroll = read(&submit.command)?;
    check(&body, &submit)?;
    let digest = fingerprint(&submit.command)?;
    let recorded = Recorded { id: body.id, digest: digest.clone(), request: None };
    if let Some(before) = app.store.load(Some(body.id), None).await?.recorded {
        return repeated(&app, &before, &recorded, body.device).await;
    }
    let now = app.clock.now();
    check_skew(body.at, now)?;
    let invite = app.store.invite(&body.invite).await?.ok_or(Code::InviteUnknown)?;
    if invite.used_by.is_some() {
        return Err(Code::InviteUsed.into());
    }
    if now >= invite.expires_at {
        return Err(Code::InviteEnded.into());
    }
    let device = Device {
        id: body.device,
        person: invite.person,
        name: submit.name.text.clone(),
        signing_key: body.signing_key.clone(),
        seal_key: body.seal_key.clone(),
        disabled: false,
    };
    let event = Event {
        id: EventId(Uuid::now_v7()),
        at: now,
        by: By::Person { person: invite.person, device: body.device },
        request: None,
        fact: Fact::DeviceEnrolled {
            person: invite.person,
            device: body.device,
            signing_key: body.signing_key,
            seal_key: body.seal_key,
            name: body.name.clone(),
        },
        command: Some(submit.command),
    };
    let change = Change {
        command: Some(recorded.clone()),
        events: vec![event],
        texts: Texts::from([(body.name, submit.name)]),
        device: Some((device, body.invite)),
        ..Change::default()
    };
    match app.commit(change).await {
        Ok(_) => app.people.reload(&*app.store).await?,
        Err(StoreError::Repeated(before)) => return repeated(&app, &before, &recorded, body.device).await,
        Err(error) => return Err(error.into()),
    }
    enrolled(&app, invite.person, body.device)
}

/// What can be said of the body by itself.
fn check(body: &Enroll, submit: &EnrollSubmit) -> Result<(), Problem> {
    const KIND: &str = "device.enroll";
    if body.kind != KIND {
        return Err(Problem::malformed(format!(
            "This address takes {KIND}, and the command is {}.",
            body.kind
        )));
    }
    gatepass_log::verify(&body.signing_key, KIND, &submit.command).map_err(|_| Code::WrongSignature)?;
    if BASE64.decode(&body.seal_key).map(|k| k.len()) != Ok(32) {
        return Err(Problem::malformed("“seal_key” is not 32 bytes of base64."));
    }
    if Digest::of(submit.code.as_bytes()) != body.invite {
        return Err(Problem::new(Code::DigestMismatch, "The code is not the one that was signed."));
    }
    if submit.name.digest().as_ref() != Some(&body.name) {
        return Err(Problem::new(Code::DigestMismatch, "The device’s name is not the one that was signed."));
    }
    if submit.name.text.contains('\0') {
        return Err(Problem::malformed("The device’s name has a NUL character in it."));
    }
    if submit.name.text.len() > MAX_NAME {
        return Err(Problem::new(
            Code::TextTooLong,
            format!("A device’s name has at most {MAX_NAME} bytes."),
        ));
    }
    Ok(())
}

async fn repeated(
    app: &App,
    before: &Recorded,
    now: &Recorded,
    device: DeviceId,
) -> Result<Json<Enrolled>, Problem> {
    if before.digest != now.digest {
        return Err(Code::IdReused.into());
    }
    app.people.reload(&*app.store).await?;
    let person = app.people.now().device(device).map(|d| d.person).ok_or(Code::UnknownDevice)?;
    enrolled(app, person, device)
}

fn enrolled(app: &App, person: PersonId, device: DeviceId) -> Result<Json<Enrolled>, Problem> {
    let people = app.people.now();
    let person = people.person(person).ok_or(Code::Internal)?.clone();
    let log_key = app.signing.as_ref().ok_or(Code::Internal)?.vkey().to_owned();
    Ok(Json(Enrolled { person, device, server: app.name.clone(), log_key }))
}
