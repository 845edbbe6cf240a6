//! Every life of one grant, for small numbers: two workers of which either may die, stop past its lease or lose its
//! answer, a target, and people who approve, extend, give back and revoke at any moment.
//!
//! What decides is the real `decide`, `report`, `apply` and `effects`. The rest of the world is small: jobs as the
//! store keeps them, and workers that take the steps of `crates/server/src/jobs`. Time passes only when nobody who works
//! has anything to do; that is the fairness without which nothing could be promised. There are so many faults
//! and no more, every claim raises a fence, and time is waited for only while something is owed: so no life goes round in
//! circles, and what holds wherever nothing can happen any more is what happens in the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod jobs;
mod life;
mod work;
mod world;

use gatepass_core::wire::{EndCause, GrantState};
use life::Life;
use stateright::{Checker, DiscoveryClassification, HasDiscoveries, Model, Property};
use world::{Act, Mutant, World};

impl Model for Life {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![self.asked()]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        world.people(acts);
        acts.extend(world.work(self));
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        world.clone().act(self, act)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("never access without its end queued", |_: &Life, world: &World| {
                !world.target.open() || world.target.stray || world.jobs.end().is_some()
            }),
            Property::always("the end is queued no later than it is", |_: &Life, world: &World| {
                let due = world.grant().filter(|g| g.state == GrantState::Active).and_then(|g| g.ends_at);
                due.is_none_or(|due| world.jobs.end().is_some_and(|job| job.due <= due))
            }),
            Property::always("access ends in time", |_: &Life, world: &World| {
                !world.target.open() || world.now <= world.end() + world.grace()
            }),
            Property::always("nothing is told as active after its end", |_: &Life, world: &World| {
                let active = world.grant().filter(|g| g.state == GrantState::Active);
                active.and_then(|g| g.ends_at).is_none_or(|end| world.now <= end + world.grace())
            }),
            Property::always("what is told as over is gone, and stays over", |_: &Life, world: &World| {
                let over = world.grant().is_some_and(|g| g.over());
                (!world.was_over || over) && (!over || !world.target.open() || world.target.stray)
            }),
            Property::always("while something is owed, something happens", |life: &Life, world: &World| {
                world.jobs.is_empty() && !world.at_work() && !world.target.open()
                    || world.work(life).iter().any(|act| world.clone().act(life, *act).is_some())
            }),
            Property::always("in the end there is nothing", |_: &Life, world: &World| {
                let idle = world.jobs.is_empty() && !world.at_work() && !world.owes_a_look();
                !idle || !world.target.open() && world.grant().is_none_or(|g| g.over())
            }),
            Property::sometimes("somebody gets in", |_: &Life, world: &World| world.target.session),
            Property::sometimes("revoked while it is set up", |_: &Life, world: &World| {
                world.target.door
                    && world.ended_by(EndCause::Revoked)
                    && world.grant().is_some_and(|g| g.starts_at.is_none())
            }),
            Property::sometimes("extended and expired", |_: &Life, world: &World| {
                world.was_over && world.extended() && world.ended_by(EndCause::Expired)
            }),
            Property::sometimes(
                "a stopped worker's access comes after the end",
                |_: &Life, world: &World| world.was_over && world.target.door,
            ),
            Property::sometimes("a removal that lost its answer", |_: &Life, world: &World| {
                !world.target.open()
                    && world.grant().is_some_and(|g| g.state == GrantState::Ending && g.delay.is_some())
            }),
            Property::sometimes("it could not be set up", |_: &Life, world: &World| {
                world.was_over && world.ended_by(EndCause::Failed)
            }),
        ]
    }
}

#[test]
fn every_life_ends() {
    let checker = Life::new(None).checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(states > 10_000, "{states}");
}

fn failures(mutant: Mutant) -> Vec<&'static str> {
    let checker = Life::new(Some(mutant)).checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let failed = |name: &&'static str| {
        matches!(checker.discovery_classification(name), DiscoveryClassification::Counterexample)
    };
    checker.discoveries().into_keys().filter(failed).collect()
}

/// Each of these is a mistake that could be made; the model has to see it.
#[test]
fn mistakes_are_found() {
    for (mutant, finds) in [
        (Mutant::NoEndAtApproval, "never access without its end queued"),
        (Mutant::NoEndAtEnding, "access ends in time"),
        (Mutant::LeftAtTheLatest, "the end is queued no later than it is"),
        (Mutant::SettledWithoutRemoval, "what is told as over is gone, and stays over"),
        (Mutant::HalfRemoved, "what is told as over is gone, and stays over"),
        (Mutant::GivenUp, "in the end there is nothing"),
        (Mutant::FenceIgnored, "never access without its end queued"),
        (Mutant::TwoAtOnce, "never access without its end queued"),
        (Mutant::NoLook, "while something is owed, something happens"),
    ] {
        let failed = failures(mutant);
        assert!(failed.contains(&finds), "{mutant:?}: {failed:?}");
    }
}
