//! A server for the client's tests: it keeps a log, tells it honestly, or lies as a test wants.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod sound;

use chrono::TimeDelta;
use gatepass_client::{Client, Clock, KeyStore, Profile};
use gatepass_core::Time;
use gatepass_core::catalogue::{Catalogue, Reason, Resource, Role, Slot};
use gatepass_core::directory::Person;
use gatepass_core::event::{By, Event, Fact, Rule};
use gatepass_core::id::{DeviceId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::retention::Retention;
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{EndCause, Entry, Head, LogPage, Removal};
use gatepass_log::{Hash, LogKey, Tree, canonical, leaf_hash};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tempfile::TempDir;
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

pub const TOMAS: PersonId = PersonId(Uuid::from_u128(1));
pub const NOOR: PersonId = PersonId(Uuid::from_u128(2));

type Lie = Box<dyn Fn(&mut LogPage) + Send>;

/// The server, and a directory for profiles.
pub struct Home {
    server: MockServer,
    state: Arc<Mutex<State>>,
    dir: TempDir,
}

/// What the server knows and how it behaves.
pub struct State {
    pub me: Person,
    pub people: Vec<Person>,
    pub catalogue: Catalogue,
    pub log: Vec<(Event, Vec<SaltedText>)>,
    /// Positions the reader may not read.
    pub hidden: BTreeSet<u64>,
    pub scope: u32,
    pub retention: Retention,
    pub now: Time,
    /// Signs the log's heads; without one the log is not signed.
    pub log_key: Option<LogKey>,
    /// Changes a page before it goes out.
    pub lie: Option<Lie>,
    /// Answers instead of the route whose path starts with the key.
    pub instead: BTreeMap<&'static str, Vec<(u16, Value)>>,
    /// Bodies posted, by path.
    pub posted: Vec<(String, Value)>,
    pub sessions: u32,
    /// How many tokens from now on are not taken.
    pub expired: u32,
    /// What the next streams say after their first hint, before they end.
    pub last_words: Vec<&'static str>,
    /// When streams were opened.
    pub opened: Vec<Instant>,
}

impl Home {
    /// With `noor`, who may decide, as the one who joins.
    pub async fn new() -> Self {
        let person = |id, handle: &str, name: &str, group: &str| Person {
            id,
            handle: handle.into(),
            name: name.into(),
            groups: [group.to_owned()].into(),
            auditor: false,
            admin: false,
        };
        let (tomas, noor) =
            (person(TOMAS, "tomas", "Tomás Rivera", "backend"), person(NOOR, "noor", "Noor Haddad", "dba"));
        let state = Arc::new(Mutex::new(State {
            me: noor.clone(),
            people: vec![tomas, noor],
            catalogue: catalogue(),
            log: Vec::new(),
            hidden: BTreeSet::new(),
            scope: 0,
            retention: Retention::default(),
            now: "2026-11-17T09:00:00Z".parse().unwrap(),
            log_key: Some(log_key(7)),
            lie: None,
            instead: BTreeMap::new(),
            posted: Vec::new(),
            sessions: 0,
            expired: 0,
            last_words: Vec::new(),
            opened: Vec::new(),
        }));
        // Of its own: the shared ones go on listening when dropped.
        let server = MockServer::builder().start().await;
        Mock::given(any()).respond_with(Routes(Arc::clone(&state))).mount(&server).await;
        Self { server, state, dir: tempfile::tempdir().unwrap() }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn link(&self) -> String {
        let server = self.server.uri().replace(':', "%3A").replace('/', "%2F");
        format!("gatepass://join?server={server}&code=abcdefghijklmnopqrstuvwx")
    }

    pub fn profile(&self) -> Profile {
        Profile::within(self.dir.path(), "noor").unwrap()
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Opens the profile; this computer's clock stands still at the server's first time.
    pub fn open(&self) -> Client {
        let state = Arc::clone(&self.state);
        let clock = Clock::of(move || state.lock().unwrap().now);
        Client::open_at(self.profile(), KeyStore::File, clock).unwrap()
    }

    pub async fn joined(&self) -> Client {
        let client = self.open();
        client.join(&self.link(), Some("desk")).await.unwrap();
        client
    }

    /// The server is gone; its address no longer answers.
    pub async fn stop(self) -> (TempDir, Profile, Time) {
        let (profile, now) = (self.profile(), self.state().now);
        drop(self.server);
        (self.dir, profile, now)
    }

    /// All bytes of all files below the profile.
    pub fn bytes(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for file in std::fs::read_dir(self.profile().dir()).unwrap() {
            all.extend(std::fs::read(file.unwrap().path()).unwrap());
        }
        all
    }

    /// The profile's cache, by the back door.
    pub fn cache(&self) -> rusqlite::Connection {
        let dir = self.profile().dir();
        let keys: Value = serde_json::from_slice(&std::fs::read(dir.join("keys.json")).unwrap()).unwrap();
        let conn = rusqlite::Connection::open(dir.join("cache.db")).unwrap();
        let key = keys["cache"].as_str().unwrap();
        conn.execute_batch(&format!("PRAGMA key = \"x'{key}'\"; PRAGMA busy_timeout = 10000")).unwrap();
        conn
    }
}

/// The name of the log.
pub const ORIGIN: &str = "example.com/gatepass";

/// A key of the log, always the same for `seed`.
pub fn log_key(seed: u8) -> LogKey {
    LogKey::parse(&LogKey::generate(ORIGIN, &[seed; 32])).unwrap()
}

pub fn head_of(leaves: &[Hash]) -> Head {
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.append(*leaf));
    tree.head()
}

pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

fn catalogue() -> Catalogue {
    let role = Role {
        id: "write".into(),
        name: "Read and write".into(),
        grants: vec!["orders_writer".into()],
        ask: vec!["backend".into()],
        approve: vec![Slot { from: vec!["dba".into()], count: 1 }],
        default_s: 600,
        min_s: 1,
        max_s: 7_200,
        lapse_s: 28_800,
        reason: Reason::Required,
        ticket: None,
        session: Default::default(),
    };
    let resource = Resource {
        id: "orders-db".into(),
        name: "Orders database".into(),
        environment: "production".into(),
        target: "pg".into(),
        kind: "postgres".into(),
        roles: vec![role],
    };
    Catalogue { resources: vec![resource] }
}

impl State {
    pub fn put(&mut self, by: By, request: Option<RequestId>, fact: Fact, texts: Vec<SaltedText>) -> u64 {
        self.now += TimeDelta::seconds(1);
        let id = EventId(Uuid::from_u128(1_000 + self.log.len() as u128));
        self.log.push((Event { id, at: self.now, by, request, fact, command: None }, texts));
        self.log.len() as u64
    }

    /// Tomás asks for ten minutes.
    pub fn ask(&mut self, number: u64, reason: &str) -> RequestId {
        let id = RequestId(Uuid::from_u128(10_000 + u128::from(number)));
        let reason = SaltedText::new([number as u8; 16], reason);
        let fact = Fact::RequestCreated {
            number: Number(number),
            resource: "orders-db".into(),
            role: "write".into(),
            rule: Rule {
                catalogue: self.catalogue.hash(),
                target: "pg".into(),
                kind: "postgres".into(),
                grants: vec!["orders_writer".into()],
                ask: vec!["backend".into()],
                approve: vec![Slot { from: vec!["dba".into()], count: 1 }],
                max_s: 7_200,
                session: Default::default(),
            },
            duration_s: 600,
            lapses_at: self.now + TimeDelta::hours(8),
            reason: reason.digest(),
            ticket: None,
            extends: None,
            ssh_key: None,
        };
        self.put(tomas(), Some(id), fact, vec![reason]);
        id
    }

    /// Noor approves, and it runs to its end.
    pub fn live(&mut self, id: RequestId) -> GrantId {
        let grant = GrantId(Uuid::from_u128(id.0.as_u128() + 10_000));
        let later = |s: i64, now: Time| now + TimeDelta::seconds(s);
        let by_noor = By::Person { person: NOOR, device: DeviceId(Uuid::from_u128(22)) };
        self.put(by_noor, Some(id), Fact::RequestApproved { duration_s: 600, note: None }, vec![]);
        let latest_end = later(1_500, self.now);
        self.put(By::Gatepass, Some(id), Fact::RequestGranted { grant, duration_s: 600, latest_end }, vec![]);
        self.put(By::Gatepass, Some(id), Fact::GrantProvisioning { grant }, vec![]);
        let (starts_at, ends_at) = (self.now, later(600, self.now));
        self.put(By::Gatepass, Some(id), Fact::GrantActive { grant, starts_at, ends_at }, vec![]);
        grant
    }

    pub fn end(&mut self, id: RequestId, grant: GrantId) {
        let cause = EndCause::Expired;
        self.put(By::Gatepass, Some(id), Fact::GrantEnding { grant, cause, reason: None }, vec![]);
        let removal = Removal { checked_at: self.now, sessions_ended: 1, attempts: 1 };
        self.put(By::Gatepass, Some(id), Fact::GrantEnded { grant, cause, removal }, vec![]);
    }

    pub fn deny(&mut self, id: RequestId) {
        let by_noor = By::Person { person: NOOR, device: DeviceId(Uuid::from_u128(22)) };
        self.put(by_noor, Some(id), Fact::RequestDenied { note: None }, vec![]);
    }

    fn page(&self, after: u64, limit: usize) -> LogPage {
        let mut tree = Tree::default();
        let mut entries = Vec::new();
        for ((event, texts), seq) in self.log.iter().zip(1..) {
            let leaf = leaf_hash(event).unwrap();
            tree.append(leaf);
            if seq > after && entries.len() < limit {
                let visible = !self.hidden.contains(&seq);
                let event = visible.then(|| event.clone());
                let texts = if visible { texts.clone() } else { Vec::new() };
                entries.push(Entry { seq, leaf: leaf.digest(), event, texts });
            }
        }
        let mut page = LogPage {
            checkpoint: self.log_key.as_ref().map(|key| key.sign(&tree.head()).unwrap()),
            entries,
            head: tree.head(),
            now: self.now,
            catalogue: self.catalogue.hash(),
            directory: Digest::of(&canonical(&self.people).unwrap()),
            scope: Digest::of(&self.scope.to_be_bytes()),
            retention: self.retention.clone(),
        };
        if let Some(lie) = &self.lie {
            lie(&mut page);
        }
        page
    }

    pub fn leaves(&self) -> Vec<Hash> {
        self.log.iter().map(|(event, _)| leaf_hash(event).unwrap()).collect()
    }

    /// The head over everything there is.
    pub fn head(&self) -> Head {
        head_of(&self.leaves())
    }

    /// What is served of the log without sign-in, as C2SP tlog-tiles has it.
    fn log_file(&self, path: &str) -> Option<ResponseTemplate> {
        let key = self.log_key.as_ref()?;
        let text = |text: String| Some(ResponseTemplate::new(200).set_body_raw(text, "text/plain"));
        match path.strip_prefix("/v1/log/")? {
            "key" => text(format!("{}\n", key.vkey())),
            "checkpoint" => text(key.sign(&self.head()).unwrap()),
            tile => {
                let (level, rest) = tile.strip_prefix("tile/")?.split_once('/')?;
                let (index, width) = rest.split_once(".p/").unwrap_or((rest, "256"));
                let (level, width): (u32, usize) = (level.parse().unwrap(), width.parse().unwrap());
                let index: usize = index.replace(['x', '/'], "").parse().unwrap();
                let leaves = self.leaves();
                let over = 1 << (8 * level);
                let hashes: Vec<Vec<u8>> = leaves
                    .chunks_exact(over)
                    .skip(index * 256)
                    .take(width)
                    .map(|part| Hash::parse(&head_of(part).root).unwrap().0.to_vec())
                    .collect();
                assert_eq!(hashes.len(), width, "{path}");
                Some(ResponseTemplate::new(200).set_body_raw(hashes.concat(), "application/octet-stream"))
            }
        }
    }

    fn answer(&mut self, request: &Request) -> (u16, Value) {
        let path = request.url.path().to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        if request.method.as_str() == "POST" {
            self.posted.push((path.clone(), body.clone()));
        }
        let instead =
            self.instead.iter_mut().find(|(start, answers)| path.starts_with(*start) && !answers.is_empty());
        if let Some((_, answers)) = instead {
            return answers.remove(0);
        }
        let open = ["/v1/enroll", "/v1/sessions", "/v1/sessions/challenges"].contains(&path.as_str());
        if !open && request.method.as_str() == "GET" && self.expired > 0 {
            self.expired -= 1;
            return (401, problem("token_ended", 401));
        }
        let query = |name: &str| {
            request.url.query_pairs().find(|(k, _)| k == name).and_then(|(_, v)| v.parse::<u64>().ok())
        };
        match path.as_str() {
            "/v1/enroll" => {
                let device = body["command"]["body"]["device"].clone();
                let key = self.log_key.as_ref().map_or("", |key| key.vkey());
                (200, json!({"person": self.me, "device": device, "server": ORIGIN, "log_key": key}))
            }
            "/v1/sessions/challenges" => (200, json!({"challenge": "AAAA", "now": self.now})),
            "/v1/sessions" => {
                self.sessions += 1;
                let expires_at = self.now + TimeDelta::minutes(15);
                (
                    200,
                    json!({"token": format!("t{}", self.sessions), "expires_at": expires_at, "now": self.now}),
                )
            }
            "/v1/me" => (
                200,
                json!({"person": self.me, "device": DeviceId(Uuid::from_u128(21)), "device_name": "desk",
                       "device_fingerprint": "00:00:00:00", "server": "example.com/gatepass"}),
            ),
            "/v1/catalogue" => (200, json!({"hash": self.catalogue.hash(), "catalogue": self.catalogue})),
            "/v1/people" => (200, json!({"hash": Digest::of(b""), "people": self.people})),
            "/v1/log/events" => {
                let limit = query("limit").unwrap_or(1_000) as usize;
                (200, serde_json::to_value(self.page(query("after").unwrap_or(0), limit)).unwrap())
            }
            _ => (404, problem("not_found", 404)),
        }
    }
}

pub fn tomas() -> By {
    By::Person { person: TOMAS, device: DeviceId(Uuid::from_u128(11)) }
}

pub fn problem(code: &str, status: u16) -> Value {
    json!({"type": "about:blank", "title": "T", "status": status, "code": code, "detail": format!("why {code}")})
}

struct Routes(Arc<Mutex<State>>);

impl Respond for Routes {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        if request.url.path() == "/v1/stream" {
            // One hint, and the end: the client comes back.
            let next = (!state.last_words.is_empty()).then(|| state.last_words.remove(0));
            let body = format!(
                "event: head\ndata: {{\"size\":{}}}\n\n{}",
                state.log.len(),
                next.unwrap_or_default()
            );
            state.opened.push(Instant::now());
            return ResponseTemplate::new(200).set_body_raw(body, "text/event-stream");
        }
        if let Some(answer) = state.log_file(request.url.path()) {
            return answer;
        }
        let (status, body) = state.answer(request);
        ResponseTemplate::new(status).set_body_json(body)
    }
}
