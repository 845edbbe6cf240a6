//! People and groups, as far as a decision needs them.

use crate::id::PersonId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use ts_rs::TS;

/// A person as the server knows them now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[ts(export)]
pub struct Person {
    pub id: PersonId,
    /// The id an admin gave, such as `tomas` or an address; shown and typed by people, never in the log.
    pub handle: String,
    pub name: String,
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    #[ts(type = "string[]")]
    pub groups: BTreeSet<String>,
    #[serde(default)]
    pub auditor: bool,
    #[serde(default)]
    pub admin: bool,
}

/// Who is who. A snapshot: the membership that holds at the moment of a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    people: BTreeMap<PersonId, Person>,
}

impl Directory {
    pub fn new(people: impl IntoIterator<Item = Person>) -> Self {
        Self { people: people.into_iter().map(|p| (p.id, p)).collect() }
    }

    pub fn get(&self, id: PersonId) -> Option<&Person> {
        self.people.get(&id)
    }

    pub fn by_handle(&self, handle: &str) -> Option<&Person> {
        self.people.values().find(|p| p.handle == handle)
    }

    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.people.values()
    }

    /// Whether `person` is in any of `groups`.
    pub fn in_any(&self, person: PersonId, groups: &[String]) -> bool {
        self.get(person).is_some_and(|p| groups.iter().any(|g| p.groups.contains(g)))
    }

    /// The members of any of `groups`, each once.
    pub fn members<'a>(&'a self, groups: &'a [String]) -> impl Iterator<Item = &'a Person> {
        self.people.values().filter(move |p| groups.iter().any(|g| p.groups.contains(g)))
    }
}
