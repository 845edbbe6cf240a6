//! One event with all there is to prove about it: its place in the log, who signed it, under which rule.

use super::Cache;
use super::ingest::{Signed, Verified, tree};
use super::meta;
use super::nodes::Kept;
use super::read::{Seen, collect_events, event_at, projection, salted};
use super::signature::{disabled, signature};
use crate::ui::{EventDetail, Failure, ProofStep, RuleNeed, RuleView};
use gatepass_core::Time;
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::RequestId;
use gatepass_core::request::Request;
use gatepass_core::text::Digest;
use gatepass_core::wire::{EventView, Head, Removal};
use gatepass_log::{Hash, LogVerifier, Proof, check_inclusion, inclusion};
use rusqlite::{Connection, params};

impl Cache {
    /// `None` when there is no such position, or this person may not read it. `log` is the key of the log.
    pub fn event(
        &self,
        seq: u64,
        log: Option<&LogVerifier>,
        now: Time,
    ) -> Result<Option<EventDetail>, Failure> {
        let found = self.seen(now, |seen, conn| {
            let Some((event, raw)) = event_at(conn, seq)? else { return Ok(None) };
            let leaf: [u8; 32] = conn
                .prepare_cached("SELECT leaf FROM events WHERE seq = ?1")?
                .query_row([seq], |row| row.get(0))?;
            let (head, checkpoint) = leads_to(conn, seq, log)?;
            let proof = inclusion(&Kept(conn), seq, head.size).unwrap_or_default();
            // Of the content, not of the hash that is held for it.
            let proof_holds = check_inclusion(&proof, seq, Hash::leaf(raw.as_bytes()), &head).is_ok();
            let request = event.request.map_or(Ok(None), |id| projection(conn, id))?;
            Ok(Some(EventDetail {
                event: seen.event(seq, &event)?,
                signature: signature(seen, conn, seq, &event, &disabled(conn)?)?,
                in_verified_tree: proof_holds && Hash::leaf(raw.as_bytes()).0 == leaf,
                raw,
                leaf: Hash(leaf).digest(),
                proof: steps(seq, head.size, &proof),
                proof_holds,
                head_size: head.size,
                head_root: head.root,
                checkpoint,
                log_key: log.map(|l| l.vkey().to_owned()),
                rule: request.as_ref().map(|r| rule(seen, conn, r)).transpose()?,
                removal: removal(&event, request.as_ref()),
                story: match event.request {
                    Some(id) => story(seen, conn, id)?,
                    None => vec![seen.event(seq, &event)?],
                },
            }))
        })?;
        Ok(found.flatten())
    }
}

/// The signed head where it has the position already, else the newest that was checked.
fn leads_to(
    conn: &Connection,
    seq: u64,
    log: Option<&LogVerifier>,
) -> Result<(Head, Option<String>), Failure> {
    if let (Some(log), Some(signed)) = (log, meta::<Signed>(conn, "signed")?)
        && let Ok(head) = log.open(&signed.note)
        && seq <= head.size
    {
        return Ok((head, Some(signed.note)));
    }
    let verified = meta::<Verified>(conn, "verified")?;
    Ok((verified.map_or_else(|| gatepass_log::Tree::default().head(), |v| v.head), None))
}

/// On which side each hash of an inclusion proof stands (RFC 9162, section 2.1.3.2).
fn steps(seq: u64, size: u64, proof: &Proof) -> Vec<ProofStep> {
    let (mut at, mut last) = (seq.saturating_sub(1), size.saturating_sub(1));
    let step = |hash: &Hash| {
        let left = at & 1 == 1 || at == last;
        if left {
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        }
        at >>= 1;
        last >>= 1;
        ProofStep { hash: hash.digest(), left }
    };
    proof.iter().map(step).collect()
}

pub(super) fn story(seen: &Seen<'_>, conn: &Connection, id: RequestId) -> Result<Vec<EventView>, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, json FROM events JOIN bodies USING(seq) WHERE request = ?1 ORDER BY seq",
    )?;
    collect_events(seen, statement.query(params![id.0.as_bytes()])?)
}

