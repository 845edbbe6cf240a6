//! What a login leaves: handed over to one of its groups, by the login itself, in every database of the cluster.

use super::failed::Failed;
use super::link;
use super::place::Place;
use super::remove::{Cut, silence};
use super::session::Session;
use crate::TargetError;
use crate::points::{Point, reached};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// What keeps the login from being dropped, by database; no name for what all databases share.
const LEFT: &str = "
    SELECT d.datname::text, coalesce(d.datallowconn, true), bool_or(s.deptype = 'o')
      FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
     WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = $1
     GROUP BY 1, 2 ORDER BY 1";

const PREPARED: &str = "
    SELECT database::text, format('ROLLBACK PREPARED %L', gid),
           format('GRANT %I TO CURRENT_USER', $1)
               || CASE WHEN current_setting('server_version_num')::int >= 160000
                       THEN ' WITH SET TRUE, INHERIT FALSE' ELSE '' END
               || format('; SET ROLE %I', $1),
           format('RESET ROLE; REVOKE %I FROM CURRENT_USER', $1)
      FROM pg_prepared_xacts WHERE owner = $1";

/// Who may take over what the login owns: the groups it has, or had when the door was shut (the comment's second line),
/// the predefined ones last; and what to say for each. The login itself does it, so that nobody gets what its holder
/// could not have given.
const HAND_OVER: &str = "
    WITH login AS (SELECT oid FROM pg_roles WHERE rolname = $1),
         had AS (SELECT unnest(substring(shobj_description(oid, 'pg_authid') FROM '\\n(\\{[0-9,]*\\})$')::oid[]) AS oid
                   FROM login
                  UNION SELECT m.roleid FROM login l JOIN pg_auth_members m ON m.member = l.oid)
    SELECT g.oid IS NOT NULL,
           concat_ws('; ',
               'GRANT ' || quote_ident(g.rolname) || ' TO ' || quote_ident($1),
               format('GRANT %I TO CURRENT_USER', $1)
                   || CASE WHEN current_setting('server_version_num')::int >= 160000
                           THEN ' WITH SET TRUE, INHERIT FALSE' ELSE '' END,
               format('SET ROLE %I', $1),
               'REASSIGN OWNED BY ' || quote_ident($1) || ' TO ' || quote_ident(g.rolname),
               'DROP OWNED BY ' || quote_ident($1),
               format('RESET ROLE; REVOKE %I FROM CURRENT_USER', $1),
               'REVOKE ' || quote_ident(g.rolname) || ' FROM ' || quote_ident($1))
      FROM login l LEFT JOIN (had JOIN pg_roles g USING (oid)) ON true
     ORDER BY g.rolname LIKE 'pg\\_%', g.rolname";

/// Hands over what the login owns, drops it, and reads back that it and its sessions are gone.
pub(super) async fn clear(
    client: Arc<Session>,
    place: &Place,
    login: &String,
    cut: &Cut,
) -> Result<(), Failed> {
    roll_back_prepared(&client, place, login).await?;
    for row in client.ask(LEFT, &[(&cut.oid, Type::OID)]).await? {
        let database: Option<String> = row.try_get(0)?;
        let named = format!("database \"{}\"", database.as_deref().unwrap_or(&place.database).escape_debug());
        if !row.try_get::<_, bool>(1)? {
            let text = format!("{login} has something in {named}, which takes no connections");
            return Err(TargetError::Refused(text).into());
        }
        hand_over(place, database.as_deref(), login, row.try_get(2)?).await.map_err(|failed| {
            within(failed, &format!("what {login} leaves in {named} can't be handed over"))
        })?;
        reached(Point::PostgresRemoveHandedOver);
    }
    client.batch_execute(&cut.drop).await?;
    reached(Point::PostgresRemoveDropped);
    if silence(&client, cut.oid, &mut BTreeSet::new()).await? {
        return Err(TargetError::Refused(format!("{login} is still there after it was dropped")).into());
    }
    Ok(())
}

async fn hand_over(place: &Place, database: Option<&str>, login: &String, owns: bool) -> Result<(), Failed> {
    let client = link::connect(place, database).await?;
    let mut failure = TargetError::Refused("none of its group roles is left to take it over".into()).into();
    for row in client.ask(HAND_OVER, &[(login, Type::TEXT)]).await? {
        if owns && !row.try_get::<_, bool>(0)? {
            break;
        }
        // One message, one transaction: nobody ever sees the login in a group again, or the admin in the login.
        match client.batch_execute(row.try_get(1)?).await {
            Ok(()) => return Ok(()),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// A prepared transaction outlives its session and would keep the login from being changed or dropped. It can't be
/// rolled back inside a transaction, so each statement stands alone; the connection is not used again.
pub(super) async fn roll_back_prepared(
    client: &Session,
    place: &Place,
    login: &String,
) -> Result<(), Failed> {
    for prepared in client.ask(PREPARED, &[(login, Type::TEXT)]).await? {
        let database: &str = prepared.try_get(0)?;
        let one = async {
            let there = link::connect(place, Some(database)).await?;
            for say in [2, 1, 3] {
                there.batch_execute(prepared.try_get(say)?).await?;
            }
            Ok::<_, Failed>(())
        };
        one.await.map_err(|failed| {
            let about =
                format!("a prepared transaction of {login} in database \"{}\"", database.escape_debug());
            within(failed, &format!("{about} can't be rolled back"))
        })?;
    }
    Ok(())
}

/// Says what a refusal is about. What the network did stays as it is.
fn within(failed: Failed, about: &str) -> Failed {
    match TargetError::from(failed) {
        TargetError::Refused(text) | TargetError::Configuration(text) => {
            TargetError::Refused(format!("{about}: {text}"))
        }
        other => other,
    }
    .into()
}
