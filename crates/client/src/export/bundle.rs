//! A part of the log that proves itself: `gatepass_log::bundle::Bundle`, written event by event.

use super::{Export, Exported, STEP, unwritable};
use crate::cache::Chosen;
use crate::ui::Failure;
use gatepass_core::Code;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_log::LogVerifier;
use gatepass_log::bundle::Bundle;
use serde::Serialize;
use std::collections::HashSet;
use std::io::Write;

/// What every proof of a bundle leads to.
pub(super) struct Sealed {
    pub log: LogVerifier,
    pub note: String,
    pub head: Head,
}

impl Export<'_> {
    /// The newest signed head that this copy of the log agrees with.
    pub(super) fn sealed(&self) -> Result<Sealed, Failure> {
        let none = || {
            Failure::new(
                Code::NotVerified,
                "There is no signed head of the log on this device yet, so nothing can be proven; sync with the server first.",
            )
        };
        let log = self.log.clone().ok_or_else(none)?;
        let signed = self.reading.signed()?.ok_or_else(none)?;
        let head = log.open(&signed.note).map_err(|_| none())?;
        Ok(Sealed { log, note: signed.note, head })
    }

    pub(super) fn bundle(&mut self, out: &mut dyn Write) -> Result<Exported, Failure> {
        let sealed = self.sealed()?;
        if self.ask.grant.is_some() {
            let (bytes, bundle) = self.pack(&sealed)?;
            out.write_all(&bytes).map_err(unwritable)?;
            let finding = bundle.verify().err().map(|e| e.to_string());
            return Ok(Exported { events: bundle.events.len() as u64, finding, ..Exported::default() });
        }
        let all = self.cache.chosen(&self.reading, "")?;
        let events = self.entries(&sealed, &all, out)?;
        Ok(Exported { events, ..Exported::default() })
    }

    /// The bundle of the one access, and what it says when read back.
    pub(super) fn pack(&mut self, sealed: &Sealed) -> Result<(Vec<u8>, Bundle), Failure> {
        let grant = self.ask.grant.as_deref().unwrap_or_default();
        let access = self.reading.access(grant)?;
        let seqs: Vec<u64> = access.seqs.union(&access.context).copied().collect();
        if let Some(late) = access.seqs.last().filter(|seq| **seq > sealed.head.size) {
            let message = format!(
                "Event {late} of this access came after the last signed head on this device, at {}; sync with the server first.",
                sealed.head.size
            );
            return Err(Failure::new(Code::NotVerified, message));
        }
        let mut bytes = Vec::new();
        self.entries(sealed, &Chosen::these(seqs), &mut bytes)?;
        let text = std::str::from_utf8(&bytes).map_err(|e| Failure::local("The bundle can’t be read", e))?;
        let bundle = Bundle::parse(text).map_err(|e| Failure::local("The bundle can’t be read", e))?;
        Ok((bytes, bundle))
    }

    /// Answers how many events it holds: those that the signed head is over.
    fn entries(&self, sealed: &Sealed, chosen: &Chosen, out: &mut dyn Write) -> Result<u64, Failure> {
        // Once for the events, once for their texts.
        self.progress.begin(2 * chosen.total());
        let (vkey, note) = (json(&sealed.log.vkey())?, json(&sealed.note)?);
        write!(out, "{{\"vkey\":{vkey},\n\"checkpoint\":{note},\n\"events\":[").map_err(unwritable)?;
        let mut events = 0;
        self.each(chosen, |seq| {
            if seq > sealed.head.size {
                return Ok(());
            }
            if let Some(entry) = self.reading.entry(seq, sealed.head.size)? {
                let comma = if events == 0 { "" } else { "," };
                write!(out, "{comma}\n{}", json(&entry)?).map_err(unwritable)?;
                events += 1;
            }
            Ok(())
        })?;
        out.write_all(b"],\n\"texts\":[").map_err(unwritable)?;
        let mut written: HashSet<Digest> = HashSet::new();
        self.each(chosen, |seq| {
            let event = self.reading.event(seq)?.filter(|_| seq <= sealed.head.size);
            for text in event.map_or(Ok(Vec::new()), |event| self.reading.texts(&event))? {
                let comma = if written.is_empty() { "" } else { "," };
                if text.digest().is_some_and(|digest| written.insert(digest)) {
                    write!(out, "{comma}\n{}", json(&text)?).map_err(unwritable)?;
                }
            }
            Ok(())
        })?;
        out.write_all(b"]}\n").map_err(unwritable)?;
        Ok(events)
    }

    fn each(&self, chosen: &Chosen, mut act: impl FnMut(u64) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut from = 0;
        loop {
            let seqs = chosen.page(from, STEP);
            if seqs.is_empty() {
                return Ok(());
            }
            from += seqs.len() as u64;
            for seq in &seqs {
                act(*seq)?;
            }
            self.progress.step(seqs.len() as u64)?;
        }
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|e| Failure::local("The bundle can’t be written", e))
}
