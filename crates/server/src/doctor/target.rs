//! The targets: each is asked what is on it, as the server does every minute, and what its login may do there.

use super::{Finding, fail, ok, warn};
use crate::clock::{BOUND, Clock as _, SystemClock};
use crate::config::{Config, Kind};
use crate::connect::{Targets, connector, read};
use futures_util::future::join_all;
use gatepass_connectors::postgres::Place;
use gatepass_connectors::{Connector, Forgetful, TargetError};
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::types::Type;

const LIMIT: Duration = Duration::from_secs(20);
const REACHED: &str = "target.login";
const RIGHTS: &str = "target.rights";

pub async fn examine(config: &Config) -> Vec<Finding> {
    // What is remembered of accesses is in the server's own database; whether a target answers needs none of it.
    let given = config
        .targets
        .iter()
        .filter_map(|t| Some((t.id.clone(), connector(t, Arc::new(Forgetful::default())).ok()?)))
        .collect();
    let targets = match Targets::new(config, &given) {
        Ok(targets) => targets,
        Err(error) => return vec![fail(REACHED, error.to_string(), "Correct the configuration")],
    };
    let each = config.targets.iter().map(|target| {
        let targets = &targets;
        async move {
            let id = &target.id;
            let inspected = match targets.get(id) {
                Ok(connector) => timeout(LIMIT, connector.inspect()).await.unwrap_or_else(|_| {
                    Err(TargetError::Unreachable(format!("no answer within {} s", LIMIT.as_secs())))
                }),
                Err(error) => Err(error),
            };
            match inspected {
                Err(error) => vec![fail(
                    REACHED,
                    format!("{id}: {error}"),
                    "Until that is mended, nothing is set up there and ends wait",
                )],
                Ok(found) => {
                    let ours = match target.kind {
                        Kind::Ldap { .. } | Kind::Ssh { .. } => String::new(),
                        _ => format!("; {} accesses of ours are on it", found.len()),
                    };
                    let mut all = vec![ok(REACHED, format!("{id} answers{ours}"))];
                    all.extend(clock(targets, id).await);
                    if let Kind::Postgres { url, password, .. } = &target.kind {
                        let password = read(password.as_ref()).unwrap_or_default();
                        all.push(rights(config, id, url, &password).await);
                    }
                    if let (Kind::Ldap { .. }, Ok(connector)) = (&target.kind, targets.get(id)) {
                        all.push(seen(id, &**connector, &groups(config, id)).await);
                    }
                    all
                }
            }
        }
    });
    join_all(each).await.into_iter().flatten().collect()
}

/// Whether the target's clock, which its guard goes by, is this machine's too.
async fn clock(targets: &Targets, id: &str) -> Option<Finding> {
    const ABOUT: &str = "target.clock";
    let theirs = timeout(LIMIT, targets.get(id).ok()?.clock()).await.ok()?.ok()??;
    let off = SystemClock.now() - theirs;
    Some(if off.abs() <= BOUND {
        ok(ABOUT, format!("{id}: its clock is as this machine’s"))
    } else {
        warn(
            ABOUT,
            format!("{id}: its clock differs from this machine’s by {} s", off.num_seconds()),
            "Set both by a time server: until then the guard is set by the target’s clock, and an end waits for it",
        )
    })
}

/// Everything that the catalogue gives on this target.
fn groups(config: &Config, target: &str) -> Vec<String> {
    let resources = config.catalogue.resources.iter().filter(|r| r.target == target);
    let grants = resources.flat_map(|r| &r.roles).flat_map(|role| role.grants.iter().cloned());
    grants.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Whether a directory has the groups that the catalogue gives, and lets its login see who is in them.
async fn seen(id: &str, connector: &dyn Connector, groups: &[String]) -> Finding {
    let todo = "Correct the catalogue’s grants, or run docs/connectors/ldap-access.ldif for these groups";
    match timeout(LIMIT, connector.strangers(groups)).await {
        Ok(Ok(_)) => ok(RIGHTS, format!("{id}: its login sees all the groups that the catalogue gives")),
        Ok(Err(error)) => fail(RIGHTS, format!("{id}: {error}"), todo),
        Err(_) => fail(RIGHTS, format!("{id}: the groups cannot be read in time"), todo),
    }
}

async fn rights(config: &Config, id: &str, url: &str, password: &SecretString) -> Finding {
    let todo = "Run docs/connectors/postgres-admin.sql on it again, with all groups of the catalogue";
    match timeout(LIMIT, missing(url, password, groups(config, id))).await {
        Ok(Ok(missing)) if missing.is_empty() => ok(RIGHTS, format!("{id}: its login may do what is needed")),
        Ok(Ok(missing)) => fail(RIGHTS, format!("{id}: {}", missing.join("; ")), todo),
        Ok(Err(error)) => fail(RIGHTS, format!("{id}: its rights cannot be read: {error}"), todo),
        Err(_) => fail(RIGHTS, format!("{id}: its rights cannot be read in time"), todo),
    }
}

/// What the login lacks.
async fn missing(
    url: &str,
    password: &SecretString,
    groups: Vec<String>,
) -> Result<Vec<String>, TargetError> {
    let place = Place::parse(url, password)?;
    let away = |e: tokio_postgres::Error| TargetError::Unreachable(e.to_string());
    let (client, connection) = place.config.connect(place.tls.clone()).await.map_err(away)?;
    let driver = tokio::spawn(connection);
    // Up to PostgreSQL 15, CREATEROLE may hand on every role.
    let asked = client
        .query_typed(
            "SELECT g, r.oid IS NULL, me.rolcreaterole OR me.rolsuper,
                 me.rolsuper OR pg_has_role('pg_signal_backend', 'MEMBER'),
                 me.rolsuper OR current_setting('server_version_num')::int < 160000
                     OR coalesce(pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION'), false)
             FROM pg_roles me LEFT JOIN unnest($1) g ON true LEFT JOIN pg_roles r ON r.rolname = g
             WHERE me.rolname = current_user",
            &[(&groups, Type::TEXT_ARRAY)],
        )
        .await
        .map_err(away);
    driver.abort();
    let mut lacks = BTreeSet::new();
    for row in asked? {
        let group: Option<String> = row.try_get(0).map_err(away)?;
        if !row.try_get::<_, bool>(2).map_err(away)? {
            lacks.insert("its login may not make logins (CREATEROLE)".to_owned());
        }
        if !row.try_get::<_, bool>(3).map_err(away)? {
            lacks.insert("its login may not end sessions (pg_signal_backend)".to_owned());
        }
        if let Some(group) = group {
            if row.try_get(1).map_err(away)? {
                lacks.insert(format!("there is no role “{group}”, which the catalogue gives"));
            } else if !row.try_get::<_, bool>(4).map_err(away)? {
                lacks.insert(format!("its login may not hand on “{group}”"));
            }
        }
    }
    Ok(lacks.into_iter().collect())
}
