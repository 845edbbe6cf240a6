//! A device that speaks the server's API and does nothing else: many of them ask, decide and return at once.

use crate::{Outcome, clock};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crypto_box::SecretKey;
use gatepass_core::Time;
use gatepass_core::command::{Body, Command, Enroll, OpenSession};
use gatepass_core::event::By;
use gatepass_core::id::{CommandId, DeviceId, GrantId, PersonId};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{
    Accepted, Challenge, EnrollSubmit, Enrolled, RequestView, SealedCredential, Secret, Session,
    SignedCommand, Submit, Verdict,
};
use gatepass_log::Key;
use rand::RngCore as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use uuid::Uuid;

/// One device of one person, enrolled.
pub struct Device {
    http: reqwest::Client,
    server: String,
    person: PersonId,
    id: DeviceId,
    key: Key,
    seal: SecretKey,
    token: tokio::sync::Mutex<Option<String>>,
}

impl Device {
    /// Joins by an invite's link.
    pub async fn join(link: &str) -> Outcome<Self> {
        let link = url::Url::parse(link)?;
        let mut query: HashMap<String, String> = link.query_pairs().into_owned().collect();
        let mut take = |name: &str| query.remove(name).ok_or_else(|| format!("the invite has no {name}"));
        let (server, code) = (take("server")?, take("code")?);
        let mut device = Self {
            person: PersonId(Uuid::nil()),
            http: reqwest::Client::builder().build()?,
            server: server.trim_end_matches('/').to_owned(),
            id: DeviceId(Uuid::now_v7()),
            key: Key::from_bytes(&random()),
            seal: SecretKey::from_bytes(random()),
            token: tokio::sync::Mutex::new(None),
        };
        let name = SaltedText::new(random(), "bench");
        let body = Enroll {
            id: CommandId(Uuid::now_v7()),
            device: device.id,
            at: clock::now(),
            kind: "device.enroll".to_owned(),
            invite: Digest::of(code.as_bytes()),
            signing_key: device.key.public(),
            seal_key: BASE64.encode(device.seal.public_key().as_bytes()),
            name: name.digest().ok_or("the name has no digest")?,
        };
        let submit = EnrollSubmit { command: device.key.sign("device.enroll", &body)?, code, name };
        let enrolled: Enrolled = device.post("/v1/enroll", &submit).await?;
        device.person = enrolled.person.id;
        Ok(device)
    }

    /// Who this is, as events name them.
    pub fn by(&self) -> By {
        By::Person { person: self.person, device: self.id }
    }

    /// Asks for a role; the id is the caller's, so that it can listen for it before.
    pub async fn ask(&self, id: Uuid, resource: &str, role: &str, seconds: u32) -> Outcome<Accepted> {
        let reason = SaltedText::new(random(), "stuck orders, see the incident");
        let command = Command::Create {
            resource: resource.to_owned(),
            role: role.to_owned(),
            duration_s: seconds,
            reason: reason.digest(),
            ticket: None,
            ssh_key: None,
        };
        self.write(id, "/v1/requests", command, vec![reason]).await
    }

    /// Approves what the view shows.
    pub async fn approve(&self, view: &RequestView) -> Outcome<Accepted> {
        let command = Command::Decide {
            request: view.id,
            revision: view.revision,
            shown: view.shown.clone(),
            verdict: Verdict::Approve,
            duration_s: Some(view.duration_s),
            note: None,
        };
        self.write(Uuid::now_v7(), &format!("/v1/requests/{}/decisions", view.id), command, Vec::new()).await
    }

    pub async fn give_back(&self, grant: GrantId) -> Outcome<Accepted> {
        let command = Command::Return { grant };
        self.write(Uuid::now_v7(), &format!("/v1/grants/{grant}/return"), command, Vec::new()).await
    }

    /// The secret of a grant of this device.
    pub async fn secret(&self, grant: GrantId) -> Outcome<Secret> {
        let sealed: SealedCredential = self.get(&format!("/v1/grants/{grant}/credential")).await?;
        let opened =
            self.seal.unseal(&BASE64.decode(&sealed.sealed)?).map_err(|_| "the secret does not open")?;
        Ok(serde_json::from_slice(&opened)?)
    }

    /// A read, with a session's token.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        let request = self.http.get(self.url(path)).bearer_auth(self.token().await?);
        read(path, request.send().await?).await
    }

    /// The answer itself, for streams.
    pub async fn open(&self, path: &str) -> Outcome<reqwest::Response> {
        let answer = self.http.get(self.url(path)).bearer_auth(self.token().await?).send().await?;
        Ok(answer.error_for_status()?)
    }

    /// A round trip that does nothing.
    pub async fn ping(&self) -> Outcome<()> {
        self.http.get(self.url("/healthz")).send().await?.error_for_status()?.bytes().await?;
        Ok(())
    }

    async fn write(
        &self,
        id: Uuid,
        path: &str,
        command: Command,
        texts: Vec<SaltedText>,
    ) -> Outcome<Accepted> {
        self.post(path, &Submit { command: self.sign(id, clock::now(), command)?, texts }).await
    }

    /// The command as this device signs it.
    pub fn sign(&self, id: Uuid, at: Time, command: Command) -> Outcome<SignedCommand> {
        let kind = command.kind();
        let body = Body { id: CommandId(id), device: self.id, at, head: None, command };
        Ok(self.key.sign(kind, &body)?)
    }

    /// What reads and streams are let in with; the same until it ends, after a quarter of an hour.
    pub async fn token(&self) -> Outcome<String> {
        let mut held = self.token.lock().await;
        if let Some(token) = &*held {
            return Ok(token.clone());
        }
        let Challenge { challenge, .. } = self.post("/v1/sessions/challenges", &()).await?;
        let body = OpenSession { device: self.id, kind: "session.open".to_owned(), challenge };
        let signed: SignedCommand = self.key.sign("session.open", &body)?;
        let session: Session = self.post("/v1/sessions", &signed).await?;
        *held = Some(session.token.clone());
        Ok(session.token)
    }

    async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Outcome<T> {
        read(path, self.http.post(self.url(path)).json(body).send().await?).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server)
    }
}

async fn read<T: DeserializeOwned>(path: &str, answer: reqwest::Response) -> Outcome<T> {
    let status = answer.status();
    let bytes = answer.bytes().await?;
    if !status.is_success() {
        return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&bytes)).into());
    }
    Ok(serde_json::from_slice(&bytes)?)
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rngs::OsRng.fill_bytes(&mut bytes);
    bytes
}