fn removal(event: &Event, request: Option<&Request>) -> Option<Removal> {
    match &event.fact {
        Fact::GrantEnded { removal, .. }
        | Fact::GrantFailed { removal, .. }
        | Fact::AccessRemoved { removal, .. } => Some(removal.clone()),
        _ => request?.grant.as_ref()?.removal.clone(),
    }
}

fn rule(seen: &Seen<'_>, conn: &Connection, request: &Request) -> Result<RuleView, Failure> {
    let rule = &request.rule;
    let published = published(conn, &rule.catalogue)?;
    let document = published.as_ref().and_then(|p| p.document.as_ref());
    let document = document.map_or(Ok(None), |digest| salted(conn, digest))?;
    let need =
        |slot: &gatepass_core::catalogue::Slot| RuleNeed { from: slot.from.clone(), count: slot.count };
    Ok(RuleView {
        catalogue: rule.catalogue.clone(),
        published_seq: published.as_ref().map(|p| p.seq),
        published_at: published.as_ref().map(|p| p.at),
        current: seen.catalogue_is(&rule.catalogue),
        resource: request.resource.clone(),
        role: request.role.clone(),
        target: rule.target.clone(),
        kind: rule.kind.clone(),
        grants: rule.grants.clone(),
        ask: rule.ask.clone(),
        approve: rule.approve.iter().map(need).collect(),
        max_s: rule.max_s,
        source: document.and_then(|text| role(&text.text, &request.resource, &request.role)),
    })
}

struct Published {
    seq: u64,
    at: Time,
    document: Option<Digest>,
}

/// Where a version of the catalogue first came into force.
fn published(conn: &Connection, version: &Digest) -> Result<Option<Published>, Failure> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, json FROM events JOIN bodies USING(seq)
         WHERE request IS NULL AND kind = 'catalogue.published' ORDER BY seq",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let json: String = row.get(1)?;
        let Ok(event) = serde_json::from_str::<Event>(&json) else { continue };
        if let Fact::CataloguePublished { catalogue, document } = event.fact
            && catalogue == *version
        {
            return Ok(Some(Published { seq: row.get(0)?, at: event.at, document }));
        }
    }
    Ok(None)
}

/// A role as a catalogue's document has it.
fn role(document: &str, resource: &str, role: &str) -> Option<String> {
    let document: serde_json::Value = serde_json::from_str(document).ok()?;
    let named =
        |list: &serde_json::Value, id: &str| list.as_array()?.iter().find(|found| found["id"] == id).cloned();
    let found = named(&named(&document["resources"], resource)?["roles"], role)?;
    serde_json::to_string_pretty(&found).ok()
}

/// Whether the log had this root at this size; `None` when the copy does not reach so far.
pub(super) fn was_head(conn: &Connection, head: &Head) -> Result<Option<bool>, Failure> {
    if head.size > tree(conn)?.size() {
        return Ok(None);
    }
    Ok(Kept(conn).head_at(head.size).map(|held| held == *head))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use gatepass_log::Tree;

    #[test]
    fn the_sides_lead_from_every_leaf_to_the_root() {
        let leaves: Vec<Hash> = (0..70_u8).map(|i| Hash::leaf(&[i])).collect();
        for size in 1..=leaves.len() {
            let mut tree = Tree::default();
            leaves[..size].iter().for_each(|leaf| tree.append(*leaf));
            for seq in 1..=size as u64 {
                let proof = inclusion(leaves.as_slice(), seq, size as u64).unwrap();
                let root =
                    steps(seq, size as u64, &proof).iter().fold(leaves[seq as usize - 1], |node, step| {
                        let other = Hash::parse(&step.hash).unwrap();
                        if step.left { Hash::node(&other, &node) } else { Hash::node(&node, &other) }
                    });
                assert_eq!(root, tree.root(), "{seq} of {size}");
            }
        }
    }
}
