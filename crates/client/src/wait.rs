//! Waiting for a request to be decided and its access to be there, by the server's hints.

use crate::api::Ended;
use crate::client::Client;
use crate::comeback::Comeback;
use crate::ui::Failure;
use gatepass_core::Code;
use gatepass_core::id::RequestId;
use gatepass_core::wire::{GrantState, GrantView, RequestState, RequestView};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What waiting came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Waited {
    /// Approved, and the access is there (for an extension: approved).
    Ready { request: Box<RequestView>, grant: Option<Box<GrantView>> },
    /// Denied, withdrawn or lapsed: see the state.
    Not { request: Box<RequestView> },
    /// Approved, but the access is over: it could not be set up, or ended meanwhile.
    Over { request: Box<RequestView>, grant: Box<GrantView> },
    /// The time to wait is over; as it stands now.
    Still { request: Box<RequestView> },
}

/// What one stream came to.
enum Round {
    Waited(Waited),
    Ended(Ended, Duration),
}

impl Client {
    /// Waits until `request` is decided and, if approved, usable. Without `patience` until it lapses at the
    /// latest. Fails with `unreachable` when the server was gone at the end.
    pub async fn wait_for(&self, request: RequestId, patience: Option<Duration>) -> Result<Waited, Failure> {
        let deadline = patience.map(|p| Instant::now() + p);
        let mut comeback = Comeback::default();
        loop {
            let (wait, gone) = match within(deadline, self.round(request)).await {
                Some(Ok(Round::Waited(waited))) => return Ok(waited),
                Some(Ok(Round::Ended(ended, held))) => (comeback.after(&ended, held), None),
                Some(Err(failure)) if passing(failure.code) => (comeback.failed(), Some(failure)),
                Some(Err(failure)) => return Err(failure),
                None => return self.still(request).await,
            };
            if within(deadline, tokio::time::sleep(wait)).await.is_none() {
                return match gone {
                    Some(failure) => Err(failure),
                    None => self.still(request).await,
                };
            }
        }
    }

    /// Looks, and looks again at each hint, until there is no more to wait for or the stream ended.
    async fn round(&self, request: RequestId) -> Result<Round, Failure> {
        // The stream first, so that nothing falls between looking and listening.
        let mut hints = self.joined()?.api.hints().await?;
        let from = Instant::now();
        loop {
            if let Some(waited) = self.look(request).await? {
                return Ok(Round::Waited(waited));
            }
            if let Err(ended) = hints.next().await {
                return Ok(Round::Ended(ended, from.elapsed()));
            }
        }
    }

    async fn still(&self, request: RequestId) -> Result<Waited, Failure> {
        let request = Box::new(self.server_request(&request.to_string()).await?);
        Ok(Waited::Still { request })
    }

    async fn look(&self, id: RequestId) -> Result<Option<Waited>, Failure> {
        let request = Box::new(self.server_request(&id.to_string()).await?);
        match request.state {
            RequestState::Pending => Ok(None),
            RequestState::Denied | RequestState::Withdrawn | RequestState::Lapsed => {
                Ok(Some(Waited::Not { request }))
            }
            RequestState::Approved => {
                let Some(grant) = request.grant.filter(|_| request.extends.is_none()) else {
                    return Ok(Some(Waited::Ready { request, grant: None }));
                };
                let grant = Box::new(self.server_grant(&grant.to_string()).await?);
                Ok(match grant.state {
                    GrantState::Scheduled | GrantState::Provisioning => None,
                    GrantState::Active => Some(Waited::Ready { request, grant: Some(grant) }),
                    GrantState::Ending | GrantState::Ended | GrantState::Failed => {
                        Some(Waited::Over { request, grant })
                    }
                })
            }
        }
    }
}

/// What `doing` came to, or nothing when it is not done by `deadline`.
async fn within<T>(deadline: Option<Instant>, doing: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, doing).await.ok(),
        None => Some(doing.await),
    }
}

/// Whether it may be otherwise the next time.
fn passing(code: Code) -> bool {
    matches!(code, Code::Unreachable | Code::Unavailable | Code::RateLimited)
}
