//! A connector of somebody else's: asked in JSON, over HTTP or as a program. docs/connectors/writing-your-own.md is
//! what its author reads.

mod answer;
mod question;

pub(crate) use answer::spoken_error;
#[cfg(feature = "command")]
pub(crate) use answer::texts;

use crate::{Access, Class, Connector, Found, Removed, Stranger, TargetError};
use answer::Answer;
use async_trait::async_trait;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use question::Question;
use serde_json::Value;

/// An answer about one access has no reason to be larger.
const ONE: usize = 64 * 1024;
/// Some 30,000 accesses.
const ALL: usize = 4 * 1024 * 1024;

/// One question as it goes out.
pub struct Ask<'a> {
    /// `provision`, `remove` or `inspect`
    pub verb: &'static str,
    pub grant: Option<GrantId>,
    /// The question in JSON.
    pub body: &'a [u8],
    /// A longer answer than so many bytes is not taken.
    pub most: usize,
}

/// How a question reaches the other side.
#[async_trait]
pub trait Way: Send + Sync {
    /// Asks once, or again as the same question, and returns the answer as it came, within the way's own time limit.
    /// An answer that the way itself marks as a failure (an exit status, an HTTP status) is never `Ok`.
    async fn ask(&self, ask: Ask<'_>) -> Result<Vec<u8>, TargetError>;

    fn secret(&self, details: Value) -> Secret;
}

/// What stands at the other end of a way, as a connector.
///
/// Class C: nothing is known to end there by itself.
pub struct Foreign<W> {
    target: String,
    way: W,
}

impl<W: Way> Foreign<W> {
    /// `target` is the id in the configuration, which every question names.
    pub fn new(target: &str, way: W) -> Self {
        Self { target: target.to_owned(), way }
    }

    async fn ask(&self, question: &Question<'_>) -> Result<Answer, TargetError> {
        let body = question.json(&self.target)?;
        let grant = question.grant();
        let most = if grant.is_some() { ONE } else { ALL };
        let answer = self.way.ask(Ask { verb: question.verb(), grant, body: &body, most }).await?;
        Answer::read(&answer)
    }
}

#[async_trait]
impl<W: Way> Connector for Foreign<W> {
    fn class(&self) -> Class {
        Class::C
    }

    async fn provision(&self, access: &Access) -> Result<Secret, TargetError> {
        self.ask(&Question::provision(access)).await?.details().map(|details| self.way.secret(details))
    }

    /// There is no verb of its own for it: provisioning again moves the end, and may change the details.
    async fn guard(&self, access: &Access) -> Result<Option<Secret>, TargetError> {
        if !self.inspect().await?.iter().any(|found| found.grant == access.grant) {
            let absent = format!("there is no access of grant {} whose end could be moved", access.grant);
            return Err(TargetError::Refused(absent));
        }
        self.provision(access).await.map(Some)
    }

    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError> {
        self.ask(&Question::Remove { grant }).await?.removed()
    }

    async fn inspect(&self) -> Result<Vec<Found>, TargetError> {
        self.ask(&Question::Inspect { grants: None }).await?.accesses()
    }

    async fn strangers(&self, grants: &[String]) -> Result<Vec<Stranger>, TargetError> {
        self.ask(&Question::Inspect { grants: Some(grants) }).await?.strangers(grants)
    }
}
