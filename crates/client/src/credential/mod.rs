//! Credentials: opened with this device's key, held in memory only, what is secret in them shown only when asked for.

mod agent;
mod line;
pub(crate) mod ssh;

use crate::client::{Client, Joined};
use crate::ui::{CredentialLine, CredentialView, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gatepass_core::id::GrantId;
use gatepass_core::wire::{GrantState, Secret};
use gatepass_core::{Code, Time};
use line::Parts;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// Opened credentials, by grant. Wiped when dropped.
#[derive(Default)]
pub(crate) struct Credentials(Mutex<HashMap<GrantId, Opened>>);

#[derive(Clone)]
struct Opened {
    /// A [`Secret`], as JSON.
    secret: SecretString,
    expires_at: Time,
}

/// A credential for programs: what `gatepass credential --json` prints.
#[derive(Serialize)]
pub struct ForPrograms {
    #[serde(flatten)]
    pub with: With,
    pub expires_at: Time,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum With {
    Postgres {
        url: String,
    },
    Mariadb {
        url: String,
    },
    Ssh {
        /// The line to run.
        command: String,
        /// The private key; where an ssh-agent holds it, the public one.
        key_file: PathBuf,
        certificate_file: PathBuf,
    },
    Ldap {
        groups: Vec<String>,
    },
    Webhook {
        details: serde_json::Value,
    },
    Command {
        details: serde_json::Value,
    },
}

impl Client {
    /// How to use an access, without any secret in it. For SSH, brings the key and its certificate to where `ssh` finds
    /// them: the ssh-agent where one runs, files otherwise.
    pub async fn credential(&self, grant: GrantId) -> Result<CredentialView, Failure> {
        let opened = self.opened(grant).await?;
        let mut view = CredentialView {
            grant,
            kind: String::new(),
            command: String::new(),
            user: String::new(),
            lines: Vec::new(),
            config: None,
            secret: None,
            expires_at: opened.expires_at,
        };
        match opened.read()? {
            Secret::Postgres { url } => {
                let parts = Parts::of(&url)?;
                view.fill("postgres", parts.psql(), Some("Password"));
                view.user = parts.user;
            }
            Secret::Mariadb { url } => {
                let parts = Parts::of(&url)?;
                view.fill("mariadb", parts.mariadb(), Some("Password"));
                view.user = parts.user;
            }
            Secret::Ssh { certificate, hosts, user } => {
                let placed = self.place_ssh(grant, &certificate, opened.expires_at).await?;
                view.fill("ssh", placed.command(&hosts, &user), None);
                view.config = Some(placed.config(&hosts, &user));
                view.lines = hosts.iter().skip(1).map(|h| CredentialLine::new("Also on", h)).collect();
                view.user = user;
            }
            Secret::Ldap { groups } => {
                view.fill("ldap", String::new(), None);
                view.lines = groups.iter().map(|g| CredentialLine::new("Member of", g)).collect();
            }
            Secret::Webhook { .. } => view.fill("webhook", String::new(), Some("Details")),
            Secret::Command { .. } => view.fill("command", String::new(), Some("Details")),
        }
        Ok(view)
    }

    /// What is secret in a credential: the password, or the details that the target gave.
    pub async fn reveal_password(&self, grant: GrantId) -> Result<String, Failure> {
        match self.opened(grant).await?.read()? {
            Secret::Postgres { url } | Secret::Mariadb { url } => Ok(Parts::of(&url)?.password.to_string()),
            Secret::Webhook { details } | Secret::Command { details } => Ok(told(&details)),
            Secret::Ssh { .. } | Secret::Ldap { .. } => {
                Err(Failure::new(Code::NoCredential, "This access comes without a password."))
            }
        }
    }

    /// The whole of a credential, for programs.
    pub async fn credential_for_programs(&self, grant: GrantId) -> Result<ForPrograms, Failure> {
        let opened = self.opened(grant).await?;
        let expires_at = opened.expires_at;
        let with = match opened.read()? {
            Secret::Postgres { url } => With::Postgres { url },
            Secret::Mariadb { url } => With::Mariadb { url },
            Secret::Ssh { certificate, hosts, user } => {
                let placed = self.place_ssh(grant, &certificate, expires_at).await?;
                With::Ssh {
                    command: placed.command(&hosts, &user),
                    key_file: placed.key_file,
                    certificate_file: placed.certificate_file,
                }
            }
            Secret::Ldap { groups } => With::Ldap { groups },
            Secret::Webhook { details } => With::Webhook { details },
            Secret::Command { details } => With::Command { details },
        };
        Ok(ForPrograms { with, expires_at })
    }

    /// The whole secret of an access and when it ends.
    pub async fn secret(&self, grant: GrantId) -> Result<(Secret, Time), Failure> {
        let opened = self.opened(grant).await?;
        Ok((opened.read()?, opened.expires_at))
    }

    async fn opened(&self, grant: GrantId) -> Result<Opened, Failure> {
        let joined = self.joined()?;
        let view = self.grant(grant).await.ok();
        if view.as_ref().is_some_and(|g| over(g.state)) {
            joined.credentials.held().remove(&grant);
            ssh::clear(&self.0.profile, Some(grant));
            return Err(Code::NoCredential.into());
        }
        let end = view.and_then(|g| g.ends_at);
        let held = joined.credentials.held().get(&grant).cloned();
        // An extension moves the end after the credential was made; a certificate is then made anew.
        if let Some(held) = held.filter(|held| end.is_none_or(|end| end == held.expires_at)) {
            return Ok(held);
        }
        let opened = self.fetch(&joined, grant).await?;
        joined.credentials.held().insert(grant, opened.clone());
        Ok(opened)
    }

    async fn fetch(&self, joined: &Joined, grant: GrantId) -> Result<Opened, Failure> {
        let sealed = self.heard(joined.api.credential(grant).await)?;
        let unreadable = || {
            let message =
                "The credential is not one this device can open; it was made for the device that asked.";
            Failure::new(Code::NoCredential, message)
        };
        let bytes = BASE64.decode(&sealed.sealed).map_err(|_| unreadable())?;
        let plain = Zeroizing::new(joined.secrets.seal().unseal(&bytes).map_err(|_| unreadable())?);
        let text = std::str::from_utf8(&plain).map_err(|_| unreadable())?;
        let mut opened = Opened { secret: SecretString::from(text), expires_at: sealed.expires_at };
        if let Secret::Ssh { certificate, hosts, user } = opened.read()? {
            if !ssh::fine(&hosts, &user) {
                return Err(unreadable());
            }
            // Until the new one is made, the old one says how long it is good.
            opened.expires_at = opened.expires_at.min(ssh::good_until(&certificate)?);
        }
        Ok(opened)
    }
}

/// Nothing can be used of it any more.
fn over(state: GrantState) -> bool {
    matches!(state, GrantState::Ending | GrantState::Ended | GrantState::Failed)
}

impl Opened {
    fn read(&self) -> Result<Secret, Failure> {
        serde_json::from_str(self.secret.expose_secret()).map_err(|_| {
            let message = "The credential is of a kind that this version does not know: update Gatepass.";
            Failure::new(Code::NoCredential, message)
        })
    }
}

impl CredentialView {
    fn fill(&mut self, kind: &str, command: String, secret: Option<&str>) {
        self.kind = kind.to_owned();
        self.command = command;
        self.secret = secret.map(str::to_owned);
    }
}

impl CredentialLine {
    fn new(label: &str, value: &str) -> Self {
        Self { label: label.to_owned(), value: value.to_owned() }
    }
}

/// Details as a person reads them: one `name: value` each, anything deeper as JSON.
fn told(details: &serde_json::Value) -> String {
    let plain = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match details {
        serde_json::Value::Object(fields) if !fields.is_empty() => fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", plain(value)))
            .collect::<Vec<_>>()
            .join("\n"),
        serde_json::Value::Null => "The target gave no details.".to_owned(),
        other => plain(other),
    }
}

impl Credentials {
    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<GrantId, Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
