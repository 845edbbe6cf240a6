//! Access on a target that no grant explains: told, watched until it is gone, and never taken away by Gatepass.

use crate::Time;
use crate::catalogue::{Catalogue, Role};
use crate::command::Command;
use crate::directory::{Directory, Person};
use crate::error::{Code, Refusal};
use crate::event::{Event, Fact};
use crate::id::{DriftId, EventId, PersonId};
use crate::request::Words;
use crate::text::Digest;
use crate::wire::DriftState;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// So many open ones are told of one target by name; the rest is told as a number.
pub const BY_NAME: usize = 100;

/// What was found. A projection of the log: built by [`apply`] only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    pub id: DriftId,
    /// Counts what happened to it; marking it as known names the one it was shown at.
    pub revision: u32,
    pub state: DriftState,
    #[serde(flatten)]
    pub found: Found,
    /// The event that told it last; the name's text stands with it.
    pub event: EventId,
    pub found_at: Time,
    /// When what it holds last changed.
    pub changed_at: Time,
    pub known: Option<Known>,
    pub gone_at: Option<Time>,
}

/// What the target shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Found {
    pub target: String,
    #[serde(flatten)]
    pub who: Who,
    /// Which entitlements of the catalogue, sorted; none when there are too many to name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// The resources whose roles give them.
    pub resources: Vec<String>,
    /// Groups that approve those roles: they see it and may mark it.
    pub groups: Vec<String>,
}

/// One that can be named, or how many more there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// The salted digest of what it is called on the target.
    Name(Digest),
    /// About so many beside those told by name.
    More(u32),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    pub by: PersonId,
    pub at: Time,
    pub reason: Digest,
    /// The event; the reason's text stands with it.
    pub event: EventId,
}

impl Drift {
    /// The events whose texts are its name and the reason why it is known.
    pub fn events(&self) -> impl Iterator<Item = EventId> {
        [Some(self.event), self.known.as_ref().map(|k| k.event)].into_iter().flatten()
    }

    /// Whether `person` may see it: who may mark it, and auditors.
    pub fn seen_by(&self, person: &Person) -> bool {
        person.auditor || self.marked_by(person)
    }

    /// Whether `person` may mark it: admins, and the approvers of what it holds.
    pub fn marked_by(&self, person: &Person) -> bool {
        person.admin || self.found.groups.iter().any(|g| person.groups.contains(g))
    }
}

impl Found {
    /// What `who` holds on a target, with the resources it belongs to and who has a say there.
    pub fn of(catalogue: &Catalogue, target: &str, who: Who, grants: Vec<String>) -> Self {
        let (mut resources, mut groups) = (Vec::new(), BTreeSet::new());
        for resource in catalogue.resources.iter().filter(|r| r.target == target) {
            // Those that are not named may hold anything.
            let gives = |role: &&Role| grants.is_empty() || role.grants.iter().any(|g| grants.contains(g));
            let mut roles = resource.roles.iter().filter(gives).peekable();
            if roles.peek().is_some() {
                resources.push(resource.id.clone());
            }
            groups.extend(roles.flat_map(|r| &r.approve).flat_map(|slot| slot.from.iter().cloned()));
        }
        Self { target: target.to_owned(), who, grants, resources, groups: groups.into_iter().collect() }
    }
}

/// Every entitlement that a role gives on a target.
pub fn entitlements(catalogue: &Catalogue, target: &str) -> Vec<String> {
    let on = catalogue.resources.iter().filter(|r| r.target == target);
    let all: BTreeSet<&String> = on.flat_map(|r| &r.roles).flat_map(|r| &r.grants).collect();
    all.into_iter().cloned().collect()
}

/// The drift an event is about.
pub fn about(fact: &Fact) -> Option<DriftId> {
    match fact {
        Fact::DriftFound { drift, .. }
        | Fact::DriftKnown { drift, .. }
        | Fact::DriftUnknown { drift, .. }
        | Fact::DriftGone { drift, .. } => Some(*drift),
        _ => None,
    }
}

/// The state after an event; events of others change nothing. Total, like [`crate::request::apply`].
pub fn apply(state: Option<Drift>, event: &Event) -> Option<Drift> {
    let Some(mut drift) = state else { return create(event) };
    if about(&event.fact) != Some(drift.id) {
        return Some(drift);
    }
    drift.revision += 1;
    match &event.fact {
        Fact::DriftFound { found, .. } => {
            drift.found = found.clone();
            drift.event = event.id;
            drift.changed_at = event.at;
            drift.state = DriftState::Open;
            (drift.known, drift.gone_at) = (None, None);
        }
        Fact::DriftKnown { reason, .. } => {
            if let Some(by) = event.by.person() {
                drift.state = DriftState::Known;
                drift.known = Some(Known { by, at: event.at, reason: reason.clone(), event: event.id });
            }
        }
        Fact::DriftUnknown { .. } => {
            drift.state = DriftState::Open;
            drift.known = None;
        }
        Fact::DriftGone { .. } => {
            drift.state = DriftState::Gone;
            drift.gone_at = Some(event.at);
        }
        _ => {}
    }
    Some(drift)
}

