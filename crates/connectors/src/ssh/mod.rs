//! SSH, by certificates: the device's own key is certified for as long as the access lasts, and hosts that trust the
//! authority let it in. Nothing is made on a host. What was certified is remembered in [`Notes`].

mod authority;
mod certificate;
mod control;
mod host;
mod krl;
mod note;

pub use authority::{Authority, ensure};
pub use certificate::{EXTENSIONS, source_address};
pub use host::Host;

use crate::{Access, Class, Connector, Found, Notes, Removed, TargetError};
use async_trait::async_trait;
use certificate::Kind;
use chrono::TimeDelta;
use control::Control;
use gatepass_core::Time;
use gatepass_core::catalogue::Session;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use note::Note;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How far a host's clock may be behind ours. Only after this is a certificate over that nobody took back.
pub const CLOCK_BOUND: TimeDelta = TimeDelta::seconds(2);
/// For how long one answer with the revocation list is given again: asking costs no sign-in.
const LIST_KEPT: Duration = Duration::from_secs(1);
/// How long hosts keep refusing an access nothing is remembered of: longer than any catalogue lets one last.
const FORGOTTEN_FOR: TimeDelta = TimeDelta::days(400);

/// What an ssh target is configured with. Everything in it was checked.
#[derive(Clone, Debug)]
pub struct Options {
    pub hosts: Vec<Host>,
    pub ca_key_file: PathBuf,
    /// Who holders log in as; the role's first principal unless given.
    pub user: Option<String>,
    /// From where alone a certificate is good; from everywhere when empty. Addresses and networks, as
    /// [`source_address`] takes them.
    pub source_addresses: Vec<String>,
    /// Of [`EXTENSIONS`].
    pub extensions: Vec<String>,
    pub control: Option<ControlOptions>,
}

/// How hosts that run `gatepass-host` are asked to end sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlOptions {
    /// The login of `gatepass-host`.
    pub user: String,
    /// The hosts' keys, in the form of `known_hosts`. A host that is not in it is not spoken to.
    pub known_hosts: PathBuf,
    /// OpenSSH's client.
    pub program: PathBuf,
}

/// Asks what time it is.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

pub struct Ssh {
    options: Options,
    notes: Arc<dyn Notes>,
    clock: Clock,
    control: Option<Control>,
    /// Held while a note is read and written again.
    writing: Mutex<()>,
    list: Mutex<Option<(Instant, Vec<u8>)>>,
}

impl Ssh {
    /// Reads nothing yet: the authority's key is read with each use, so one that was replaced is taken up.
    pub fn new(options: Options, notes: Arc<dyn Notes>, clock: Clock) -> Self {
        let control = options.control.clone().map(|control| Control::new(control, options.hosts.clone()));
        Self { options, notes, clock, control, writing: Mutex::new(()), list: Mutex::new(None) }
    }

    fn authority(&self) -> Result<Authority, TargetError> {
        Authority::read(&self.options.ca_key_file)
    }

    /// One more certificate. It is only handed out once it was written down.
    async fn issue(&self, access: &Access, note: Option<Note>) -> Result<Secret, TargetError> {
        let authority = self.authority()?;
        let now = (self.clock)();
        let mut note = note.unwrap_or_default();
        let number = note.issue(access, now);
        let kind = match (access.session, &self.control) {
            (Session::Leave, _) => Kind::Left,
            (Session::Cut, Some(_)) => Kind::CutByHost,
            (Session::Cut, None) => Kind::CutByCommand,
        };
        let certificate = certificate::sign(&authority, access, &self.options, number, kind, now)?;
        self.notes.put(access.grant, &note.text()).await?;
        let first = access.grants.first().cloned().unwrap_or_default();
        Ok(Secret::Ssh {
            certificate,
            hosts: self.options.hosts.iter().map(ToString::to_string).collect(),
            user: self.options.user.clone().unwrap_or(first),
        })
    }

    async fn note(&self, grant: GrantId) -> Result<Option<Note>, TargetError> {
        self.notes.get(grant).await?.map(|text| Note::parse(&text)).transpose()
    }

    async fn parsed(&self) -> Result<BTreeMap<GrantId, Note>, TargetError> {
        let notes = self.notes.all().await?;
        notes.into_iter().map(|(grant, text)| Ok((grant, Note::parse(&text)?))).collect()
    }

    /// Puts every certificate of it on the revocation list, durably.
    async fn revoke(&self, grant: GrantId) -> Result<Option<Note>, TargetError> {
        let _writing = self.writing.lock().await;
        let Some(mut note) = self.note(grant).await? else { return Ok(None) };
        if note.revoke((self.clock)()) {
            self.notes.put(grant, &note.text()).await?;
            *self.list.lock().await = None;
        }
        Ok(Some(note))
    }

