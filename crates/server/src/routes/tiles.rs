//! The log as everybody can check it: C2SP tlog-tiles. Hashes tell nothing of what is behind them, since every event has
//! random ids and signatures in it; so they need no sign-in, and events do.

use crate::app::App;
use crate::auth::Reader;
use crate::error::Problem;
use crate::log::WIDTH;
use crate::peer::Peer;
use crate::signing::Signed;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use gatepass_core::error::Code;
use gatepass_core::wire::ProblemDetails;
use gatepass_log::HEIGHT;
use std::sync::Arc;

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
/// A whole tile never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const PRIVATE_FOR_EVER: &str = "private, max-age=31536000, immutable";
/// What is signed every second.
const NOT_AT_ALL: &str = "no-cache";

/// The newest signed head: a C2SP checkpoint.
#[utoipa::path(get, path = "/v1/log/checkpoint", responses(
    (status = 200, content_type = "text/plain", body = String),
    (status = "4XX", body = ProblemDetails, content_type = "application/problem+json"),
    (status = 503, body = ProblemDetails, content_type = "application/problem+json"),
))]
pub async fn checkpoint(State(app): State<App>, Peer(peer): Peer) -> Result<Response, Problem> {
    app.limits.peer(peer)?;
    let signed = signed(&app)?;
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
    let held = if app.held.is() { Code::LogHeld } else { Code::Unavailable };
    app.signed_head().ok_or_else(|| held.into())
}

fn answer(tile: &Tile, kept: &'static str, bytes: Vec<u8>) -> Response {
    let kept = if tile.width == WIDTH { kept } else { NOT_AT_ALL };
    ([(CONTENT_TYPE, BYTES), (CACHE_CONTROL, kept)], bytes).into_response()
}

/// Which part of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    index: u64,
    width: usize,
}

impl Tile {
    /// As in the path, and written in that way only.
    fn parse(path: &str) -> Option<Self> {
        let (path, width) = match path.split_once(".p/") {
            Some((path, width)) => {
                let width = digits(width, 3).and_then(|w| usize::try_from(w).ok());
                (path, width.filter(|w| (1..WIDTH).contains(w))?)
            }
            None => (path, WIDTH),
        };
        let mut groups = path.split('/').rev();
        let three = |group: &str| group.parse::<u64>().ok().filter(|_| is_digits(group) && group.len() == 3);
        let mut index = three(groups.next()?)?;
        let (mut unit, mut first) = (1_u64, None);
        for group in groups {
            let group = three(group.strip_prefix('x')?)?;
            unit = unit.checked_mul(1_000)?;
            index = group.checked_mul(unit)?.checked_add(index)?;
            first = Some(group);
        }
        (first != Some(0)).then_some(Self { index, width })
    }

    /// The index of its first hash, if all of it is among so many of its level.
    fn first(self, size: u64) -> Option<u64> {
        let first = self.index.checked_mul(WIDTH as u64)?;
        (first.checked_add(self.width as u64)? <= size).then_some(first)
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

/// A number without zeros before it.
fn digits(text: &str, longest: usize) -> Option<u64> {
    let plain = is_digits(text) && text.len() <= longest && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_is_named_in_one_way() {
        let whole = |index| Some(Tile { index, width: WIDTH });
        assert_eq!(Tile::parse("000"), whole(0));
        assert_eq!(Tile::parse("067"), whole(67));
        assert_eq!(Tile::parse("x001/x234/067"), whole(1_234_067));
        assert_eq!(Tile::parse("x001/000"), whole(1_000));
        assert_eq!(Tile::parse("x001/234.p/255"), Some(Tile { index: 1_234, width: 255 }));
        for wrong in [
            "",
            "0",
            "67",
            "0067",
            "001/067",
            "x000/067",
            "x1/067",
            "x067",
            "+67",
            "067/",
            "/067",
            "067.p/0",
            "067.p/256",
            "067.p/01",
            "067.p/",
            "067.p",
            "067.p/1/2",
            "067.p/1.p/2",
            "x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Tile::parse(wrong), None, "{wrong}");
        }
        assert_eq!(
            (digits("0", 2), digits("63", 2), digits("063", 3), digits("-1", 2)),
            (Some(0), Some(63), None, None)
        );
    }

    #[test]
    fn a_tile_is_there_when_all_of_it_is_signed() {
        let tile = Tile { index: 1, width: 3 };
        assert_eq!((tile.first(258), tile.first(259), tile.first(9_999)), (None, Some(256), Some(256)));
        assert_eq!(Tile { index: u64::MAX / 2, width: WIDTH }.first(u64::MAX), None);
    }
}
