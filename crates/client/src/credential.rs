//! Credentials: opened with this device's key, held in memory only, the password shown only when asked for.

use crate::client::{Client, Joined};
use crate::ui::{CredentialView, Failure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gatepass_core::id::GrantId;
use gatepass_core::wire::{GrantState, Secret};
use gatepass_core::{Code, Time};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use url::Url;
use zeroize::Zeroizing;

/// Opened credentials, by grant. Wiped when dropped.
#[derive(Default)]
pub(crate) struct Credentials(Mutex<HashMap<GrantId, Opened>>);

#[derive(Clone)]
struct Opened {
    url: SecretString,
    expires_at: Time,
}

impl Client {
    /// How to use an access, without any secret in it.
    pub async fn credential(&self, grant: GrantId) -> Result<CredentialView, Failure> {
        let opened = self.opened(grant).await?;
        let parts = Parts::of(opened.url.expose_secret())?;
        Ok(CredentialView {
            grant,
            kind: "postgres".to_owned(),
            command: parts.psql(),
            user: parts.user,
            expires_at: opened.expires_at,
        })
    }

    /// The password of an access.
    pub async fn reveal_password(&self, grant: GrantId) -> Result<String, Failure> {
        let opened = self.opened(grant).await?;
        Ok(Parts::of(opened.url.expose_secret())?.password.to_string())
    }

    /// The whole secret of an access and when it ends, for programs.
    pub async fn secret(&self, grant: GrantId) -> Result<(Secret, Time), Failure> {
        let opened = self.opened(grant).await?;
        Ok((Secret::Postgres { url: opened.url.expose_secret().to_owned() }, opened.expires_at))
    }

    async fn opened(&self, grant: GrantId) -> Result<Opened, Failure> {
        let joined = self.joined()?;
        let view = self.grant(grant).await.ok();
        let over = |state| matches!(state, GrantState::Ending | GrantState::Ended | GrantState::Failed);
        if view.as_ref().is_some_and(|g| over(g.state)) {
            joined.credentials.held().remove(&grant);
            return Err(Code::NoCredential.into());
        }
        let held = joined.credentials.held().get(&grant).cloned();
        let mut opened = match held {
            Some(opened) => opened,
            None => {
                let opened = self.fetch(&joined, grant).await?;
                joined.credentials.held().insert(grant, opened.clone());
                opened
            }
        };
        // An extension moves the end after the credential was made.
        if let Some(end) = view.and_then(|g| g.ends_at) {
            opened.expires_at = opened.expires_at.max(end);
        }
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
        match serde_json::from_slice(&plain).map_err(|_| unreadable())? {
            Secret::Postgres { url } => Ok(Opened { url: url.into(), expires_at: sealed.expires_at }),
            _ => Err(unreadable()),
        }
    }
}

impl Credentials {
    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<GrantId, Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A libpq URL taken apart.
struct Parts {
    host: String,
    port: u16,
    database: String,
    user: String,
    password: Zeroizing<String>,
    /// Further settings, such as sslmode.
    more: Vec<(String, String)>,
}

impl Parts {
    fn of(url: &str) -> Result<Self, Failure> {
        // Never quote the URL: the password is in it.
        let unreadable = || Failure::new(Code::NoCredential, "The credential can’t be read.");
        let url = Url::parse(url).map_err(|_| unreadable())?;
        let decode = |text: &str| {
            percent_decode_str(text).decode_utf8().map(|t| t.into_owned()).map_err(|_| unreadable())
        };
        let host = decode(url.host_str().unwrap_or_default())?;
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(5432),
            database: decode(url.path().trim_start_matches('/'))?,
            user: decode(url.username())?,
            password: Zeroizing::new(decode(url.password().unwrap_or_default())?),
            more: url
                .query_pairs()
                .filter(|(name, _)| name != "password")
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect(),
        })
    }

    /// The line to run; psql asks for the password.
    fn psql(&self) -> String {
        let mut settings = vec![
            ("host".to_owned(), self.host.clone()),
            ("port".to_owned(), self.port.to_string()),
            ("dbname".to_owned(), self.database.clone()),
            ("user".to_owned(), self.user.clone()),
        ];
        settings.extend(self.more.iter().cloned());
        let settings: Vec<String> = settings
            .iter()
            .filter(|(_, v)| !v.is_empty())
            .map(|(k, v)| format!("{k}={}", conninfo(v)))
            .collect();
        format!("psql {}", shell(&settings.join(" ")))
    }
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | ',' | '=' | ' ')
}

/// A value in a libpq connection string.
fn conninfo(value: &str) -> String {
    if value.chars().all(|c| plain(c) && c != ' ') {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
    }
}

/// One argument for a POSIX shell.
fn shell(argument: &str) -> String {
    if argument.chars().all(plain) {
        format!("\"{argument}\"")
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_line_has_no_password_and_nothing_in_it_is_syntax() {
        let parts = Parts::of("postgres://gp_1:s%40cret@127.0.0.1:5433/orders?sslmode=require").unwrap();
        assert_eq!(
            parts.psql(),
            r#"psql "host=127.0.0.1 port=5433 dbname=orders user=gp_1 sslmode=require""#
        );
        assert_eq!(*parts.password, "s@cret");
        let odd = Parts::of("postgres://u:p@h/a%24(id)%27b").unwrap();
        assert_eq!(odd.psql(), r#"psql 'host=h port=5432 dbname='\''a$(id)\'\''b'\'' user=u'"#);
    }
}
