//! Making the login: two round trips, the second one transaction.

use super::failed::Failed;
use super::password::Password;
use super::session::Session;
use super::{untouched, watch};
use crate::TargetError;
use crate::points::{Point, reached};
use std::sync::Arc;
use tokio_postgres::types::Type;

pub(super) struct Asked<'a> {
    pub login: String,
    pub tag: String,
    pub groups: &'a [String],
    /// RFC 3339.
    pub until: String,
    pub connection_limit: u16,
    pub watched: bool,
}

/// What is there, and the statements that make it what is asked, quoted by the server.
/// A group that gives `CREATEROLE`, at whatever remove, would let a holder make logins that stay.
const PLAN: &str = "
    WITH RECURSIVE
         asked AS (SELECT DISTINCT unnest($2) AS name),
         reach AS (SELECT oid AS grp, oid FROM pg_roles WHERE rolname IN (SELECT name FROM asked)
                    UNION SELECT r.grp, m.roleid FROM reach r JOIN pg_auth_members m ON m.member = r.oid),
         login AS (SELECT oid, rolname FROM pg_roles WHERE rolname = $1),
         given AS (SELECT g.rolname::text AS name FROM login l
                     JOIN pg_auth_members m ON m.member = l.oid JOIN pg_roles g ON g.oid = m.roleid)
    SELECT ARRAY(SELECT name FROM asked WHERE name NOT IN (SELECT rolname FROM pg_roles) ORDER BY 1),
           current_user::text = ANY ($2),
           (SELECT coalesce(shobj_description(oid, 'pg_authid'), '') FROM login),
           concat_ws('; ',
               format('%s ROLE %I LOGIN INHERIT PASSWORD %L VALID UNTIL %L CONNECTION LIMIT %s',
                      CASE WHEN EXISTS (SELECT FROM login) THEN 'ALTER' ELSE 'CREATE' END, $1, $3, $4, $5),
               format('COMMENT ON ROLE %I IS %L', $1, $6),
               (SELECT 'REVOKE ' || string_agg(quote_ident(name), ', ') || ' FROM ' || quote_ident($1)
                  FROM given WHERE name NOT IN (SELECT name FROM asked)),
               (SELECT 'GRANT ' || string_agg(quote_ident(name), ', ') || ' TO ' || quote_ident($1)
                  FROM asked WHERE name NOT IN (SELECT name FROM given))),
           ARRAY(SELECT DISTINCT r.grp::regrole::text FROM reach r JOIN pg_roles p USING (oid) WHERE p.rolcreaterole),
           (SELECT extract(epoch FROM clock_timestamp())::float8
                       - max(substr(application_name, length($8) + 1)::float8)
              FROM pg_stat_activity
             WHERE usename = $7 AND application_name ~ ('^' || $8 || '[0-9.]+$'))";

const GIVEN_BESIDES: &str = "
    SELECT g.rolname::text FROM pg_roles l
      JOIN pg_auth_members m ON m.member = l.oid JOIN pg_roles g ON g.oid = m.roleid
     WHERE l.rolname = $1 AND g.rolname <> ALL ($2) ORDER BY 1";

/// Makes the login what is asked, with this password.
pub(super) async fn provision(
    client: Arc<Session>,
    asked: &Asked<'_>,
    password: &Password,
) -> Result<(), Failed> {
    let mut tries = 0;
    loop {
        tries += 1;
        match once(&client, asked, &password.verifier).await {
            Err(failed) if failed.collided() && tries < 3 => {}
            other => return other,
        }
    }
}

async fn once(client: &Session, asked: &Asked<'_>, verifier: &str) -> Result<(), Failed> {
    let limit = asked.connection_limit.to_string();
    let plan = client
        .ask(
            PLAN,
            &[
                (&asked.login, Type::TEXT),
                (&asked.groups, Type::TEXT_ARRAY),
                (&verifier, Type::TEXT),
                (&asked.until, Type::TEXT),
                (&limit, Type::TEXT),
                (&asked.tag, Type::TEXT),
                (&watch::LOGIN, Type::TEXT),
                (&watch::SEEN, Type::TEXT),
            ],
        )
        .await?;
    let row = plan.first().ok_or_else(|| TargetError::Refused("no answer to the plan".into()))?;
    let missing: Vec<String> = row.try_get(0)?;
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|name| format!("\"{}\"", name.escape_debug())).collect();
        let text = format!("the target has no group role {}", names.join(", "));
        return Err(TargetError::Configuration(text).into());
    }
    if row.try_get(1)? {
        let text = "a role can't give the login that Gatepass itself uses on the target";
        return Err(TargetError::Configuration(text.into()).into());
    }
    if let Some(group) = row.try_get::<_, Vec<String>>(4)?.first() {
        let text =
            format!("the group role {group} may make roles, which would stay: it can't be given for a time");
        return Err(TargetError::Configuration(text).into());
    }
    if asked.watched {
        watch::at_work(row.try_get(5)?)?;
    }
    let tag: Option<String> = row.try_get(2)?;
    if tag.as_ref().is_some_and(|tag| untouched(tag) != asked.tag) {
        let text = format!("the target has a role {} that this Gatepass did not make", asked.login);
        return Err(TargetError::Refused(text).into());
    }
    reached(Point::PostgresProvisionPlanned);
    // One message of several statements is one transaction, and leaves none open when it fails.
    client.batch_execute(row.try_get(3)?).await?;
    reached(Point::PostgresProvisionMade);
    if tag.is_some() {
        nothing_besides(client, asked).await?;
    }
    Ok(())
}

/// A membership that someone else gave to the login can't be taken back from PostgreSQL 16 on, and only warns.
async fn nothing_besides(client: &Session, asked: &Asked<'_>) -> Result<(), Failed> {
    let rows =
        client.ask(GIVEN_BESIDES, &[(&asked.login, Type::TEXT), (&asked.groups, Type::TEXT_ARRAY)]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let group: String = row.try_get(0)?;
    let text = format!("someone gave \"{}\" to {} as well", group.escape_debug(), asked.login);
    Err(TargetError::Refused(text).into())
}
