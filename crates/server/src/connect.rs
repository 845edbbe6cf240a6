//! The targets of the configuration, connected.

mod memory;

use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, ConfigError, FakeTarget, Kind, Password, Target};
use crate::store::Store;
use async_trait::async_trait;
use gatepass_connectors::command::Command;
use gatepass_connectors::fake::{Fake, Fault, Verb};
use gatepass_connectors::ldap::Ldap;
use gatepass_connectors::mariadb::Mariadb;
use gatepass_connectors::postgres::Postgres;
use gatepass_connectors::ssh::{self, Authority, Ssh};
use gatepass_connectors::webhook::Webhook;
use gatepass_connectors::{Access, Class, Connector, Found, Notes, Removed, TargetError};
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use memory::Memory;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Connectors by the target's id.
#[derive(Clone, Default)]
pub struct Targets {
    connectors: BTreeMap<String, Arc<dyn Connector>>,
    memory: Memory,
}

impl Targets {
    /// Makes every connector of the configuration, except for those in `given`. Connects to nothing yet.
    pub fn new(config: &Config, given: &BTreeMap<String, Arc<dyn Connector>>) -> Result<Self, ConfigError> {
        let mut targets = BTreeMap::new();
        let memory = Memory::default();
        let mut lines = Vec::new();
        for target in &config.targets {
            let made = match given.get(&target.id) {
                Some(connector) => Ok(connector.clone()),
                None => connector(target, memory.of(&target.id)),
            };
            match made {
                Ok(connector) => drop(targets.insert(target.id.clone(), connector)),
                Err(error) => {
                    lines.push(format!("{}: target “{}”: {error}", config.file.display(), target.id))
                }
            }
        }
        if lines.is_empty() { Ok(Self { connectors: targets, memory }) } else { Err(ConfigError { lines }) }
    }

    /// A target that grants still name may be gone from the configuration.
    pub fn get(&self, id: &str) -> Result<&Arc<dyn Connector>, TargetError> {
        self.connectors.get(id).ok_or_else(|| {
            TargetError::Configuration(format!(
                "the target “{id}” is no longer in the server’s configuration"
            ))
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Arc<dyn Connector>)> {
        self.connectors.iter()
    }

    /// From now on connectors can remember.
    pub fn remember_in(&self, store: Arc<dyn Store>) {
        self.memory.remember_in(store);
    }
}

/// A target’s connector, which connects only when called.
pub fn connector(target: &Target, notes: Arc<dyn Notes>) -> Result<Arc<dyn Connector>, TargetError> {
    Ok(match &target.kind {
        Kind::Postgres { url, password, watched } => {
            let connector = Postgres::new(url, &read(password.as_ref())?)?;
            Arc::new(if *watched { connector.watched() } else { connector })
        }
        Kind::Ldap { settings, password } => {
            Arc::new(Ldap::new(settings.clone(), &read(Some(password))?, notes)?)
        }
        Kind::Webhook(webhook) => {
            let settings = webhook.settings(|| SystemClock.now()).map_err(TargetError::Configuration)?;
            Arc::new(Webhook::connector(&target.id, settings)?)
        }
        Kind::Command(command) => Arc::new(Command::connector(&target.id, command.settings())),
        Kind::Mariadb(mariadb) => {
            let connector = Mariadb::new(&mariadb.url, &read(mariadb.password.as_ref())?)?;
            Arc::new(connector.from_host(&mariadb.account_host))
        }
        Kind::Ssh(options) => {
            // One that is there is told of now if it can't be used; one that is not is made at the start.
            if options.ca_key_file.exists() {
                Authority::read(&options.ca_key_file)?;
            }
            Arc::new(Ssh::new(options.clone(), notes, Arc::new(|| SystemClock.now())))
        }
        Kind::Sample => Arc::new(Fake::new()),
        Kind::Fake(how) => Arc::new(Slow::new(*how)),
    })
}

/// Makes what a target begins with and that is not there yet: an authority's key.
pub fn make_missing(config: &Config) -> Result<(), ConfigError> {
    let mut lines = Vec::new();
    for target in &config.targets {
        if let Kind::Ssh(options) = &target.kind
            && let Err(error) = ssh::ensure(&options.ca_key_file)
        {
            lines.push(format!("{}: target “{}”: {error}", config.file.display(), target.id));
        }
    }
    if lines.is_empty() { Ok(()) } else { Err(ConfigError { lines }) }
}

/// The password as it stands there now; empty when none is configured.
pub fn read(password: Option<&Password>) -> Result<SecretString, TargetError> {
    let text = match password {
        None => String::new(),
        Some(Password::File(path)) => std::fs::read_to_string(path)
            .map_err(|e| TargetError::Configuration(format!("{} cannot be read: {e}", path.display())))?,
        Some(Password::Env(name)) => std::env::var(name)
            .map_err(|_| TargetError::Configuration(format!("the environment variable {name} is not set")))?,
    };
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The fake target as the configuration asks for it: slow, and failing at first.
struct Slow {
    fake: Fake,
    delay: Duration,
}

impl Slow {
    fn new(how: FakeTarget) -> Self {
        let fake = Fake::new();
        let down = || TargetError::Unreachable("told to fail".to_owned());
        for verb in [Verb::Provision, Verb::Remove] {
            for _ in 0..how.fail_before {
                fake.next(verb, Fault::Before(down()));
            }
            for _ in 0..how.fail_after {
                fake.next(verb, Fault::After(down()));
            }
        }
        Self { fake, delay: how.delay }
    }

    async fn wait(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }
}

#[async_trait]
impl Connector for Slow {
    fn class(&self) -> Class {
        self.fake.class()
    }

    async fn provision(&self, access: &Access) -> Result<Secret, TargetError> {
        self.wait().await;
        self.fake.provision(access).await
    }

    async fn guard(&self, access: &Access) -> Result<Option<Secret>, TargetError> {
        self.wait().await;
        self.fake.guard(access).await
    }

    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError> {
        self.wait().await;
        self.fake.remove(grant).await
    }

    async fn inspect(&self) -> Result<Vec<Found>, TargetError> {
        self.fake.inspect().await
    }
}
