//! The rules of membership under every order of steps of two calls, and many of three, with calls that stop anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::directory::Directory;
use super::membership::Memberships;
use super::note::{Attribute, Group, Person};
use crate::{Notes, TargetError};
use async_trait::async_trait;
use gatepass_core::id::GrantId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cell::Cell;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use uuid::Uuid;

const MARA: &str = "uid=mara,ou=people";
const ADMINS: &str = "cn=admins,ou=groups";

/// A directory and notes whose every operation waits for its turn and then happens at once.
#[derive(Default)]
struct World {
    members: Mutex<BTreeSet<String>>,
    notes: Mutex<BTreeMap<GrantId, String>>,
    /// Whose turn it is, and what each life has seen so far: with the world, all that decides what comes.
    now: AtomicUsize,
    seen: Mutex<[u64; 3]>,
}

fn digest(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

impl World {
    fn sees<T: Hash>(&self, what: T) -> T {
        let seen = &mut self.seen.lock().unwrap()[self.now.load(Ordering::Relaxed)];
        *seen = digest((*seen, &what));
        what
    }

    fn state(&self) -> u64 {
        digest((&*self.members.lock().unwrap(), &*self.notes.lock().unwrap(), *self.seen.lock().unwrap()))
    }
}

/// Lets the others go first, once.
async fn turn() {
    let mut waited = false;
    std::future::poll_fn(
        |_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

fn group() -> Group {
    Group { id: "(entryUUID=1)".into(), dn: ADMINS.into(), attribute: Attribute::Member }
}

fn mara() -> Person {
    Person { id: "(entryUUID=2)".into(), dn: MARA.into(), uid: None }
}

#[async_trait]
impl Directory for World {
    // What names these have is no one's to change here: not worth a turn.
    async fn person(&self, _: &str) -> Result<Person, TargetError> {
        Ok(mara())
    }
    async fn group(&self, _: &str) -> Result<Group, TargetError> {
        Ok(group())
    }
    async fn person_now(&self, _: &Person) -> Result<Option<Person>, TargetError> {
        Ok(Some(mara()))
    }
    async fn group_now(&self, _: &Group) -> Result<Option<Group>, TargetError> {
        Ok(Some(group()))
    }
    async fn has(&self, _: &Group, value: &str) -> Result<bool, TargetError> {
        turn().await;
        let has = self.members.lock().unwrap().contains(value);
        Ok(self.sees(has))
    }
    async fn add(&self, _: &Group, value: &str) -> Result<(), TargetError> {
        turn().await;
        self.members.lock().unwrap().insert(value.to_owned());
        self.sees(());
        Ok(())
    }
    async fn delete(&self, _: &Group, value: &str) -> Result<(), TargetError> {
        turn().await;
        self.members.lock().unwrap().remove(value);
        self.sees(());
        Ok(())
    }
    async fn members(&self, _: &Group) -> Result<Vec<String>, TargetError> {
        unreachable!("nobody asks")
    }
}

#[async_trait]
impl Notes for World {
    async fn put(&self, grant: GrantId, text: &str) -> Result<(), TargetError> {
        turn().await;
        self.notes.lock().unwrap().insert(grant, text.to_owned());
        self.sees(());
        Ok(())
    }
    async fn delete(&self, grant: GrantId) -> Result<(), TargetError> {
        turn().await;
        self.notes.lock().unwrap().remove(&grant);
        self.sees(());
        Ok(())
    }
    async fn get(&self, _: GrantId) -> Result<Option<String>, TargetError> {
        unreachable!("nobody asks")
    }
    async fn all(&self) -> Result<BTreeMap<GrantId, String>, TargetError> {
        turn().await;
        let all = self.notes.lock().unwrap().clone();
        Ok(self.sees(all))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Give,
    Take,
}
use Verb::{Give, Take};

/// What one worker does, one after the other; each grant has its own.
#[derive(Clone, Debug)]
struct Life {
    grant: u128,
    verbs: Vec<Verb>,
    /// It stops after so many turns, and what it was doing begins again; or what comes after that does.
    stops: Option<(usize, Again)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Same,
    Next,
}

impl Life {
    fn new(grant: u128, verbs: &[Verb]) -> Self {
        Self { grant, verbs: verbs.to_vec(), stops: None }
    }

    fn held_at_the_end(&self) -> bool {
        self.verbs.last() == Some(&Give)
    }
}

type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

fn work<'a>(world: &'a World, life: &'a Life, at: &'a Cell<usize>) -> Work<'a> {
    let grant = GrantId(Uuid::from_u128(life.grant));
    Box::pin(async move {
        let memberships = Memberships { directory: world, notes: world };
        while let Some(verb) = life.verbs.get(at.get()) {
            let done = match verb {
                Give => memberships.give(grant, "mara", &[ADMINS.to_owned()]).await.map(|_| ()),
                Take => memberships.take(grant).await,
            };
            // The engine tries again.
            if done.is_ok() {
                at.set(at.get() + 1);
            }
        }
    })
}

/// Runs lives to their end; `choose` says whose turn it is, of how many, or that this went so before.
fn run(standing: bool, given: &[u128], lives: &[Life], mut choose: impl FnMut(usize, u64) -> Option<usize>) {
    let world = World::default();
    if standing {
        world.members.lock().unwrap().insert(MARA.into());
    }
    for grant in given {
        let life = Life::new(*grant, &[Give]);
        let at = Cell::new(0);
        finish(work(&world, &life, &at));
    }
    let at: Vec<Cell<usize>> = lives.iter().map(|_| Cell::new(0)).collect();
    let mut works: Vec<Option<Work>> =
        lives.iter().zip(&at).map(|(life, at)| Some(work(&world, life, at))).collect();
    let mut turns = vec![0; lives.len()];
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let live: Vec<usize> = (0..works.len()).filter(|i| works[*i].is_some()).collect();
        if live.is_empty() {
            break;
        }
        let chosen =
            if live.len() == 1 { Some(0) } else { choose(live.len(), digest((world.state(), &turns))) };
        let Some(chosen) = chosen else { return };
        let one = live[chosen];
        world.now.store(one, Ordering::Relaxed);
        turns[one] += 1;
        assert!(turns[one] < 1000, "it comes to an end");
        if works[one].as_mut().unwrap().as_mut().poll(&mut context).is_ready() {
            works[one] = None;
        } else if let Some((_, again)) = lives[one].stops.filter(|(after, _)| *after == turns[one]) {
            if again == Again::Next && at[one].get() + 1 < lives[one].verbs.len() {
                at[one].set(at[one].get() + 1);
            }
            works[one] = Some(work(&world, &lives[one], &at[one]));
        }
        if standing {
            assert!(world.members.lock().unwrap().contains(MARA), "standing access is not ours to take");
        }
    }
    drop(works);
    let ended: Vec<u128> = lives.iter().filter(|l| !l.held_at_the_end()).map(|l| l.grant).collect();
    let held = lives.iter().filter(|l| l.held_at_the_end()).map(|l| l.grant);
    let held: BTreeSet<u128> =
        held.chain(given.iter().copied().filter(|g| lives.iter().all(|l| l.grant != *g))).collect();
    let is = world.members.lock().unwrap().contains(MARA);
    assert_eq!(is, standing || !held.is_empty(), "held: {held:?}, ended: {ended:?}");
    // And the last of them takes it along.
    for grant in &held {
        let life = Life::new(*grant, &[Take]);
        let at = Cell::new(0);
        finish(work(&world, &life, &at));
    }
    assert_eq!(world.members.lock().unwrap().contains(MARA), standing, "after the last");
    assert_eq!(*world.notes.lock().unwrap(), BTreeMap::new());
}

fn finish(mut work: Work<'_>) {
    let mut context = Context::from_waker(Waker::noop());
    while work.as_mut().poll(&mut context).is_pending() {}
}

/// Every order of turns, but for those that come to where another was: nothing new follows there.
fn every(standing: bool, given: &[u128], lives: &[Life]) -> usize {
    let mut choices: Vec<(usize, usize)> = Vec::new();
    let mut been = HashSet::new();
    loop {
        let mut step = 0;
        run(standing, given, lives, |of, state| {
            if step == choices.len() {
                if !been.insert(state) {
                    return None;
                }
                choices.push((0, of));
            }
            step += 1;
            Some(choices[step - 1].0)
        });
        while choices.last().is_some_and(|(chosen, of)| chosen + 1 == *of) {
            choices.pop();
        }
        match choices.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => return been.len(),
        }
    }
}

