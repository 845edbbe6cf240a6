//! The one door to everything the desktop and the command line do.

use crate::api::Api;
use crate::cache::Cache;
use crate::cache::blocking;
use crate::clock::Clock;
use crate::credential::Credentials;
use crate::decision::Drafts;
use crate::invite::{Invite, server_url};
use crate::keys::{KeyStore, Secrets};
use crate::notice::Notice;
use crate::profile::{Device, Profile};
use crate::ui::{Failure, Settings, Status};
use crate::unanswered::Unanswered;
use crate::verify::Verifying;
use gatepass_core::command::Enroll;
use gatepass_core::id::{CommandId, DeviceId};
use gatepass_core::text::SaltedText;
use gatepass_core::wire::{EnrollSubmit, Me};
use gatepass_core::{Code, Time};
use gatepass_log::{LogVerifier, fingerprint};
use rand::RngCore as _;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use tokio::sync::{Notify, broadcast};
use url::Url;
use uuid::Uuid;

/// What changed; never the data itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    Status,
    Requests,
    Grants,
    Drift,
    Events,
    Catalogue,
    Settings,
    Exports,
}

/// One profile's client. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub profile: Profile,
    pub keystore: KeyStore,
    pub clock: Clock,
    joined: RwLock<Option<Arc<Joined>>>,
    pub changed: broadcast::Sender<Vec<Topic>>,
    pub notices: broadcast::Sender<Notice>,
    /// Asks the loop to sync now.
    pub kick: Notify,
    health: Mutex<Health>,
    pub exports: crate::export::Exports,
}

/// How the last contact went.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Health {
    pub online: bool,
    pub problem: Option<Failure>,
}

/// What there is once a server was joined.
pub(crate) struct Joined {
    pub profile: Profile,
    pub device: Device,
    pub secrets: Secrets,
    pub api: Arc<Api>,
    pub cache: Arc<Cache>,
    /// One sync at a time in this process.
    pub syncing: tokio::sync::Mutex<crate::sync::Told>,
    pub drafts: Drafts,
    pub credentials: Credentials,
    pub unanswered: Unanswered,
    /// Whose checkpoints hold; not there until this device has got the log's key.
    pub log: OnceLock<LogVerifier>,
    pub verifying: Verifying,
}

impl Client {
    /// Opens a profile. Works with the server gone. Fails when the profile has joined and its key can't be had:
    /// `no_keyring`, `keyring_locked`; then try again once that is mended.
    pub fn open(profile: Profile, keystore: KeyStore) -> Result<Self, Failure> {
        Self::open_at(profile, keystore, Clock::system())
    }

    /// As [`Client::open`], by another clock.
    pub fn open_at(profile: Profile, keystore: KeyStore, clock: Clock) -> Result<Self, Failure> {
        let client = Self(Arc::new(Inner {
            profile,
            keystore,
            clock,
            joined: RwLock::new(None),
            changed: broadcast::channel(64).0,
            notices: broadcast::channel(512).0,
            kick: Notify::new(),
            health: Mutex::new(Health::default()),
            exports: crate::export::Exports::default(),
        }));
        match client.joined() {
            Ok(_) => Ok(client),
            Err(failure) if failure.code == Code::NotJoined => Ok(client),
            Err(failure) => Err(failure),
        }
    }

    pub fn profile(&self) -> &Profile {
        &self.0.profile
    }

    /// Topics as they change, from syncs and from what is done here.
    pub fn subscribe(&self) -> broadcast::Receiver<Vec<Topic>> {
        self.0.changed.subscribe()
    }

