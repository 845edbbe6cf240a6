//! Reading a log again from its first event: whether each event is what its leaf says, was signed by whom it names, by
//! somebody who was entitled by the catalogue and the groups in force at its position, and follows from what was before.
//! The same check runs on the server's store, on a device's cache and on an exported bundle. Pure; uses every core.
//!
//! What is cheap and depends on what was before (`world`) is done one by one; hashing, reading and signatures, which are
//! nearly all of the work, are done by every core at once.

mod drift;
mod grant;
mod json;
mod people;
mod read;
mod request;
mod roots;
pub mod rules;
mod stands;
mod world;

pub use stands::{enrols, follows, stands_for};

use crate::leaf::Hash;
use crate::tree::Tree;
use ed25519_dalek::VerifyingKey;
use gatepass_core::event::Fact;
use gatepass_core::id::{DeviceId, GrantId};
use gatepass_core::text::SaltedText;
use gatepass_core::wire::Head;
use read::{Read, What};
use roots::Roots;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use world::{Standing, World};

/// So many positions are worth another thread.
const WORTH: usize = 64;
/// So many signatures are taken at once by a thread.
const SOME: usize = 32;

/// One position, as far as whoever checks may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// From 1.
    pub seq: u64,
    pub leaf: Hash,
    /// The leaf's content: canonical JSON. `None` when it may not be read here.
    pub content: Option<String>,
    /// The texts beside it that are there. A text that was erased is no fault; one under a digest that the event does
    /// not name is ignored. The one text that a rule is about is a catalogue's document.
    pub texts: Vec<SaltedText>,
}

/// What is there of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every position from the first on. Contents may be missing only of what not everybody reads: requests with all that
    /// belongs to them, drift, accesses that were taken away. What everybody reads (people, devices, catalogues) has to
    /// be there: what depends on one of them that is missing is a finding.
    ///
    /// After the first position without content, a request whose beginning is not there is taken for one that may not be
    /// read: its other events are checked for who signed them, and not for what they follow from, and neither is what
    /// they would allow. A request that began here is held to every rule, and so is all of a log without such positions.
    Whole,
    /// Some positions, in order; the caller has checked that each is in the tree. They have to explain themselves: of what
    /// there is an event of, all that came before has to be there, its people, their devices and the catalogues too;
    /// otherwise it is a finding (`context`, `device`, `person`, `revoke-all`). Heads that were signed are not compared,
    /// and revisions of drift are not counted. That nothing is left out that would make a difference, such as somebody's
    /// leaving a group, only a whole log shows.
    Parts,
}

/// The first thing about a log that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position {seq}: {message}")]
pub struct Finding {
    pub seq: u64,
    /// Names the rule of docs/log-format.md that does not hold: lower-case words joined by hyphens, stable. One of
    /// [`rules::RULES`].
    pub rule: &'static str,
    /// A sentence for people, without the position.
    pub message: String,
}

/// What was checked, when all of it holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Positions, and those of them whose content was there.
    pub positions: u64,
    pub events: u64,
    pub signatures: u64,
    pub decisions: u64,
    /// Accesses that were given, and those of them that ended with a removal that was read back.
    pub grants: u64,
    pub ended: u64,
    /// Positions of requests whose rule could not be held against a catalogue, because the catalogue is not there.
    pub without_catalogue: Vec<u64>,
    /// Accesses whose end was past at the time of the newest event, and that were not read back as removed by then.
    pub overdue: Vec<GrantId>,
    /// The head over every position; only of [`Extent::Whole`].
    pub head: Option<Head>,
}

/// A check under way.
pub struct Replay {
    tree: Tree,
    roots: Roots,
    last: u64,
    keys: HashMap<DeviceId, VerifyingKey>,
    world: World,
    report: Report,
}

impl Replay {
    pub fn new(extent: Extent) -> Self {
        Self {
            tree: Tree::default(),
            roots: Roots::default(),
            last: 0,
            keys: HashMap::new(),
            world: World::new(extent),
            report: Report::default(),
        }
    }

