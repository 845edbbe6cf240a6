//! Which approvals satisfy which needs: distinct people, each counted once, placed so that as much as
//! possible is satisfied.

use crate::catalogue::Slot;
use crate::directory::Directory;
use crate::id::PersonId;

/// The seats of a rule: need `i` with count 2 has two seats.
fn seats(needs: &[Slot]) -> Vec<usize> {
    needs.iter().enumerate().flat_map(|(i, need)| std::iter::repeat_n(i, need.count as usize)).collect()
}

/// A maximum matching of people to seats (augmenting paths; a rule has a handful of seats). Answers, for
/// each person, the need they satisfy.
pub fn assign(needs: &[Slot], people: &[PersonId], directory: &Directory) -> Vec<Option<usize>> {
    let seats = seats(needs);
    let mut holder: Vec<Option<usize>> = vec![None; seats.len()];
    for person in 0..people.len() {
        let mut tried = vec![false; seats.len()];
        place(person, &seats, needs, people, directory, &mut holder, &mut tried);
    }
    let mut answer = vec![None; people.len()];
    for (seat, person) in holder.iter().enumerate() {
        if let Some(person) = person {
            answer[*person] = Some(seats[seat]);
        }
    }
    answer
}

fn place(
    person: usize,
    seats: &[usize],
    needs: &[Slot],
    people: &[PersonId],
    directory: &Directory,
    holder: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for seat in 0..seats.len() {
        if tried[seat] || !directory.in_any(people[person], &needs[seats[seat]].from) {
            continue;
        }
        tried[seat] = true;
        let free = match holder[seat] {
            None => true,
            Some(other) => place(other, seats, needs, people, directory, holder, tried),
        };
        if free {
            holder[seat] = Some(person);
            return true;
        }
    }
    false
}

/// Whether every seat is taken.
pub fn complete(needs: &[Slot], people: &[PersonId], directory: &Directory) -> bool {
    assign(needs, people, directory).iter().flatten().count() == seats(needs).len()
}

/// Whether one more approval by `person` would satisfy one more seat.
pub fn helps(needs: &[Slot], given: &[PersonId], person: PersonId, directory: &Directory) -> bool {
    let before = assign(needs, given, directory).iter().flatten().count();
    let mut with = given.to_vec();
    with.push(person);
    assign(needs, &with, directory).iter().flatten().count() > before
}

/// Whether people other than `asker` could ever satisfy every seat.
pub fn possible(needs: &[Slot], asker: PersonId, directory: &Directory) -> bool {
    let others: Vec<PersonId> = directory.people().map(|p| p.id).filter(|id| *id != asker).collect();
    complete(needs, &others, directory)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::directory::Person;
    use uuid::Uuid;

    fn person(n: u128, groups: &[&str]) -> Person {
        Person {
            id: PersonId(Uuid::from_u128(n)),
            handle: n.to_string(),
            name: n.to_string(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            auditor: false,
            admin: false,
        }
    }

    fn need(from: &str, count: u32) -> Slot {
        Slot { from: vec![from.to_owned()], count }
    }

    #[test]
    fn someone_in_both_groups_counts_once_and_where_it_helps() {
        let both = person(1, &["dba", "oncall"]);
        let dba = person(2, &["dba"]);
        let directory = Directory::new([both.clone(), dba.clone()]);
        let needs = [need("dba", 1), need("oncall", 1)];
        assert!(!complete(&needs, &[both.id], &directory));
        // Greedy placement would put `both` on dba and then have no seat for `dba`.
        assert!(complete(&needs, &[both.id, dba.id], &directory));
        assert_eq!(assign(&needs, &[both.id, dba.id], &directory), [Some(1), Some(0)]);
        assert!(helps(&needs, &[both.id], dba.id, &directory));
    }

    #[test]
    fn the_same_group_twice_needs_two_people() {
        let a = person(1, &["dba"]);
        let b = person(2, &["dba"]);
        let directory = Directory::new([a.clone(), b.clone()]);
        assert!(!complete(&[need("dba", 2)], &[a.id], &directory));
        assert!(complete(&[need("dba", 2)], &[a.id, b.id], &directory));
        assert!(!possible(&[need("dba", 2)], a.id, &directory));
        assert!(complete(&[], &[], &directory));
    }
}
