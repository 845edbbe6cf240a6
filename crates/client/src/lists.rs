//! Reading: lists and details, from the cache; a few straight from the server, for the command line.

use crate::api::{GrantScope, RequestScope};
use crate::cache::{Cache, blocking};
use crate::client::{Client, Joined};
use crate::ui::{EventDetail, Failure, RecentRole};
use gatepass_core::directory::Directory;
use gatepass_core::id::{GrantId, RequestId};
use gatepass_core::view::Lens;
use gatepass_core::wire::{Ask, DriftView, EventView, GrantView, Me, Preview, RequestView, ResourceView};
use gatepass_core::{Code, Time};

impl Client {
    /// Looks into the cache, as it is at the server's time.
    pub(crate) async fn cached<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Cache, Time) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let joined = self.joined()?;
        let now = joined.api.now();
        blocking(&joined.cache, move |cache| look(cache, now)).await
    }

    /// Notes what a direct question to the server said about the connection.
    pub(crate) fn heard<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        match &answer {
            Err(f) if matches!(f.code, Code::Unreachable | Code::CertificateMismatch) => {
                self.contact(Some(f))
            }
            _ => {}
        }
        answer
    }

    /// What may be asked for, as of the last sync.
    pub async fn catalogue(&self) -> Result<Vec<ResourceView>, Failure> {
        self.cached(|cache, now| cache.resources(now)).await
    }

    /// The last five distinct roles this person asked for and may still ask for.
    pub async fn recent_roles(&self) -> Result<Vec<RecentRole>, Failure> {
        let roles = self.cached(|cache, now| cache.recent_roles(now)).await?;
        let named = roles.into_iter().filter_map(|(resource, place)| {
            let role = resource.roles.get(place)?;
            Some(RecentRole {
                role: role.id.clone(),
                role_name: role.name.clone(),
                resource: resource.id.clone(),
                resource_name: resource.name.clone(),
            })
        });
        Ok(named.collect())
    }

    /// What would happen; the server's own analysis.
    pub async fn preview(&self, ask: &Ask) -> Result<Preview, Failure> {
        self.heard(self.joined()?.api.preview(ask).await)
    }

    /// All that are open and the newest 1,000 others, newest first, as of the last sync.
    pub async fn requests(&self) -> Result<Vec<RequestView>, Failure> {
        self.cached(|cache, now| cache.requests(now)).await
    }

    pub async fn request(&self, id: RequestId) -> Result<RequestView, Failure> {
        self.cached(move |cache, now| cache.request(id, now)).await?.ok_or_else(|| Code::NotFound.into())
    }

    /// A request's events, oldest first, as of the last sync.
    pub async fn timeline(&self, request: RequestId) -> Result<Vec<EventView>, Failure> {
        self.cached(move |cache, now| cache.timeline(request, now)).await
    }

    /// All that are not over and the newest 1,000 others, newest first, as of the last sync.
    pub async fn grants(&self) -> Result<Vec<GrantView>, Failure> {
        self.cached(|cache, now| cache.grants(now)).await
    }

    pub async fn grant(&self, id: GrantId) -> Result<GrantView, Failure> {
        self.cached(move |cache, now| cache.grant(id, now)).await?.ok_or_else(|| Code::NotFound.into())
    }

    /// Access that no grant explains: all that is there and the newest that is gone, as of the last sync.
    pub async fn drift(&self) -> Result<Vec<DriftView>, Failure> {
        self.cached(|cache, now| cache.drift(now)).await
    }

    /// Readable events after a position, oldest first, from the cache.
    pub async fn events_after(&self, seq: u64) -> Result<Vec<EventView>, Failure> {
        self.cached(move |cache, now| cache.events_after(seq, now)).await
    }

    pub async fn event(&self, seq: u64) -> Result<EventDetail, Failure> {
        let joined = self.joined()?;
        let log = joined.log.get().cloned();
        self.cached(move |cache, now| cache.event(seq, log.as_ref(), now)).await?.ok_or_else(|| {
            Failure::new(
                Code::NotFound,
                format!("There is no event {seq} in the local cache that you may read."),
            )
        })
    }

    /// How many positions of the log the cache holds.
    pub async fn log_size(&self) -> Result<u64, Failure> {
        self.cached(|cache, _| Ok(cache.position()?.size)).await
    }

    /// Who this is, from the server.
    pub async fn server_me(&self) -> Result<Me, Failure> {
        self.heard(self.joined()?.api.me().await)
    }

    /// The catalogue as this person may use it, from the server.
    pub async fn server_catalogue(&self) -> Result<Vec<ResourceView>, Failure> {
        let joined = self.joined()?;
        let asked = async {
            let (catalogue, people) = (joined.api.catalogue().await?, joined.api.people().await?);
            let me = joined.api.me().await?;
            let directory = Directory::new(people.people);
            let lens = Lens {
                catalogue: &catalogue.catalogue,
                directory: &directory,
                text: &|_| None,
                viewer: me.person.id,
                now: joined.api.now(),
            };
            Ok(lens.resources())
        };
        self.heard(asked.await)
    }

    /// Requests from the server, newest first, over all pages up to `limit`.
    pub async fn server_requests(
        &self,
        scope: RequestScope,
        limit: usize,
    ) -> Result<Vec<RequestView>, Failure> {
        self.heard(self.joined()?.api.requests(scope, limit).await)
    }

    /// A request by id or `R-12`, from the server.
    pub async fn server_request(&self, id: &str) -> Result<RequestView, Failure> {
        self.heard(self.joined()?.api.request_view(id).await)
    }

    /// Accesses from the server, newest first, over all pages up to `limit`.
    pub async fn server_grants(&self, scope: GrantScope, limit: usize) -> Result<Vec<GrantView>, Failure> {
        self.heard(self.joined()?.api.grants(scope, limit).await)
    }

    /// Access that no grant explains, from the server, newest first; `gone`: also what is gone.
    pub async fn server_drift(&self, gone: bool) -> Result<Vec<DriftView>, Failure> {
        self.heard(self.joined()?.api.drift(gone, usize::MAX).await)
    }

    /// An access by its id, its request's id or `R-12`, from the server.
    pub async fn server_grant(&self, id: &str) -> Result<GrantView, Failure> {
        self.heard(self.joined()?.api.grant_view(id).await)
    }
}

impl Joined {
    /// Refused once the log contradicted itself.
    pub(crate) fn trusted(&self) -> Result<(), Failure> {
        match self.profile.mismatch()? {
            None => Ok(()),
            Some(mismatch) => {
                let message = format!("{} This device signs nothing any more.", mismatch.what);
                Err(Failure::new(Code::NotVerified, message))
            }
        }
    }
}
