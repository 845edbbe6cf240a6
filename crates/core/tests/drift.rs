//! What is told of access that no grant explains, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_core::command::Command;
use gatepass_core::directory::{Directory, Person};
use gatepass_core::drift::{BY_NAME, Drift, Found, News, Shown, Who, apply, compare, decide};
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{DeviceId, DriftId, EventId, PersonId};
use gatepass_core::request::Words;
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::DriftState;
use gatepass_core::{Code, Time};
use proptest::prelude::*;
use std::collections::BTreeMap;
use uuid::Uuid;

const DBA: PersonId = PersonId(Uuid::from_u128(1));
const ADMIN: PersonId = PersonId(Uuid::from_u128(2));
const AUDITOR: PersonId = PersonId(Uuid::from_u128(3));

fn directory() -> Directory {
    let person = |id: PersonId, group: &str, auditor, admin| Person {
        id,
        handle: id.to_string(),
        name: id.to_string(),
        groups: [group.to_owned()].into(),
        auditor,
        admin,
    };
    Directory::new([
        person(DBA, "dba", false, false),
        person(ADMIN, "none", false, true),
        person(AUDITOR, "none", true, false),
    ])
}

/// The log of one target: drift as it was told, with the names beside it.
#[derive(Default)]
struct Log {
    drift: BTreeMap<DriftId, Drift>,
    names: BTreeMap<Digest, String>,
    count: u128,
}

impl Log {
    fn fresh(&mut self) -> Uuid {
        self.count += 1;
        Uuid::from_u128(self.count)
    }

    fn happen(&mut self, by: By, fact: Fact) -> DriftId {
        let event =
            Event { id: EventId(self.fresh()), at: Time::default(), by, request: None, fact, command: None };
        let text = serde_json::to_string(&event).unwrap();
        let event: Event = serde_json::from_str(&text).expect("an event reads back");
        let id = gatepass_core::drift::about(&event.fact).unwrap();
        let next = apply(self.drift.remove(&id), &event).unwrap();
        let kept = serde_json::to_string(&next).unwrap();
        assert_eq!(serde_json::from_str::<Drift>(&kept).unwrap(), next, "a projection reads back");
        self.drift.insert(id, next);
        id
    }

    fn look(&self, looks: [&Shown; 2]) -> Vec<News> {
        let told: Vec<_> = self
            .drift
            .values()
            .filter(|d| d.state != DriftState::Gone)
            .map(|d| {
                let name = match &d.found.who {
                    Who::Name(digest) => self.names.get(digest).map(String::as_str),
                    Who::More(_) => None,
                };
                (d, name)
            })
            .collect();
        compare(&told, looks)
    }

    fn tell(&mut self, news: Vec<News>) {
        for one in news {
            let fresh = DriftId(self.fresh());
            let (drift, who, grants) = match one {
                News::Gone { drift } => {
                    let found = self.drift[&drift].found.clone();
                    self.happen(By::Gatepass, Fact::DriftGone { drift, found });
                    continue;
                }
                News::Found { drift, name, grants } => {
                    let digest = SaltedText::new(*fresh.0.as_bytes(), name.clone()).digest().unwrap();
                    self.names.insert(digest.clone(), name);
                    (drift, Who::Name(digest), grants)
                }
                News::More { drift, count } => (drift, Who::More(count), Vec::new()),
            };
            let groups = vec!["dba".to_owned()];
            let found = Found { target: "pg".to_owned(), who, grants, resources: Vec::new(), groups };
            self.happen(By::Gatepass, Fact::DriftFound { drift: drift.unwrap_or(fresh), found });
        }
    }

    fn mark(&mut self, drift: DriftId, by: PersonId) -> Result<(), Code> {
        let state = self.drift[&drift].clone();
        let reason = Digest::of(b"reason");
        let command = Command::DriftKnown { drift, revision: state.revision, reason };
        let fact = decide(&state, &command, by, &directory(), &because("monitoring")).map_err(|r| r.code)?;
        let device = DeviceId(self.fresh());
        self.happen(By::Person { person: by, device }, fact);
        Ok(())
    }

