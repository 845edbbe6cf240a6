//! Giving and taking memberships that several grants may need at once.
//!
//! A membership is there or not; it does not say who made it, nor how often. So each grant's note says which
//! memberships it needs and whether each was *standing*, there before and made by no grant. What is made by a grant has
//! some grant that answers for it: one whose note says that it is not standing, was written before the membership was
//! made, and goes only when the grant has seen to it. Calls of different grants run on several nodes at once, and
//! each may stop anywhere; what keeps it right is the order of steps.
//!
//! - **Giving** looks at the directory first and at the notes second: a membership that a grant made had that grant's
//!   note before, so a note explains it, or the grant has ended since and taken the membership with it, which the last look
//!   finds. A standing membership is one that no note calls made.
//! - **Taking** marks its own note as leaving first, and reads the others second. Of two grants that end at once, the one
//!   that marks later sees the other's mark, so at least one of them deletes. A grant that needs the membership and is
//!   not leaving at that moment keeps it, and answers for it from then on.
//! - **After taking, the notes are read again.** A grant may have come between the first reading and the deletion: then
//!   the membership is put back, for it had reported it as given. It may leave again before that is done: so this goes on
//!   until the directory is as the notes read *after* looking at it say. Its own note stays until then.
//!
//! Where these can't both be had, access is lost rather than left: a grant that took a membership for standing
//! while two others came and went entirely within its three looks ends up without it.

use super::directory::Directory;
use super::note::{Claim, Group, Known, Note, Person, folded, same};
use crate::{Found, Notes, Stranger, TargetError};
use gatepass_core::id::GrantId;
use std::collections::{BTreeMap, BTreeSet};

/// How often to look again when others change the same membership.
const ROUNDS: usize = 8;

pub(super) struct Memberships<'a> {
    pub directory: &'a dyn Directory,
    pub notes: &'a dyn Notes,
}

