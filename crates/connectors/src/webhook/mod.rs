//! A service that is called over HTTP, with Standard Webhooks signatures.
//!
//! What the service must do is in docs/connectors/writing-your-own.md, what the operator should know in
//! docs/connectors/webhook.md.

mod address;
mod sign;

use crate::foreign::{Ask, Foreign, Way, spoken_error};
use crate::{TargetError, Time};
use address::{Forbidden, Guarded, Lookup, Reach};
use async_trait::async_trait;
use gatepass_core::wire::Secret;
use rand::RngCore as _;
use rand::rngs::OsRng;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Client, Response, StatusCode, Url, redirect};
use secrecy::SecretString;
use serde_json::Value;
use sign::Secrets;
use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long a call may take, all its tries together, unless set.
pub const LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Before each further try of one call.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// What a webhook is made of.
pub struct Settings {
    pub url: String,
    /// One per line.
    pub secrets: SecretString,
    /// Authorities in PEM, instead of the system's.
    pub authorities: Option<Vec<u8>>,
    /// Names that may lead to private addresses.
    pub private: Vec<String>,
    pub limit: Duration,
    /// The time that calls are signed with.
    pub now: fn() -> Time,
}

/// The way to a service.
pub struct Webhook {
    client: Client,
    url: Url,
    secrets: Secrets,
    limit: Duration,
    now: fn() -> Time,
}

impl Webhook {
    /// Connects only when called.
    ///
    /// # Errors
    /// `Configuration` when something of it can't be used. The message does not repeat secrets.
    pub fn connector(target: &str, settings: Settings) -> Result<Foreign<Self>, TargetError> {
        Ok(Foreign::new(target, Self::new(settings, address::system())?))
    }

