//! Searching the local copy of a long log, and the first page of the audit view, through the same client as the window.

use super::sync_fill::fill;
use crate::place::Place;
use crate::report::{Bound, Measurement, Run};
use crate::{Outcome, stats};
use gatepass_client::ui::EventSlice;
use gatepass_client::{Client, KeyStore, Profile};
use rusqlite::Connection;
use std::path::Path;
use std::time::Instant;

/// What the list asks for first.
const FIRST: u32 = 100;

/// As they are typed: wide and narrow words, beginnings, filters alone and together, what is not there.
const QUERIES: [&str; 42] = [
    "",
    "o",
    "or",
    "ord",
    "orde",
    "order",
    "orders",
    "a",
    "st",
    "stuck",
    "stuck pay",
    "deploy customers",
    "1",
    "12",
    "123",
    "1234",
    "12345",
    "R-1",
    "R-12",
    "R-1234",
    "\"stuck in payment\"",
    "nowhere",
    "nowhere stuck",
    "tomas",
    "noor approved",
    "person:tomas",
    "person:noor",
    "person:nobody",
    "resource:orders-db",
    "role:write",
    "kind:request",
    "kind:grant.ended",
    "kind:denied",
    "outcome:returned",
    "outcome:denied",
    "env:production",
    "after:2026-01-01",
    "before:2026-06-01",
    "person:tomas kind:ending after:2026-01-01",
    "person:noor role:write env:production stuck",
    "person:tomas outcome:returned -kind:created 97",
    "env:production -stuck before:2030-01-01",
];

pub async fn measure(quick: bool) -> Outcome<Vec<Measurement>> {
    let (runs, rounds, events) = if quick { (1, 2, 7_000) } else { (3, 10, 1_000_000) };
    let mut place = Place::with_fake()?;
    fill(&mut place, events).await?;
    let profile = Profile::within(place.dir().join("searched"), "iris")?;
    let client = Client::open(profile.clone(), KeyStore::File)?;
    let status = client.join(&place.invite("iris", "", &["--auditor"])?, Some("bench")).await?;
    if status.verified_to.unwrap_or(0) < events as u64 {
        return Err("not all events came".into());
    }
    drop(client);
    place.stop();
    let (mut found, mut typical, mut opened, mut anywhere) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let bare = Bare::open(profile.dir().as_path())?;
        // Nothing of the file is in the program's memory yet, as when the window comes up.
        let client = Client::open(profile.clone(), KeyStore::File)?;
        let from = Instant::now();
        let page = client.event_slice(slice("", 0)).await?;
        client.event_map(String::new(), Vec::new()).await?;
        let first = ms(from);
        if page.items.len() < FIRST as usize {
            return Err("the first page is not full".into());
        }
        opened.push(Run { measured: first, reference: bare.page(0)? });

        let (mut took, mut reference) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            for query in QUERIES {
                // A word more that is nowhere and must not be: so that no answer is one that was kept.
                let text = format!("{query} -nowhere{round}");
                let from = Instant::now();
                client.event_slice(slice(&text, 0)).await?;
                took.push(ms(from));
                reference.push(bare.page(0)?);
            }
        }
        let (p50, p99) = (stats::median(&took), stats::percentile(&took, 0.99));
        eprintln!("  {} searches: p50 {p50:.1} ms, p99 {p99:.1} ms; first page {first:.1} ms", took.len());
        typical.push(p50);
        found.push(Run { measured: p99, reference: stats::percentile(&reference, 0.99) });

        let (mut took, mut reference) = (Vec::new(), Vec::new());
        for step in 0..200_u64 {
            let offset = step * 7_919 * (page.total / 100_000).max(1) % page.total;
            let from = Instant::now();
            client.event_slice(slice("", offset)).await?;
            took.push(ms(from));
            reference.push(bare.page(offset)?);
        }
        anywhere.push(Run {
            measured: stats::percentile(&took, 0.99),
            reference: stats::percentile(&reference, 0.99),
        });
    }
    let name = "one indexed SELECT of 100 rows from the same file";
    let note = format!("{} queries; the median of all is {:.1} ms", QUERIES.len(), stats::median(&typical));
    Ok(vec![
        Measurement::of("search", "ms", name, Bound::Under(30.0), &found, note),
        Measurement::of(
            "audit-open",
            "ms",
            name,
            Bound::Under(50.0),
            &opened,
            "the first page and where everything is, from a copy that was just opened",
        ),
        Measurement::of("audit-any", "ms", name, Bound::None, &anywhere, "p99 of a page at any place"),
    ])
}

fn slice(text: &str, offset: u64) -> EventSlice {
    EventSlice { text: text.to_owned(), offset, limit: FIRST }
}

fn ms(from: Instant) -> f64 {
    from.elapsed().as_secs_f64() * 1_000.0
}

/// The same file without the client.
struct Bare {
    db: Connection,
    size: u64,
}

impl Bare {
    fn open(profile: &Path) -> Outcome<Self> {
        let keys: serde_json::Value = serde_json::from_slice(&std::fs::read(profile.join("keys.json"))?)?;
        let key = keys["cache"].as_str().ok_or("the cache has no key")?;
        let db = Connection::open(profile.join("cache.db"))?;
        db.execute_batch(&format!("PRAGMA key = \"x'{key}'\"; PRAGMA cache_size = -32768;"))?;
        let size: i64 = db.query_row("SELECT max(seq) FROM bodies", [], |row| row.get(0))?;
        Ok(Self { db, size: size.unsigned_abs() })
    }

    /// Milliseconds.
    fn page(&self, offset: u64) -> Outcome<f64> {
        let from = Instant::now();
        let mut query = self
            .db
            .prepare_cached("SELECT seq, json FROM bodies WHERE seq <= ?1 ORDER BY seq DESC LIMIT 100")?;
        let below = i64::try_from(self.size.saturating_sub(offset))?;
        let rows = query.query_map([below], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        let read = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        std::hint::black_box(read);
        Ok(ms(from))
    }
}