impl Memberships<'_> {
    /// Makes `handle` a member of `groups` for this grant, and answers the groups' names.
    pub async fn give(
        &self,
        grant: GrantId,
        handle: &str,
        groups: &[String],
    ) -> Result<Vec<String>, TargetError> {
        let person = self.directory.person(handle).await?;
        let mut claims = self.claims(&person, groups).await?;
        let mut present = self.present(&claims).await?;
        let mut known = Known::read(self.notes).await?;
        let before = known.0.get(&grant).cloned();
        if before.as_ref().is_some_and(|note| !note.same(&person, &claims)) {
            // Asked for something else than the first time: nothing of that stays.
            self.take(grant).await?;
            present = self.present(&claims).await?;
            known = Known::read(self.notes).await?;
        }
        let before = known.0.get(&grant);
        for (claim, present) in claims.iter_mut().zip(present) {
            let (group, value) = (&claim.group.id, &claim.value);
            claim.standing = match before.and_then(|note| note.claims.iter().find(|c| c.group.id == *group)) {
                // A try before this one found out, and may have made it.
                Some(before) => before.standing,
                None => present && !known.ours(grant, group, &person, value),
            };
        }
        let mut note = Note { person, claims, leaving: false };
        note.put(self.notes, grant).await?;
        for _ in 0..ROUNDS {
            for claim in note.claims.iter().filter(|c| !c.standing) {
                self.directory.add(&claim.group, &claim.value).await?;
            }
            let present = self.present(&note.claims).await?;
            let known = Known::read(self.notes).await?;
            let mut made = false;
            for (claim, present) in note.claims.iter_mut().zip(&present) {
                if claim.standing
                    && (!present || known.ours(grant, &claim.group.id, &note.person, &claim.value))
                {
                    claim.standing = false;
                    made = true;
                }
            }
            if made {
                note.put(self.notes, grant).await?;
            } else if present.iter().all(|p| *p) {
                return Ok(note.claims.into_iter().map(|c| c.group.dn).collect());
            }
        }
        Err(TargetError::Unreachable("others change the same memberships".to_owned()))
    }

    /// Takes away what only this grant needs.
    pub async fn take(&self, grant: GrantId) -> Result<(), TargetError> {
        let Some(mut note) = Known::read(self.notes).await?.0.remove(&grant) else { return Ok(()) };
        if !note.leaving {
            note.leaving = true;
            note.put(self.notes, grant).await?;
        }
        if note.claims.iter().any(|c| !c.standing) {
            let now = self.directory.person_now(&note.person).await?;
            for claim in note.claims.iter().filter(|c| !c.standing) {
                self.settle(grant, &note.person, now.as_ref(), claim).await?;
            }
        }
        self.notes.delete(grant).await
    }

    /// Deletes a membership, unless another grant needs it.
    async fn settle(
        &self,
        grant: GrantId,
        person: &Person,
        now: Option<&Person>,
        claim: &Claim,
    ) -> Result<(), TargetError> {
        let Some(group) = self.directory.group_now(&claim.group).await? else { return Ok(()) };
        // A directory may follow a renamed entry, or leave the name that it had.
        let now = now.and_then(|now| now.value(claim.group.attribute));
        let values = values(claim, now);
        let wanted = async || -> Result<BTreeSet<String>, TargetError> {
            Ok(Known::read(self.notes).await?.wanted(grant, &claim.group.id, person, now, &values))
        };
        let mut want = wanted().await?;
        for _ in 0..ROUNDS {
            let mut left = false;
            let mut kept = false;
            for value in &values {
                if want.contains(value) {
                    kept |= self.directory.has(&group, value).await?;
                } else {
                    self.directory.delete(&group, value).await?;
                    left |= self.directory.has(&group, value).await?;
                }
            }
            if let (false, false, Some(now)) = (want.is_empty(), kept, now) {
                self.directory.add(&group, now).await?;
            }
            let then = wanted().await?;
            if !left && then == want {
                return Ok(());
            }
            want = then;
        }
        Err(TargetError::Unreachable("others change the same membership".to_owned()))
    }

    /// Whether the grant has all that it needs.
    pub async fn held(&self, grant: GrantId) -> Result<bool, TargetError> {
        match Known::read(self.notes).await?.0.get(&grant) {
            Some(note) if !note.leaving => Ok(self.present(&note.claims).await?.iter().all(|p| *p)),
            _ => Ok(false),
        }
    }

    /// What notes claim and the directory has.
    pub async fn found(&self) -> Result<Vec<Found>, TargetError> {
        let mut groups: BTreeMap<String, Option<Group>> = BTreeMap::new();
        let mut found = Vec::new();
        for (grant, note) in Known::read(self.notes).await?.0 {
            for claim in &note.claims {
                if !groups.contains_key(&claim.group.id) {
                    let now = self.directory.group_now(&claim.group).await?;
                    groups.insert(claim.group.id.clone(), now);
                }
                let Some(Some(group)) = groups.get(&claim.group.id) else { continue };
                if self.has_any(group, &note.person, claim).await? {
                    found.push(Found { grant, name: note.person.dn, until: None, sessions: 0 });
                    break;
                }
            }
        }
        Ok(found)
    }

    async fn has_any(&self, group: &Group, person: &Person, claim: &Claim) -> Result<bool, TargetError> {
        if self.directory.has(group, &claim.value).await? {
            return Ok(true);
        }
        let now = self.directory.person_now(person).await?;
        match now.as_ref().and_then(|now| now.value(group.attribute)) {
            Some(now) if now != claim.value => self.directory.has(group, now).await,
            _ => Ok(false),
        }
    }

    /// Who is in these groups by no grant, with the groups. `own` is Gatepass itself.
    pub async fn strangers(&self, groups: &[String], own: &str) -> Result<Vec<Stranger>, TargetError> {
        // The directory first, as in giving: whom a grant made a member had a note before.
        let mut all = Vec::new();
        for dn in groups {
            let group = self.directory.group(dn).await?;
            let members = self.directory.members(&group).await?;
            all.push((dn, group, members));
        }
        let known = Known::read(self.notes).await?;
        let mut strangers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (dn, group, members) in all {
            let mut explained = BTreeSet::from([folded(own)]);
            for (person, claim) in known.made(&group.id) {
                explained.insert(folded(&claim.value));
                if !members.iter().any(|m| same(m, &claim.value)) {
                    let now = self.directory.person_now(person).await?;
                    explained.extend(now.and_then(|now| now.value(group.attribute).map(folded)));
                }
            }
            for member in members.into_iter().filter(|m| !explained.contains(&folded(m))) {
                strangers.entry(member).or_default().insert(dn.clone());
            }
        }
        let list = |(name, grants): (String, BTreeSet<String>)| Stranger {
            name,
            grants: grants.into_iter().collect(),
        };
        Ok(strangers.into_iter().map(list).collect())
    }

    async fn claims(&self, person: &Person, groups: &[String]) -> Result<Vec<Claim>, TargetError> {
        let mut claims: Vec<Claim> = Vec::new();
        for dn in groups {
            let group = self.directory.group(dn).await?;
            let Some(value) = person.value(group.attribute) else {
                let text = format!("{} has no single uid, which {} needs", person.dn, group.dn);
                return Err(TargetError::Configuration(text));
            };
            if !claims.iter().any(|c| c.group.id == group.id) {
                claims.push(Claim { value: value.to_owned(), group, standing: false });
            }
        }
        if claims.is_empty() {
            return Err(TargetError::Configuration("the role names no group".to_owned()));
        }
        Ok(claims)
    }

    async fn present(&self, claims: &[Claim]) -> Result<Vec<bool>, TargetError> {
        let mut present = Vec::with_capacity(claims.len());
        for claim in claims {
            present.push(self.directory.has(&claim.group, &claim.value).await?);
        }
        Ok(present)
    }
}

fn values(claim: &Claim, now: Option<&str>) -> BTreeSet<String> {
    [Some(claim.value.as_str()), now].into_iter().flatten().map(str::to_owned).collect()
}
