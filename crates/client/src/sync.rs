//! Pulling the log by cursor into the cache, checking it on the way, and saying what changed.

use crate::api::Api;
use crate::cache::{Breach, Checked, Ingested, blocking, check};
use crate::client::{Client, Health, Joined, Topic};
use crate::ui::{Failure, Status};
use gatepass_core::Code;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Events in one page and one transaction.
const PAGE: usize = 5_000;

/// How often a page is asked for again when the server says "too many".
const PATIENCE: u32 = 10;

/// What was last told to listeners.
#[derive(Default)]
pub(crate) struct Told {
    known: bool,
    size: u64,
    changes: u64,
    documents: String,
}

type Page = Result<Result<Checked, Breach>, Failure>;

impl Client {
    /// Pulls what is new, now.
    pub async fn sync_now(&self) -> Result<Status, Failure> {
        self.sync().await?;
        self.status().await
    }

    /// Pulls everything again, as after a sleep.
    pub async fn resync(&self) -> Result<(), Failure> {
        let joined = self.joined()?;
        blocking(&joined.cache, |cache| cache.start_resync()).await?;
        self.sync().await
    }

    pub(crate) async fn sync(&self) -> Result<(), Failure> {
        let joined = self.joined()?;
        let mut told = joined.syncing.lock().await;
        let result = self.pull(&joined).await;
        self.contact(result.as_ref().err());
        let mut announced = self.announce(&joined, &mut told).await;
        // May take a while, once in a long time.
        let tidied = self.tidy_texts(&joined).await;
        if matches!(tidied, Ok(true)) {
            announced = announced.and(self.announce(&joined, &mut told).await);
        }
        // After telling: a file that reaches the disk takes its time.
        self.witnessed(&joined).await?;
        self.tidy_ssh().await;
        result.and(tidied.map(|_| ())).and(announced)
    }

    /// Notes how a contact with the server went.
    pub(crate) fn contact(&self, failure: Option<&Failure>) {
        let health = match failure {
            None => Health { online: true, problem: None },
            Some(f) => Health {
                online: !matches!(f.code, Code::Unreachable | Code::CertificateMismatch | Code::CacheBroken),
                problem: Some(f.clone()),
            },
        };
        let mut held = self.health();
        if *held != health {
            *held = health;
            drop(held);
            self.tell(vec![Topic::Status]);
        }
    }

    async fn pull(&self, joined: &Arc<Joined>) -> Result<(), Failure> {
        let profile = &self.0.profile;
        if let Some(mismatch) = profile.mismatch()? {
            // Still worth knowing whether the server is there.
            joined.api.me().await?;
            return Err(Failure::new(Code::NotVerified, mismatch.what));
        }
        let witness = profile.witness()?;
        // A node that has not heard of it yet would seem to have lost it.
        joined.api.heard_of(witness.as_ref().map_or(0, |w| w.head.size));
        let mut cursor = blocking(&joined.cache, |cache| Ok(cache.position()?.cursor)).await?;
        let mut ahead = None;
        loop {
            let page = ahead.take().unwrap_or_else(|| fetch(&joined.api, cursor));
            let page = page.await.map_err(|e| Failure::local("The sync’s task ended", e))??;
            let page = match page {
                Ok(page) => page,
                Err(breach) => return Err(self.breached(joined, breach).await?),
            };
            let (count, head) = (page.rows.len() as u64, page.head.clone());
            let last = cursor + count;
            if count == 0 && last < head.size {
                let message = "The server’s log has more than the server gives.";
                return Err(Failure::new(Code::Malformed, message));
            }
            // The next page travels and is checked while this one is written.
            let next = (last < head.size).then(|| fetch(&joined.api, last));
            refresh(joined, &page).await?;
            if page.checkpoint.is_some() {
                self.pin(joined).await?;
            }
            let (seen, log, now) = (witness.clone(), joined.log.get().cloned(), joined.api.now());
            let done = blocking(&joined.cache, move |cache| {
                let done = cache.ingest(page, log.as_ref(), seen.as_ref(), now)?;
                Ok((done, cache.position()?))
            });
            let (done, position) = done.await?;
            let behind = match done {
                Ingested::Breach(breach) => return Err(self.breached(joined, breach).await?),
                Ingested::Done(behind) => behind,
                Ingested::Raced => None,
            };
            if !position.resyncing && position.size >= head.size {
                self.finished(joined, position.size).await?;
                return behind.map_or(Ok(()), |behind| Err(behind.failure()));
            }
            // Unless another process or a resync moved the cursor.
            ahead = next.filter(|_| position.cursor == last);
            cursor = position.cursor;
        }
    }

