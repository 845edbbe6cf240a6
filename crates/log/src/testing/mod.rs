#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! For tests and measurements: logs as a server would write them. The core decides, devices sign; what is refused leaves
//! nothing behind.

mod drift;

use crate::replay::Item;
use crate::{Hash, Key, Tree, canonical};
use chrono::{DateTime, TimeDelta};
use gatepass_core::catalogue::{Catalogue, Reason, Resource, Role, Slot};
use gatepass_core::command::{Body, Command, Enroll, Report};
use gatepass_core::directory::{Directory, Person};
use gatepass_core::drift::Drift;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{CommandId, DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::{
    Context, Effect, Held, Request, Words, apply, decide, effects, report, revoke_all,
};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{SignedCommand, Verdict};
use gatepass_core::{Code, Time};
use std::collections::HashMap;
use uuid::Uuid;

struct Device {
    id: DeviceId,
    key: Key,
}

/// A log under way, and all that decisions depend on.
pub struct History {
    pub catalogue: Catalogue,
    pub directory: Directory,
    pub now: Time,
    pub events: Vec<Event>,
    /// The texts beside each event.
    pub texts: Vec<Vec<SaltedText>>,
    pub requests: Vec<Request>,
    pub drift: Vec<Drift>,
    /// Whether devices sign which head they verified.
    pub heads: bool,
    /// The device that a person signs with; gone when it was disabled.
    devices: HashMap<PersonId, Device>,
    grants: HashMap<GrantId, usize>,
    tree: Tree,
    drained: u64,
    ids: u128,
}

pub fn person(n: u128) -> PersonId {
    PersonId(Uuid::from_u128(n))
}

fn words() -> Words {
    Words { reason: Some("because".into()), ticket: Some("INC-1".into()), note: None }
}

impl Default for History {
    fn default() -> Self {
        Self {
            catalogue: Catalogue::default(),
            directory: Directory::default(),
            now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            events: Vec::new(),
            texts: Vec::new(),
            requests: Vec::new(),
            drift: Vec::new(),
            heads: false,
            devices: HashMap::new(),
            grants: HashMap::new(),
            tree: Tree::default(),
            drained: 0,
            ids: 1_000_000,
        }
    }
}

/// `read` for nobody to approve, `write` by one of each of two groups, `admin` by two of one.
pub fn catalogue() -> Catalogue {
    let role = |id: &str, approve: Vec<Slot>| Role {
        id: id.into(),
        name: id.into(),
        grants: vec![format!("orders_{id}")],
        ask: vec!["backend".into()],
        approve,
        default_s: 60,
        min_s: 10,
        max_s: 3600,
        lapse_s: 3000,
        reason: if id == "read" { Reason::Optional } else { Reason::Required },
        ticket: (id == "admin").then(|| "^INC-[0-9]+$".into()),
        session: Default::default(),
    };
    let need = |from: &str, count| Slot { from: vec![from.into()], count };
    let resource = |id: &str, kind: &str, roles| Resource {
        id: id.into(),
        name: id.into(),
        environment: "production".into(),
        target: format!("{id}-target"),
        kind: kind.into(),
        roles,
    };
    let roles = vec![
        role("read", vec![]),
        role("write", vec![need("dba", 1), need("oncall", 1)]),
        role("admin", vec![need("dba", 2)]),
    ];
    let hosts = vec![role("login", vec![need("oncall", 1)])];
    Catalogue { resources: vec![resource("orders-db", "postgres", roles), resource("hosts", "ssh", hosts)] }
}

impl History {
    /// The catalogue, and so many people with a device each: who asks is in `backend`, by their numbers, starting from 0.
    pub fn of(people: &[(&[&str], bool)]) -> Self {
        let mut history = Self::default();
        history.publish(catalogue());
        for (n, (groups, admin)) in (0..).zip(people) {
            history.record(n, groups, *admin);
            history.enroll(n);
        }
        history
    }

    /// One who asks, two of each group that approves, one of both, and an admin.
    pub fn cast() -> Self {
        Self::of(&[
            (&["backend"], false),
            (&["dba"], false),
            (&["dba", "backend"], false),
            (&["oncall"], false),
            (&["oncall", "dba"], false),
            (&[], true),
        ])
    }

    pub fn with_heads(heads: bool) -> Self {
        Self { heads, ..Self::default() }
    }

    pub fn items(&self) -> Vec<Item> {
        items(&self.events, &self.texts)
    }

    /// What came since the last time, with its positions; it is not kept here.
    pub fn drain(&mut self) -> Vec<Item> {
        let mut items = items(&std::mem::take(&mut self.events), &std::mem::take(&mut self.texts));
        items.iter_mut().for_each(|item| item.seq += self.drained);
        self.drained += items.len() as u64;
        items
    }

    fn fresh(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    pub fn text(&mut self, text: &str) -> SaltedText {
        SaltedText::new(self.fresh().into_bytes(), text)
    }

    pub fn wait(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    pub fn put(
        &mut self,
        by: By,
        request: Option<RequestId>,
        fact: Fact,
        command: Option<SignedCommand>,
        texts: Vec<SaltedText>,
    ) -> Event {
        let event = Event { id: EventId(self.fresh()), at: self.now, by, request, fact, command };
        if self.heads {
            self.tree.append(crate::leaf_hash(&event).unwrap());
        }
        self.events.push(event.clone());
        self.texts.push(texts);
        event
    }

    pub fn publish(&mut self, catalogue: Catalogue) {
        let document = self.text(&serde_json::to_string(&catalogue).unwrap());
        let fact = Fact::CataloguePublished { catalogue: catalogue.hash(), document: document.digest() };
        self.catalogue = catalogue;
        self.put(By::Gatepass, None, fact, None, vec![document]);
    }

    pub fn record(&mut self, n: u128, groups: &[&str], admin: bool) {
        let id = person(n);
        let groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        let details = Digest::of(self.fresh().as_bytes());
        let fact =
            Fact::PersonRecorded { person: id, groups: groups.clone(), auditor: false, admin, details };
        let known = Person {
            id,
            handle: n.to_string(),
            name: n.to_string(),
            groups: groups.into_iter().collect(),
            auditor: false,
            admin,
        };
        self.directory.set(id, Some(known));
        self.put(By::Gatepass, None, fact, None, Vec::new());
    }

    /// A new device, which they sign with from here on.
    pub fn enroll(&mut self, n: u128) {
        let (device, id, name) = (DeviceId(self.fresh()), CommandId(self.fresh()), Digest::of(b"laptop"));
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(device.0.as_bytes());
        let key = Key::from_bytes(&seed);
        let (signing_key, seal_key) = (key.public(), key.public());
        let body = Enroll {
            id,
            device,
            at: self.now,
            kind: "device.enroll".into(),
            invite: Digest::of(b"invite"),
            signing_key: signing_key.clone(),
            seal_key: seal_key.clone(),
            name: name.clone(),
        };
        let command = key.sign("device.enroll", &body).unwrap();
        let fact = Fact::DeviceEnrolled { person: person(n), device, signing_key, seal_key, name };
        self.put(By::Person { person: person(n), device }, None, fact, Some(command), Vec::new());
        self.devices.insert(person(n), Device { id: device, key });
    }

    pub fn device(&self, n: u128) -> Option<DeviceId> {
        self.devices.get(&person(n)).map(|d| d.id)
    }

    /// Signed by the device of `n`, with its id; `None` without a device that is not disabled.
    pub fn sign(&mut self, n: u128, command: Command) -> Option<(By, CommandId, SignedCommand)> {
        let id = CommandId(self.fresh());
        let device = self.devices.get(&person(n))?;
        let head = self.heads.then(|| self.tree.head());
        let kind = command.kind();
        let body = Body { id, device: device.id, at: self.now, head, command };
        Some((By::Person { person: person(n), device: device.id }, id, device.key.sign(kind, &body).unwrap()))
    }

    /// Any body, signed by the device of `n`.
    pub fn sign_body(&self, n: u128, kind: &str, body: &serde_json::Value) -> SignedCommand {
        self.devices[&person(n)].key.sign(kind, body).unwrap()
    }

    /// What `n` commands, about a request that there is or anew. Answers the request.
    pub fn command(&mut self, n: u128, about: Option<usize>, command: Command) -> Result<usize, Code> {
        let (by, id, signed) = self.sign(n, command.clone()).ok_or(Code::DeviceDisabled)?;
        let words = words();
        let fresh_grant = GrantId(self.fresh());
        let state = about.map(|i| &self.requests[i]);
        let of = match &command {
            Command::Extend { grant, .. } => Some(*grant),
            _ => state.and_then(|r| r.extends),
        };
        let parent = of.and_then(|grant| self.grants.get(&grant)).map(|i| &self.requests[*i]);
        let context = Context {
            catalogue: &self.catalogue,
            directory: &self.directory,
            now: self.now,
            words: &words,
            next_number: Number(self.requests.len() as u64 + 1),
            fresh_grant,
            parent,
        };
        let request = state.map_or_else(|| id.into(), |r| r.id);
        let facts = decide(state, &command, person(n), &context).map_err(|r| r.code)?;
        Ok(self.follow(about, request, facts, by, Some(signed)))
    }

    pub fn report(&mut self, about: usize, said: &Report) -> Result<(), Code> {
        let words = Words::default();
        let context = Context {
            catalogue: &self.catalogue,
            directory: &self.directory,
            now: self.now,
            words: &words,
            next_number: Number(0),
            fresh_grant: GrantId(Uuid::nil()),
            parent: None,
        };
        let facts = report(&self.requests[about], said, &context).map_err(|r| r.code)?;
        let request = self.requests[about].id;
        self.follow(Some(about), request, facts, By::Gatepass, None);
        Ok(())
    }

    fn follow(
        &mut self,
        mut about: Option<usize>,
        request: RequestId,
        facts: Vec<Fact>,
        mut by: By,
        mut command: Option<SignedCommand>,
    ) -> usize {
        for fact in facts {
            let event = self.put(by, Some(request), fact, command.take(), Vec::new());
            by = By::Gatepass;
            let index = about.unwrap_or(self.requests.len());
            let after = apply(about.map(|i| self.requests[i].clone()), &event).unwrap();
            if let Some(grant) = after.grant.as_ref().filter(|_| after.extends.is_none()) {
                self.grants.insert(grant.id, index);
            }
            let extends = after.extends;
            match about {
                Some(i) => self.requests[i] = after,
                None => self.requests.push(after),
            }
            about = Some(index);
            for effect in effects(&event, extends) {
                if let Effect::Extend { grant, by, duration_s } = effect {
                    let parent = self.grants[&grant];
                    self.report(parent, &Report::Extended { by, duration_s }).unwrap();
                }
            }
        }
        about.unwrap()
    }

    pub fn ask(&mut self, n: u128, resource: &str, role: &str, duration_s: u32) -> Result<usize, Code> {
        let certified = (resource == "hosts").then(|| format!("ssh-ed25519 {}", "A".repeat(68)));
        let command = Command::Create {
            resource: resource.into(),
            role: role.into(),
            duration_s,
            reason: Some(Digest::of(b"reason")),
            ticket: (role == "admin").then(|| Digest::of(b"ticket")),
            ssh_key: certified,
        };
        self.command(n, None, command)
    }

    pub fn decide(
        &mut self,
        n: u128,
        request: usize,
        verdict: Verdict,
        duration_s: Option<u32>,
    ) -> Result<usize, Code> {
        let of = &self.requests[request];
        let (id, revision, shown) = (of.id, of.revision, of.shown());
        let command = Command::Decide { request: id, revision, shown, verdict, duration_s, note: None };
        self.command(n, Some(request), command)
    }

    pub fn approve(&mut self, n: u128, request: usize) -> Result<usize, Code> {
        self.decide(n, request, Verdict::Approve, None)
    }

    pub fn grant(&self, request: usize) -> GrantId {
        self.requests[request].grant.as_ref().map_or(GrantId(Uuid::nil()), |g| g.id)
    }

    pub fn extend(&mut self, n: u128, request: usize, duration_s: u32) -> Result<usize, Code> {
        let grant = self.grant(request);
        self.command(n, None, Command::Extend { grant, duration_s, reason: Some(Digest::of(b"more")) })
    }

    pub fn give_back(&mut self, n: u128, request: usize) -> Result<usize, Code> {
        let grant = self.grant(request);
        self.command(n, Some(request), Command::Return { grant })
    }

    pub fn revoke(&mut self, n: u128, request: usize) -> Result<usize, Code> {
        let grant = self.grant(request);
        self.command(n, Some(request), Command::Revoke { grant, reason: Digest::of(b"why") })
    }

    /// Set up at once.
    pub fn set_up(&mut self, request: usize) -> Result<(), Code> {
        self.report(request, &Report::SetupStarted)?;
        self.report(request, &Report::SetUp { since: self.now })
    }

    /// Read back from the target.
    pub fn removed(&mut self, request: usize) -> Result<(), Code> {
        let (checked_at, sessions_ended, attempts) = (self.now, 1, 1);
        self.report(request, &Report::Removed { checked_at, sessions_ended, attempts })
    }

    /// Everything of a person ends; by the console without `n`.
    pub fn revoke_all(&mut self, n: Option<u128>, who: u128) -> Result<(), Code> {
        let reason = Digest::of(b"left");
        let order = Command::RevokeAll { person: person(who), reason: reason.clone() };
        let (by, command) = match n {
            Some(n) => {
                let (by, _, command) = self.sign(n, order).ok_or(Code::DeviceDisabled)?;
                (by, Some(command))
            }
            None => (By::Gatepass, None),
        };
        let all: Vec<&Request> = self.requests.iter().collect();
        let devices: Vec<DeviceId> = self.device(who).into_iter().collect();
        let held = Held { person: person(who), requests: &all, devices: &devices };
        let done = revoke_all(held, by.person(), &reason, &words(), &self.directory).map_err(|r| r.code)?;
        for (about, fact) in done.facts {
            let event = self.put(by, about, fact, command.clone(), Vec::new());
            if let Some(index) = about.and_then(|id| self.requests.iter().position(|r| r.id == id)) {
                self.requests[index] = apply(Some(self.requests[index].clone()), &event).unwrap();
            }
        }
        self.devices.remove(&person(who));
        Ok(())
    }
}

/// Events as positions of a log, from the first on.
pub fn items(events: &[Event], texts: &[Vec<SaltedText>]) -> Vec<Item> {
    let contents = events.iter().map(|event| String::from_utf8(canonical(event).unwrap()).unwrap());
    let texts = texts.iter().cloned().chain(std::iter::repeat(Vec::new()));
    let numbered = (1..).zip(contents.zip(texts));
    numbered
        .map(|(seq, (content, texts))| Item {
            seq,
            leaf: Hash::leaf(content.as_bytes()),
            content: Some(content),
            texts,
        })
        .collect()
}
