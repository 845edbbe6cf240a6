//! The sequencer: gives the events of the outbox their positions, in batches. Every node has one; the database lets one
//! work at a time, and the head's size fences off one that believes it still does.

use super::link::Link;
use super::step::{Miss, Step};
use super::{get, parse};
use crate::log::Sequencer;
use crate::store::StoreError;
use gatepass_core::wire::Head;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The most events in one batch.
const BATCH: i64 = 2_000;
/// What listeners hear of: that the log grew.
pub const CHANNEL: &str = "gatepass";

/// Longer than a change can take from getting ids for its events, the last thing it does, to being visible: the
/// statement's limit and that of an idle transaction. Passing over one that is late would not lose it, but could place
/// what followed it first.
const LATE: Duration = Duration::from_secs(30);
/// How often all of it is looked at, whatever was late and why.
const WHOLE: Duration = Duration::from_secs(2);
/// Remembered so far apart.
const STEP: Duration = Duration::from_millis(250);

/// Up to which id the outbox was emptied. Its dead rows stay for as long as somebody's transaction is older than they
/// are, and would be passed over one by one, more for every batch.
#[derive(Default)]
pub struct Emptied {
    reached: VecDeque<(Instant, i64)>,
    whole: Option<Instant>,
}

impl Emptied {
    /// The id after which to look. Not that of the last event: smaller ones may become visible after larger ones.
    fn after(&mut self, now: Instant) -> i64 {
        if self.whole.is_none_or(|at| now.duration_since(at) >= WHOLE) {
            self.whole = Some(now);
            return 0;
        }
        let late =
            |entry: Option<&(Instant, i64)>| entry.is_some_and(|(at, _)| now.duration_since(*at) >= LATE);
        while late(self.reached.get(1)) {
            self.reached.pop_front();
        }
        self.reached.front().filter(|entry| late(Some(entry))).map_or(0, |(_, id)| *id)
    }

    fn up_to(&mut self, now: Instant, id: i64) {
        match self.reached.back() {
            // The database may have gone back to an earlier state, with smaller ids.
            Some((_, last)) if id < *last => self.reached.clear(),
            Some((at, _)) if now.duration_since(*at) < STEP => {}
            _ => self.reached.push_back((now, id)),
        }
    }
}

/// Places all that was committed before it began, but for what comes late: that, it finds within seconds. Answers the
/// head then, and how many it placed.
pub async fn place_all(link: &Link, emptied: &mut Emptied) -> Result<(Head, usize), StoreError> {
    let mut placed = 0;
    loop {
        let (head, count) = place(link, emptied).await?;
        placed += count;
        if (count as i64) < BATCH {
            return Ok((head, placed));
        }
    }
}

async fn place(link: &Link, emptied: &mut Emptied) -> Result<(Head, usize), StoreError> {
    let from = Instant::now();
    // Each statement has a snapshot of its own, taken when the lock is held: it sees what the one before placed.
    let (transaction, begun) = link
        .begin(&[
            Step::new("SELECT pg_advisory_xact_lock(7420, 1)::text"),
            Step::new("SELECT tree FROM head"),
            Step::new(
                "SELECT id, event_id, request_id, person_id, body FROM outbox WHERE id > $2 ORDER BY id LIMIT $1",
            )
            .with(Type::INT8, BATCH)
            .with(Type::INT8, emptied.after(from)),
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
    let (head, last) = (sequencer.head(), ids.last().copied().unwrap_or(0));
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
    emptied.up_to(from, last);
    let count = waiting.len();
    metrics::histogram!("gatepass_sequencer_batch_events").record(count as f64);
    metrics::histogram!("gatepass_sequencer_seconds").record(from.elapsed().as_secs_f64());
    Ok((head, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_emptied_is_passed_over_after_a_while_and_looked_at_now_and_then() {
        let (mut emptied, from) = (Emptied::default(), Instant::now());
        let at = |millis| from + Duration::from_millis(millis);
        assert_eq!(emptied.after(at(0)), 0);
        emptied.up_to(at(0), 10);
        emptied.up_to(at(100), 20);
        emptied.up_to(at(4_000), 30);
        assert_eq!(emptied.after(at(1_000)), 0, "others may still be late");
        assert_eq!(emptied.after(at(30_000)), 0, "all of it, now and then");
        assert_eq!(emptied.after(at(30_001)), 10);
        assert_eq!(emptied.after(at(31_999)), 10);
        assert_eq!(emptied.after(at(32_000)), 0);
        assert_eq!(emptied.after(at(33_999)), 10);
        assert_eq!(emptied.after(at(34_000)), 0);
        assert_eq!(emptied.after(at(34_001)), 30);
        emptied.up_to(at(34_002), 3);
        assert_eq!(emptied.after(at(34_003)), 0, "ids that begin again");
    }
}