    /// Takes the next positions, in order. Thousands at once keep every core at work. After a finding nothing more may
    /// be given; [`Self::head`] is the one before this batch.
    pub fn take(&mut self, batch: Vec<Item>) -> Result<(), Finding> {
        let before = self.tree.clone();
        self.all(&batch).inspect_err(|_| self.tree = before)
    }

    fn all(&mut self, batch: &[Item]) -> Result<(), Finding> {
        let (placed, misplaced) = self.places(batch);
        let batch = &batch[..placed];
        let (reads, unreadable) = contents(batch);
        let batch = &batch[..reads.len()];
        if self.world.extent == Extent::Whole {
            for item in batch {
                self.roots.append(&mut self.tree, item.leaf);
            }
        }
        for read in reads.iter().flatten() {
            if let Fact::DeviceEnrolled { device, signing_key, .. } = &read.event.fact
                && let Some(key) = read::key(signing_key)
            {
                self.keys.entry(*device).or_insert(key);
            }
        }
        let found = self.hold(batch, &reads);
        // What is wrong first is what is told, whichever way it was found.
        match found.or(unreadable).or(misplaced) {
            None => Ok(()),
            Some(finding) => Err(finding),
        }
    }

    /// How many are where they belong, and what is wrong with the next.
    fn places(&mut self, batch: &[Item]) -> (usize, Option<Finding>) {
        for (n, item) in batch.iter().enumerate() {
            let expected = self.last + 1;
            let finding = |seq, rule, message: &str| Some(Finding { seq, rule, message: message.to_owned() });
            match self.world.extent {
                Extent::Whole if item.seq != expected => {
                    return (n, finding(expected, "dense", "this position is missing"));
                }
                Extent::Parts if item.seq < expected => {
                    return (n, finding(item.seq, "order", "this position comes twice or too late"));
                }
                _ => self.last = item.seq,
            }
        }
        (batch.len(), None)
    }

    /// Holds what was read against what was before, while the other cores check signatures.
    fn hold(&mut self, batch: &[Item], reads: &[Option<Read<'_>>]) -> Option<Finding> {
        let signatures = Signatures {
            keys: &self.keys,
            roots: &self.roots,
            extent: self.world.extent,
            next: AtomicUsize::new(0),
        };
        let (world, report) = (&mut self.world, &mut self.report);
        let mut in_order = || {
            for (item, read) in batch.iter().zip(reads) {
                report.positions += 1;
                let Some(read) = read else {
                    world.unread = true;
                    continue;
                };
                report.events += 1;
                report.signatures += u64::from(read.said.is_some());
                if let Err(fault) = world.take(item.seq, read, &item.texts, report) {
                    return Some(Finding { seq: item.seq, rule: fault.rule, message: fault.message });
                }
            }
            None
        };
        let mut found = Vec::new();
        std::thread::scope(|scope| {
            let others = (1..threads(batch.len())).map(|_| scope.spawn(|| signatures.check(batch, reads)));
            let others: Vec<_> = others.collect();
            found.push(in_order());
            found.push(signatures.check(batch, reads));
            for other in others {
                found.push(other.join().unwrap_or_else(|_| Some(failed(batch))));
            }
        });
        // Of two about one event, that of its signature: what it says is nobody's word then.
        found.into_iter().rev().flatten().min_by_key(|finding| finding.seq)
    }

    /// The root of what was taken so far; for comparing with a head at its size.
    pub fn head(&self) -> Head {
        self.tree.head()
    }

    /// What was checked so far.
    pub fn report(&self) -> Report {
        let mut report = self.report.clone();
        let open = self.world.requests.values().filter_map(|standing| match standing {
            Standing::Open { request, .. } => request.grant.as_ref(),
            _ => None,
        });
        let past = open.filter(|grant| grant.ends_at.unwrap_or(grant.latest_end) < self.world.newest);
        report.overdue = past.map(|grant| grant.id).collect();
        report.overdue.sort_unstable();
        if self.world.extent == Extent::Whole {
            report.head = Some(self.tree.head());
        }
        report
    }

    pub fn finish(self) -> Result<Report, Finding> {
        Ok(self.report())
    }
}

/// What there is to check of signatures, taken by whichever thread is free.
struct Signatures<'a> {
    keys: &'a HashMap<DeviceId, VerifyingKey>,
    roots: &'a Roots,
    extent: Extent,
    next: AtomicUsize,
}