    /// What to tell the person, each once over all runs of the program: only a process that calls this takes
    /// them off the list.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.0.notices.subscribe()
    }

    /// Where the profile stands; never fails for want of a server.
    pub async fn status(&self) -> Result<Status, Failure> {
        let inner = &self.0;
        let mut status = Status {
            profile: inner.profile.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            me: None,
            server_name: None,
            server_url: None,
            online: false,
            problem: None,
            synced_at: None,
            verified_to: None,
            verified_at: None,
            mismatch: false,
            clock_offset_ms: 0,
            keystore: inner.keystore.name().to_owned(),
            trial: false,
            to_review: 0,
            active: 0,
            drift: 0,
        };
        let joined = match self.joined() {
            Ok(joined) => joined,
            Err(failure) if failure.code == Code::NotJoined => return Ok(status),
            Err(failure) => return Err(failure),
        };
        let now = joined.api.now();
        let (me, synced_at, position, to_review, active, drift) = blocking(&joined.cache, move |cache| {
            Ok((
                cache.me()?,
                cache.recall::<Time>("synced_at")?,
                cache.position()?,
                cache.to_review(now)?.len(),
                cache.active(now)?,
                cache.open_drift()?,
            ))
        })
        .await?;
        let Health { online, problem } = self.health().clone();
        status.me = me;
        status.server_name = Some(joined.device.server.clone());
        status.server_url = Some(joined.device.server_url.clone());
        status.online = online;
        status.problem = problem;
        status.synced_at = synced_at;
        status.verified_to = position.verified.as_ref().map(|v| v.head.size);
        status.verified_at = position.verified.map(|v| v.at);
        status.mismatch = inner.profile.mismatch()?.is_some();
        status.clock_offset_ms = joined.api.offset_ms();
        status.trial = joined.device.trial;
        status.to_review = u32::try_from(to_review).unwrap_or(u32::MAX);
        status.active = active;
        status.drift = drift;
        Ok(status)
    }

    /// Joins a server by an invite link; `device_name` is this computer's name unless given. The key is kept
    /// before the invite is used, so a keyring that does not answer costs no invite.
    pub async fn join(&self, link: &str, device_name: Option<&str>) -> Result<Status, Failure> {
        self.join_as(link, device_name, false).await
    }

    /// As [`Client::join`], of a server that lives inside this app.
    pub async fn join_trial(&self, link: &str, device_name: Option<&str>) -> Result<Status, Failure> {
        self.join_as(link, device_name, true).await
    }

    async fn join_as(&self, link: &str, device_name: Option<&str>, trial: bool) -> Result<Status, Failure> {
        let inner = &self.0;
        if inner.profile.device()?.is_some() {
            return Err(Code::AlreadyJoined.into());
        }
        let invite = Invite::parse(link)?;
        inner.profile.clear()?;
        let secrets = Secrets::generate();
        inner.keystore.save(&inner.profile, &secrets)?;
        let joined = self.enroll(&invite, &secrets, device_name, trial).await;
        let (device, me) = match joined {
            Ok(done) => done,
            Err(failure) => {
                // Nothing was joined: leave no key behind. That this fails too is not the news.
                let _ = inner.keystore.delete(&inner.profile);
                return Err(failure);
            }
        };
        inner.profile.set_device(&device)?;
        self.joined()?.cache.set_me(&me)?;
        // Joined either way: the loop goes on with it.
        let _ = self.sync().await;
        inner.kick.notify_one();
        self.status().await
    }

    async fn enroll(
        &self,
        invite: &Invite,
        secrets: &Secrets,
        name: Option<&str>,
        trial: bool,
    ) -> Result<(Device, Me), Failure> {
        let id = DeviceId(Uuid::now_v7());
        let clock = self.0.clock.clone();
        let api = Api::new(invite.server.clone(), id, secrets.signing(), clock, 0)?;
        // The server's clock first: the body carries its time, whatever this computer's clock says.
        api.challenge().await?;
        let name = name.map(str::trim).filter(|n| !n.is_empty()).map_or_else(computer, str::to_owned);
        let salted = SaltedText::new(salt(), name.clone());
        let public = api.key().public();
        let body = Enroll {
            id: CommandId(Uuid::now_v7()),
            device: id,
            at: api.now(),
            kind: "device.enroll".to_owned(),
            invite: invite.digest(),
            signing_key: public.clone(),
            seal_key: base64(secrets.seal().public_key().as_bytes()),
            name: salted.digest().ok_or(Code::Internal)?,
        };
        let command = api.sign("device.enroll", &body)?;
        let submit = EnrollSubmit { command, code: invite.code.to_string(), name: salted };
        let enrolled = api.enroll(&submit).await?;
        let device = Device {
            id: enrolled.device,
            name: name.clone(),
            server_url: invite.server.to_string(),
            server: enrolled.server.clone(),
            trial,
            joined_at: api.now(),
            log_key: Some(enrolled.log_key).filter(|key| !key.is_empty()),
        };
        let me = Me {
            person: enrolled.person,
            device: enrolled.device,
            device_name: name,
            device_fingerprint: fingerprint(&public),
            server: enrolled.server,
        };
        Ok((device, me))
    }

    /// The server is now at `url` (the embedded one gets a new port at each start).
    pub async fn point_at(&self, url: &str) -> Result<(), Failure> {
        let url = server_url(url).ok_or_else(|| {
            Failure::new(Code::Malformed, format!("“{url}” is not an http or https address"))
        })?;
        // As it is kept: the log's key may have been added to it.
        let mut device = self.0.profile.device()?.ok_or(Code::NotJoined)?;
        device.server_url = url.to_string();
        self.0.profile.set_device(&device)?;
        self.set_joined(None);
        self.joined()?;
        self.0.kick.notify_one();
        Ok(())
    }

    /// Forgets the server: deletes the cache and the key. The settings stay. The server is not told; an admin
    /// disables the device there.
    pub async fn leave(&self) -> Result<Status, Failure> {
        let inner = &self.0;
        inner.keystore.delete(&inner.profile)?;
        inner.profile.clear()?;
        crate::credential::ssh::clear(&inner.profile, None);
        self.set_joined(None);
        *self.health() = Health::default();
        self.tell(vec![
            Topic::Status,
            Topic::Requests,
            Topic::Grants,
            Topic::Drift,
            Topic::Events,
            Topic::Catalogue,
        ]);
        self.status().await
    }

    pub async fn settings(&self) -> Result<Settings, Failure> {
        self.0.profile.settings()
    }

    pub async fn set_settings(&self, settings: Settings) -> Result<Settings, Failure> {
        self.0.profile.set_settings(&settings)?;
        self.tell(vec![Topic::Settings]);
        Ok(settings)
    }

    /// What was joined; picks it up when another process of this profile joined.
    pub(crate) fn joined(&self) -> Result<Arc<Joined>, Failure> {
        let inner = &self.0;
        if let Some(joined) = &*inner.joined.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(joined));
        }
        let mut held = inner.joined.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(joined) = &*held {
            return Ok(Arc::clone(joined));
        }
        let device = inner.profile.device()?.ok_or(Code::NotJoined)?;
        let secrets = inner.keystore.load(&inner.profile)?;
        let opened = Cache::open(&inner.profile.file("cache.db"), secrets.cache(), inner.clock.now())?;
        if let Some(aside) = opened.moved_aside {
            let message = format!(
                "The local cache could not be read and is being built again from the server. The old one is kept as {}.",
                aside.display()
            );
            tracing::warn!("{message}");
            self.health().problem = Some(Failure::new(Code::CacheBroken, message));
        }
        let base =
            server_url(&device.server_url).or_else(|| Url::parse(&device.server_url).ok()).ok_or_else(
                || Failure::new(Code::Internal, "The server’s address in device.json can’t be used."),
            )?;
        let offset = opened.cache.recall("offset_ms")?.unwrap_or(0);
        let api = Api::new(base, device.id, secrets.signing(), inner.clock.clone(), offset)?;
        let pinned = crate::witness::pinned(&device)?;
        let joined = Arc::new(Joined {
            profile: inner.profile.clone(),
            device,
            secrets,
            api: Arc::new(api),
            cache: Arc::new(opened.cache),
            syncing: tokio::sync::Mutex::default(),
            drafts: Drafts::default(),
            credentials: Credentials::default(),
            unanswered: Unanswered::default(),
            log: pinned,
            verifying: Verifying::default(),
        });
        *held = Some(Arc::clone(&joined));
        Ok(joined)
    }

    fn set_joined(&self, joined: Option<Arc<Joined>>) {
        *self.0.joined.write().unwrap_or_else(PoisonError::into_inner) = joined;
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.0.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody listening is fine.
    pub(crate) fn tell(&self, topics: Vec<Topic>) {
        let _ = self.0.changed.send(topics);
    }
}

pub(crate) fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    rand::rngs::OsRng.fill_bytes(&mut salt);
    salt
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn computer() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "this computer".to_owned() } else { name.to_owned() }
}
