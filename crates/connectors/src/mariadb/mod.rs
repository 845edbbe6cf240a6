//! MariaDB: an account for each grant, with the role's roles or privileges given to it.
//!
//! Class A where the event that docs/connectors/mariadb-admin.sql installs is at work: it locks the account and ends its
//! sessions at the end. Class C elsewhere. All that is done on the target is done by the procedures of that script:
//! whoever may make accounts on MariaDB may become any of them, so the login used from here may only call those.

mod account;
mod entitlement;
mod failed;
mod install;
mod link;
mod place;

use crate::{Access, Class, Connector, Found, Removed, Stranger, TargetError};
pub use account::account_name;
use async_trait::async_trait;
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use link::Link;
pub use place::Place;
use secrecy::SecretString;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SESSIONS: u16 = 20;
/// How long sessions may take to end once told to.
const SESSIONS_LIMIT: Duration = Duration::from_secs(5);
/// What the script's `status` answers.
const VERSION: i64 = 1;

/// One database of one server.
pub struct Mariadb {
    link: Link,
    /// Whether the event was at work when the target was looked at last.
    guarded: AtomicBool,
    host: String,
    connection_limit: u16,
}

impl Mariadb {
    /// `url` is `mysql://admin@host:port/database`, with `ssl-mode` and `ssl-ca` if need be; see
    /// docs/connectors/mariadb.md. Connects only when called.
    ///
    /// # Errors
    /// `Configuration` when the URL can't be used. The message does not repeat it.
    pub fn new(url: &str, password: &SecretString) -> Result<Self, TargetError> {
        Ok(Self {
            link: Link::new(Place::parse(url, password)?, 4, Duration::from_secs(20)),
            guarded: AtomicBool::new(false),
            host: "%".to_owned(),
            connection_limit: SESSIONS,
        })
    }

    /// Where holders may come from, the host part of their accounts: `%` unless set.
    #[must_use]
    pub fn from_host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Sessions a holder may have open at once; 20 unless set.
    #[must_use]
    pub fn connection_limit(mut self, sessions: u16) -> Self {
        self.connection_limit = sessions;
        self
    }

    fn scope(&self) -> &str {
        &self.link.place().database
    }

    /// The target's time, once it is known that it has this version's procedures.
    async fn status(&self) -> Result<Time, TargetError> {
        let rows: Vec<(i64, i64, bool)> = self.link.call("status", vec![]).await?;
        let Some((VERSION, micros, guarded)) = rows.first().copied() else {
            let text = "the target has the procedures of another version: run docs/connectors/mariadb-admin.sql again";
            return Err(TargetError::Configuration(text.into()));
        };
        self.guarded.store(guarded, Ordering::Relaxed);
        time(micros)
    }

    /// Ends the account's sessions until none is left.
    async fn silence(&self, grant: GrantId, ended: &mut BTreeSet<u64>) -> Result<(), TargetError> {
        let until = Instant::now() + SESSIONS_LIMIT;
        let mut pause = Duration::from_millis(1);
        loop {
            let given = vec![grant.to_string().into(), self.scope().into()];
            let rows: Vec<(bool, String)> = self.link.call("silence", given).await?;
            let open = ids(rows.first().map_or("", |(_, open)| open));
            let Some(first) = open.first().copied() else { return Ok(()) };
            let many = open.len();
            ended.extend(open);
            if Instant::now() > until {
                let text = format!("{many} session(s) do not end, one is number {first} of the target");
                return Err(TargetError::Refused(text));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

fn ids(text: &str) -> BTreeSet<u64> {
    text.split(' ').filter_map(|id| id.parse().ok()).collect()
}

fn time(micros: i64) -> Result<Time, TargetError> {
    Time::from_timestamp_micros(micros)
        .ok_or_else(|| TargetError::Refused(format!("{micros} is no time that can be told")))
}

#[async_trait]
impl Connector for Mariadb {
    fn class(&self) -> Class {
        if self.guarded.load(Ordering::Relaxed) { Class::A } else { Class::C }
    }

    async fn provision(&self, access: &Access) -> Result<Secret, TargetError> {
        let (account, password) = (account_name(access.grant), account::password());
        let given: Vec<mysql_async::Value> = vec![
            access.grant.to_string().into(),
            self.scope().into(),
            account.clone().into(),
            self.host.clone().into(),
            account::verifier(&password).into(),
            self.connection_limit.into(),
            access.until.timestamp_micros().into(),
            entitlement::json(&access.grants)?.into(),
        ];
        let done: Result<Vec<mysql_async::Row>, _> = self.link.call("provision", given.clone()).await;
        if let Err(error) = done {
            if !self.make_missing(&error, &access.grants).await {
                return Err(error);
            }
            let _: Vec<mysql_async::Row> = self.link.call("provision", given).await?;
        }
        Ok(Secret::Mariadb { url: self.link.place().url_for(&account, &password) })
    }

    async fn guard(&self, access: &Access) -> Result<Option<Secret>, TargetError> {
        let given = vec![
            access.grant.to_string().into(),
            self.scope().into(),
            access.until.timestamp_micros().into(),
        ];
        let _: Vec<mysql_async::Row> = self.link.call("move_guard", given).await?;
        Ok(None)
    }

    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError> {
        let (id, account) = (grant.to_string(), account_name(grant));
        let rows: Vec<(bool, String)> =
            self.link.call("cut", vec![id.clone().into(), self.scope().into()]).await?;
        let mut ended = rows.first().map(|(_, ended)| ids(ended)).unwrap_or_default();
        loop {
            self.silence(grant, &mut ended).await?;
            let given = vec![id.clone().into(), self.scope().into(), account.clone().into()];
            let rows: Vec<(String, String)> = self.link.call("clear", given).await?;
            let Some((open, left)) = rows.first() else {
                return Err(TargetError::Refused("no answer to the read-back".into()));
            };
            if !left.is_empty() {
                let text = format!("the target has an account {left} that this Gatepass did not make");
                return Err(TargetError::Refused(text));
            }
            if open.is_empty() {
                let sessions_ended = u32::try_from(ended.len()).unwrap_or(u32::MAX);
                return Ok(Removed { sessions_ended });
            }
        }
    }

    async fn inspect(&self) -> Result<Vec<Found>, TargetError> {
        self.status().await?;
        let rows: Vec<(String, String, i64, u32)> =
            self.link.call("inspect", vec![self.scope().into()]).await?;
        let mut found = Vec::new();
        for (grant, name, until, sessions) in rows {
            let Some(grant) = grant.parse().ok().filter(|grant| account_name(*grant) == name) else {
                continue;
            };
            found.push(Found { grant, name, until: Some(time(until)?), sessions });
        }
        Ok(found)
    }

    async fn strangers(&self, grants: &[String]) -> Result<Vec<Stranger>, TargetError> {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let rows: Vec<(usize, String)> =
            self.link.call("strangers", vec![entitlement::json_in_places(grants)?.into()]).await?;
        for (place, name) in rows {
            if let Some(grant) = grants.get(place) {
                all.entry(name).or_default().insert(grant.clone());
            }
        }
        Ok(all
            .into_iter()
            .map(|(name, grants)| Stranger { name, grants: grants.into_iter().collect() })
            .collect())
    }

    async fn clock(&self) -> Result<Option<Time>, TargetError> {
        self.status().await.map(Some)
    }
}