impl Signatures<'_> {
    fn check(&self, batch: &[Item], reads: &[Option<Read<'_>>]) -> Option<Finding> {
        loop {
            let from = self.next.fetch_add(SOME, Ordering::Relaxed);
            let some = batch.iter().zip(reads).skip(from).take(SOME);
            if from >= batch.len() {
                return None;
            }
            for (item, read) in some {
                let wrong = read.as_ref().and_then(|read| self.wrong(item.seq, read));
                if let Some((rule, message)) = wrong {
                    return Some(Finding { seq: item.seq, rule, message });
                }
            }
        }
    }

    fn wrong(&self, seq: u64, read: &Read<'_>) -> Option<(&'static str, String)> {
        let said = read.said.as_ref()?;
        let enrolled = match (&said.what, &read.event.fact) {
            (What::Enroll(body), _) => read::key(&body.signing_key),
            // Of a device that is not known, nothing holds; that is told in its order.
            (What::Command(_), _) => Some(*self.keys.get(&said.device)?),
        };
        if !enrolled.is_some_and(|key| said.holds(&key)) {
            return Some(("signature", format!("the signature of the device {} does not hold", said.device)));
        }
        let head = said.head.as_ref().filter(|_| self.extent == Extent::Whole)?;
        let had = head.size < seq && self.roots.had(head);
        (!had).then(|| {
            let what = "had verified a head that this log did not have then";
            ("head", format!("the device {} {what}: {} events, root {}", said.device, head.size, head.root))
        })
    }
}

/// Reads the contents up to the first that can't be, on every core.
fn contents(batch: &[Item]) -> (Vec<Option<Read<'_>>>, Option<Finding>) {
    let each = batch.len().div_ceil(threads(batch.len())).max(1);
    let mut reads = Vec::with_capacity(batch.len());
    let mut parts = std::thread::scope(|scope| {
        let mut chunks = batch.chunks(each);
        let first = chunks.next();
        let others: Vec<_> = chunks.map(|chunk| (chunk, scope.spawn(|| chunk_of(chunk)))).collect();
        let mut parts: Vec<_> = first.map(chunk_of).into_iter().collect();
        for (chunk, other) in others {
            parts.push(other.join().unwrap_or_else(|_| (Vec::new(), Some(failed(chunk)))));
        }
        parts.into_iter()
    });
    for (mut read, finding) in &mut parts {
        reads.append(&mut read);
        if finding.is_some() {
            return (reads, finding);
        }
    }
    (reads, None)
}

fn chunk_of(chunk: &[Item]) -> (Vec<Option<Read<'_>>>, Option<Finding>) {
    let mut reads = Vec::with_capacity(chunk.len());
    for item in chunk {
        match item.content.as_deref().map(|content| read::content(content, item.leaf)).transpose() {
            Ok(read) => reads.push(read),
            Err((rule, message)) => return (reads, Some(Finding { seq: item.seq, rule, message })),
        }
    }
    (reads, None)
}

fn threads(items: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.min(items.div_ceil(WORTH)).max(1)
}

/// A thread that did not come to its end has checked nothing.
fn failed(batch: &[Item]) -> Finding {
    let seq = batch.first().map_or(0, |item| item.seq);
    Finding { seq, rule: "event", message: "checking it failed".to_owned() }
}