const A: u128 = 1;
const B: u128 = 2;

fn pairs() -> Vec<(Vec<u128>, [Life; 2])> {
    vec![
        (vec![], [Life::new(A, &[Give]), Life::new(B, &[Give])]),
        (vec![A, B], [Life::new(A, &[Take]), Life::new(B, &[Take])]),
        (vec![A], [Life::new(A, &[Take]), Life::new(B, &[Give])]),
    ]
}

#[test]
fn two_calls_in_every_order() {
    let mut states = 0;
    for standing in [false, true] {
        for (given, lives) in pairs() {
            states += every(standing, &given, &lives);
        }
        for lives in [
            (vec![], [Life::new(A, &[Give, Take]), Life::new(B, &[Give])]),
            (vec![A], [Life::new(A, &[Take]), Life::new(B, &[Give, Take])]),
        ] {
            states += every(standing, &lives.0, &lives.1);
        }
    }
    assert!(states > 1_000, "{states}");
}

#[test]
fn two_calls_of_which_one_stops_anywhere() {
    for standing in [false, true] {
        for (given, mut lives) in pairs() {
            for after in 1..8 {
                lives[0].stops = Some((after, Again::Same));
                every(standing, &given, &lives);
            }
            lives[0].stops = None;
        }
        // Set up half way, and ended then.
        for after in 1..8 {
            let mut life = Life::new(A, &[Give, Take]);
            life.stops = Some((after, Again::Next));
            every(standing, &[B], &[life.clone(), Life::new(B, &[Take])]);
            every(standing, &[], &[life, Life::new(B, &[Give])]);
        }
    }
}

#[test]
fn three_lives_at_random() {
    for seed in 0..4_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let lives: Vec<Life> = (1..=3)
            .map(|grant| {
                let mut life = Life::new(grant, if random.r#gen() { &[Give, Take] } else { &[Give] });
                if random.gen_bool(0.5) {
                    let again = if random.r#gen() { Again::Same } else { Again::Next };
                    life.stops = Some((random.gen_range(1..16), again));
                }
                life
            })
            .collect();
        run(random.gen_bool(0.3), &[], &lives, |of, _| Some(random.gen_range(0..of)));
    }
}
