//! The sequencer: gives the events of the outbox their positions, in batches. Every node has one; the database lets one
//! work at a time, and the head's size fences off one that believes it still does.

use super::link::Link;
use super::step::{Miss, Step};
use super::{get, parse};
use crate::log::Sequencer;
use crate::store::StoreError;
use gatepass_core::wire::Head;
use std::time::Instant;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The most events in one batch.
const BATCH: i64 = 2_000;
/// What listeners hear of: that the log grew.
pub const CHANNEL: &str = "gatepass";

/// Places all that was committed before it began. Answers the head then, and how many it placed.
pub async fn place_all(link: &Link) -> Result<(Head, usize), StoreError> {
    let mut placed = 0;
    loop {
        let (head, count) = place(link).await?;
        placed += count;
        if (count as i64) < BATCH {
            return Ok((head, placed));
        }
    }
}

async fn place(link: &Link) -> Result<(Head, usize), StoreError> {
    let from = Instant::now();
    // Each statement has a snapshot of its own, taken when the lock is held: it sees what the one before placed.
    let (transaction, begun) = link
        .begin(&[
            Step::new("SELECT pg_advisory_xact_lock(7420, 1)::text"),
            Step::new("SELECT tree FROM head"),
            Step::new("SELECT id, event_id, request_id, person_id, body FROM outbox ORDER BY id LIMIT $1")
                .with(Type::INT8, BATCH),
        ])
        .await?;
    let answers = begun.map_err(Miss::error)?;
    let [_, tree, waiting] = answers.as_slice() else {
        return Err(StoreError::Failed("the sequencer reads three things".to_owned()));
    };
    let tree = tree.first().ok_or_else(|| StoreError::Failed("the log has no head".to_owned()))?;
    let mut sequencer = Sequencer::new(parse(get(tree, 0)?)?);
    let before = sequencer.head().size as i64;
    if waiting.is_empty() {
        transaction.roll_back().await?;
        return Ok((sequencer.head(), 0));
    }
    let (mut ids, mut seqs, mut events, mut requests, mut people, mut leaves, mut bodies) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in waiting {
        let body: String = get(row, 4)?;
        let (seq, leaf) = sequencer.place_content(body.as_bytes());
        ids.push(get::<i64>(row, 0)?);
        seqs.push(seq as i64);
        events.push(get::<Uuid>(row, 1)?);
        requests.push(get::<Option<Uuid>>(row, 2)?);
        people.push(get::<Option<Uuid>>(row, 3)?);
        leaves.push(leaf.0.to_vec());
        bodies.push(body);
    }
    let head = sequencer.head();
    let tree = serde_json::to_string(sequencer.tree()).map_err(|e| StoreError::Failed(e.to_string()))?;
    let done = transaction
        .run(&[
            Step::new("UPDATE head SET size = $2, root = $3, tree = $4 WHERE size = $1 RETURNING 1")
                .with(Type::INT8, before)
                .with(Type::INT8, head.size as i64)
                .with(Type::TEXT, head.root.0.clone())
                .with(Type::TEXT, tree),
            Step::new(
                "INSERT INTO event (seq, id, request_id, person_id, leaf, body)
                 SELECT * FROM unnest($1, $2, $3, $4, $5, $6)",
            )
            .with(Type::INT8_ARRAY, seqs)
            .with(Type::UUID_ARRAY, events)
            .with(Type::UUID_ARRAY, requests)
            .with(Type::UUID_ARRAY, people)
            .with(Type::BYTEA_ARRAY, leaves)
            .with(Type::TEXT_ARRAY, bodies),
            Step::new("DELETE FROM outbox WHERE id = ANY ($1)").with(Type::INT8_ARRAY, ids),
            Step::new("SELECT pg_notify($1, $2)::text")
                .with(Type::TEXT, CHANNEL)
                .with(Type::TEXT, head.size.to_string()),
        ])
        .await?;
    if done.first().is_none_or(Vec::is_empty) {
        transaction.roll_back().await?;
        return Err(StoreError::Conflict);
    }
    transaction.commit().await?;
    let count = waiting.len();
    metrics::histogram!("gatepass_sequencer_batch_events").record(count as f64);
    metrics::histogram!("gatepass_sequencer_seconds").record(from.elapsed().as_secs_f64());
    Ok((head, count))
}
