//! The sequencer: gives the events of the outbox their positions, in batches. Every node has one; the database lets one
//! work at a time, and the head's size fences off one that believes it still does.

use super::link::Link;
use super::step::{Miss, Step};
use super::{get, parse, subtree};
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

/// How often all of the outbox is looked at, whatever is thought to be empty.
const WHOLE: Duration = Duration::from_secs(2);
/// Ids remembered until they are passed.
const REACHED: usize = 64;

/// Up to which id the outbox is empty and stays so. Its dead rows remain for as long as somebody's snapshot is older
/// than they are, and would be read over one by one, more for every batch.
///
/// An id that was reached is passed when every transaction that was under way then has ended before a later batch that
/// looked from before it: a change writes its events last, so whoever may hold a smaller id had its transaction's id by
/// then. To pass it earlier could place what followed a late one first.
#[derive(Default)]
pub struct Emptied {
    /// The last id of a batch, and the first transaction that began after it.
    reached: VecDeque<(i64, i64)>,
    passed: i64,
    whole: Option<Instant>,
}

impl Emptied {
    /// The id after which to look. Not that of the last event: smaller ones may become visible after larger ones.
    fn after(&mut self, now: Instant) -> i64 {
        if self.whole.is_none_or(|at| now.duration_since(at) >= WHOLE) {
            self.whole = Some(now);
            return 0;
        }
        self.passed
    }

    /// A batch took all it saw: up to `last`, if anything. Before it looked, the oldest transaction under way was
    /// `oldest`; after it, the next to begin was `next`.
    fn took_all(&mut self, oldest: i64, last: Option<i64>, next: i64) {
        while let Some((id, _)) = self.reached.front().filter(|(_, began)| *began <= oldest) {
            self.passed = *id;
            self.reached.pop_front();
        }
        let Some(last) = last else { return };
        if last < self.passed {
            // The database went back to an earlier state.
            *self = Self::default();
        }
        if self.reached.len() >= REACHED {
            self.reached.pop_back();
        }
        self.reached.push_back((last, next));
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
            Step::new("SELECT tree, pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM head"),
            Step::new(
                "SELECT id, event_id, request_id, person_id, body FROM outbox WHERE id > $2 ORDER BY id LIMIT $1",
            )
            .with(Type::INT8, BATCH)
            .with(Type::INT8, emptied.after(from)),
            Step::new("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"),
        ])
        .await?;
    let answers = begun.map_err(Miss::error)?;
    let [_, tree, waiting, after] = answers.as_slice() else {
        return Err(StoreError::Failed("the sequencer reads four things".to_owned()));
    };
    let none = || StoreError::Failed("the log has no head".to_owned());
    let tree = tree.first().ok_or_else(none)?;
    let (oldest, next): (i64, i64) = (get(tree, 1)?, get(after.first().ok_or_else(none)?, 0)?);
    let mut sequencer = Sequencer::new(parse(get(tree, 0)?)?);
    let before = sequencer.head().size as i64;
    if waiting.is_empty() {
        transaction.roll_back().await?;
        emptied.took_all(oldest, None, next);
        return Ok((sequencer.head(), 0));
    }
    let (mut ids, mut seqs, mut events, mut requests, mut people, mut leaves, mut bodies, mut complete) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in waiting {
        let body: String = get(row, 4)?;
        let placed = sequencer.place_content(body.clone().into_bytes());
        ids.push(get::<i64>(row, 0)?);
        seqs.push(placed.seq as i64);
        events.push(get::<Uuid>(row, 1)?);
        requests.push(get::<Option<Uuid>>(row, 2)?);
        people.push(get::<Option<Uuid>>(row, 3)?);
        leaves.push(placed.leaf.0.to_vec());
        bodies.push(body);
        complete.extend(placed.complete);
    }
    let (head, last) = (sequencer.head(), ids.last().copied());
    let tree = serde_json::to_string(sequencer.tree()).map_err(|e| StoreError::Failed(e.to_string()))?;
    let mut steps = vec![
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
    ];
    steps.extend(subtree::write(&complete));
    let done = transaction.run(&steps).await?;
    if done.first().is_none_or(Vec::is_empty) {
        transaction.roll_back().await?;
        return Err(StoreError::Conflict);
    }
    transaction.commit().await?;
    let count = waiting.len();
    if (count as i64) < BATCH {
        emptied.took_all(oldest, last, next);
    }
    metrics::histogram!("gatepass_sequencer_batch_events").record(count as f64);
    metrics::histogram!("gatepass_sequencer_seconds").record(from.elapsed().as_secs_f64());
    Ok((head, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_passed_when_nobody_can_be_late_with_a_smaller_one() {
        let (mut emptied, from) = (Emptied::default(), Instant::now());
        let at = |millis| from + Duration::from_millis(millis);
        assert_eq!(emptied.after(at(0)), 0);
        // Transactions 100 to 104 were under way or over; 105 was the next.
        emptied.took_all(100, Some(10), 105);
        assert_eq!(emptied.after(at(1)), 0, "104 may hold a smaller id");
        emptied.took_all(104, Some(20), 109);
        assert_eq!(emptied.after(at(2)), 0, "it still may");
        emptied.took_all(105, None, 110);
        assert_eq!(emptied.after(at(3)), 10);
        assert_eq!(emptied.after(at(2_000)), 0, "all of it, now and then");
        emptied.took_all(110, Some(30), 115);
        assert_eq!(emptied.after(at(2_001)), 20);
        emptied.took_all(120, Some(3), 121);
        assert_eq!(emptied.after(at(2_002)), 0, "ids that begin again");
    }

    #[test]
    fn it_stays_small_while_somebody_is_under_way() {
        let mut emptied = Emptied::default();
        for n in 0..10_000 {
            emptied.took_all(1, Some(n), n + 2);
        }
        assert_eq!(emptied.reached.len(), REACHED);
        emptied.took_all(20_000, None, 20_000);
        assert_eq!(emptied.passed, 9_999);
    }
}