    /// The names that are told, with what they hold and whether somebody knows them.
    fn there(&self) -> BTreeMap<String, (Vec<String>, DriftState)> {
        let named = self.drift.values().filter(|d| d.state != DriftState::Gone).filter_map(|d| {
            let Who::Name(digest) = &d.found.who else { return None };
            Some((self.names.get(digest)?.clone(), (d.found.grants.clone(), d.state)))
        });
        named.collect()
    }

    fn more(&self) -> Option<u32> {
        self.drift.values().filter(|d| d.state != DriftState::Gone).find_map(|d| match d.found.who {
            Who::More(count) => Some(count),
            Who::Name(_) => None,
        })
    }

    fn only(&self) -> DriftId {
        *self.drift.keys().next_back().unwrap()
    }
}

fn because(reason: &str) -> Words {
    Words { reason: Some(reason.to_owned()), ..Words::default() }
}

fn shown(these: &[(&str, &[&str])]) -> Shown {
    these
        .iter()
        .map(|(name, grants)| ((*name).to_owned(), grants.iter().map(|g| (*g).to_owned()).collect()))
        .collect()
}

#[test]
fn only_what_both_looks_show_is_told_and_only_what_neither_shows_is_gone() {
    let mut log = Log::default();
    let (none, ada) = (shown(&[]), shown(&[("ada", &["w"])]));
    assert_eq!(log.look([&none, &ada]), []);
    assert_eq!(log.look([&ada, &none]), []);
    let other = shown(&[("ada", &["r", "w"])]);
    assert_eq!(log.look([&ada, &other]), [], "on its way");
    let news = log.look([&ada, &ada]);
    log.tell(news);
    assert_eq!(log.look([&ada, &ada]), [], "told once");
    assert_eq!(log.look([&none, &ada]), []);
    assert_eq!(log.look([&ada, &none]), []);
    assert_eq!(log.look([&none, &none]), [News::Gone { drift: log.only() }]);
}

#[test]
fn known_drift_is_quiet_until_what_it_holds_changes() {
    let mut log = Log::default();
    let before = shown(&[("ada", &["r"])]);
    log.tell(log.look([&before, &before]));
    let drift = log.only();
    assert_eq!(log.mark(drift, AUDITOR), Err(Code::NotAllowed));
    log.mark(drift, DBA).unwrap();
    assert_eq!(log.mark(drift, ADMIN), Err(Code::AlreadyDecided));
    assert_eq!(log.look([&before, &before]), []);
    let after = shown(&[("ada", &["r", "w"])]);
    log.tell(log.look([&after, &after]));
    let now = &log.drift[&drift];
    assert_eq!((now.state, &now.known, now.revision), (DriftState::Open, &None, 3));
    // Gone, and back: another one, since nobody knows whether it is the same.
    let none = shown(&[]);
    log.tell(log.look([&none, &none]));
    log.tell(log.look([&after, &after]));
    assert_ne!(log.only(), drift);
    assert_eq!(log.drift[&drift].state, DriftState::Gone);
    assert_eq!(log.drift[&log.only()].state, DriftState::Open);
}