fn create(event: &Event) -> Option<Drift> {
    let Fact::DriftFound { drift, found } = &event.fact else { return None };
    Some(Drift {
        id: *drift,
        revision: 1,
        state: DriftState::Open,
        found: found.clone(),
        event: event.id,
        found_at: event.at,
        changed_at: event.at,
        known: None,
        gone_at: None,
    })
}

/// Decides a person's command about `drift`.
pub fn decide(
    drift: &Drift,
    command: &Command,
    by: PersonId,
    directory: &Directory,
    words: &Words,
) -> Result<Fact, Refusal> {
    if !directory.get(by).is_some_and(|p| drift.marked_by(p)) {
        return Err(Refusal::new(
            Code::NotAllowed,
            "Only admins and the approvers of what it holds can say this.",
        ));
    }
    let said = |revision: u32| {
        if words.reason.as_deref().is_none_or(|r| r.trim().is_empty()) {
            return Err(Refusal::new(Code::ReasonRequired, "Say why."));
        }
        if drift.state == DriftState::Gone {
            return Err(Refusal::new(Code::AlreadyDecided, "It is no longer there."));
        }
        if revision != drift.revision {
            return Err(Refusal::new(Code::StaleRevision, "It changed after it was shown to you."));
        }
        Ok(())
    };
    let (found, id) = (drift.found.clone(), drift.id);
    match command {
        Command::DriftKnown { revision, reason, .. } => {
            if drift.state == DriftState::Known {
                return Err(Refusal::new(Code::AlreadyDecided, "It is marked as known already."));
            }
            said(*revision)?;
            Ok(Fact::DriftKnown { drift: id, reason: reason.clone(), found })
        }
        Command::DriftUnknown { revision, reason, .. } => {
            if drift.state == DriftState::Open {
                return Err(Refusal::new(Code::AlreadyDecided, "It is not marked as known."));
            }
            said(*revision)?;
            Ok(Fact::DriftUnknown { drift: id, reason: reason.clone(), found })
        }
        _ => Err(Code::NotFound.into()),
    }
}

/// What the log has of one target: the drift that is not gone, with its name where that is still there.
pub type Told<'a> = [(&'a Drift, Option<&'a str>)];

/// What a look at the target shows: names, and the entitlements each has.
pub type Shown = BTreeMap<String, BTreeSet<String>>;

/// What there is to tell after a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It was not there, or held something else.
    Found {
        drift: Option<DriftId>,
        name: String,
        grants: Vec<String>,
    },
    /// So many are not told by name; it was none, or less than half, or more than double.
    More {
        drift: Option<DriftId>,
        count: u32,
    },
    Gone {
        drift: DriftId,
    },
}

/// Compares what two looks agree on with what was told. What one look shows and the other doesn't is on its way in or
/// out: the next comparison sees it.
pub fn compare(told: &Told<'_>, looks: [&Shown; 2]) -> Vec<News> {
    let [first, second] = looks;
    let mut news = Vec::new();
    let mut named = BTreeSet::new();
    let (mut open, mut more) = (0, None);
    for (drift, name) in told {
        match (&drift.found.who, name) {
            (Who::More(count), _) => more = Some((drift.id, *count)),
            (Who::Name(_), Some(name)) => {
                named.insert(*name);
                match (first.get(*name), second.get(*name)) {
                    (None, None) => news.push(News::Gone { drift: drift.id }),
                    (Some(a), Some(b)) if a == b && !a.iter().eq(drift.found.grants.iter()) => {
                        open += 1;
                        news.push(found(Some(drift.id), name, a));
                    }
                    _ => open += usize::from(drift.state == DriftState::Open),
                }
            }
            // Its name was erased: nobody can say any more whether it is there. Told anew under a new name if it is.
            (Who::Name(_), None) => news.push(News::Gone { drift: drift.id }),
        }
    }
    let new = first.iter().filter(|(name, grants)| {
        !named.contains(name.as_str()) && second.get(*name).is_some_and(|other| other == *grants)
    });
    let mut rest = 0_u32;
    for (name, grants) in new {
        if open < BY_NAME {
            open += 1;
            news.push(found(None, name, grants));
        } else {
            rest = rest.saturating_add(1);
        }
    }
    match more {
        None if rest > 0 => news.push(News::More { drift: None, count: rest }),
        Some((drift, _)) if rest == 0 => news.push(News::Gone { drift }),
        Some((drift, told)) if rest > told.saturating_mul(2) || rest < told / 2 => {
            news.push(News::More { drift: Some(drift), count: rest });
        }
        _ => {}
    }
    news
}

fn found(drift: Option<DriftId>, name: &str, grants: &BTreeSet<String>) -> News {
    News::Found { drift, name: name.to_owned(), grants: grants.iter().cloned().collect() }
}
