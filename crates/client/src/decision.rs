//! A decision in two steps: exactly what will be signed is shown first, then signed and sent.

use crate::cache::blocking;
use crate::client::{Client, Joined};
use crate::ui::{DecisionDraft, Failure, Prepared};
use crate::writes::Texts;
use chrono::TimeDelta;
use gatepass_core::command::{Body, Command};
use gatepass_core::id::{CommandId, RequestId};
use gatepass_core::request::SETUP_LIMIT_S;
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{RequestView, Submit, Verdict};
use gatepass_core::{Code, Time};
use gatepass_log::{fingerprint, signed_bytes};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How long what was shown may be signed. The server refuses bodies older than 5 minutes.
const SHOWN_FOR: TimeDelta = TimeDelta::minutes(4);

/// How many are kept for sending again.
const KEPT: usize = 64;

/// Decisions in the making, in memory only.
#[derive(Default)]
pub(crate) struct Drafts(Mutex<BTreeMap<CommandId, Draft>>);

#[derive(Clone)]
struct Draft {
    request: RequestId,
    body: Body,
    texts: Vec<SaltedText>,
    /// Once it may have reached the server, its age no longer matters: the same id is the same write.
    sent: bool,
}

impl Client {
    /// Builds exactly what [`Client::send_prepared`] will sign. The basis is the local, checked log, so this
    /// fails when the server is out of reach (`unreachable`) or the log contradicted itself (`not_verified`).
    pub async fn prepare_decision(&self, draft: DecisionDraft) -> Result<Prepared, Failure> {
        let joined = self.joined()?;
        joined.trusted()?;
        let known = self.request(draft.request).await;
        if !self.health().online || known.is_err() {
            self.sync().await?;
        }
        let request = self.request(draft.request).await?;
        let mut texts = Texts::default();
        let note = texts.add(draft.note.as_deref())?;
        let duration_s = match draft.verdict {
            Verdict::Approve => Some(draft.duration_s.unwrap_or(request.duration_s)),
            Verdict::Deny if note.is_none() => {
                return Err(Failure::new(Code::ReasonRequired, "Say why you deny this."));
            }
            Verdict::Deny => None,
        };
        let command = Command::Decide {
            request: request.id,
            revision: request.revision,
            shown: request.shown.clone(),
            verdict: draft.verdict,
            duration_s,
            note,
        };
        let body = joined.body(command)?;
        let bytes = signed_bytes(body.command.kind(), &body)
            .map_err(|e| Failure::local("The decision can’t be written down", e))?;
        let not_after = not_after(&joined, &request, duration_s, body.at).await?;
        let prepared = Prepared {
            id: body.id.to_string(),
            digest: Digest::of(&bytes),
            bytes: String::from_utf8(bytes).map_err(|e| Failure::local("The decision can’t be shown", e))?,
            device_name: joined.device.name.clone(),
            fingerprint: fingerprint(&joined.api.key().public()),
            not_after,
        };
        joined.drafts.keep(Draft { request: request.id, body, texts: texts.0, sent: false });
        Ok(prepared)
    }

    /// Signs and sends what was prepared. Sending it twice is one decision; without the server it fails and
    /// nothing is kept for later.
    pub async fn send_prepared(&self, id: &str) -> Result<RequestView, Failure> {
        let joined = self.joined()?;
        joined.trusted()?;
        let id: CommandId = id.parse().map_err(|_| Failure::from(Code::NotFound))?;
        let draft = joined.drafts.take_to_send(id, joined.api.now())?;
        let command = joined.api.sign(draft.body.command.kind(), &draft.body)?;
        let submit = Submit { command, texts: draft.texts };
        let answer = joined.api.on_request(draft.request, "decisions", &submit).await;
        Ok(self.accepted(answer)?.request)
    }
}

impl Drafts {
    fn keep(&self, draft: Draft) {
        let mut drafts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drafts.insert(draft.body.id, draft);
        while drafts.len() > KEPT {
            // Ids are in order of time.
            drafts.pop_first();
        }
    }

    fn take_to_send(&self, id: CommandId, now: Time) -> Result<Draft, Failure> {
        let mut drafts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let draft = drafts.get_mut(&id).ok_or_else(|| {
            Failure::new(Code::NotFound, "This decision is no longer here; look at the request again.")
        })?;
        if !draft.sent && now - draft.body.at > SHOWN_FOR {
            drafts.remove(&id);
            let message = "What you were shown is some minutes old; look at it again before you sign.";
            return Err(Failure::new(Code::StaleRevision, message));
        }
        draft.sent = true;
        Ok(draft.clone())
    }
}

/// When an access would be over at the very latest if this decision were the last and made at `at`.
async fn not_after(
    joined: &Joined,
    request: &RequestView,
    duration_s: Option<u32>,
    at: Time,
) -> Result<Option<Time>, Failure> {
    let Some(allowed) = duration_s.filter(|_| request.last_approval) else { return Ok(None) };
    let length = TimeDelta::seconds(allowed.min(request.allowed_s).into());
    let Some(extends) = request.extends else {
        return Ok(Some(at + TimeDelta::seconds(SETUP_LIMIT_S.into()) + length));
    };
    let grant = blocking(&joined.cache, move |cache| cache.grant(extends, at)).await?;
    Ok(grant.and_then(|g| g.ends_at).map(|end| end + length))
}
