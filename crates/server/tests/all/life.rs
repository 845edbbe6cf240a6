//! Random lives over HTTP: whatever people, the clock and the target do, what must hold holds.

use chrono::TimeDelta;
use gatepass_connectors::TargetError;
use gatepass_connectors::fake::{Fault, Verb};
use gatepass_core::event::{Event, Fact};
use gatepass_core::id::{GrantId, PersonId, RequestId};
use gatepass_core::request::{Request, apply};
use gatepass_core::wire::{RequestView, Verdict};
use gatepass_server::store::Lookup;
use gatepass_server::testing::{PATIENCE, Setup, Someone, TestClock, TestServer, shared};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Ask { by: usize, write: bool, duration_s: u32 },
    Decide { by: usize, request: usize, approve: bool, duration_s: u32 },
    Withdraw { by: usize, request: usize },
    Return { by: usize, request: usize },
    Revoke { by: usize, request: usize },
    Extend { by: usize, request: usize, duration_s: u32 },
    Pass { seconds: i64 },
    Fail { removing: bool, after: bool },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (by, request) = (0..4usize, 0..4usize);
    prop_oneof![
        4 => (0..4usize, any::<bool>(), 1..4_000u32)
            .prop_map(|(by, write, duration_s)| Step::Ask { by, write, duration_s }),
        8 => (by.clone(), request.clone(), prop::bool::weighted(0.9), 1..4_000u32)
            .prop_map(|(by, request, approve, duration_s)| Step::Decide { by, request, approve, duration_s }),
        1 => (by.clone(), request.clone()).prop_map(|(by, request)| Step::Withdraw { by, request }),
        2 => (by.clone(), request.clone()).prop_map(|(by, request)| Step::Return { by, request }),
        1 => (by.clone(), request.clone()).prop_map(|(by, request)| Step::Revoke { by, request }),
        2 => (by, request, 1..4_000u32)
            .prop_map(|(by, request, duration_s)| Step::Extend { by, request, duration_s }),
        3 => (1..5_000i64).prop_map(|seconds| Step::Pass { seconds }),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(removing, after)| Step::Fail { removing, after }),
        1 => Just(Step::Restart),
    ]
}

struct World {
    server: TestServer,
    clock: Arc<TestClock>,
    people: Vec<Someone>,
    requests: Vec<RequestId>,
}

impl World {
    async fn new() -> Self {
        let clock = TestClock::new("2026-11-17T12:00:00Z".parse().unwrap());
        let server = TestServer::with(Setup { clock: clock.clone(), ..Setup::default() }).await;
        let mut people = Vec::new();
        for (handle, groups) in [
            ("tomas", &["backend", "dba"][..]),
            ("petra", &["backend"]),
            ("dana", &["dba"]),
            ("olga", &["oncall"]),
        ] {
            people.push(server.person(handle, groups).await);
        }
        Self { server, clock, people, requests: Vec::new() }
    }

    fn pick(&self, request: usize) -> Option<RequestId> {
        let last = self.requests.len().checked_sub(1)?;
        self.requests.get(request.min(last)).copied()
    }

    async fn view(&self, by: usize, request: usize) -> Option<RequestView> {
        let answer = self.people[by].get(&format!("/v1/requests/{}", self.pick(request)?)).await;
        (answer.status == 200).then(|| answer.get())
    }

    async fn take(&mut self, step: Step) {
        let wrong_server = |code: &str| !["internal", "unavailable", "malformed"].contains(&code);
        let answer = match step {
            Step::Ask { by, write, duration_s } => {
                let role = if write { "write" } else { "read" };
                let answer = self.people[by].ask(role, duration_s).await;
                if answer.status == 201 {
                    self.requests.insert(0, answer.get::<gatepass_core::wire::Accepted>().request.id);
                }
                answer
            }
            Step::Decide { by, request, approve, duration_s } => {
                let Some(view) = self.view(by, request).await else { return };
                let verdict = if approve { Verdict::Approve } else { Verdict::Deny };
                self.people[by].decide(&view, verdict, Some(duration_s.min(view.duration_s))).await
            }
            Step::Withdraw { by, request } => {
                let Some(view) = self.view(by, request).await else { return };
                self.people[by].withdraw(&view).await
            }
            Step::Return { by, request } => {
                let Some(grant) = self.view(by, request).await.and_then(|v| v.grant) else { return };
                let command = gatepass_core::command::Command::Return { grant };
                self.people[by].send(&format!("/v1/grants/{grant}/return"), command, Vec::new()).await
            }
            Step::Revoke { by, request } => {
                let Some(grant) = self.view(by, request).await.and_then(|v| v.grant) else { return };
                self.people[by].revoke(grant).await
            }
            Step::Extend { by, request, duration_s } => {
                let Some(grant) = self.view(by, request).await.and_then(|v| v.grant) else { return };
                let answer = self.people[by].extend(grant, duration_s).await;
                if answer.status == 201 {
                    self.requests.insert(0, answer.get::<gatepass_core::wire::Accepted>().request.id);
                }
                answer
            }
            Step::Pass { seconds } => {
                self.clock.advance(TimeDelta::seconds(seconds));
                return self.sign_in().await;
            }
            Step::Fail { removing, after } => {
                let verb = if removing { Verb::Remove } else { Verb::Provision };
                let error = TargetError::Unreachable("broken off".to_owned());
                let fault = if after { Fault::After(error) } else { Fault::Before(error) };
                return self.server.fake.next(verb, fault);
            }
            Step::Restart => {
                self.server.down().await;
                self.server.up().await;
                for person in &mut self.people {
                    person.url = self.server.url.clone();
                }
                return self.sign_in().await;
            }
        };
        assert!(answer.status < 300 || wrong_server(answer.code()), "{}", answer.body);
    }

