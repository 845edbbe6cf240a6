//! The people of a run, each with a real device: its cache, its own retries, and one address that it knows.

use super::check::{About, Answer, View, Write};
use super::fleet::Fleet;
use super::plan::{Act, Fault, PEOPLE};
use gatepass_client::ui::{DecisionDraft, Failure};
use gatepass_client::{Client, GrantScope, KeyStore, Notice, Profile, RequestScope};
use gatepass_core::Code;
use gatepass_core::id::{DeviceId, GrantId, PersonId, RequestId};
use gatepass_core::wire::{Ask, GrantState, Head, RequestState, RequestView, Secret, Verdict};
use gatepass_testkit::Proxy;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Between tries of one who heard nothing.
const AGAIN: Duration = Duration::from_millis(300);
const TRIES: usize = 12;
/// A device is in step again within this, once everything is mended.
const IN_STEP: Duration = Duration::from_secs(60);
/// An access that is asked for with the wish to use it is waited for so long.
const WISH: Duration = Duration::from_secs(5);
const MOST: usize = 10_000;

/// One person and their device.
pub struct Someone {
    pub handle: &'static str,
    profile: Profile,
    program: tokio::sync::RwLock<Program>,
    person: PersonId,
    device: DeviceId,
    way: Proxy,
    /// What earlier programs of this device told.
    told: Mutex<Vec<Notice>>,
    reopened: AtomicBool,
    /// What the server has acknowledged: any node has to show it from then on.
    acknowledged: Mutex<BTreeSet<RequestId>>,
    complaints: Mutex<Vec<String>>,
}

/// The app on a device, as long as it runs.
struct Program {
    client: Client,
    notices: Receiver<Notice>,
    running: JoinHandle<()>,
}

impl Program {
    fn open(profile: &Profile) -> Self {
        let client = Client::open(profile.clone(), KeyStore::File).expect("a client");
        let notices = client.notices();
        let follow = client.clone();
        Self { client, notices, running: tokio::spawn(async move { follow.run().await }) }
    }