    fn new(settings: Settings, lookup: Lookup) -> Result<Self, TargetError> {
        let (url, reach) = place(&settings.url, &settings.private).map_err(TargetError::Configuration)?;
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            // What the name leads to is checked here; through a proxy it would not be.
            .no_proxy()
            .referer(false)
            .https_only(url.scheme() == "https")
            .connect_timeout(CONNECT_LIMIT)
            .pool_idle_timeout(Duration::from_secs(20))
            .user_agent(concat!("gatepass/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Guarded { reach, lookup });
        if let Some(pem) = &settings.authorities {
            let unusable = || TargetError::Configuration("“ca_file” has no certificates in PEM".to_owned());
            let authorities = Certificate::from_pem_bundle(pem).map_err(|_| unusable())?;
            if authorities.is_empty() {
                return Err(unusable());
            }
            client = client.tls_certs_only(authorities);
        }
        let client = client.build().map_err(|e| TargetError::Configuration(said(e)))?;
        let secrets = Secrets::parse(&settings.secrets)?;
        Ok(Self { client, url, secrets, limit: settings.limit, now: settings.now })
    }

    /// The same message as often as it takes; its id is what tells the other side that it is the same.
    async fn deliver(&self, ask: &Ask<'_>) -> Result<Vec<u8>, TargetError> {
        let mut random = [0; 16];
        OsRng.fill_bytes(&mut random);
        let id = format!("msg_{:032x}", u128::from_be_bytes(random));
        let mut pauses = PAUSES.into_iter();
        loop {
            match (self.post(&id, ask).await, pauses.next()) {
                (Err(Failed::Away(_)), Some(pause)) => sleep(pause).await,
                (Err(Failed::Away(error) | Failed::Told(error)), _) => return Err(error),
                (Ok(answer), _) => return Ok(answer),
            }
        }
    }

    async fn post(&self, id: &str, ask: &Ask<'_>) -> Result<Vec<u8>, Failed> {
        let timestamp = (self.now)().timestamp();
        let signature = self.secrets.sign(id, timestamp, ask.body).map_err(Failed::Told)?;
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(ask.body.to_vec());
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        let answer = capped(response, ask.most).await;
        if status.is_success() {
            return answer;
        }
        // A status says enough, also when what came with it can't be read.
        Err(failure(status, &answer.unwrap_or_default()))
    }
}

/// What one try came to.
enum Failed {
    /// Trying again may help, and does no harm: every verb is idempotent.
    Away(TargetError),
    Told(TargetError),
}

#[async_trait]
impl Way for Webhook {
    async fn ask(&self, ask: Ask<'_>) -> Result<Vec<u8>, TargetError> {
        timeout(self.limit, self.deliver(&ask)).await.unwrap_or_else(|_| {
            Err(TargetError::Unreachable(format!("no answer within {} s", self.limit.as_secs())))
        })
    }

    fn secret(&self, details: Value) -> Secret {
        Secret::Webhook { details }
    }
}

/// The URL, and where its host may be. `Err` is a sentence, without the URL's password or query.
pub(crate) fn place(text: &str, private: &[String]) -> Result<(Url, Reach), String> {
    let url: Url = text
        .parse()
        .map_err(|e| format!("the webhook’s URL can’t be used: {e}, expected https://HOST/PATH"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL has a user or a password in it, expected only a secret_file".to_owned());
    }
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let here = host == "localhost" || literal.is_some_and(|address| address.to_canonical().is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        "http" => return Err("http:// is for this machine only, expected https://HOST/PATH".to_owned()),
        other => return Err(format!("“{other}” is no scheme of a webhook, expected https://HOST/PATH")),
    }
    if let Some(other) = private.iter().find(|name| !name.eq_ignore_ascii_case(&host)) {
        return Err(format!("“private” names “{other}”, expected the URL’s host “{host}”"));
    }
    // An address in the URL is not looked up; whoever wrote it meant it.
    let reach = match () {
        () if host == "localhost" => Reach::Loopback,
        () if private.is_empty() => Reach::Public,
        () => Reach::Private,
    };
    Ok((url, reach))
}

/// Says what is wrong with a webhook's URL, and what was expected.
pub fn fault(url: &str, private: &[String]) -> Option<String> {
    place(url, private).err()
}

async fn capped(mut response: Response, most: usize) -> Result<Vec<u8>, Failed> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if answer.len() + chunk.len() > most {
            let text = format!("its answer is longer than {} KiB", most / 1024);
            return Err(Failed::Told(TargetError::Refused(text)));
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// What a status that is no success means, unless the answer says it itself.
fn failure(status: StatusCode, answer: &[u8]) -> Failed {
    let code = status.as_u16();
    match (spoken_error(answer), code) {
        (Some(error @ TargetError::Unreachable(_)), 502..=504) => return Failed::Away(error),
        (Some(error), _) => return Failed::Told(error),
        (None, _) => {}
    }
    match code {
        300..=399 => Failed::Told(TargetError::Configuration(format!(
            "it redirects (HTTP {code}), which is not followed; the URL must be the place itself"
        ))),
        401 | 403 => Failed::Told(TargetError::Configuration(format!(
            "it does not take our signature (HTTP {code}); the secret must be the same there, and both clocks right"
        ))),
        404 | 405 | 410 => Failed::Told(TargetError::Configuration(format!(
            "nothing takes calls at the URL’s path (HTTP {code})"
        ))),
        502..=504 => Failed::Away(TargetError::Unreachable(format!("HTTP {code}"))),
        408 | 425 | 429 | 500.. => Failed::Told(TargetError::Unreachable(format!("HTTP {code}"))),
        _ => Failed::Told(TargetError::Refused(format!("HTTP {code}"))),
    }
}

fn away(error: reqwest::Error) -> Failed {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(forbidden) = cause.downcast_ref::<Forbidden>() {
            return Failed::Told(TargetError::Configuration(forbidden.to_string()));
        }
        source = cause.source();
    }
    Failed::Away(TargetError::Unreachable(said(error)))
}

/// The error and its causes, without the URL: its query may be a secret.
fn said(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
