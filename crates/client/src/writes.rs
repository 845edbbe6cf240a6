//! Writing: every write is a command signed by this device, its id the idempotency key. Nothing is kept to be
//! sent later: without the server it fails.

use crate::client::{Client, Joined, salt};
use crate::credential::ssh;
use crate::ui::Failure;
use crate::unanswered::meaning;
use gatepass_core::Code;
use gatepass_core::command::{Body, Command};
use gatepass_core::id::{CommandId, DriftId, GrantId, RequestId};
use gatepass_core::text::{Digest, MAX_TEXT_BYTES, SaltedText};
use gatepass_core::wire::{Accepted, Ask, DriftView, GrantView, RequestView, Submit};
use uuid::Uuid;

/// Texts on their way into a command, each behind its digest.
#[derive(Default)]
pub(crate) struct Texts(pub Vec<SaltedText>);

impl Texts {
    /// The digest to sign for `text`; `None` for no text or only spaces.
    pub fn add(&mut self, text: Option<&str>) -> Result<Option<Digest>, Failure> {
        let Some(text) = text.map(str::trim).filter(|t| !t.is_empty()) else { return Ok(None) };
        if text.len() > MAX_TEXT_BYTES {
            return Err(Failure::new(Code::TextTooLong, format!("A text may have {MAX_TEXT_BYTES} bytes.")));
        }
        let salted = SaltedText::new(salt(), text);
        let digest = salted.digest();
        self.0.push(salted);
        Ok(digest)
    }
}

impl Joined {
    pub(crate) fn body(&self, command: Command) -> Result<Body, Failure> {
        let head = self.cache.position()?.verified.map(|v| v.head);
        let id = CommandId(Uuid::now_v7());
        Ok(Body { id, device: self.device.id, at: self.api.now(), head, command })
    }

    /// What to certify, where the target does that; also when it is not known yet what kind the target is.
    fn ssh_key(&self, resource: &str) -> Result<Option<String>, Failure> {
        let documents = self.cache.documents()?;
        let kind = documents.as_ref().and_then(|d| d.catalogue.resource(resource)).map(|r| r.kind.as_str());
        kind.is_none_or(|kind| kind == "ssh").then(|| ssh::public_line(&self.secrets.ssh())).transpose()
    }

    /// [`Self::send`] of what a request or an access is the answer to.
    async fn write(
        &self,
        command: Command,
        texts: Texts,
        post: impl AsyncFnOnce(Submit) -> Result<Accepted, Failure>,
    ) -> Result<Accepted, Failure> {
        let answer = self.send(command, texts, post).await;
        if let Ok(accepted) = &answer {
            self.api.heard_of(accepted.head.size);
        }
        answer
    }

    /// Signs `command` and sends it by `post`; the same again when an earlier answer for the same never came. Nothing is
    /// signed once the log contradicted itself: it would name a head that others do not have.
    pub(crate) async fn send<T>(
        &self,
        command: Command,
        texts: Texts,
        post: impl AsyncFnOnce(Submit) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.trusted()?;
        let now = self.api.now();
        let meaning = meaning(&command, &texts);
        let submit = match self.unanswered.again(&meaning, now) {
            Some(submit) => submit,
            None => {
                let kind = command.kind();
                Submit { command: self.api.sign(kind, &self.body(command)?)?, texts: texts.0 }
            }
        };
        self.unanswered.sent(&meaning, now, &submit);
        let answer = post(submit).await;
        self.unanswered.heard(&meaning, &answer);
        answer
    }
}

/// A reason that is needed, and its digest.
fn why(reason: &str, otherwise: &str) -> Result<(Texts, Digest), Failure> {
    let mut texts = Texts::default();
    let digest = texts.add(Some(reason))?;
    digest.map(|digest| (texts, digest)).ok_or_else(|| Failure::new(Code::ReasonRequired, otherwise))
}

