//! The evidence of one access: a page, and the bundle that it speaks of beside it.

use super::file::Target;
use super::review::local;
use super::{Export, ExportPlace, Exported, unwritable};
use crate::cache::Access;
use crate::ui::Failure;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, PersonId};
use gatepass_core::report::Record;
use gatepass_core::report::evidence::{Decided, Evidence, Key, Pack, RuleText, Step, Words, page};
use gatepass_core::text::Digest;
use gatepass_core::wire::PersonRef;
use gatepass_log::bundle::Bundle;
use gatepass_log::fingerprint;
use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

impl Export<'_> {
    pub(super) fn evidence(&mut self, place: ExportPlace) -> Result<Exported, Failure> {
        let sealed = self.sealed()?;
        let access = self.reading.access(self.ask.grant.as_deref().unwrap_or_default())?;
        let number = access.request.number.to_string();
        let (bytes, bundle) = self.pack(&sealed)?;
        let held = bundle.verify().map(|_| ()).map_err(|e| e.to_string());
        let finding = held.clone().err();
        let events = bundle.events.len() as u64;

        let (page_at, pack_at) = places(place, &number);
        let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let mut paths = Vec::new();
        // The pack first: a page that speaks of a file that is not there helps nobody.
        let pack_name = match pack_at {
            Some(place) => {
                let mut target = Target::open(place, &format!("{number}.evidence.json"))?;
                target.write_all(&bytes).map_err(unwritable)?;
                self.progress.go_on()?;
                let path = target.finish()?;
                paths.extend(path.clone());
                path.as_deref().and_then(name)
            }
            None => None,
        };
        let pack = Pack {
            name: pack_name.unwrap_or_else(|| format!("{number}.evidence.json")),
            sha256: Digest::of(&bytes),
            events,
            signatures: 0,
            held,
            head: sealed.head.clone(),
            origin: sealed.log.origin().to_owned(),
            vkey: sealed.log.vkey().to_owned(),
            hashes: bundle.events.iter().map(|e| e.proof.len()).max().unwrap_or(0),
        };
        let written = self.put_together(&access, &bundle, pack).and_then(|evidence| {
            let mut target = Target::open(page_at, &format!("{number}.evidence.html"))?;
            target.write_all(page(&evidence, &local).as_bytes()).map_err(unwritable)?;
            target.finish()
        });
        match written {
            Ok(path) => paths.splice(0..0, path).for_each(drop),
            Err(failure) => {
                // Half of it is nothing; that this fails too is not the news.
                paths.iter().for_each(|path| drop(std::fs::remove_file(path)));
                return Err(failure);
            }
        }
        Ok(Exported { paths, events, finding, ..Exported::default() })
    }

    fn put_together(&mut self, access: &Access, bundle: &Bundle, pack: Pack) -> Result<Evidence, Failure> {
        let request = &access.request;
        let seqs: Vec<u64> = access.seqs.iter().copied().collect();
        let records = self.reading.records(&seqs)?;
        let keys = self.keys(bundle)?;
        let key = |by: &By| match by {
            By::Person { device, .. } => keys.get(device).cloned().unwrap_or_default(),
            By::Gatepass => Key::default(),
        };
        let grant = request.grant.as_ref();
        let groups = request.approver_groups();
        let mut decisions = Vec::new();
        for record in &records {
            decisions.extend(self.decided(record, &groups, &key)?);
        }
        let asked = records.iter().find(|r| matches!(r.event.fact, Fact::RequestCreated { .. }));
        let words = |field: &str, digest: &Option<Digest>| match digest {
            None => Words::None,
            Some(_) => match asked.and_then(|r| r.view.texts.get(field)) {
                Some(text) => Words::Text(text.clone()),
                None => Words::Gone,
            },
        };
        let resource = self.reading.lens(|lens| {
            lens.catalogue.resource(&request.resource).map(|r| (r.name.clone(), r.environment.clone()))
        })?;
        let (resource_name, environment) =
            resource.unwrap_or_else(|| (request.resource.clone(), String::new()));
        Ok(Evidence {
            number: request.number.to_string(),
            holder: self.person(request.by)?,
            device: asked.map(|r| key(&r.event.by)).unwrap_or_default(),
            resource_name,
            environment,
            role: request.role.clone(),
            target: request.rule.target.clone(),
            kind: request.rule.kind.clone(),
            asked_at: request.created_at,
            asked_s: request.duration_s,
            state: request.state,
            reason: words("reason", &request.reason),
            ticket: words("ticket", &request.ticket),
            decisions,
            rule: RuleText {
                catalogue: request.rule.catalogue.clone(),
                approve: request.rule.approve.clone(),
                max_s: request.rule.max_s,
            },
            starts_at: grant.and_then(|g| g.starts_at),
            ends_at: grant.and_then(|g| g.ends_at),
            end: grant.and_then(|g| g.end.as_ref()).map(|e| e.cause),
            ended_at: grant.and_then(|g| g.ended_at),
            removal: grant.and_then(|g| g.removal.clone()),
            pack: Pack {
                signatures: records.iter().filter(|r| r.event.command.is_some()).count() as u64,
                ..pack
            },
            steps: records.iter().map(step).collect(),
            made_at: self.now,
            made_by: self.reading.me().person.name.clone(),
        })
    }

    fn person(&self, id: PersonId) -> Result<PersonRef, Failure> {
        self.reading.lens(|lens| lens.person(id))
    }

    fn decided(
        &self,
        record: &Record,
        groups: &[String],
        key: &impl Fn(&By) -> Key,
    ) -> Result<Option<Decided>, Failure> {
        let approved = match record.event.fact {
            Fact::RequestApproved { .. } => true,
            Fact::RequestDenied { .. } => false,
            _ => return Ok(None),
        };
        let Some(by) = record.event.by.person() else { return Ok(None) };
        let theirs = self.reading.lens(|lens| {
            let person = lens.directory.get(by)?;
            Some(groups.iter().filter(|g| person.groups.contains(*g)).cloned().collect())
        })?;
        Ok(Some(Decided {
            by: self.person(by)?,
            approved,
            groups: theirs.unwrap_or_default(),
            device: key(&record.event.by),
            at: record.view.at,
            signature: record.event.command.as_ref().map(|c| c.signature.clone()).unwrap_or_default(),
        }))
    }

    /// The devices that the bundle tells of.
    fn keys(&self, bundle: &Bundle) -> Result<HashMap<DeviceId, Key>, Failure> {
        let mut keys = HashMap::new();
        for entry in &bundle.events {
            let Some(Event { fact: Fact::DeviceEnrolled { device, signing_key, name, .. }, .. }) =
                self.reading.event(entry.seq)?
            else {
                continue;
            };
            let name = self.reading.lens(|lens| (lens.text)(&name))?;
            keys.insert(device, Key { name, fingerprint: fingerprint(&signing_key) });
        }
        Ok(keys)
    }
}

fn step(record: &Record) -> Step {
    let mut what = record.view.sentence.clone();
    if let Some(note) = record.view.texts.get("note") {
        what.push_str(&format!(": “{note}”"));
    }
    Step { at: record.view.at, what, seq: record.view.seq, leaf: record.leaf.clone() }
}

/// Where the page and the pack go; none when the page goes to the output.
fn places(place: ExportPlace, number: &str) -> (ExportPlace, Option<ExportPlace>) {
    let beside = |path: &Path| -> PathBuf {
        let json = path.with_extension("json");
        // Never the page itself.
        if json == path { path.with_file_name(format!("{number}.evidence.pack.json")) } else { json }
    };
    match place {
        ExportPlace::Out(out) => (ExportPlace::Out(out), None),
        ExportPlace::Folder(folder) => {
            (ExportPlace::Folder(folder.clone()), Some(ExportPlace::Folder(folder)))
        }
        ExportPlace::File { path, over } => {
            let pack = ExportPlace::File { path: beside(&path), over };
            (ExportPlace::File { path, over }, Some(pack))
        }
    }
}
