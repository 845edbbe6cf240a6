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
    /// Each group's members. Lists ask for them with every request they show.
    groups: BTreeMap<String, BTreeSet<PersonId>>,
}

impl Directory {
    pub fn new(people: impl IntoIterator<Item = Person>) -> Self {
        let people: BTreeMap<PersonId, Person> = people.into_iter().map(|p| (p.id, p)).collect();
        let mut groups: BTreeMap<String, BTreeSet<PersonId>> = BTreeMap::new();
        for person in people.values() {
            for group in &person.groups {
                groups.entry(group.clone()).or_default().insert(person.id);
            }
        }
        Self { people, groups }
    }

    /// What holds of a person from here on; `None`: nobody knows them. Answers what held before.
    pub fn set(&mut self, id: PersonId, person: Option<Person>) -> Option<Person> {
        let before = match person.clone() {
            Some(person) => self.people.insert(id, person),
            None => self.people.remove(&id),
        };
        for group in before.iter().flat_map(|p| &p.groups) {
            if let Some(members) = self.groups.get_mut(group) {
                members.remove(&id);
            }
        }
        self.groups.retain(|_, members| !members.is_empty());
        for group in person.iter().flat_map(|p| &p.groups) {
            self.groups.entry(group.clone()).or_default().insert(id);
        }
        before
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

    /// The members of any of `groups`, each once, in the order of their ids.
    pub fn members<'a>(&'a self, groups: &'a [String]) -> impl Iterator<Item = &'a Person> {
        let members: BTreeSet<PersonId> =
            groups.iter().filter_map(|g| self.groups.get(g)).flatten().copied().collect();
        members.into_iter().filter_map(|id| self.people.get(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn person(id: u128, groups: &[&str]) -> Person {
        Person {
            id: PersonId(Uuid::from_u128(id)),
            handle: id.to_string(),
            name: id.to_string(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            auditor: false,
            admin: false,
        }
    }

    #[test]
    fn members_of_several_groups_come_once_and_in_order() {
        let directory = Directory::new([person(3, &["a"]), person(1, &["a", "b"]), person(2, &["c"])]);
        let members = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
            directory.members(&groups).map(|p| p.handle.clone()).collect::<Vec<_>>()
        };
        assert_eq!(members(&["a", "b"]), ["1", "3"]);
        assert_eq!(members(&["c", "nobody"]), ["2"]);
        assert!(members(&[]).is_empty());
    }

    #[test]
    fn one_at_a_time_is_the_same_as_all_at_once() {
        let mut directory = Directory::default();
        let (first, later) = (person(1, &["a", "b"]), person(1, &["c"]));
        assert_eq!(directory.set(first.id, Some(first.clone())), None);
        assert_eq!(directory.set(later.id, Some(later.clone())), Some(first));
        assert_eq!(directory, Directory::new([later.clone()]));
        assert_eq!(directory.set(later.id, None), Some(later));
        assert_eq!(directory, Directory::default());
    }
}
