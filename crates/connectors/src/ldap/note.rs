//! What is remembered of a grant: a membership has no place for a tag.

use crate::{Notes, TargetError};
use gatepass_core::id::GrantId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Somebody's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    /// A filter for the entry's own id, which outlives its being renamed: `(entryUUID=…)`.
    pub id: String,
    pub dn: String,
    pub uid: Option<String>,
}

impl Person {
    /// What the person is called in a group's `attribute`.
    pub fn value(&self, attribute: Attribute) -> Option<&str> {
        match attribute {
            Attribute::Member | Attribute::UniqueMember => Some(&self.dn),
            Attribute::MemberUid => self.uid.as_deref(),
        }
    }
}

/// Where a kind of group has its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Attribute {
    #[serde(rename = "member")]
    Member,
    #[serde(rename = "uniqueMember")]
    UniqueMember,
    #[serde(rename = "memberUid")]
    MemberUid,
}

impl Attribute {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::UniqueMember => "uniqueMember",
            Self::MemberUid => "memberUid",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    /// As [`Person::id`].
    pub id: String,
    pub dn: String,
    pub attribute: Attribute,
}

/// One membership that a grant needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub group: Group,
    pub value: String,
    /// It was there, and no grant explained it: not ours to take away.
    pub standing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    pub person: Person,
    pub claims: Vec<Claim>,
    /// The grant is being ended: it keeps no membership alive any more.
    pub leaving: bool,
}

impl Note {
    /// The same person and groups; what stood before may differ.
    pub fn same(&self, person: &Person, claims: &[Claim]) -> bool {
        let groups = |claims: &[Claim]| -> BTreeSet<(String, String)> {
            claims.iter().map(|c| (c.group.id.clone(), folded(&c.value))).collect()
        };
        self.person.id == person.id && groups(&self.claims) == groups(claims)
    }

    pub async fn put(&self, notes: &dyn Notes, grant: GrantId) -> Result<(), TargetError> {
        let text = serde_json::to_string(self)
            .map_err(|e| TargetError::Configuration(format!("a note can't be written: {e}")))?;
        notes.put(grant, &text).await
    }
}

/// All of the target's notes.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(pub BTreeMap<GrantId, Note>);

impl Known {
    pub async fn read(notes: &dyn Notes) -> Result<Self, TargetError> {
        let mut known = BTreeMap::new();
        for (grant, text) in notes.all().await? {
            let note = serde_json::from_str(&text).map_err(|e| {
                TargetError::Configuration(format!("what was remembered of grant {grant} can't be read: {e}"))
            })?;
            known.insert(grant, note);
        }
        Ok(Self(known))
    }

    /// Whether a grant other than `but` made this membership, also one that is being ended: the person's in that group,
    /// by whatever name, since a directory may follow renamed entries.
    pub fn ours(&self, but: GrantId, group: &str, person: &Person, value: &str) -> bool {
        self.others(but).any(|(note, claim)| {
            let theirs = note.person.id == person.id || same(&claim.value, value);
            !claim.standing && claim.group.id == group && theirs
        })
    }

    /// The memberships in `group` that grants made, and whose they are.
    pub fn made(&self, group: &str) -> impl Iterator<Item = (&Person, &Claim)> {
        let claims = self.0.values().flat_map(|note| note.claims.iter().map(|claim| (&note.person, claim)));
        claims.filter(move |(_, claim)| !claim.standing && claim.group.id == group)
    }

    /// Which of `values` some other grant that made them goes on needing in `group`.
    ///
    /// `person` is whom the values are of: a grant of the same person needs them all, since it is not known which of
    /// them a directory that follows renamed entries has by now.
    pub fn wanted(
        &self,
        but: GrantId,
        group: &str,
        person: &Person,
        now: Option<&str>,
        values: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        let claims: Vec<_> = self
            .others(but)
            .filter(|(note, claim)| !note.leaving && !claim.standing && claim.group.id == group)
            .collect();
        let needed = |value: &String| {
            claims.iter().any(|(note, claim)| {
                let current = note.person.id == person.id && now.is_some_and(|now| same(now, value));
                current || same(&claim.value, value)
            })
        };
        values.iter().filter(|value| needed(value)).cloned().collect()
    }

    fn others(&self, but: GrantId) -> impl Iterator<Item = (&Note, &Claim)> {
        self.0
            .iter()
            .filter(move |(grant, _)| **grant != but)
            .flat_map(|(_, note)| note.claims.iter().map(move |claim| (note, claim)))
    }
}

/// Whether two names are one: by the rules for DNs, near enough to compare what one directory answered.
pub(super) fn same(one: &str, other: &str) -> bool {
    one == other || folded(one) == folded(other)
}

/// Without case, and without the spaces that may stand around separators.
pub(super) fn folded(dn: &str) -> String {
    let mut out = String::with_capacity(dn.len());
    let mut escaped = false;
    for c in dn.trim().chars().flat_map(char::to_lowercase) {
        let separator = !escaped && matches!(c, ',' | '+' | '=');
        let after = out.ends_with([',', '+', '=']);
        if separator {
            out.truncate(out.trim_end_matches(' ').len());
        }
        if !(c == ' ' && after && !escaped) {
            out.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_dns() {
        assert!(same("cn=Mara Lind,ou=people,dc=example", "CN=mara lind, OU=People , DC = example"));
        assert!(!same("cn=mara,ou=people", "cn=maria,ou=people"));
        assert!(!same(r"cn=a\,b,ou=people", "cn=a,b,ou=people"));
        assert!(!same("cn=a b,ou=people", "cn=ab,ou=people"));
    }
}
