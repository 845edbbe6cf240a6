//! PostgreSQL: a login for each grant, with the role's group roles given to it.
//!
//! Class B: `VALID UNTIL` keeps new logins out after the end by itself; open sessions are ended by `remove`. Class A with
//! a watch on the target, which ends them as well. What the admin needs, and the limits, are in
//! docs/connectors/postgres.md. Names reach SQL only through the server's
//! own `format('%I')`.

mod clear;
mod failed;
mod link;
mod password;
mod place;
mod provision;
mod remove;
mod session;
mod strangers;
mod tls;
mod watch;

use crate::{Access, Class, Connector, Found, Removed, Stranger, TargetError};
use async_trait::async_trait;
use failed::Failed;
pub use failed::disagree_on_tls;
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use link::Link;
use password::Passwords;
pub use place::Place;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;

const SESSIONS: u16 = 20;

/// One database of one server.
pub struct Postgres {
    place: Arc<Place>,
    /// Everything that takes milliseconds.
    quick: Link,
    /// What may wait for locks, apart, so that it never holds up the end of a session.
    slow: Link,
    passwords: Passwords,
    connection_limit: u16,
    /// Without the watch on the target nothing is provisioned, see `watch`.
    watched: bool,
}

impl Postgres {
    /// `url` is `postgres://admin@host:port/database`, with `sslmode` (`disable`, `prefer`, `require` or
    /// `verify-full`) and `sslrootcert` if need be; see docs/connectors/postgres.md. Connects only when called.
    ///
    /// # Errors
    /// `Configuration` when the URL can't be used. The message does not repeat it.
    pub fn new(url: &str, password: &SecretString) -> Result<Self, TargetError> {
        let place = Arc::new(Place::parse(url, password)?);
        Ok(Self {
            quick: Link::new(place.clone(), 4, Duration::from_secs(15)),
            slow: Link::new(place.clone(), 2, Duration::from_secs(40)),
            place,
            passwords: Passwords::default(),
            connection_limit: SESSIONS,
            watched: false,
        })
    }

    /// Sessions a holder may have open at once; 20 unless set. Without a limit, one holder could take every
    /// connection the target has, and keep Gatepass from ending theirs.
    #[must_use]
    pub fn connection_limit(mut self, sessions: u16) -> Self {
        self.connection_limit = sessions;
        self
    }

    /// Asks for the watch that docs/connectors/postgres-guard.sql makes, which ends open sessions on the target itself:
    /// then the class is A, and while no watch is seen on the target nothing is provisioned.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.watched = true;
        self
    }

    /// What follows the grant's id in the tag. It keeps apart servers, or targets of one, that share a cluster.
    fn scope(&self) -> String {
        format!(" by {} on {}", self.place.admin, self.place.database)
    }
}

/// What the login made for a grant is called.
pub fn login_name(grant: GrantId) -> String {
    format!("gp_{}", grant.0.simple())
}

/// The comment on the login.
fn tag(grant: GrantId, scope: &str) -> String {
    format!("gatepass:{grant}{scope}")
}

fn stamp(time: Time) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

const GUARD: &str = "
    SELECT format('ALTER ROLE %I VALID UNTIL %L', rolname, $2)
      FROM pg_roles WHERE rolname = $1 AND rolcanlogin";

const INSPECT: &str = "
    SELECT r.rolname::text, d.description,
           CASE WHEN isfinite(r.rolvaliduntil) THEN r.rolvaliduntil END,
           (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid)
      FROM pg_roles r
      JOIN pg_shdescription d ON d.objoid = r.oid AND d.classoid = 'pg_authid'::regclass
     WHERE d.description LIKE 'gatepass:%'
     ORDER BY 1";

#[async_trait]
impl Connector for Postgres {
    fn class(&self) -> Class {
        if self.watched { Class::A } else { Class::B }
    }