    /// It is over. What was taken back stays on the revocation list until it has long ended by itself.
    async fn over(&self, grant: GrantId) -> Result<(), TargetError> {
        let _writing = self.writing.lock().await;
        match self.note(grant).await? {
            Some(note) if note.forgettable((self.clock)()) => self.notes.delete(grant).await,
            Some(mut note) if !note.removed => {
                note.removed = true;
                self.notes.put(grant, &note.text()).await
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Waits until what ended by itself has ended for every host's clock.
    async fn settled(&self, over: Time) {
        while let Ok(left) = (over - (self.clock)()).to_std() {
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    /// Without a way to ask the hosts: a certificate is over at its end and not before.
    async fn remove_alone(&self, grant: GrantId) -> Result<Removed, TargetError> {
        let Some(note) = self.note(grant).await? else { return Ok(Removed { sessions_ended: 0 }) };
        if note.latest() > (self.clock)() {
            self.revoke(grant).await?;
            let why = "The hosts may let the certificate in until its own end. It is on the revocation list, for those \
                       that fetch it.";
            return Err(TargetError::RunsOut { until: note.over(), why: why.to_owned() });
        }
        self.settled(note.over()).await;
        self.over(grant).await?;
        Ok(Removed { sessions_ended: 0 })
    }

    async fn remove_on_hosts(&self, control: &Control, grant: GrantId) -> Result<Removed, TargetError> {
        let now = (self.clock)();
        let note = self.note(grant).await?;
        if let Some(note) =
            note.filter(|n| n.session == Session::Leave && n.revoked == 0 && n.latest() <= now)
        {
            self.settled(note.over()).await;
            self.over(grant).await?;
            return Ok(Removed { sessions_ended: 0 });
        }
        let (number, until) = match self.revoke(grant).await? {
            Some(note) => (note.newest(), note.over()),
            None => (note::number(now), now + FORGOTTEN_FOR),
        };
        let ended = control.end(&self.authority()?, now, grant, number, until).await?;
        self.over(grant).await?;
        Ok(Removed { sessions_ended: ended })
    }

    /// Forgets what is removed and past its end.
    async fn tidy(&self, notes: &BTreeMap<GrantId, Note>) -> Result<(), TargetError> {
        let now = (self.clock)();
        for (grant, _) in notes.iter().filter(|(_, note)| note.removed && note.forgettable(now)) {
            self.over(*grant).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Connector for Ssh {
    /// Only hosts that run `gatepass-host` end sessions that need no command: a forwarded port, a master connection.
    fn class(&self) -> Class {
        if self.control.is_some() { Class::A } else { Class::B }
    }

    async fn provision(&self, access: &Access) -> Result<Secret, TargetError> {
        let _writing = self.writing.lock().await;
        let note = self.note(access.grant).await?;
        self.issue(access, note).await
    }

    async fn guard(&self, access: &Access) -> Result<Option<Secret>, TargetError> {
        let secret = {
            let _writing = self.writing.lock().await;
            match self.note(access.grant).await? {
                Some(note) if !note.removed && note.newest() > note.revoked => {
                    self.issue(access, Some(note)).await?
                }
                _ => return Err(TargetError::Refused("there is no certificate for this access".to_owned())),
            }
        };
        if let (Some(control), Session::Cut) = (&self.control, access.session) {
            // A host that can't be told ends what is open there at the end it knows: early, never late.
            let now = (self.clock)();
            if let Err(error) = control.extend(&self.authority()?, now, access.grant, access.until).await {
                tracing::warn!(%error, grant = %access.grant, "open sessions end at the end before the extension");
            }
        }
        Ok(Some(secret))
    }

    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError> {
        match &self.control {
            None => self.remove_alone(grant).await,
            Some(control) => self.remove_on_hosts(control, grant).await,
        }
    }

    async fn inspect(&self) -> Result<Vec<Found>, TargetError> {
        let open = match &self.control {
            None => BTreeMap::new(),
            Some(control) => control.list(&self.authority()?, (self.clock)()).await?,
        };
        let notes = self.parsed().await?;
        self.tidy(&notes).await?;
        let live = notes.iter().filter(|(_, note)| !note.removed).map(|(grant, note)| Found {
            grant: *grant,
            name: note.name.clone(),
            until: Some(note.until),
            sessions: open.get(grant).map_or(0, |o| o.sessions),
        });
        // Open on a host although it is over, or after an older state of the database was restored.
        let others = open.iter().filter(|(grant, _)| notes.get(grant).is_none_or(|n| n.removed));
        let others = others.map(|(grant, open)| Found {
            grant: *grant,
            name: format!("connections of {grant}"),
            until: open.until,
            sessions: open.sessions,
        });
        Ok(live.chain(others).collect())
    }

    async fn revocations(&self) -> Result<Option<Vec<u8>>, TargetError> {
        let mut kept = self.list.lock().await;
        if let Some((_, list)) = kept.as_ref().filter(|(at, _)| at.elapsed() < LIST_KEPT) {
            return Ok(Some(list.clone()));
        }
        let notes = self.parsed().await?;
        let now = (self.clock)();
        let (mut serials, mut since) = (Vec::new(), 0);
        for (grant, note) in &notes {
            serials.extend(note.revoked(now).map(|number| certificate::serial(*grant, number)));
            since = since.max(note.revoked_at);
        }
        let list = krl::encode(&self.authority()?.public_bytes()?, since, serials);
        *kept = Some((Instant::now(), list.clone()));
        Ok(Some(list))
    }
}
