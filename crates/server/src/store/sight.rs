//! Who sees what of the log: everybody each leaf, the entitled the event and its texts.

use gatepass_core::directory::Person;
use gatepass_core::event::Event;
use gatepass_core::id::{PersonId, RequestId};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::Head;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;

/// One position of the log, whole. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stored {
    pub seq: u64,
    /// RFC 6962 leaf hash.
    pub leaf: Digest,
    pub request: Option<RequestId>,
    /// Whom `person.recorded`, `device.enrolled` and their like are about.
    pub person: Option<PersonId>,
    /// Groups that see it, when it belongs to no request and is about nobody; see [`Fact::groups`].
    pub groups: Option<Arc<[String]>>,
    /// Canonical JSON.
    pub body: Arc<RawValue>,
    pub texts: Arc<[SaltedText]>,
}

/// Who may see a request, as `core::view::may_see` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub asker: PersonId,
    /// Groups whose members may decide.
    pub groups: Vec<String>,
    pub deciders: Vec<PersonId>,
}

impl Seen {
    fn by(&self, viewer: &Person) -> bool {
        self.asker == viewer.id
            || self.groups.iter().any(|g| viewer.groups.contains(g))
            || self.deciders.contains(&viewer.id)
    }
}

/// A run of the log, and who may see its requests: no less than at the time of its newest entry.
#[derive(Clone, Debug)]
pub struct Slice {
    pub entries: Vec<Stored>,
    pub seen: HashMap<RequestId, Arc<Seen>>,
    /// The head at the time, which may be past the last entry.
    pub head: Head,
}

/// One position of the log, as far as a reader may see it.
#[derive(Clone, Debug)]
pub struct LogEntry {
    pub seq: u64,
    pub leaf: Digest,
    pub event: Option<Arc<RawValue>>,
    pub texts: Arc<[SaltedText]>,
}

#[derive(Clone, Debug)]
pub struct LogSlice {
    pub entries: Vec<LogEntry>,
    pub head: Head,
}

/// What `viewer` sees of it.
pub fn slice(viewer: &Person, whole: &Slice) -> LogSlice {
    let entries = whole.entries.iter().map(|e| entry(viewer, e, &whole.seen)).collect();
    LogSlice { entries, head: whole.head.clone() }
}

fn entry(viewer: &Person, stored: &Stored, seen: &HashMap<RequestId, Arc<Seen>>) -> LogEntry {
    let sees = viewer.auditor
        || viewer.admin
        || match (stored.request, stored.person) {
            (Some(request), _) => seen.get(&request).is_some_and(|s| s.by(viewer)),
            (None, Some(person)) => person == viewer.id,
            (None, None) => match &stored.groups {
                Some(groups) => groups.iter().any(|g| viewer.groups.contains(g)),
                None => true,
            },
        };
    // Everybody checks signatures and who was entitled, so everybody gets the keys and the groups, and hears of their
    // end; names stay for those whom they concern.
    let key = !sees && stored.person.is_some();
    LogEntry {
        seq: stored.seq,
        leaf: stored.leaf.clone(),
        event: (sees || key).then(|| stored.body.clone()),
        texts: if sees { stored.texts.clone() } else { Arc::default() },
    }
}

/// [`Stored::groups`] of an event. What can't be read is for admins and auditors.
pub(super) fn groups(
    request: Option<RequestId>,
    person: Option<PersonId>,
    body: &RawValue,
) -> Option<Arc<[String]>> {
    if request.is_some() || person.is_some() {
        return None;
    }
    match serde_json::from_str::<Event>(body.get()) {
        Ok(event) => event.fact.groups().map(Arc::from),
        Err(_) => Some(Arc::default()),
    }
}