    async fn sign_in(&mut self) {
        for person in &mut self.people {
            person.sign_in().await;
        }
    }

    /// Lets time pass until nothing is left to do.
    async fn settle(&self) {
        let settled = async {
            let mut idle = 0_u32;
            loop {
                let backlog = self.server.store().backlog().await.unwrap();
                match backlog.next {
                    None if backlog.jobs == 0 => return,
                    Some(next) if backlog.leased == 0 && next > self.server.clock.now() => {
                        self.clock.advance(next - self.server.clock.now());
                    }
                    // A leap of the clock has ended a lease: what is left of it is seen at the next look.
                    _ if shared() => {
                        tokio::time::sleep(Duration::from_millis(30)).await;
                        self.clock.advance(TimeDelta::seconds(1));
                    }
                    // The same, when the leap came to the very moment at which a lease ends.
                    _ => {
                        idle += 1;
                        if idle.is_multiple_of(2_000) {
                            self.clock.advance(TimeDelta::seconds(1));
                        }
                        tokio::task::yield_now().await;
                    }
                }
            }
        };
        if tokio::time::timeout(PATIENCE, settled).await.is_err() {
            let (backlog, now) = (self.server.store().backlog().await.unwrap(), self.server.clock.now());
            panic!("at {now} not everything came to its end: {backlog:?}, {:?}", self.server.kinds().await);
        }
    }
}

fn check(events: &[Event]) -> BTreeMap<RequestId, Request> {
    let mut rows: BTreeMap<RequestId, Request> = BTreeMap::new();
    let mut ended: BTreeSet<GrantId> = BTreeSet::new();
    let mut approvers: BTreeMap<RequestId, BTreeSet<PersonId>> = BTreeMap::new();
    let mut at = BTreeMap::new();
    for event in events {
        // Nobody orders what happens to different requests on a shared store; one request's is in its order.
        let before = at.insert(event.request.filter(|_| shared()), event.at);
        assert!(before <= Some(event.at), "the log is in the order of its times");
        let Some(id) = event.request else { continue };
        let before = rows.remove(&id);
        match &event.fact {
            Fact::RequestApproved { .. } => {
                let by = event.by.person().expect("a person approves");
                assert_ne!(Some(by), before.as_ref().map(|r| r.by), "nobody approves their own");
                assert!(approvers.entry(id).or_default().insert(by), "everybody counts once");
            }
            Fact::RequestGranted { .. } => {
                let needed: u32 = before.as_ref().unwrap().rule.approve.iter().map(|s| s.count).sum();
                assert!(approvers.get(&id).map_or(0, BTreeSet::len) >= needed as usize);
            }
            Fact::GrantActive { grant, starts_at, ends_at } => {
                assert!(!ended.contains(grant), "an ended grant never comes back");
                assert!(ends_at > starts_at);
            }
            Fact::GrantExtended { grant, ends_at, .. } => {
                assert!(!ended.contains(grant), "an ended grant never comes back");
                assert!(*ends_at > event.at);
            }
            Fact::GrantEnded { grant, .. } | Fact::GrantFailed { grant, .. } => {
                assert!(ended.insert(*grant), "a grant ends once");
            }
            _ => {}
        }
        rows.insert(id, apply(before, event).expect("the log applies"));
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(steps in prop::collection::vec(step(), 5..25)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await;
            }
            world.settle().await;
            // On a shared store the last events may still be on their way; a server that stopped has waited for its own.
            world.server.down().await;
            world.server.up().await;
            let events: Vec<Event> = world.server.events().await.into_iter().map(|(_, e)| e).collect();
            let rows = check(&events);
            for (id, request) in rows {
                let kept = world.server.store().load(None, Some(Lookup::Request(id))).await.unwrap().row.unwrap();
                assert_eq!(kept.request, request, "the projection is what the log says");
                assert!(request.grant.is_none_or(|g| g.over()), "every access has ended");
            }
            world.server.finish().await;
        });
    }
}