    async fn provision(&self, access: &Access) -> Result<Secret, TargetError> {
        let asked = provision::Asked {
            login: login_name(access.grant),
            tag: tag(access.grant, &self.scope()),
            groups: &access.grants,
            until: stamp(access.until),
            connection_limit: self.connection_limit,
            watched: self.watched,
        };
        let password = &self.passwords.take();
        self.quick.run(|client| provision::provision(client, &asked, password)).await?;
        Ok(Secret::Postgres { url: self.place.url_for(&asked.login, password.exposed()) })
    }

    async fn guard(&self, access: &Access) -> Result<Option<Secret>, TargetError> {
        let (login, until) = (&login_name(access.grant), &stamp(access.until));
        self.quick
            .run(|client| async move {
                let found = client.ask(GUARD, &[(login, Type::TEXT), (until, Type::TEXT)]).await?;
                let Some(row) = found.first() else {
                    let absent = format!("there is no login {login} whose end could be moved");
                    return Err(Failed::Told(TargetError::Refused(absent)));
                };
                Ok(client.batch_execute(row.try_get(0)?).await?)
            })
            .await
            .map(|()| None)
    }

    async fn remove(&self, grant: GrantId) -> Result<Removed, TargetError> {
        let login = &login_name(grant);
        let Some(cut) = self.quick.run(|client| remove::cut(client, &self.place, login)).await? else {
            return Ok(Removed { sessions_ended: 0 });
        };
        if !cut.dropped {
            self.slow.run(|client| clear::clear(client, &self.place, login, &cut)).await?;
        }
        Ok(Removed { sessions_ended: cut.sessions_ended })
    }

    async fn inspect(&self) -> Result<Vec<Found>, TargetError> {
        let scope = &self.scope();
        self.quick
            .run(|client| async move {
                let mut found = Vec::new();
                for row in client.ask(INSPECT, &[]).await? {
                    let (name, description): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                    let Some(grant) = tagged(&name, &description, scope) else { continue };
                    let sessions = u32::try_from(row.try_get::<_, i64>(3)?).unwrap_or(u32::MAX);
                    found.push(Found { grant, name, until: row.try_get(2)?, sessions });
                }
                Ok(found)
            })
            .await
    }

    async fn strangers(&self, grants: &[String]) -> Result<Vec<Stranger>, TargetError> {
        self.quick.run(|client| strangers::strangers(client, grants)).await
    }

    async fn clock(&self) -> Result<Option<Time>, TargetError> {
        self.quick
            .run(|client| async move {
                let answer = client.ask("SELECT clock_timestamp()", &[]).await?;
                Ok(answer.first().map(|row| row.try_get(0)).transpose()?)
            })
            .await
    }
}

/// The tag without what a removal that could not finish noted after it: the groups the login had.
fn untouched(description: &str) -> &str {
    description.rsplit_once("\n{").map_or(description, |(tag, _)| tag)
}

/// The grant, when name and comment agree and the comment is of this scope.
fn tagged(name: &str, description: &str, scope: &str) -> Option<GrantId> {
    let grant = untouched(description).strip_prefix("gatepass:")?.strip_suffix(scope)?.parse().ok()?;
    (login_name(grant) == name).then_some(grant)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_tag_counts_with_its_name_and_scope_only() {
        let grant: GrantId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let scope = " by gatepass_admin on orders";
        let name = login_name(grant);
        assert_eq!(name, "gp_01890a5dac96774bbcceb302099a8057");
        let tag = tag(grant, scope);
        assert_eq!(tagged(&name, &tag, scope), Some(grant));
        assert_eq!(tagged(&name, &tag, " by gatepass_admin on ledger"), None);
        assert_eq!(tagged("orders_writer", &tag, scope), None);
        assert_eq!(tagged(&name, &format!("{tag}\n{{16384,16385}}"), scope), Some(grant));
        assert_eq!(tagged(&name, &format!("gatepass:{scope}"), scope), None);
    }
}
