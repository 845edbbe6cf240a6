//! The log as everybody can check it: C2SP tlog-tiles. Hashes tell nothing of what is behind them, since every event has
//! random ids and signatures in it; so they need no sign-in, and events do.

use crate::app::App;
use crate::auth::Reader;
use crate::error::Problem;
use crate::peer::Peer;
use crate::signing::Signed;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use gatepass_core::error::Code;
use gatepass_core::wire::ProblemDetails;
use gatepass_log::{HEIGHT, Tile, WIDTH, digits};
use std::sync::Arc;

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
/// A whole tile never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const PRIVATE_FOR_EVER: &str = "private, max-age=31536000, immutable";
/// What is signed every second.
const NOT_AT_ALL: &str = "no-cache";

/// The newest signed head: a C2SP checkpoint, with the cosignatures of external witnesses. Where a quorum of them is
/// configured, the newest that has it, unless they have been away.
#[utoipa::path(get, path = "/v1/log/checkpoint", responses(
    (status = 200, content_type = "text/plain", body = String),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 503, body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn checkpoint(State(app): State<App>, Peer(peer): Peer) -> Result<Response, Problem> {
    app.limits.peer(peer)?;
    let signed = app.checkpoint().ok_or_else(|| absent(&app))?;
    Ok(([(CONTENT_TYPE, TEXT), (CACHE_CONTROL, NOT_AT_ALL)], signed.note.clone()).into_response())
}

/// The verifier key of the log, `<origin>+<id>+<key>`. Who asks the server for it believes the server: compare it with
/// what `gatepass-server log key` prints.
#[utoipa::path(get, path = "/v1/log/key", responses(
    (status = 200, content_type = "text/plain", body = String),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn key(State(app): State<App>, Peer(peer): Peer) -> Result<Response, Problem> {
    app.limits.peer(peer)?;
    let signing = app.signing.as_ref().ok_or(Code::Internal)?;
    Ok(([(CONTENT_TYPE, TEXT)], format!("{}\n", signing.vkey())).into_response())
}

/// A tile of hashes, `N` or, of one that is not full yet, `N.p/W`; N in groups of three digits, all but the last with an
/// x before, such as `x001/x234/067`.
#[utoipa::path(get, path = "/v1/log/tile/{level}/{*tile}",
    params(("level" = String, Path), ("tile" = String, Path)), responses(
    (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 503, body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn tile(
    State(app): State<App>,
    Peer(peer): Peer,
    Path((level, tile)): Path<(String, String)>,
) -> Result<Response, Problem> {
    app.limits.peer(peer)?;
    let height = digits(&level, 2).filter(|level| *level < 64).map(|level| level * u64::from(HEIGHT));
    let there = height.zip(Tile::parse(&tile)).ok_or(Code::NotFound)?;
    let signed = signed(&app)?;
    let (height, tile) = there;
    let height = u8::try_from(height).ok().filter(|height| *height < 64).ok_or(Code::NotFound)?;
    let first = tile.first(signed.head.size >> height).ok_or(Code::NotFound)?;
    let hashes = app.store.nodes(height, first, tile.width).await?;
    Ok(answer(&tile, FOR_EVER, hashes.iter().flat_map(|hash| hash.0).collect()))
}

/// The events of a tile of level 0, each with its length in two bytes before it. For those who may read all of the log.
#[utoipa::path(get, path = "/v1/log/tile/entries/{*tile}", params(("tile" = String, Path)), security(("token" = [])),
    responses(
    (status = 200, content_type = "application/octet-stream", body = Vec<u8>),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 503, body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn entries(
    State(app): State<App>,
    reader: Reader,
    Path(tile): Path<String>,
) -> Result<Response, Problem> {
    let people = app.people.now();
    let viewer = people.person(reader.person).ok_or(Code::Internal)?;
    if !viewer.auditor && !viewer.admin {
        let detail = "Only auditors and admins may read every event of the log.";
        return Err(Problem::new(Code::NotAllowed, detail));
    }
    let tile = Tile::parse(&tile).ok_or(Code::NotFound)?;
    let first = tile.first(signed(&app)?.head.size).ok_or(Code::NotFound)?;
    let slice = app.store.entries(first, tile.width).await?;
    if slice.entries.len() != tile.width {
        return Err(Code::Unavailable.into());
    }
    let mut bytes = Vec::new();
    for entry in &slice.entries {
        let body = entry.body.get().as_bytes();
        // Checked before it was written.
        let length = u16::try_from(body.len()).map_err(|_| Code::Internal)?;
        bytes.extend(length.to_be_bytes());
        bytes.extend(body);
    }
    Ok(answer(&tile, PRIVATE_FOR_EVER, bytes))
}

fn signed(app: &App) -> Result<Arc<Signed>, Problem> {
    app.signed_head().ok_or_else(|| absent(app).into())
}

fn absent(app: &App) -> Code {
    if app.held.is() { Code::LogHeld } else { Code::Unavailable }
}

fn answer(tile: &Tile, kept: &'static str, bytes: Vec<u8>) -> Response {
    let kept = if tile.width == WIDTH { kept } else { NOT_AT_ALL };
    ([(CONTENT_TYPE, BYTES), (CACHE_CONTROL, kept)], bytes).into_response()
}
