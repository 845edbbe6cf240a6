//! One method per route.

use super::answer::{read, refused, unreachable};
use super::{Api, Hints};
use crate::ui::Failure;
use gatepass_core::id::{DriftId, GrantId, PersonId, RequestId};
use gatepass_core::retention::Retention;
use gatepass_core::text::Digest;
use gatepass_core::wire::{
    Accepted, Ask, CatalogueDocument, DriftView, EnrollSubmit, Enrolled, GrantView, Head, Marked, Me, Page,
    PeopleDocument, Preview, RequestView, RevokedView, SealedCredential, Submit,
};
use gatepass_core::{Code, Time};
use percent::encode;
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::atomic::Ordering;

/// Which requests a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestScope {
    Mine,
    ToReview,
    All,
}

/// Which accesses a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantScope {
    Mine,
    All,
}

/// Largest page of a list.
const PAGE: usize = 1_000;

/// A page of the log whose events are still text: they are hashed as they came, and read apart.
#[derive(Deserialize)]
pub(crate) struct RawPage {
    pub entries: Vec<RawEntry>,
    pub head: Head,
    pub checkpoint: Option<String>,
    pub now: Time,
    pub catalogue: Digest,
    pub directory: Digest,
    pub scope: Digest,
    #[serde(default)]
    pub retention: Retention,
}

#[derive(Deserialize)]
pub(crate) struct RawEntry {
    pub seq: u64,
    pub leaf: Digest,
    pub event: Option<Box<RawValue>>,
    #[serde(default)]
    pub texts: Vec<gatepass_core::text::SaltedText>,
}

impl Api {
    pub async fn enroll(&self, submit: &EnrollSubmit) -> Result<Enrolled, Failure> {
        self.post_open("v1/enroll", submit).await
    }

    pub async fn me(&self) -> Result<Me, Failure> {
        self.get("v1/me").await
    }

    pub async fn catalogue(&self) -> Result<CatalogueDocument, Failure> {
        self.get("v1/catalogue").await
    }

    pub async fn people(&self) -> Result<PeopleDocument, Failure> {
        self.get("v1/people").await
    }

    pub async fn preview(&self, ask: &Ask) -> Result<Preview, Failure> {
        self.signed_in(|| Ok(self.request(Method::POST, "v1/requests/preview")?.json(ask))).await
    }

    pub async fn create(&self, submit: &Submit) -> Result<Accepted, Failure> {
        self.post_open("v1/requests", submit).await
    }

    /// `verb`: decisions or withdraw.
    pub async fn on_request(&self, id: RequestId, verb: &str, submit: &Submit) -> Result<Accepted, Failure> {
        self.post_open(&format!("v1/requests/{id}/{verb}"), submit).await
    }

    /// `verb`: return, revoke or extend.
    pub async fn on_grant(&self, id: GrantId, verb: &str, submit: &Submit) -> Result<Accepted, Failure> {
        self.post_open(&format!("v1/grants/{id}/{verb}"), submit).await
    }

    /// `verb`: known or unknown.
    pub async fn on_drift(&self, id: DriftId, verb: &str, submit: &Submit) -> Result<Marked, Failure> {
        self.post_open(&format!("v1/drift/{id}/{verb}"), submit).await
    }

    pub async fn drift(&self, gone: bool, limit: usize) -> Result<Vec<DriftView>, Failure> {
        self.list(&format!("v1/drift?gone={gone}"), limit).await
    }

    pub async fn revoke_all(&self, person: PersonId, submit: &Submit) -> Result<RevokedView, Failure> {
        self.post_open(&format!("v1/people/{person}/revoke-all"), submit).await
    }

    /// By id or short number.
    pub async fn request_view(&self, id: &str) -> Result<RequestView, Failure> {
        self.get(&format!("v1/requests/{}", encode(id))).await
    }

    /// By id of the grant or its request, or by short number.
    pub async fn grant_view(&self, id: &str) -> Result<GrantView, Failure> {
        self.get(&format!("v1/grants/{}", encode(id))).await
    }

    pub async fn requests(&self, scope: RequestScope, limit: usize) -> Result<Vec<RequestView>, Failure> {
        let scope = match scope {
            RequestScope::Mine => "mine",
            RequestScope::ToReview => "to-review",
            RequestScope::All => "all",
        };
        self.list(&format!("v1/requests?scope={scope}"), limit).await
    }

