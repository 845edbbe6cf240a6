//! `subtree`: what the log's proofs and tiles are made of.

use super::link::Link;
use super::step::{Miss, Step};
use super::{Shared, get};
use crate::log::{Subtree, WIDTH};
use crate::store::StoreError;
use gatepass_log::{HEIGHT, Hash};
use std::sync::Arc;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// How many are made in one transaction, so that others may write between.
const STEP: usize = 64;

/// None when there is nothing to write.
pub fn write(made: &[Subtree]) -> Option<Step> {
    let (mut heights, mut numbers, mut roots) = (Vec::new(), Vec::new(), Vec::new());
    for made in made {
        heights.push(i16::from(made.height));
        numbers.push(made.index.cast_signed());
        roots.push(made.root.0.to_vec());
    }
    (!heights.is_empty()).then(|| {
        Step::new(
            "INSERT INTO subtree (height, number, root) SELECT * FROM unnest($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .with(Type::INT2_ARRAY, heights)
        .with(Type::INT8_ARRAY, numbers)
        .with(Type::BYTEA_ARRAY, roots)
    })
}

/// Those that are there, up to the first that is not.
pub async fn read(link: &Link, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, StoreError> {
    let (from, many) = (i64::try_from(index).unwrap_or(i64::MAX), i64::try_from(count).unwrap_or(i64::MAX));
    let step = if height == 0 {
        Step::new("SELECT seq - 1, leaf FROM event WHERE seq > $1 ORDER BY seq LIMIT $2")
    } else {
        Step::new(
            "SELECT number, root FROM subtree WHERE number >= $1 AND height = $3 ORDER BY number LIMIT $2",
        )
    };
    let mut step = step.with(Type::INT8, from).with(Type::INT8, many);
    if height > 0 {
        step = step.with(Type::INT2, i16::from(height));
    }
    let rows = link.read(step).await?;
    let mut found = Vec::with_capacity(rows.len());
    for (row, expected) in rows.iter().zip(index..) {
        if get::<i64>(row, 0)?.cast_unsigned() != expected {
            break;
        }
        found.push(hash(row, 1)?);
    }
    Ok(found)
}

fn hash(row: &Row, column: usize) -> Result<Hash, StoreError> {
    let bytes: &[u8] = get(row, column)?;
    let wrong = |_| StoreError::Failed("a hash of the log has not 32 bytes".to_owned());
    bytes.try_into().map(Hash).map_err(wrong)
}

/// All of them. Those that a node of an older version did not write are made first.
pub async fn whole(link: &Link, height: u8, index: u64, count: usize) -> Result<Vec<Hash>, StoreError> {
    let mut found = read(link, height, index, count).await?;
    if found.len() < count && height > 0 {
        fill(link).await?;
        found = read(link, height, index, count).await?;
    }
    if found.len() == count {
        return Ok(found);
    }
    let first = index + found.len() as u64;
    Err(StoreError::Failed(format!("the log has no complete subtree {first} of height {height}")))
}

/// So that nobody has to wait for them later.
pub async fn fill_at_start(shared: Arc<Shared>) {
    if let Err(error) = fill(&shared.link).await {
        tracing::warn!(%error, "what proofs of the log are made of is not complete yet");
    }
}

/// Makes those that are missing: all of a log from before there were any.
async fn fill(link: &Link) -> Result<(), StoreError> {
    let size = super::event::read_head(&link.read(super::event::head()).await?)?.size;
    for height in (HEIGHT..u8::MAX).step_by(HEIGHT.into()) {
        let complete = size.checked_shr(height.into()).unwrap_or(0);
        if complete == 0 {
            break;
        }
        for some in missing(link, height, complete).await?.chunks(STEP) {
            let mut made = Vec::with_capacity(some.len());
            for index in some {
                let below = read(link, height - HEIGHT, index * WIDTH as u64, WIDTH).await?;
                made.extend(Subtree::over(&below, height, *index));
            }
            if let Some(step) = write(&made) {
                link.write(&[step]).await?.map_err(Miss::error)?;
            }
        }
    }
    Ok(())
}

async fn missing(link: &Link, height: u8, complete: u64) -> Result<Vec<u64>, StoreError> {
    let step = Step::new(
        "SELECT n FROM generate_series(0, $1::bigint - 1) AS n
         WHERE NOT EXISTS (SELECT FROM subtree WHERE height = $2 AND number = n) ORDER BY n",
    )
    .with(Type::INT8, complete.cast_signed())
    .with(Type::INT2, i16::from(height));
    link.read(step).await?.iter().map(|row| get::<i64>(row, 0).map(i64::cast_unsigned)).collect()
}
