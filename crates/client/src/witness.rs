//! The log's key, as this device keeps it, and what it does about a contradiction.

use crate::cache::{Breach, blocking};
use crate::client::{Client, Joined};
use crate::profile::{Device, Mismatch, Witness};
use crate::ui::Failure;
use gatepass_core::Code;
use gatepass_log::LogVerifier;
use std::sync::{Arc, OnceLock};

/// Whose checkpoints hold, as `device.json` has it.
pub(crate) fn pinned(device: &Device) -> Result<OnceLock<LogVerifier>, Failure> {
    let kept = OnceLock::new();
    if let Some(key) = &device.log_key {
        let log = LogVerifier::new(key)
            .map_err(|e| Failure::local("The log’s key in device.json can’t be used", e))?;
        let _ = kept.set(log);
    }
    Ok(kept)
}

impl Client {
    /// Takes the log's key from the server, once: a device that joined before there was one trusts the first it hears.
    pub(crate) async fn pin(&self, joined: &Joined) -> Result<(), Failure> {
        if joined.log.get().is_some() {
            return Ok(());
        }
        // Another process of this profile may have been first.
        let mut device = self.0.profile.device()?.ok_or(Code::NotJoined)?;
        if device.log_key.is_none() {
            let key = joined.api.log_key().await?;
            LogVerifier::new(&key).map_err(|e| {
                Failure::new(Code::Malformed, format!("The server’s log key can’t be used: {e}."))
            })?;
            device.log_key = Some(key);
            self.0.profile.set_device(&device)?;
        }
        if let Some(log) = pinned(&device)?.into_inner() {
            let _ = joined.log.set(log);
        }
        Ok(())
    }

    /// Keeps the newest head that held, and the newest that was signed, beside the cache, so that they outlive it.
    pub(crate) async fn witnessed(&self, joined: &Arc<Joined>) -> Result<(), Failure> {
        let profile = self.0.profile.clone();
        blocking(&joined.cache, move |cache| {
            let position = cache.position()?;
            let Some(verified) = position.verified else { return Ok(()) };
            let known = profile.witness()?;
            let signed = |w: &Option<crate::cache::Signed>| w.as_ref().map_or(0, |s| s.head.size);
            let newer = known.as_ref().is_none_or(|k| {
                k.head.size < verified.head.size || signed(&k.signed) < signed(&position.signed)
            });
            // A cache that is being filled again knows less than is kept.
            if newer && known.as_ref().is_none_or(|k| k.head.size <= verified.head.size) {
                let before = known.and_then(|k| k.signed);
                let signed = position.signed.or(before);
                profile.set_witness(&Witness { head: verified.head, signed })?;
            }
            Ok(())
        })
        .await
    }

    /// Keeps the contradiction for good; answers it as a failure.
    pub(crate) async fn breached(&self, joined: &Arc<Joined>, breach: Breach) -> Result<Failure, Failure> {
        tracing::error!("{}", breach.what);
        let what = breach.what.clone();
        // A page that is wrong in itself says nothing of what held before.
        let position = blocking(&joined.cache, |cache| cache.position()).await?;
        let seen = breach.seen.or(position.verified.map(|v| v.head));
        let seen_note = breach.seen_note.or(position.signed.map(|s| s.note));
        let mismatch = Mismatch {
            at: joined.api.now(),
            what: breach.what,
            rule: breach.rule,
            seq: breach.seq,
            kept_leaf: breach.kept_leaf,
            leaf: breach.leaf,
            seen,
            got: breach.got,
            seen_note,
            got_note: breach.got_note,
            log_key: joined.log.get().map(|log| log.vkey().to_owned()),
            fork: None,
        };
        // First what is certain: the rest takes its time.
        self.0.profile.set_mismatch(&mismatch)?;
        self.look_closer(joined).await;
        Ok(Failure::new(Code::NotVerified, what))
    }
}
