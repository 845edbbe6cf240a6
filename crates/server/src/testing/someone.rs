//! A device and the person who has it.

use super::{Answer, TestServer};
use crate::clock::Clock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gatepass_core::command::{Body, Command, Enroll, OpenSession};
use gatepass_core::id::{CommandId, DeviceId, PersonId};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{
    Accepted, Challenge, EnrollSubmit, RequestView, SealedCredential, Secret, Session, SignedCommand, Submit,
    Verdict,
};
use gatepass_log::Key;
use rand::RngCore as _;
use rand::rngs::OsRng;
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;

/// A text with a fresh salt.
pub fn salted(text: &str) -> SaltedText {
    let mut salt = [0; 16];
    OsRng.fill_bytes(&mut salt);
    SaltedText::new(salt, text)
}

/// A device and the person who has it.
pub struct Someone {
    pub id: PersonId,
    pub device: DeviceId,
    pub key: Arc<Key>,
    pub seal: crypto_box::SecretKey,
    pub token: String,
    pub clock: Arc<dyn Clock>,
    pub http: reqwest::Client,
    pub url: String,
}

impl Someone {
    /// A device that nobody knows yet.
    pub fn new(server: &TestServer) -> Self {
        Self::of(server.http.clone(), server.url.clone(), server.clock.clone())
    }

    /// The same, of a server anywhere.
    pub fn of(http: reqwest::Client, url: String, clock: Arc<dyn Clock>) -> Self {
        let mut secret = [0; 32];
        OsRng.fill_bytes(&mut secret);
        Self {
            id: PersonId(Uuid::nil()),
            device: DeviceId(Uuid::now_v7()),
            key: Arc::new(Key::from_bytes(&secret)),
            seal: crypto_box::SecretKey::generate(&mut OsRng),
            token: String::new(),
            clock,
            http,
            url,
        }
    }

    /// The same device, speaking to another node.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            key: self.key.clone(),
            seal: self.seal.clone(),
            token: self.token.clone(),
            clock: self.clock.clone(),
            http: self.http.clone(),
            url: url.to_owned(),
            ..*self
        }
    }

    pub async fn enroll(&self, code: &str) -> Answer {
        let submit = self.enrollment(code);
        self.post("/v1/enroll", &submit).await
    }

    pub fn enrollment(&self, code: &str) -> EnrollSubmit {
        let name = salted("laptop");
        let body = Enroll {
            id: CommandId(Uuid::now_v7()),
            device: self.device,
            at: self.clock.now(),
            kind: "device.enroll".to_owned(),
            invite: Digest::of(code.as_bytes()),
            signing_key: self.key.public(),
            seal_key: BASE64.encode(self.seal.public_key().as_bytes()),
            name: name.digest().expect("salted"),
        };
        let command = self.key.sign("device.enroll", &body).expect("signs");
        EnrollSubmit { command, code: code.to_owned(), name }
    }

    pub async fn sign_in(&mut self) {
        let challenge: Challenge = self.post("/v1/sessions/challenges", &json!({})).await.get();
        let session: Session = self.post("/v1/sessions", &self.answer(&challenge.challenge)).await.get();
        self.token = session.token;
    }

    /// A challenge, signed.
    pub fn answer(&self, challenge: &str) -> SignedCommand {
        let kind = "session.open".to_owned();
        let body = OpenSession { device: self.device, kind, challenge: challenge.to_owned() };
        self.key.sign("session.open", &body).expect("signs")
    }

    pub fn sign(&self, command: Command) -> SignedCommand {
        let body = Body {
            id: CommandId(Uuid::now_v7()),
            device: self.device,
            at: self.clock.now(),
            head: None,
            command,
        };
        self.key.sign(body.command.kind(), &body).expect("signs")
    }

    pub async fn get(&self, path: &str) -> Answer {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(&self.token);
        Answer::of(request.send().await.expect("the server answers")).await
    }

    pub async fn post(&self, path: &str, body: &impl serde::Serialize) -> Answer {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.token).json(body);
        Answer::of(request.send().await.expect("the server answers")).await
    }

    /// Signs and sends.
    pub async fn send(&self, path: &str, command: Command, texts: Vec<SaltedText>) -> Answer {
        let submit = Submit { command: self.sign(command), texts };
        self.post(path, &submit).await
    }

    pub async fn ask(&self, role: &str, duration_s: u32) -> Answer {
        self.ask_because(role, duration_s, Some("stuck orders"), Some("INC-4711")).await
    }

    pub async fn ask_because(
        &self,
        role: &str,
        duration_s: u32,
        reason: Option<&str>,
        ticket: Option<&str>,
    ) -> Answer {
        let (reason, ticket) = (reason.map(salted), ticket.map(salted));
        let digest = |t: &Option<SaltedText>| t.as_ref().and_then(SaltedText::digest);
        let command = Command::Create {
            resource: "orders-db".to_owned(),
            role: role.to_owned(),
            duration_s,
            reason: digest(&reason),
            ticket: digest(&ticket),
            ssh_key: None,
        };
        self.send("/v1/requests", command, reason.into_iter().chain(ticket).collect()).await
    }

    /// The request as this person sees it.
    pub async fn request(&self, id: impl std::fmt::Display) -> RequestView {
        self.get(&format!("/v1/requests/{id}")).await.get()
    }

    pub async fn decide(&self, request: &RequestView, verdict: Verdict, duration_s: Option<u32>) -> Answer {
        let note = salted("as agreed");
        let command = Command::Decide {
            request: request.id,
            revision: request.revision,
            shown: request.shown.clone(),
            verdict,
            duration_s,
            note: note.digest(),
        };
        self.send(&format!("/v1/requests/{}/decisions", request.id), command, vec![note]).await
    }

    pub async fn approve(&self, request: &RequestView) -> Answer {
        self.decide(request, Verdict::Approve, None).await
    }

    pub async fn withdraw(&self, request: &RequestView) -> Answer {
        let command = Command::Withdraw { request: request.id };
        self.send(&format!("/v1/requests/{}/withdraw", request.id), command, Vec::new()).await
    }

    pub async fn give_back(&self, accepted: &Accepted) -> Answer {
        let grant = accepted.grant.as_ref().expect("a grant").id;
        self.send(&format!("/v1/grants/{grant}/return"), Command::Return { grant }, Vec::new()).await
    }

    pub async fn revoke(&self, grant: gatepass_core::id::GrantId) -> Answer {
        let reason = salted("left the team");
        let command = Command::Revoke { grant, reason: reason.digest().expect("salted") };
        self.send(&format!("/v1/grants/{grant}/revoke"), command, vec![reason]).await
    }

    /// Ends everything of a person.
    pub async fn revoke_all(&self, person: PersonId) -> Answer {
        let reason = salted("lost the laptop");
        let command = Command::RevokeAll { person, reason: reason.digest().expect("salted") };
        self.send(&format!("/v1/people/{person}/revoke-all"), command, vec![reason]).await
    }

    pub async fn extend(&self, grant: gatepass_core::id::GrantId, duration_s: u32) -> Answer {
        let reason = salted("not done yet");
        let command = Command::Extend { grant, duration_s, reason: reason.digest() };
        self.send(&format!("/v1/grants/{grant}/extend"), command, vec![reason]).await
    }

    /// Opens a sealed credential with the device's key.
    pub fn open(&self, credential: &SealedCredential) -> Secret {
        let sealed = BASE64.decode(&credential.sealed).expect("base64");
        let plain = self.seal.unseal(&sealed).expect("sealed to this device");
        serde_json::from_slice(&plain).expect("a secret")
    }
}
