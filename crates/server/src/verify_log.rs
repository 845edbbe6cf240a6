//! `verify-log`: the whole log out of the store, through the one check there is (`gatepass_log::replay`), against the head
//! that the store has and the one that this node signed last. Reads only; a server may run beside it.

use crate::Config;
use crate::seen;
use crate::signing::read_key;
use crate::store::{Store, StoreError, Stored};
use gatepass_core::wire::Head;
use gatepass_log::Hash;
use gatepass_log::replay::{Extent, Finding, Item, Replay, Report};

/// Positions in one step: enough for every core.
const STEP: u64 = 8_192;

/// A log that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    pub report: Report,
    pub head: Head,
    /// The size at which this node signed it last.
    pub signed: Option<u64>,
}

/// Why it is not known whether the log holds.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("the log cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Unread(String),
}

/// Checks everything up to the head that the store has when it begins. What does not hold is an answer, no failure.
pub async fn verify_log(
    store: &dyn Store,
    config: &Config,
) -> Result<Result<Verified, Finding>, VerifyError> {
    let head = store.head().await?;
    let signed = match signed(config)? {
        Ok(signed) => signed,
        Err(finding) => return Ok(Err(finding)),
    };
    if let Some(signed) = signed.as_ref().filter(|signed| signed.size > head.size) {
        let message = format!("the log ends here, and was signed up to {}", signed.size);
        return Ok(Err(finding(head.size + 1, "checkpoint", message)));
    }
    let mut replay = Replay::new(Extent::Whole);
    let mut at = 0;
    while at < head.size {
        // A step ends where a head is to be compared.
        let stop = signed.iter().map(|s| s.size).chain([head.size]).filter(|size| *size > at).min();
        let limit = stop.map_or(STEP, |stop| (stop - at).min(STEP));
        let entries = match store.entries(at, usize::try_from(limit).unwrap_or(1)).await {
            Ok(slice) => slice.entries,
            // The database answers, and what is there is no event.
            Err(StoreError::Failed(why)) => {
                let message = format!("what comes after position {at} can’t be read: {why}");
                return Ok(Err(finding(at + 1, "event", message)));
            }
            Err(error) => return Err(error.into()),
        };
        if entries.is_empty() {
            let message = format!("this position is missing: the store says that there are {}", head.size);
            return Ok(Err(finding(at + 1, "dense", message)));
        }
        let count = entries.len() as u64;
        let took = tokio::task::spawn_blocking(move || take(replay, entries)).await;
        replay = match took.map_err(|error| VerifyError::Unread(error.to_string()))? {
            Ok(replay) => replay,
            Err(finding) => return Ok(Err(finding)),
        };
        at += count;
        let here = replay.head();
        let named = signed.iter().map(|signed| (signed, "checkpoint", "this node signed"));
        for (other, rule, whose) in named.chain([(&head, "root", "the store has")]) {
            if other.size == at && *other != here {
                let message = format!("the events up to here do not add up to the head that {whose}");
                return Ok(Err(finding(at, rule, message)));
            }
        }
    }
    // Whoever added rows behind the head's back has not moved it.
    let next = store.entries(head.size, 1).await?.entries;
    if !next.is_empty() && store.head().await?.size == head.size {
        let message = format!("the log goes on here, and its head says that it ends at {}", head.size);
        return Ok(Err(finding(head.size + 1, "dense", message)));
    }
    let signed = signed.map(|signed| signed.size);
    Ok(replay.finish().map(|report| Verified { report, head, signed }))
}

/// The head that this node signed last, if the log's key still says so.
fn signed(config: &Config) -> Result<Result<Option<Head>, Finding>, VerifyError> {
    let unread = |error: String| VerifyError::Unread(error);
    let Some(note) = seen::note(&config.data).map_err(|error| {
        let file = seen::note_file(&config.data);
        unread(format!("{} cannot be read: {error}", file.display()))
    })?
    else {
        return Ok(Ok(None));
    };
    let Some(key) = read_key(&config.log_key).map_err(|error| unread(error.to_string()))? else {
        let file = config.log_key.display();
        return Err(unread(format!("the key of the log is not at {file}: put your copy of it there")));
    };
    let opened = gatepass_log::LogVerifier::new(key.vkey()).and_then(|log| log.open(&note));
    Ok(opened.map(Some).map_err(|error| {
        let message = format!("the head that this node signed last does not hold: {error}");
        finding(0, "checkpoint", message)
    }))
}

fn finding(seq: u64, rule: &'static str, message: String) -> Finding {
    Finding { seq, rule, message }
}

fn take(mut replay: Replay, entries: Vec<Stored>) -> Result<Replay, Finding> {
    let items = entries.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    replay.take(items)?;
    Ok(replay)
}

fn item(stored: &Stored) -> Result<Item, Finding> {
    let content = stored.body.get();
    let leaf = Hash::parse(&stored.leaf)
        .ok_or_else(|| finding(stored.seq, "leaf", "its leaf is not a hash".to_owned()))?;
    let named = |digest: &gatepass_core::text::Digest| content.contains(&digest.0);
    if !stored.texts.iter().all(|text| text.digest().as_ref().is_some_and(named)) {
        let message = "a text beside it is not the one that it names".to_owned();
        return Err(finding(stored.seq, "text", message));
    }
    Ok(Item { seq: stored.seq, leaf, content: Some(content.to_owned()), texts: stored.texts.to_vec() })
}
