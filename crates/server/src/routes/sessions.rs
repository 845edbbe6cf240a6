//! Signing in: a challenge, signed by the device, for a read token.

use super::Json;
use crate::app::App;
use crate::auth::{read, signer};
use crate::error::Problem;
use crate::peer::Peer;
use axum::extract::State;
use gatepass_core::command::OpenSession;
use gatepass_core::error::Code;
use gatepass_core::wire::{Challenge, ProblemDetails, Session, SignedCommand};

/// Get a challenge to sign.
#[utoipa::path(post, path = "/v1/sessions/challenges", responses(
    (status = 200, body = Challenge),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn challenge(State(app): State<App>, Peer(peer): Peer) -> Result<Json<Challenge>, Problem> {
    app.limits.peer(peer)?;
    let now = app.clock.now();
    Ok(Json(Challenge { challenge: app.auth.challenge(now), now }))
}

/// Get a read token for a signed challenge.
#[utoipa::path(post, path = "/v1/sessions", request_body = SignedCommand, responses(
    (status = 200, body = Session),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn open(
    State(app): State<App>,
    Peer(peer): Peer,
    Json(command): Json<SignedCommand>,
) -> Result<Json<Session>, Problem> {
    const KIND: &str = "session.open";
    app.limits.peer(peer)?;
    let body: OpenSession = read(&command)?;
    if body.kind != KIND {
        return Err(Problem::malformed(format!(
            "This address takes {KIND}, and the command is {}.",
            body.kind
        )));
    }
    let now = app.clock.now();
    let over = || Problem::new(Code::Unauthenticated, "The challenge is over or was used; get a new one.");
    let challenge = app.auth.challenged(&*app.store, &body.challenge, now).await?.ok_or_else(over)?;
    let people = app.people_with(body.device).await?;
    let device = signer(&people, body.device, KIND, &command)?;
    if !app.auth.use_up(challenge, now)? {
        return Err(over());
    }
    let (token, expires_at) = app.auth.open(device, now);
    Ok(Json(Session { token, expires_at, now }))
}
