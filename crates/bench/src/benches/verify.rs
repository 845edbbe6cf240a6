//! Full verification of a long log, beside the sum of its parts: hashing the same bytes and checking the same signatures
//! in a bare loop, on as many cores.

use crate::Outcome;
use crate::report::{Bound, Measurement, Run};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::DeviceId;
use gatepass_log::replay::{Extent, Item, Replay};
use gatepass_log::testing::History;
use gatepass_log::{Hash, Tree, signed_bytes};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Positions in one step, as a cache and a store give them.
const STEP: usize = 8_192;
/// So many people ask, and as many approve.
const EACH: u128 = 50;
/// What comes after a long log, and is checked alone.
const NEW: usize = 100;

/// One signature: what it is over, and under which key.
struct Signed {
    key: VerifyingKey,
    message: Vec<u8>,
    signature: Signature,
}

pub async fn measure(quick: bool) -> Outcome<Vec<Measurement>> {
    let (runs, events) = if quick { (1, 20_000) } else { (3, 1_000_000) };
    let (mut whole, mut new) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for _ in 0..runs {
        let run = tokio::task::spawn_blocking(move || run(events)).await??;
        eprintln!(
            "  {} events, {} signatures: {:.2} s verified, {:.2} s bare; {NEW} more: {:.2} ms",
            run.events,
            run.signatures,
            run.took.as_secs_f64(),
            run.bare.as_secs_f64(),
            run.new.as_secs_f64() * 1e3
        );
        let of = |took: Duration| run.events as f64 / took.as_secs_f64();
        whole.push(Run { measured: of(run.took), reference: of(run.bare) });
        new.push(Run { measured: run.new.as_secs_f64() * 1e3, reference: 0.0 });
        bytes = run.bytes / run.events as u64;
    }
    let bare = "the same hashes and the same signatures in a bare loop on as many cores";
    Ok(vec![
        Measurement::of(
            "verify",
            "events/s",
            bare,
            Bound::ShareOfReference(0.8),
            &whole,
            format!("{bytes} bytes an event"),
        ),
        Measurement::of("verify-new", "ms", "none", Bound::Under(20.0), &new, "100 events after all others"),
    ])
}

struct Took {
    events: usize,
    signatures: usize,
    bytes: u64,
    took: Duration,
    bare: Duration,
    new: Duration,
}

/// Step by step, so that what is made for it is never there whole.
fn run(events: usize) -> Outcome<Took> {
    let mut history = begin();
    let (mut replay, mut tree, mut keys) = (Replay::new(Extent::Whole), Tree::default(), HashMap::new());
    let mut all = Took {
        events: 0,
        signatures: 0,
        bytes: 0,
        took: Duration::ZERO,
        bare: Duration::ZERO,
        new: Duration::ZERO,
    };
    let mut lives = 0;
    while all.events < events {
        while history.events.len() < STEP {
            life(&mut history, lives).map_err(|code| format!("a life was refused: {code:?}"))?;
            lives += 1;
        }
        let signed = signatures(&history.events, &mut keys)?;
        let items = history.drain();
        all.events += items.len();
        all.signatures += signed.len();
        all.bytes += items.iter().filter_map(|i| i.content.as_ref()).map(|c| c.len() as u64).sum::<u64>();
        // In turns, so that neither has the warmer machine.
        if lives % 2 == 0 {
            all.bare += bare(&items, &signed, &mut tree)?;
            all.took += verified(&mut replay, items)?;
        } else {
            let copy = items.clone();
            all.took += verified(&mut replay, items)?;
            all.bare += bare(&copy, &signed, &mut tree)?;
        }
    }
    if tree.head() != replay.head() {
        return Err("the replay has another root".into());
    }
    while history.events.len() < NEW {
        life(&mut history, lives).map_err(|code| format!("a life was refused: {code:?}"))?;
        lives += 1;
    }
    let mut items = history.drain();
    items.truncate(NEW);
    all.new = verified(&mut replay, items)?;
    replay.finish()?;
    Ok(all)
}

fn verified(replay: &mut Replay, items: Vec<Item>) -> Outcome<Duration> {
    let from = Instant::now();
    replay.take(items)?;
    Ok(from.elapsed())
}

fn bare(items: &[Item], signed: &[Signed], tree: &mut Tree) -> Outcome<Duration> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (leaves, signatures) = (items.len().div_ceil(cores), signed.len().div_ceil(cores).max(1));
    let from = Instant::now();
    let hold = std::thread::scope(|scope| {
        let hashing = |part: &[Item]| {
            part.iter().all(|i| i.content.as_ref().is_some_and(|c| Hash::leaf(c.as_bytes()) == i.leaf))
        };
        let checking =
            |part: &[Signed]| part.iter().all(|s| s.key.verify_strict(&s.message, &s.signature).is_ok());
        let parts = items.chunks(leaves).map(|part| scope.spawn(move || hashing(part)));
        let parts: Vec<_> = parts.collect();
        let mut hold = parts.into_iter().all(|part| part.join().unwrap_or(false));
        let parts = signed.chunks(signatures).map(|part| scope.spawn(move || checking(part)));
        let parts: Vec<_> = parts.collect();
        for item in items {
            tree.append(item.leaf);
        }
        hold &= parts.into_iter().all(|part| part.join().unwrap_or(false));
        hold
    });
    if hold { Ok(from.elapsed()) } else { Err("the bare loop found something wrong".into()) }
}

fn signatures(events: &[Event], keys: &mut HashMap<DeviceId, VerifyingKey>) -> Outcome<Vec<Signed>> {
    let mut found = Vec::new();
    for event in events {
        if let Fact::DeviceEnrolled { device, signing_key, .. } = &event.fact {
            let key: [u8; 32] = BASE64.decode(signing_key)?.try_into().map_err(|_| "no key")?;
            keys.insert(*device, VerifyingKey::from_bytes(&key)?);
        }
        let Some(command) = &event.command else { continue };
        let text = |name: &str| command.body[name].as_str().unwrap_or_default();
        let device: DeviceId = text("device").parse()?;
        let signature: [u8; 64] =
            BASE64.decode(&command.signature)?.try_into().map_err(|_| "no signature")?;
        found.push(Signed {
            key: *keys.get(&device).ok_or("no device")?,
            message: signed_bytes(text("kind"), &command.body)?,
            signature: Signature::from_bytes(&signature),
        });
    }
    Ok(found)
}

fn begin() -> History {
    let mut history = History::with_heads(true);
    history.publish(gatepass_log::testing::catalogue());
    for n in 0..EACH {
        history.record(n, &["backend"], false);
        history.record(EACH + n, if n % 2 == 0 { &["dba"] } else { &["oncall"] }, false);
        history.enroll(n);
        history.enroll(EACH + n);
    }
    history
}

/// Asked, approved by two, set up, given back and removed.
fn life(history: &mut History, number: usize) -> Result<(), gatepass_core::Code> {
    let number = number as u128;
    let (asker, dba) = (number % EACH, EACH + number % (EACH / 2) * 2);
    let asked = history.ask(asker, "orders-db", "write", 1800)?;
    history.wait(20);
    history.approve(dba, asked)?;
    history.wait(20);
    history.approve(dba + 1, asked)?;
    history.set_up(asked)?;
    history.wait(600);
    history.give_back(asker, asked)?;
    history.removed(asked)
}