impl Client {
    /// Asks for a role, or for more time on an access when `extends` is set.
    pub async fn submit_request(&self, ask: &Ask) -> Result<RequestView, Failure> {
        if let Some(grant) = ask.extends {
            return self.extend_grant(grant, ask.duration_s, ask.reason.as_deref().unwrap_or_default()).await;
        }
        let joined = self.joined()?;
        let mut texts = Texts::default();
        let command = Command::Create {
            resource: ask.resource.clone(),
            role: ask.role.clone(),
            duration_s: ask.duration_s,
            reason: texts.add(ask.reason.as_deref())?,
            ticket: texts.add(ask.ticket.as_deref())?,
            ssh_key: joined.ssh_key(&ask.resource)?,
        };
        let post = async |submit| joined.api.create(&submit).await;
        Ok(self.accepted(joined.write(command, texts, post).await)?.request)
    }

    pub async fn withdraw(&self, request: RequestId) -> Result<RequestView, Failure> {
        let joined = self.joined()?;
        let post = async |submit| joined.api.on_request(request, "withdraw", &submit).await;
        let answer = joined.write(Command::Withdraw { request }, Texts::default(), post).await;
        Ok(self.accepted(answer)?.request)
    }

    /// Gives an access back.
    pub async fn return_grant(&self, grant: GrantId) -> Result<GrantView, Failure> {
        let joined = self.joined()?;
        let post = async |submit| joined.api.on_grant(grant, "return", &submit).await;
        let answer = joined.write(Command::Return { grant }, Texts::default(), post).await;
        self.accepted_grant(grant, answer).await
    }

    /// Ends someone's access; the reason is needed.
    pub async fn revoke_grant(&self, grant: GrantId, reason: &str) -> Result<GrantView, Failure> {
        let joined = self.joined()?;
        let mut texts = Texts::default();
        let reason = texts
            .add(Some(reason))?
            .ok_or_else(|| Failure::new(Code::ReasonRequired, "Say why this access is ended."))?;
        let post = async |submit| joined.api.on_grant(grant, "revoke", &submit).await;
        let answer = joined.write(Command::Revoke { grant, reason }, texts, post).await;
        self.accepted_grant(grant, answer).await
    }

    /// Marks access that no grant explains as known, as it was at `revision`; the reason is needed.
    pub async fn mark_known(
        &self,
        drift: DriftId,
        revision: u32,
        reason: &str,
    ) -> Result<DriftView, Failure> {
        let (texts, reason) = why(reason, "Say why this access is as it should be.")?;
        self.mark(drift, "known", Command::DriftKnown { drift, revision, reason }, texts).await
    }

    /// Takes that back.
    pub async fn mark_unknown(
        &self,
        drift: DriftId,
        revision: u32,
        reason: &str,
    ) -> Result<DriftView, Failure> {
        let (texts, reason) = why(reason, "Say why this access is no longer known.")?;
        self.mark(drift, "unknown", Command::DriftUnknown { drift, revision, reason }, texts).await
    }

    async fn mark(
        &self,
        drift: DriftId,
        verb: &str,
        command: Command,
        texts: Texts,
    ) -> Result<DriftView, Failure> {
        let joined = self.joined()?;
        let post = async |submit| joined.api.on_drift(drift, verb, &submit).await;
        let answer = joined.send(command, texts, post).await;
        if let Ok(marked) = &answer {
            joined.api.heard_of(marked.head.size);
        }
        let marked = self.heard(answer)?;
        self.0.kick.notify_one();
        Ok(marked.drift)
    }

    /// Asks for `duration_s` more; answers the new request.
    pub async fn extend_grant(
        &self,
        grant: GrantId,
        duration_s: u32,
        reason: &str,
    ) -> Result<RequestView, Failure> {
        let joined = self.joined()?;
        let mut texts = Texts::default();
        let reason = texts.add(Some(reason))?;
        let post = async |submit| joined.api.on_grant(grant, "extend", &submit).await;
        let answer = joined.write(Command::Extend { grant, duration_s, reason }, texts, post).await;
        Ok(self.accepted(answer)?.request)
    }

    /// What a write was answered; if it was taken, the loop pulls what it caused.
    pub(crate) fn accepted(&self, answer: Result<Accepted, Failure>) -> Result<Accepted, Failure> {
        let accepted = self.heard(answer)?;
        self.0.kick.notify_one();
        Ok(accepted)
    }

    async fn accepted_grant(
        &self,
        id: GrantId,
        answer: Result<Accepted, Failure>,
    ) -> Result<GrantView, Failure> {
        match self.accepted(answer)?.grant {
            Some(grant) => Ok(grant),
            None => self.server_grant(&id.to_string()).await,
        }
    }
}