    pub async fn grants(&self, scope: GrantScope, limit: usize) -> Result<Vec<GrantView>, Failure> {
        let scope = match scope {
            GrantScope::Mine => "mine",
            GrantScope::All => "all",
        };
        self.list(&format!("v1/grants?scope={scope}"), limit).await
    }

    /// Walks the pages until `limit` or the end.
    async fn list<T: DeserializeOwned + Serialize>(
        &self,
        path: &str,
        limit: usize,
    ) -> Result<Vec<T>, Failure> {
        let mut items: Vec<T> = Vec::new();
        let mut after = String::new();
        while items.len() < limit {
            let size = PAGE.min(limit - items.len());
            let page: Page<T> = self.get(&format!("{path}&limit={size}{after}")).await?;
            items.extend(page.items);
            match page.next {
                Some(next) => after = format!("&after={}", encode(&next)),
                None => break,
            }
        }
        items.truncate(limit);
        Ok(items)
    }

    pub async fn credential(&self, grant: GrantId) -> Result<SealedCredential, Failure> {
        self.get(&format!("v1/grants/{grant}/credential")).await
    }

    pub async fn log(&self, after: u64, limit: usize) -> Result<RawPage, Failure> {
        let sent = self.clock.now();
        let known = self.known.load(Ordering::Relaxed);
        let page: RawPage =
            self.get(&format!("v1/log/events?after={after}&limit={limit}&size={known}")).await?;
        self.heard_of(page.head.size);
        // A long answer was minutes in the making; only a short one tells the time.
        if page.entries.len() < 100 {
            self.measure(sent, page.now);
        }
        Ok(page)
    }

    /// The log's verifier key, `<origin>+<id>+<key>`.
    pub async fn log_key(&self) -> Result<String, Failure> {
        Ok(self.open_text("v1/log/key").await?.trim().to_owned())
    }

    /// The newest signed head.
    pub async fn checkpoint(&self) -> Result<String, Failure> {
        self.open_text("v1/log/checkpoint").await
    }

    /// `path` as C2SP tlog-tiles has it, after `tile/`.
    pub async fn tile(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.open_bytes(&format!("v1/log/tile/{path}")).await
    }

    async fn open_text(&self, path: &str) -> Result<String, Failure> {
        String::from_utf8(self.open_bytes(path).await?)
            .map_err(|_| Failure::new(Code::Malformed, "The server’s answer is not text."))
    }

    /// What needs no sign-in and is no JSON.
    async fn open_bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let answer = self.request(Method::GET, path)?.send().await.map_err(|e| unreachable(&e))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|e| unreachable(&e))?;
        if status.is_success() { Ok(bytes.to_vec()) } else { Err(refused(status, &bytes)) }
    }

    /// Opens the stream of hints.
    pub async fn hints(&self) -> Result<Hints, Failure> {
        Ok(Hints::new(self.stream("v1/stream").await?))
    }

    /// The log one event a line; `query` names the format.
    pub async fn export(&self, query: &str) -> Result<reqwest::Response, Failure> {
        self.stream(&format!("v1/audit/export?{query}")).await
    }

    /// An answer that goes on for longer than one is waited for.
    async fn stream(&self, path: &str) -> Result<reqwest::Response, Failure> {
        let mut renewed = false;
        loop {
            let token = self.token().await?;
            let request = self.streaming.get(self.url(path)?).bearer_auth(token.secret.expose_secret());
            let answer = request.send().await.map_err(|e| unreachable(&e))?;
            if answer.status().is_success() {
                return Ok(answer);
            }
            let failure = match read::<serde_json::Value>(answer).await {
                Err(failure) => failure,
                Ok(_) => refused(reqwest::StatusCode::BAD_GATEWAY, b""),
            };
            if renewed || !matches!(failure.code, Code::Unauthenticated | Code::TokenEnded) {
                return Err(failure);
            }
            renewed = true;
            self.drop_token(&token).await;
        }
    }
}

mod percent {
    /// For one segment of a path or one value of a query.
    pub fn encode(text: &str) -> String {
        url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
    }
}