    /// Everything that it has told since this was asked last.
    fn told(&mut self) -> Vec<Notice> {
        std::iter::from_fn(|| self.notices.try_recv().ok()).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Everybody joins, each by a way of their own.
pub async fn join(fleet: &Fleet) -> Vec<Arc<Someone>> {
    let ways: Vec<Proxy> = PEOPLE.iter().map(|_| Proxy::to(fleet.balancer.port())).collect();
    let links = fleet.links(&ways.iter().map(Proxy::port).collect::<Vec<_>>()).await;
    let joining = PEOPLE.iter().zip(ways).zip(links).map(|(((handle, ..), way), link)| async move {
        let profile = Profile::within(fleet.dir().join("home"), handle).expect("a profile");
        let program = Program::open(&profile);
        let status = program.client.join(&link, Some("laptop")).await.expect("they join");
        let me = status.me.expect("somebody");
        Arc::new(Someone {
            handle,
            profile,
            program: tokio::sync::RwLock::new(program),
            person: me.person.id,
            device: me.device,
            way,
            told: Mutex::default(),
            reopened: AtomicBool::new(false),
            acknowledged: Mutex::default(),
            complaints: Mutex::default(),
        })
    });
    futures_util::future::join_all(joining).await
}

impl Someone {
    /// Does one thing, if there is something to do it to. `mark` is a text that nothing else has.
    pub async fn act(self: &Arc<Self>, act: &Act, mark: String) -> Option<Write> {
        let client = &self.client().await;
        match *act {
            Act::Ask { role, seconds, using } => Some(self.ask(role, seconds, using, mark).await),
            Act::Approve { pick } => self.decide(pick, Verdict::Approve, mark).await,
            Act::Deny { pick } => self.decide(pick, Verdict::Deny, mark).await,
            Act::Withdraw { pick } => {
                let open = |r: &RequestView| r.mine && r.state == RequestState::Pending;
                let id = self.request(pick, open).await?;
                let answer = insist(|| client.withdraw(id)).await;
                Some(self.write("request.withdraw", About::Subject(id.0), &answer))
            }
            Act::Return { pick } => {
                let id = self.grant(pick, true).await?;
                let answer = insist(|| client.return_grant(id)).await;
                Some(self.write("grant.return", About::Subject(id.0), &answer))
            }
            Act::Revoke { pick } => {
                let id = self.grant(pick, false).await?;
                let answer = insist(|| client.revoke_grant(id, &mark)).await;
                Some(self.write("grant.revoke", About::Mark(mark), &answer))
            }
            Act::Extend { pick, seconds } => {
                let id = self.grant(pick, true).await?;
                let answer = insist(|| client.extend_grant(id, seconds, &mark)).await;
                self.remember(&answer);
                Some(self.write("request.extend", About::Mark(mark), &answer))
            }
            Act::Read => {
                self.read().await;
                None
            }
        }
    }

    async fn ask(self: &Arc<Self>, role: &str, seconds: u32, using: bool, mark: String) -> Write {
        let ask = Ask {
            resource: "orders-db".to_owned(),
            role: role.to_owned(),
            duration_s: seconds,
            reason: Some(mark.clone()),
            ticket: None,
            extends: None,
        };
        let client = &self.client().await;
        let answer = insist(|| client.submit_request(&ask)).await;
        self.remember(&answer);
        if let (true, Ok(request)) = (using, &answer) {
            // Ends with the access itself; whatever it comes to, the target is looked at.
            let _ = tokio::time::timeout(WISH, self.clone().hold(request.id)).await;
        }
        self.write("request.create", About::Mark(mark), &answer)
    }

    async fn decide(&self, pick: usize, verdict: Verdict, mark: String) -> Option<Write> {
        let request = self.request(pick, |r| r.can_decide).await?;
        let draft = DecisionDraft { request, verdict, duration_s: None, note: Some(mark.clone()) };
        let client = &self.client().await;
        let prepared = client.prepare_decision(draft).await.ok()?;
        let answer = insist(|| client.send_prepared(&prepared.id)).await;
        Some(self.write("request.decide", About::Mark(mark), &answer))
    }

    /// Logs in on the target with the access once it is there, and stays until the target ends that.
    async fn hold(self: Arc<Self>, request: RequestId) {
        let client = self.client().await;
        let Ok(found) = client.wait_for(request, Some(WISH)).await else { return };
        let gatepass_client::Waited::Ready { grant: Some(grant), .. } = found else { return };
        let Ok((Secret::Postgres { url }, _)) = client.secret(grant.id).await else { return };
        let Ok((target, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await else {
            return;
        };
        let open = tokio::spawn(connection);
        let _ = target.batch_execute("SELECT count(*) FROM orders").await;
        let _ = open.await;
    }

    /// What any node answers has everything that any other node has acknowledged before.
    async fn read(&self) {
        let acknowledged = self.acknowledged.lock().expect("nobody panicked").clone();
        let client = self.client().await;
        let Ok(answer) = client.server_requests(RequestScope::Mine, MOST).await else { return };
        let there: BTreeSet<RequestId> = answer.into_iter().map(|r| r.id).collect();
        for missing in acknowledged.difference(&there) {
            let said = format!("{} was told that {missing} is there, and then did not find it", self.handle);
            self.complaints.lock().expect("nobody panicked").push(said);
        }
    }

    fn remember(&self, answer: &Result<RequestView, Failure>) {
        self.acknowledged.lock().expect("nobody panicked").extend(answer.as_ref().ok().map(|r| r.id));
    }

    async fn request(&self, pick: usize, fit: impl Fn(&RequestView) -> bool) -> Option<RequestId> {
        let mut fitting: Vec<RequestId> =
            self.client().await.requests().await.ok()?.iter().filter(|r| fit(r)).map(|r| r.id).collect();
        fitting.sort();
        (!fitting.is_empty()).then(|| fitting[pick % fitting.len()])
    }

    /// One that runs: mine, or one that I may end.
    async fn grant(&self, pick: usize, mine: bool) -> Option<GrantId> {
        let grants = self.client().await.grants().await.ok()?;
        let running = |state| matches!(state, GrantState::Provisioning | GrantState::Active);
        let mut fitting: Vec<GrantId> = grants
            .iter()
            .filter(|g| running(g.state) && if mine { g.mine } else { g.can_revoke })
            .map(|g| g.id)
            .collect();
        fitting.sort();
        (!fitting.is_empty()).then(|| fitting[pick % fitting.len()])
    }

    fn write<T>(&self, kind: &'static str, about: About, answer: &Result<T, Failure>) -> Write {
        let answer = match answer {
            Ok(_) => Answer::Taken,
            Err(failure) if unclear(failure.code) => Answer::Lost(failure.code),
            Err(failure) => Answer::Refused(failure.code),
        };
        Write { device: self.device, kind, about, answer }
    }

    /// Does what a fault says to this person's way.
    pub async fn suffer(&self, fault: &Fault) {
        match fault {
            Fault::CutPerson { .. } => self.way.reset(),
            Fault::Reopen { .. } => {
                let mut program = self.program.write().await;
                self.reopened.store(true, Ordering::Relaxed);
                program.running.abort();
                let _ = (&mut program.running).await;
                let told = program.told();
                self.told.lock().expect("nobody panicked").extend(told);
                *program = Program::open(&self.profile);
            }
            Fault::LosePerson { length, .. } => {
                self.way.blackhole();
                tokio::time::sleep(*length).await;
                self.way.restore();
            }
            _ => {}
        }
    }

    /// The device in step with a log of this size, and what it and the server then say.
    pub async fn view(&self, size: u64) -> View {
        let client = self.client().await;
        let from = Instant::now();
        // A contradiction does not pass; it stands in the status.
        while client.sync_now().await.is_err() || client.log_size().await.is_ok_and(|held| held < size) {
            if client.status().await.is_ok_and(|status| status.mismatch) {
                break;
            }
            assert!(from.elapsed() < IN_STEP, "{}’s device is not in step after {IN_STEP:?}", self.handle);
            tokio::time::sleep(AGAIN).await;
        }
        let verified = client.verify_again().await.expect("it can be looked at");
        let problem = verified.problem.map(|p| p.message).filter(|_| verified.mismatch || !verified.online);
        let mut notices = std::mem::take(&mut *self.told.lock().expect("nobody panicked"));
        notices.extend(self.program.write().await.told());
        let witness = std::fs::read(self.profile.dir().join("witness.json")).ok();
        let said = "the server answers when all is mended";
        View {
            handle: self.handle.to_owned(),
            person: self.person,
            head: witness.and_then(|head| serde_json::from_slice::<Head>(&head).ok()),
            problem,
            requests: client.requests().await.expect("the cache"),
            grants: client.grants().await.expect("the cache"),
            server_requests: client.server_requests(RequestScope::All, MOST).await.expect(said),
            server_grants: client.server_grants(GrantScope::All, MOST).await.expect(said),
            notices,
            reopened: self.reopened.load(Ordering::Relaxed),
        }
    }

    async fn client(&self) -> Client {
        self.program.read().await.client.clone()
    }

    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().expect("nobody panicked").clone()
    }
}

/// Whether nobody knows what came of it.
fn unclear(code: Code) -> bool {
    matches!(code, Code::Unreachable | Code::Unavailable | Code::Internal | Code::DatabaseAway)
}

/// As a person does who hears nothing: tries the same again.
async fn insist<T, F: Future<Output = Result<T, Failure>>>(what: impl Fn() -> F) -> Result<T, Failure> {
    for _ in 1..TRIES {
        match what().await {
            Err(failure) if unclear(failure.code) => tokio::time::sleep(AGAIN).await,
            other => return other,
        }
    }
    what().await
}