    /// Has texts go that were kept for long enough, and what is left of people who were erased; with the server gone, too.
    /// Answers whether anything did.
    async fn tidy_texts(&self, joined: &Arc<Joined>) -> Result<bool, Failure> {
        let now = joined.api.now();
        blocking(&joined.cache, move |cache| Ok(cache.reword(now)? | cache.expire(now)?)).await
    }

    async fn finished(&self, joined: &Arc<Joined>, size: u64) -> Result<(), Failure> {
        let (now, offset) = (joined.api.now(), joined.api.offset_ms());
        blocking(&joined.cache, move |cache| {
            cache.remember("synced_at", &now)?;
            cache.remember("offset_ms", &offset)?;
            // What was there when this device joined is history, not news.
            if cache.notified()?.is_none() { cache.set_notified(size) } else { Ok(()) }
        })
        .await
    }

    /// Says what changed since this process last said it, whoever wrote it.
    async fn announce(&self, joined: &Arc<Joined>, told: &mut Told) -> Result<(), Failure> {
        let before = told.size;
        let (position, documents, kinds) = blocking(&joined.cache, move |cache| {
            let documents = cache.documents()?.map_or_else(String::new, |d| d.version());
            Ok((cache.position()?, documents, cache.kinds_after(before)?))
        })
        .await?;
        let mut topics = vec![Topic::Status];
        // A resync changes what is there without adding to it.
        let unknown = !told.known || (position.size == told.size && position.changes != told.changes);
        let any = |start: &str| unknown || kinds.iter().any(|k| k.starts_with(start));
        if any("request.") {
            topics.push(Topic::Requests);
        }
        if any("grant.") || any("request.") {
            topics.push(Topic::Grants);
        }
        if any("drift.") {
            topics.push(Topic::Drift);
        }
        if unknown || position.size != told.size {
            topics.push(Topic::Events);
        }
        if documents != told.documents {
            topics.extend([Topic::Catalogue, Topic::Requests, Topic::Drift]);
        }
        topics.sort_unstable();
        topics.dedup();
        *told = Told { known: true, size: position.size, changes: position.changes, documents };
        self.tell(topics);
        self.notify(joined).await
    }
}

fn fetch(api: &Arc<Api>, after: u64) -> JoinHandle<Page> {
    let api = Arc::clone(api);
    tokio::spawn(async move {
        let mut left = PATIENCE;
        let page = loop {
            match api.log(after, PAGE).await {
                Err(f) if f.code == Code::RateLimited && left > 0 => {
                    left -= 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                other => break other?,
            }
        };
        let checked = tokio::task::spawn_blocking(move || check(after, page)).await;
        checked.map_err(|e| Failure::local("Checking the log failed", e))?
    })
}

/// Gets the catalogue and the people again when the log's page speaks of other ones.
async fn refresh(joined: &Arc<Joined>, page: &Checked) -> Result<(), Failure> {
    let held = blocking(&joined.cache, |cache| cache.documents()).await?;
    let (catalogue, people) = held.map_or((false, false), |d| d.are(&page.catalogue, &page.directory));
    if !catalogue {
        let (document, hash) = (joined.api.catalogue().await?, page.catalogue.clone());
        blocking(&joined.cache, move |cache| cache.set_catalogue(&hash, &document.catalogue)).await?;
    }
    if !people {
        let (document, me) = (joined.api.people().await?, joined.api.me().await?);
        let hash = page.directory.clone();
        blocking(&joined.cache, move |cache| cache.set_people(&hash, &document.people, &me)).await?;
    }
    Ok(())
}
