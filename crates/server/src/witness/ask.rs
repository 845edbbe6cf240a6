//! One witness is asked about one head: C2SP tlog-witness. It answers within seconds, little, and from where it was asked.

use crate::config::WitnessAt;
use crate::log::proven;
use crate::signing::Signed;
use crate::store::{Store, StoreError};
use gatepass_log::witness::{Cosignature, add_checkpoint, known_size};
use gatepass_log::{ProofError, consistency, head_of};
use reqwest::StatusCode;
use reqwest::redirect::Policy;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(5);
/// A few lines of a few hundred bytes.
const LONGEST: usize = 16 << 10;
/// It is told from which size on, then it may know another, and then yet another when somebody else asked meanwhile.
const TRIES: usize = 3;

pub fn client() -> reqwest::Result<reqwest::Client> {
    let client = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER).redirect(Policy::none());
    client.user_agent(concat!("gatepass-server/", env!("CARGO_PKG_VERSION"))).build()
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No fault: another node asked about a newer head.
    #[error("it knows {0} events already")]
    Ahead(u64),
    #[error(
        "it says that this log does not go on from what it saw of it: it was shown another log under this name, or this \
         one was put back to an older copy"
    )]
    Contradicts,
    #[error("it does not know this log: whoever runs it has to be given “gatepass-server log key”")]
    Unknown,
    #[error("it knows this log with another key: whoever runs it has to be given “gatepass-server log key”")]
    Key,
    #[error("what it answered is not its cosignature: compare its key with what the configuration says")]
    Wrong,
    #[error("it does not answer: {0}")]
    Away(String),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<reqwest::Error> for Refused {
    fn from(error: reqwest::Error) -> Self {
        // Without the address, which the message around it has.
        let error = error.without_url();
        let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Self::Away(why)
    }
}

/// Asks for the cosignature. `known` is the size that the witness knew last, as far as that is known here; it is kept.
pub async fn ask(
    client: &reqwest::Client,
    of: &WitnessAt,
    store: &dyn Store,
    signed: &Signed,
    known: &mut u64,
) -> Result<Cosignature, Refused> {
    let size = signed.head.size;
    for _ in 0..TRIES {
        let old = *known;
        if old > size {
            return Err(Refused::Ahead(old));
        }
        let proof = proven(store, |nodes| consistency(nodes, old, size)).await?;
        let unproven = |error: ProofError| StoreError::Failed(error.to_string());
        let body = add_checkpoint(old, &proof.map_err(unproven)?, &signed.note).ok_or(Refused::Wrong)?;
        match send(client, of, body, &signed.note).await? {
            Answer::Cosigned(cosignature) => {
                *known = size;
                return Ok(cosignature);
            }
            // The size is the one it knows, so the root is not.
            Answer::Knows(same) if same == old => return Err(Refused::Contradicts),
            Answer::Knows(other) => *known = other,
        }
    }
    Err(Refused::Ahead(*known))
}

/// Asks for the cosignature of a note that it may have cosigned before.
pub async fn again(client: &reqwest::Client, of: &WitnessAt, note: &str) -> Result<Cosignature, Refused> {
    let size = head_of(note).ok_or(Refused::Wrong)?.size;
    let body = add_checkpoint(size, &[], note).ok_or(Refused::Wrong)?;
    match send(client, of, body, note).await? {
        Answer::Cosigned(cosignature) => Ok(cosignature),
        Answer::Knows(same) if same == size => Err(Refused::Contradicts),
        // It is about to be asked by the server, or was asked by another node.
        Answer::Knows(other) => Err(Refused::Ahead(other)),
    }
}

enum Answer {
    Cosigned(Cosignature),
    /// Another size than it was told.
    Knows(u64),
}

async fn send(client: &reqwest::Client, of: &WitnessAt, body: String, note: &str) -> Result<Answer, Refused> {
    let answer = client.post(format!("{}/add-checkpoint", of.url)).body(body).send().await?;
    match answer.status() {
        StatusCode::OK => {
            let both = format!("{note}{}", text(answer).await?);
            of.witness.cosigned(&both).map(Answer::Cosigned).ok_or(Refused::Wrong)
        }
        StatusCode::CONFLICT => {
            let known = known_size(&text(answer).await?);
            known.map(Answer::Knows).ok_or(Refused::Status(StatusCode::CONFLICT))
        }
        StatusCode::UNPROCESSABLE_ENTITY => Err(Refused::Contradicts),
        StatusCode::NOT_FOUND => Err(Refused::Unknown),
        StatusCode::FORBIDDEN => Err(Refused::Key),
        status => Err(Refused::Status(status)),
    }
}

async fn text(mut answer: reqwest::Response) -> Result<String, Refused> {
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await? {
        bytes.extend(part);
        if bytes.len() > LONGEST {
            return Err(Refused::Wrong);
        }
    }
    String::from_utf8(bytes).map_err(|_| Refused::Wrong)
}
