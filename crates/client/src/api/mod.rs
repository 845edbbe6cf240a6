//! The server's API, typed. Knows HTTP, sessions and the server's clock; knows nothing of the cache.

mod answer;
mod routes;
mod stream;

pub use routes::{GrantScope, RequestScope};
pub(crate) use routes::{RawEntry, RawPage};
pub(crate) use stream::{Ended, Hints};

use crate::clock::Clock;
use crate::ui::Failure;
use answer::{read, unreachable};
use chrono::TimeDelta;
use gatepass_core::command::OpenSession;
use gatepass_core::id::DeviceId;
use gatepass_core::wire::{Challenge, Session, SignedCommand};
use gatepass_core::{Code, Time};
use gatepass_log::Key;
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use url::Url;

const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence within an answer.
const SILENCE: Duration = Duration::from_secs(15);
/// Longest answer.
const ANSWER: Duration = Duration::from_secs(60);
/// The stream says something at least every 15 s.
const STREAM_SILENCE: Duration = Duration::from_secs(40);
/// A token is renewed this long before its end.
const MARGIN: TimeDelta = TimeDelta::seconds(30);
/// A round trip longer than this says too little about the server's clock.
const FAIR_TRIP_MS: i64 = 2_000;
/// A write is sent again this often when no answer came: its id makes that harmless.
const RESENDS: u32 = 2;

/// One device's connection to its server.
pub(crate) struct Api {
    base: Url,
    http: reqwest::Client,
    streaming: reqwest::Client,
    clock: Clock,
    device: DeviceId,
    key: Key,
    token: tokio::sync::Mutex<Option<Token>>,
    offset_ms: AtomicI64,
    measured: AtomicBool,
    /// How long the log is at least, as any node said.
    known: AtomicU64,
}

#[derive(Clone)]
struct Token {
    secret: Arc<SecretString>,
    /// By the server's clock.
    ends: Time,
}

impl Api {
    /// `offset_ms` is the server's clock minus this computer's, as last known.
    pub fn new(base: Url, device: DeviceId, key: Key, clock: Clock, offset_ms: i64) -> Result<Self, Failure> {
        let failed = |e: reqwest::Error| Failure::local("The HTTP client can’t start", e);
        let http = || {
            let http = reqwest::Client::builder().connect_timeout(CONNECT).user_agent(AGENT);
            // A server on this machine is never behind the system's proxy.
            if local(&base) { http.no_proxy() } else { http }
        };
        Ok(Self {
            http: http().read_timeout(SILENCE).timeout(ANSWER).build().map_err(failed)?,
            streaming: http().read_timeout(STREAM_SILENCE).build().map_err(failed)?,
            base,
            clock,
            device,
            key,
            token: tokio::sync::Mutex::new(None),
            offset_ms: AtomicI64::new(offset_ms),
            measured: AtomicBool::new(false),
            known: AtomicU64::new(0),
        })
    }

    /// The log was said to be so long. Whichever node is asked next is not to answer with less.
    pub fn heard_of(&self, size: u64) {
        self.known.fetch_max(size, Ordering::Relaxed);
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The server's clock minus this computer's.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// The server's time as far as this device knows it.
    pub fn now(&self) -> Time {
        self.clock.now() + TimeDelta::milliseconds(self.offset_ms())
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        Ok(self.http.request(method, self.url(path)?))
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.base.join(path).map_err(|e| Failure::local("The server’s address can’t be used", e))
    }

    /// Takes a look at the server's clock: `now` was said between `sent` and this moment.
    fn measure(&self, sent: Time, now: Time) {
        let trip = (self.clock.now() - sent).num_milliseconds();
        let first = !self.measured.load(Ordering::Relaxed);
        if (0..=FAIR_TRIP_MS).contains(&trip) || first {
            let offset = (now - sent).num_milliseconds() - trip / 2;
            self.offset_ms.store(offset, Ordering::Relaxed);
            self.measured.store(true, Ordering::Relaxed);
        }
    }

    /// A read with the session's token; one new sign-in when the server no longer takes it.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.signed_in(|| self.request(Method::GET, path)).await
    }

    async fn signed_in<T: DeserializeOwned>(
        &self,
        build: impl Fn() -> Result<RequestBuilder, Failure>,
    ) -> Result<T, Failure> {
        let mut renewed = false;
        loop {
            let token = self.token().await?;
            let answer = build()?.bearer_auth(token.secret.expose_secret()).send().await;
            match read(answer.map_err(|e| unreachable(&e))?).await {
                Err(f) if !renewed && matches!(f.code, Code::Unauthenticated | Code::TokenEnded) => {
                    renewed = true;
                    self.drop_token(&token).await;
                }
                other => return other,
            }
        }
    }

    async fn drop_token(&self, used: &Token) {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|t| Arc::ptr_eq(&t.secret, &used.secret)) {
            *held = None;
        }
    }

    /// The token held, or a new one: a challenge signed by the device's key.
    async fn token(&self) -> Result<Token, Failure> {
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|t| self.now() + MARGIN < t.ends) {
            return Ok(token.clone());
        }
        let mut again = true;
        let session = loop {
            match self.open_session().await {
                // The challenge was used already, by a try whose answer got lost; or its key was just changed.
                Err(f) if again && f.code == Code::Unauthenticated => again = false,
                other => break other?,
            }
        };
        let token = Token { secret: Arc::new(session.token.into()), ends: session.expires_at };
        *held = Some(token.clone());
        Ok(token)
    }

    async fn open_session(&self) -> Result<Session, Failure> {
        let challenge = self.challenge().await?;
        let body = OpenSession {
            device: self.device,
            kind: "session.open".to_owned(),
            challenge: challenge.challenge,
        };
        let signed = self.sign("session.open", &body)?;
        let sent = self.clock.now();
        let session: Session = self.post_open("v1/sessions", &signed).await?;
        self.measure(sent, session.now);
        Ok(session)
    }

    /// Also the first look at the server's clock.
    pub async fn challenge(&self) -> Result<Challenge, Failure> {
        let sent = self.clock.now();
        let challenge: Challenge = self.post_open("v1/sessions/challenges", &()).await?;
        self.measure(sent, challenge.now);
        Ok(challenge)
    }

    pub fn sign<T: Serialize>(&self, kind: &str, body: &T) -> Result<SignedCommand, Failure> {
        self.key.sign(kind, body).map_err(|e| Failure::local("The command can’t be signed", e))
    }

    /// A write without a token. Sent again when no answer came, which its id makes harmless.
    async fn post_open<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, Failure> {
        let mut left = RESENDS;
        loop {
            match self.request(Method::POST, path)?.json(body).send().await {
                Ok(answer) => return read(answer).await,
                // Nobody is there at all: trying again at once changes nothing.
                Err(error) if error.is_connect() => return Err(unreachable(&error)),
                Err(error) if left == 0 || error.is_timeout() => {
                    let Failure { code, message } = unreachable(&error);
                    let unsure =
                        "It is not known whether this went through; look again before you repeat it.";
                    return Err(Failure::new(code, format!("{message} {unsure}")));
                }
                Err(_) => left -= 1,
            }
        }
    }
}

fn local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

const AGENT: &str = concat!("gatepass/", env!("CARGO_PKG_VERSION"));
