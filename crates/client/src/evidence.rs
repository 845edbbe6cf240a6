//! A contradiction as others can check it without us: both heads as the log signed them, and where the server's tiles
//! still show it, the leaf that differs with its way up to each.

use crate::api::Api;
use crate::cache::blocking;
use crate::client::{Client, Joined};
use crate::profile::Mismatch;
use crate::tiles::Tiles;
use crate::ui::{Failure, MismatchView};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gatepass_core::Time;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_log::{Hash, LogVerifier, Proof, check_consistency, consistency, inclusion};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The server that contradicts itself may also not answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The other log, as its server still showed it. Kept in `mismatch.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fork {
    /// The key the server gives as its log's.
    pub key: Option<String>,
    /// The signed head it shows.
    pub checkpoint: Option<String>,
    /// What its tiles show, when they make up that head.
    pub tiles: Option<Shown>,
}

/// Two trees, and where they part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    pub head: Head,
    /// The root this device has at that size; absent when its copy does not reach so far.
    pub expected: Option<Head>,
    /// The first position that differs.
    pub seq: u64,
    pub kept: Side,
    pub given: Side,
    /// From the last head that held to the one shown; a proof that holds would be no contradiction.
    pub consistency: Option<Step>,
}

/// A leaf and its way up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    pub leaf: Digest,
    pub head: Head,
    /// Hashes of the siblings from the leaf up, base64.
    pub proof: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub from: Head,
    pub to: Head,
    /// Base64, as RFC 6962 has it.
    pub proof: Vec<String>,
    pub holds: bool,
}

/// The file that `gatepass audit evidence` writes. docs/cli.md says how to check it.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// Always `gatepass.evidence/v1`.
    pub format: &'static str,
    pub server: String,
    pub written_at: Time,
    #[serde(flatten)]
    pub mismatch: Mismatch,
}

impl Client {
    /// Both sides of the contradiction; `None` while there is none.
    pub fn mismatch(&self) -> Result<Option<MismatchView>, Failure> {
        Ok(self.0.profile.mismatch()?.map(|m| MismatchView {
            at: m.at,
            what: m.what,
            rule: m.rule,
            seq: m.seq,
            kept_leaf: m.kept_leaf,
            given_leaf: m.leaf,
            seen: m.seen,
            got: m.got,
            seen_note: m.seen_note,
            got_note: m.got_note,
        }))
    }

    /// The key of the log that this device keeps.
    pub fn log_key(&self) -> Result<Option<String>, Failure> {
        Ok(self.joined()?.log.get().map(|log| log.vkey().to_owned()))
    }

    /// The contradiction as a JSON file for others; `None` when there is none. Works without the server, but looks once
    /// more at what it shows where that was not had before.
    pub async fn evidence(&self) -> Result<Option<String>, Failure> {
        let joined = self.joined()?;
        let Some(mismatch) = self.0.profile.mismatch()? else { return Ok(None) };
        if mismatch.fork.is_none() {
            self.look_closer(&joined).await;
        }
        let mismatch = self.0.profile.mismatch()?.unwrap_or(mismatch);
        let evidence = Evidence {
            format: "gatepass.evidence/v1",
            server: joined.device.server.clone(),
            written_at: joined.api.now(),
            mismatch,
        };
        let text = serde_json::to_string_pretty(&evidence);
        text.map(Some).map_err(|e| Failure::local("The evidence can’t be written", e))
    }

    /// Gathers what the server still shows, and keeps it with the contradiction. What can't be had is left out.
    pub(crate) async fn look_closer(&self, joined: &Arc<Joined>) {
        let looked = tokio::time::timeout(PATIENCE, gather(joined)).await;
        match looked {
            Ok(Some(fork)) => {
                if let Err(failure) = self.0.profile.add_fork(fork) {
                    tracing::warn!("{failure}");
                }
            }
            Ok(None) => {}
            Err(_) => tracing::warn!("the server did not show its tiles in time"),
        }
    }
}

async fn gather(joined: &Arc<Joined>) -> Option<Fork> {
    let key = joined.api.log_key().await.ok();
    let checkpoint = joined.api.checkpoint().await.ok();
    if key.is_none() && checkpoint.is_none() {
        return None;
    }
    let mut fork = Fork { key, checkpoint, tiles: None };
    if let (Some(log), Some(note)) = (joined.log.get(), &fork.checkpoint) {
        fork.tiles = shown(joined, log, note).await.unwrap_or_else(|failure| {
            tracing::warn!("{failure}");
            None
        });
    }
    Some(fork)
}

/// `None` when the tiles show no other log than the one that is held.
async fn shown(joined: &Arc<Joined>, log: &LogVerifier, note: &str) -> Result<Option<Shown>, Failure> {
    // Under another key there is nothing to hold the server to.
    let Ok(head) = log.open(note) else { return Ok(None) };
    let (tree, expected, known) = {
        let size = head.size;
        blocking(&joined.cache, move |cache| {
            Ok((cache.position()?.size, cache.head_at(size)?, cache.known()?))
        })
        .await?
    };
    if tree == 0 || expected.as_ref() == Some(&head) {
        return Ok(None);
    }
    let api: Arc<Api> = Arc::clone(&joined.api);
    let mut tiles = Tiles::new(head.size);
    tiles.fetch_upper(&api).await?;
    let ours = { blocking(&joined.cache, move |cache| cache.subtrees(tree)).await? };
    // Whole blocks of 256 first, then the leaves of the first that differs.
    let block = tiles.first_other(&ours);
    tiles.fetch_leaves(&api, block).await?;
    tiles.fetch_edges(&api, known.size).await?;
    if !tiles.make_up(&head) {
        return Ok(None);
    }
    let theirs = tiles.leaves(block);
    let held = blocking(&joined.cache, move |cache| cache.leaves(block * 256, 256)).await?;
    let differs = held.iter().zip(&theirs).position(|(a, b)| a != b);
    let Some(at) = differs else { return Ok(None) };
    let seq = block * 256 + at as u64 + 1;
    // As the log signed it, where that reaches so far.
    let to = if seq <= known.size { known.size } else { tree };
    let (kept_head, kept_proof) = blocking(&joined.cache, move |cache| cache.proof(seq, to)).await?;
    let Ok(given_proof) = inclusion(&tiles, seq, head.size) else { return Ok(None) };
    Ok(Some(Shown {
        expected,
        seq,
        kept: Side { leaf: held[at].digest(), head: kept_head, proof: encoded(&kept_proof) },
        given: Side { leaf: theirs[at].digest(), head: head.clone(), proof: encoded(&given_proof) },
        consistency: step(&tiles, &known, &head),
        head,
    }))
}

fn step(tiles: &Tiles, from: &Head, to: &Head) -> Option<Step> {
    if from.size == 0 || from.size > to.size {
        return None;
    }
    let proof = consistency(tiles, from.size, to.size).ok()?;
    let holds = check_consistency(&proof, from, to).is_ok();
    Some(Step { from: from.clone(), to: to.clone(), proof: encoded(&proof), holds })
}

fn encoded(proof: &Proof) -> Vec<String> {
    proof.iter().map(|Hash(bytes)| BASE64.encode(bytes)).collect()
}
