//! What is done and what breaks in one run, and when: all of it follows from one number.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use std::time::Duration;

/// Handles, groups, and whether they audit. Who asks and who decides overlap in omar.
pub const PEOPLE: &[(&str, &str, bool)] = &[
    ("tomas", "backend", false),
    ("ines", "backend", false),
    ("noor", "dba", false),
    ("mara", "dba,oncall", false),
    ("omar", "backend,oncall", false),
    ("iris", "", true),
];
const ASKERS: &[usize] = &[0, 1, 4];
const DECIDERS: &[usize] = &[2, 3, 4];

/// How many nodes there are.
pub const NODES: usize = 3;

/// Something that somebody does. `pick` chooses among what there is when it is done, which differs from run to run.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Role, seconds, and whether the access is used once it is there.
    Ask {
        role: &'static str,
        seconds: u32,
        using: bool,
    },
    Approve {
        pick: usize,
    },
    Deny {
        pick: usize,
    },
    Withdraw {
        pick: usize,
    },
    Return {
        pick: usize,
    },
    Revoke {
        pick: usize,
    },
    Extend {
        pick: usize,
        seconds: u32,
    },
    Read,
}

/// Something that breaks, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// `kill -9`, and started again after this.
    Kill { node: usize, back: Duration },
    /// Asked to end, as in an upgrade, and started again at once.
    Bounce { node: usize },
    /// Stopped where it stands, and resumed.
    Freeze { node: usize, length: Duration },
    /// Every connection of a node is cut, to the database and from devices; new ones pass.
    Cut { node: usize },
    /// The node's way to the database swallows everything.
    Isolate { node: usize, length: Duration },
    /// The node's way to the database holds everything up.
    Stall { node: usize, length: Duration },
    /// The connection that listens is cut, and no other one passes.
    Deafen { node: usize, length: Duration },
    /// The database ends at once, and is started again.
    Restart { down: Duration },
    /// A person's connections are cut; new ones pass.
    CutPerson { person: usize },
    /// A person's way swallows everything.
    LosePerson { person: usize, length: Duration },
    /// A person's app ends in the middle of what it does, and is opened again.
    Reopen { person: usize },
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Act { person: usize, act: Act },
    Fault(Fault),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub at: Duration,
    pub what: What,
}

/// The steps of a run, in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub seed: u64,
    pub steps: Vec<Step>,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let length = dice.gen_range(6_000..=10_000);
        let at = |dice: &mut StdRng| Duration::from_millis(dice.gen_range(0..length));
        let mut steps = Vec::new();
        for _ in 0..dice.gen_range(60..=120) {
            let at = at(&mut dice);
            let (person, act) = act(&mut dice);
            steps.push(Step { at, what: What::Act { person, act } });
        }
        // Now and then nothing breaks: then the narrow bounds hold.
        let faults = if dice.gen_ratio(1, 8) { 0 } else { dice.gen_range(3..=8) };
        for _ in 0..faults {
            let at = at(&mut dice);
            steps.push(Step { at, what: What::Fault(fault(&mut dice)) });
        }
        steps.sort_by_key(|step| step.at);
        Self { seed, steps }
    }

    /// What breaks, and when.
    pub fn faults(&self) -> impl Iterator<Item = (Duration, &Fault)> {
        self.steps.iter().filter_map(|step| match &step.what {
            What::Fault(fault) => Some((step.at, fault)),
            What::Act { .. } => None,
        })
    }
}

fn one_of<T: Copy>(dice: &mut StdRng, of: &[T]) -> T {
    of[dice.gen_range(0..of.len())]
}

fn act(dice: &mut StdRng) -> (usize, Act) {
    let pick = dice.gen_range(0..1_000);
    let seconds = dice.gen_range(1..=4);
    match dice.gen_range(0..100) {
        0..36 => {
            let role = one_of(dice, &["read", "read", "fix", "fix", "fix", "write", "write"]);
            (one_of(dice, ASKERS), Act::Ask { role, seconds, using: dice.gen_ratio(1, 3) })
        }
        36..64 => (one_of(dice, DECIDERS), Act::Approve { pick }),
        64..68 => (one_of(dice, DECIDERS), Act::Deny { pick }),
        68..72 => (one_of(dice, ASKERS), Act::Withdraw { pick }),
        72..78 => (one_of(dice, ASKERS), Act::Return { pick }),
        78..82 => (one_of(dice, DECIDERS), Act::Revoke { pick }),
        82..90 => (one_of(dice, ASKERS), Act::Extend { pick, seconds }),
        _ => (dice.gen_range(0..PEOPLE.len()), Act::Read),
    }
}

/// Mostly short: a long one hides what comes after it.
fn short(dice: &mut StdRng, from: u64, to: u64) -> Duration {
    let share: f64 = dice.gen_range(0.0..1.0);
    Duration::from_millis(from + ((to - from) as f64 * share * share) as u64)
}

fn fault(dice: &mut StdRng) -> Fault {
    let (node, person) = (dice.gen_range(0..NODES), dice.gen_range(0..PEOPLE.len()));
    match dice.gen_range(0..100) {
        0..20 => Fault::Kill { node, back: short(dice, 0, 3_000) },
        20..26 => Fault::Bounce { node },
        26..42 => Fault::Freeze { node, length: short(dice, 100, 8_000) },
        42..52 => Fault::Cut { node },
        52..60 => Fault::Isolate { node, length: short(dice, 100, 4_000) },
        60..66 => Fault::Stall { node, length: short(dice, 100, 4_000) },
        66..74 => Fault::Deafen { node, length: short(dice, 500, 4_000) },
        74..84 => Fault::Restart { down: short(dice, 0, 2_000) },
        84..88 => Fault::CutPerson { person },
        88..93 => Fault::Reopen { person },
        _ => Fault::LosePerson { person, length: short(dice, 100, 3_000) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_plan_and_another_is_another() {
        assert_eq!(Plan::of(7), Plan::of(7));
        assert_ne!(Plan::of(7).steps, Plan::of(8).steps);
    }

    #[test]
    fn every_act_and_every_fault_comes_up() {
        let steps: Vec<Step> = (0..200).flat_map(|seed| Plan::of(seed).steps).collect();
        let name = |text: String| text.split([' ', '{', '(']).next().unwrap().to_owned();
        let names: std::collections::BTreeSet<String> = steps
            .iter()
            .map(|step| match &step.what {
                What::Act { act, .. } => name(format!("{act:?}")),
                What::Fault(fault) => name(format!("{fault:?}")),
            })
            .collect();
        assert_eq!(names.len(), 8 + 11, "{names:?}");
        assert!(steps.iter().all(|step| step.at < Duration::from_secs(10)));
    }
}
