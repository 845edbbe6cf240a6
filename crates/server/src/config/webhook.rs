//! A webhook: a service that is called over HTTP.

use super::target::{Kind, TargetSection};
use super::{fault, limit};
use gatepass_connectors::webhook::{self, Settings, Webhook};
use gatepass_core::Time;
use gatepass_core::catalogue::Fault;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookTarget {
    pub url: String,
    /// One secret per line.
    pub secret_file: PathBuf,
    pub ca_file: Option<PathBuf>,
    /// Names that may lead to private addresses.
    pub private: Vec<String>,
    pub timeout: Duration,
}

impl WebhookTarget {
    /// Reads its files as they are now.
    ///
    /// # Errors
    /// A sentence without a secret.
    pub fn settings(&self, now: fn() -> Time) -> Result<Settings, String> {
        let read =
            |path: &Path| std::fs::read(path).map_err(|e| format!("{} cannot be read: {e}", path.display()));
        let secrets = String::from_utf8(read(&self.secret_file)?)
            .map_err(|_| format!("{} is not text", self.secret_file.display()))?;
        Ok(Settings {
            url: self.url.clone(),
            secrets: secrets.into(),
            authorities: self.ca_file.as_deref().map(read).transpose()?,
            private: self.private.clone(),
            limit: self.timeout,
            now,
        })
    }
}

pub fn check(section: &TargetSection, folder: &Path, faults: &mut Vec<Fault>) -> Option<Kind> {
    let timeout = limit(section.timeout.as_ref(), webhook::LIMIT, faults);
    let (url, secret_file) = (section.url.as_ref()?, section.secret_file.as_ref()?);
    let private = section.private.as_ref().map(|names| names.get_ref().clone()).unwrap_or_default();
    if let Some(message) = webhook::fault(url.get_ref(), &[]) {
        faults.push(fault(url, message));
        return None;
    }
    if let Some(names) = &section.private
        && let Some(message) = webhook::fault(url.get_ref(), &private)
    {
        faults.push(fault(names, message));
        return None;
    }
    let mut target = WebhookTarget {
        url: url.get_ref().clone(),
        secret_file: folder.join(secret_file.get_ref()),
        ca_file: None,
        private,
        timeout,
    };
    usable(&target, secret_file, "a file with the webhook’s secrets", faults);
    if let Some(ca_file) = &section.ca_file {
        target.ca_file = Some(folder.join(ca_file.get_ref()));
        usable(&target, ca_file, "a file with certificates in PEM", faults);
    }
    Some(Kind::Webhook(target))
}

/// What of its files is wrong is found by `check`, not at the first grant.
fn usable(target: &WebhookTarget, at: &Spanned<String>, expected: &str, faults: &mut Vec<Fault>) {
    let made = target
        .settings(|| Time::UNIX_EPOCH)
        .and_then(|settings| Webhook::connector("", settings).map_err(|e| e.to_string()));
    if let Err(error) = made
        && !faults.iter().any(|f| f.message.starts_with(&error))
    {
        let said = if error.contains("expected") { error } else { format!("{error}, expected {expected}") };
        faults.push(fault(at, said));
    }
}
