//! Waiting for a request to be decided and its access to be there, by the server's hints.

use crate::client::Client;
use crate::run::wait_a_little;
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

impl Client {
    /// Waits until `request` is decided and, if approved, usable. Without `patience` until it lapses at the
    /// latest. Fails with `unreachable` when the server was gone at the end.
    pub async fn wait_for(&self, request: RequestId, patience: Option<Duration>) -> Result<Waited, Failure> {
        let joined = self.joined()?;
        let deadline = patience.map(|p| Instant::now() + p);
        let mut attempt = 0;
        loop {
            let round = async {
                // The stream first, so that nothing falls between looking and listening.
                let mut hints = joined.api.hints().await?;
                loop {
                    if let Some(waited) = self.look(request).await? {
                        return Ok(waited);
                    }
                    hints.next().await?;
                }
            };
            let ended = match deadline {
                Some(deadline) => timeout_at(deadline, round).await,
                None => Ok(round.await),
            };
            let failure: Failure = match ended {
                Ok(Ok(waited)) => return Ok(waited),
                Ok(Err(failure)) => failure,
                Err(_) => {
                    let request = Box::new(self.server_request(&request.to_string()).await?);
                    return Ok(Waited::Still { request });
                }
            };
            let passing = matches!(failure.code, Code::Unreachable | Code::Unavailable | Code::RateLimited);
            if !passing || deadline.is_some_and(|d| Instant::now() >= d) {
                return Err(failure);
            }
            let pause = wait_a_little(attempt);
            match deadline {
                Some(deadline) => {
                    if timeout_at(deadline, pause).await.is_err() {
                        return Err(failure);
                    }
                }
                None => pause.await,
            }
            attempt += 1;
        }
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