#[test]
fn marking_needs_a_reason_and_what_was_shown() {
    let mut log = Log::default();
    let one = shown(&[("ada", &["r"])]);
    log.tell(log.look([&one, &one]));
    let drift = log.drift[&log.only()].clone();
    let say = |state: &Drift, command: &Command, reason: &str| {
        decide(state, command, DBA, &directory(), &because(reason)).map_err(|r| r.code)
    };
    let reason = Digest::of(b"reason");
    let known = |revision| Command::DriftKnown { drift: drift.id, revision, reason: reason.clone() };
    let unknown = |revision| Command::DriftUnknown { drift: drift.id, revision, reason: reason.clone() };
    assert_eq!(say(&drift, &known(1), " "), Err(Code::ReasonRequired));
    assert_eq!(say(&drift, &known(2), "why"), Err(Code::StaleRevision));
    assert_eq!(say(&drift, &unknown(1), "why"), Err(Code::AlreadyDecided));
    log.mark(drift.id, ADMIN).unwrap();
    let marked = log.drift[&drift.id].clone();
    assert!(matches!(say(&marked, &unknown(2), "why"), Ok(Fact::DriftUnknown { .. })));
    let none = shown(&[]);
    log.tell(log.look([&none, &none]));
    let gone = log.drift[&drift.id].clone();
    assert_eq!(say(&gone, &known(gone.revision), "why"), Err(Code::AlreadyDecided));
}

#[test]
fn thousands_are_told_as_a_number() {
    let mut log = Log::default();
    let crowd =
        |n: usize| -> Shown { (0..n).map(|i| (format!("user{i:05}"), ["r".to_owned()].into())).collect() };
    let many = crowd(5_000);
    let news = log.look([&many, &many]);
    assert_eq!(news.len(), BY_NAME + 1);
    log.tell(news);
    assert_eq!(log.more(), Some(4_900));
    // A few more or less are no news.
    let some = crowd(4_000);
    assert_eq!(log.look([&some, &some]), []);
    // Whoever is marked as known makes room for the next.
    let first = *log.drift.keys().next().unwrap();
    log.mark(first, DBA).unwrap();
    let news = log.look([&some, &some]);
    assert_eq!(news, [News::Found { drift: None, name: "user00100".into(), grants: vec!["r".into()] }]);
    log.tell(news);
    let few = crowd(50);
    log.tell(log.look([&few, &few]));
    assert_eq!((log.there().len(), log.more()), (50, None));
}

#[test]
fn what_lost_its_name_is_told_anew() {
    let mut log = Log::default();
    let one = shown(&[("ada", &["r"])]);
    log.tell(log.look([&one, &one]));
    let drift = log.only();
    log.names.clear();
    let news = log.look([&one, &one]);
    assert_eq!(news[0], News::Gone { drift });
    assert!(matches!(&news[1], News::Found { drift: None, name, .. } if name == "ada"));
}

proptest! {
    /// Whatever came and went and was marked: after two equal looks, what is told is what is there, and there is no news.
    #[test]
    fn what_is_told_is_what_is_there(
        looks in prop::collection::vec((shows(), shows(), any::<prop::sample::Index>(), any::<bool>()), 1..12),
    ) {
        let mut log = Log::default();
        for (first, second, which, mark) in looks {
            let news = log.look([&first, &second]);
            log.tell(news);
            let there: Vec<DriftId> = log.drift.values().filter(|d| d.state == DriftState::Open).map(|d| d.id).collect();
            if mark && !there.is_empty() {
                log.mark(there[which.index(there.len())], DBA).unwrap();
            }
            let known: Vec<String> = log.there().into_iter().filter(|(_, (_, s))| *s == DriftState::Known).map(|(n, _)| n).collect();
            let before = log.there();
            let news = log.look([&second, &second]);
            log.tell(news);
            let told: Shown = log.there().into_iter().map(|(n, (g, _))| (n, g.into_iter().collect())).collect();
            prop_assert_eq!(&told, &second);
            for name in known {
                if let Some((grants, state)) = log.there().get(&name) {
                    let same = *grants == before[&name].0;
                    prop_assert_eq!(*state == DriftState::Known, same, "known stays known while it holds the same");
                }
            }
            prop_assert_eq!(log.look([&second, &second]), []);
        }
    }
}

fn shows() -> impl Strategy<Value = Shown> {
    prop::collection::btree_map("[a-e]", prop::collection::btree_set("[rwx]", 1..3), 0..5)
}
