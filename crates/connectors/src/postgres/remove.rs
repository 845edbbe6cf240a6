//! Taking the login away: sessions first, at once; then what it owns; then the login.

use super::failed::Failed;
use super::link;
use super::place::Place;
use crate::TargetError;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

/// How long sessions may take to end once told to.
const SESSIONS_LIMIT: Duration = Duration::from_secs(5);

/// A login whose sessions have ended and that lets nobody in.
pub(super) struct Cut {
    pub sessions_ended: u32,
    oid: u32,
    drop: String,
}

/// Materialised, so that the server can't signal before it has filtered.
const FIND_AND_END: &str = "
    WITH login AS MATERIALIZED (SELECT oid, rolname FROM pg_roles WHERE rolname = $1),
         theirs AS MATERIALIZED (SELECT a.pid FROM login l JOIN pg_stat_activity a ON a.usesysid = l.oid)
    SELECT oid,
           format('ALTER ROLE %I NOLOGIN PASSWORD NULL VALID UNTIL %L', rolname, 'epoch'),
           format('DROP ROLE IF EXISTS %I', rolname),
           ARRAY(SELECT CASE WHEN pg_terminate_backend(pid) THEN pid END FROM theirs)
      FROM login";

/// By the login's oid: a session outlives its login's name.
const END: &str = "
    WITH theirs AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE usesysid = $1)
    SELECT pid, pg_terminate_backend(pid) FROM theirs";

const IS_THERE: &str = "SELECT FROM pg_roles WHERE oid = $1";

/// Ends the sessions, shuts the door, and ends those that slipped in; `None` when there is no such login.
/// Sessions are ended before the door is shut because one may hold a lock on its own login's row.
pub(super) async fn cut(client: Arc<Client>, place: &Place, login: &String) -> Result<Option<Cut>, Failed> {
    let found = client.query_typed(FIND_AND_END, &[(login, Type::TEXT)]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let oid: u32 = row.try_get(0)?;
    let mut ended: BTreeSet<i32> = row.try_get::<_, Vec<Option<i32>>>(3)?.into_iter().flatten().collect();
    let mut shut = client.batch_execute(row.try_get(1)?).await;
    if shut.as_ref().err().and_then(Error::code) == Some(&SqlState::LOCK_NOT_AVAILABLE) {
        // No session is left that could hold the row, but a prepared transaction can.
        roll_back_prepared(&client, place, login).await?;
        shut = client.batch_execute(row.try_get(1)?).await;
    }
    silence(&client, oid, &mut ended).await?;
    match shut {
        Err(error) if error.code() != Some(&SqlState::UNDEFINED_OBJECT) => return Err(error.into()),
        _ => {}
    }
    let sessions_ended = u32::try_from(ended.len()).unwrap_or(u32::MAX);
    Ok(Some(Cut { sessions_ended, oid, drop: row.try_get(2)? }))
}

/// Ends sessions of `oid` until none is left.
async fn silence(client: &Client, oid: u32, ended: &mut BTreeSet<i32>) -> Result<(), Failed> {
    let until = Instant::now() + SESSIONS_LIMIT;
    let mut pause = Duration::from_millis(1);
    loop {
        let open = client.query_typed(END, &[(&oid, Type::OID)]).await?;
        let Some(first) = open.first() else { return Ok(()) };
        for row in &open {
            if row.try_get(1)? {
                ended.insert(row.try_get(0)?);
            }
        }
        if Instant::now() > until {
            let pid: i32 = first.try_get(0)?;
            let text = format!("{} session(s) do not end, one is process {pid} of the target", open.len());
            return Err(TargetError::Refused(text).into());
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// What keeps the login from being dropped, by database; no name for what all databases share.
const LEFT: &str = "
    SELECT d.datname::text, coalesce(d.datallowconn, true), bool_or(s.deptype = 'o')
      FROM pg_shdepend s LEFT JOIN pg_database d ON d.oid = s.dbid
     WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = $1
     GROUP BY 1, 2 ORDER BY 1";

const PREPARED: &str = "
    SELECT database::text, format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE owner = $1";

/// Who may take over what the login owns, its groups, the predefined ones last; and what to say for each. The login
/// itself does it, so that nobody gets what its holder could not have given.
const HAND_OVER: &str = "
    SELECT g.oid IS NOT NULL,
           format('GRANT %I TO CURRENT_USER', $1)
               || CASE WHEN current_setting('server_version_num')::int >= 160000
                       THEN ' WITH SET TRUE, INHERIT FALSE' ELSE '' END
               || format('; SET ROLE %I', $1),
           concat_ws('; ', 'REASSIGN OWNED BY ' || quote_ident($1) || ' TO ' || quote_ident(g.rolname),
                           'DROP OWNED BY ' || quote_ident($1)),
           format('RESET ROLE; REVOKE %I FROM CURRENT_USER', $1)
      FROM pg_roles l
      LEFT JOIN pg_auth_members m ON m.member = l.oid
      LEFT JOIN pg_roles g ON g.oid = m.roleid
     WHERE l.rolname = $1
     ORDER BY g.rolname LIKE 'pg\\_%', g.rolname";

/// Hands over what the login owns, drops it, and reads back that it and its sessions are gone.
pub(super) async fn clear(
    client: Arc<Client>,
    place: &Place,
    login: &String,
    cut: &Cut,
) -> Result<(), Failed> {
    let left = client.query_typed(LEFT, &[(&cut.oid, Type::OID)]).await?;
    roll_back_prepared(&client, place, login).await?;
    for row in &left {
        let database: Option<String> = row.try_get(0)?;
        if !row.try_get::<_, bool>(1)? {
            let text = format!("{login} has something in database {database:?}, which takes no connections");
            return Err(TargetError::Refused(text).into());
        }
        hand_over(place, database.as_deref(), login, row.try_get(2)?).await.map_err(|failed| {
            let database = database.as_deref().unwrap_or(&place.database);
            within(failed, &format!("what {login} leaves in database \"{}\"", database.escape_debug()))
        })?;
    }
    client.batch_execute(&cut.drop).await?;
    // Whoever was past the door before it shut shows only now.
    silence(&client, cut.oid, &mut BTreeSet::new()).await?;
    if client.query_typed(IS_THERE, &[(&cut.oid, Type::OID)]).await?.is_empty() {
        Ok(())
    } else {
        Err(TargetError::Refused(format!("{login} is still there after it was dropped")).into())
    }
}

async fn hand_over(place: &Place, database: Option<&str>, login: &String, owns: bool) -> Result<(), Failed> {
    let client = link::connect(place, database).await?;
    let mut failure = TargetError::Refused("none of its group roles is left to take it over".into()).into();
    for row in client.query_typed(HAND_OVER, &[(login, Type::TEXT)]).await? {
        if owns && !row.try_get::<_, bool>(0)? {
            break;
        }
        // One message, one transaction: nobody ever sees the admin as a member of the login.
        let (first, middle, last): (&str, &str, &str) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        match client.batch_execute(&[first, middle, last].join("; ")).await {
            Ok(()) => return Ok(()),
            Err(error) => failure = error.into(),
        }
    }
    Err(failure)
}

/// A prepared transaction outlives its session and would keep the login from being changed or dropped. It can't be
/// rolled back inside a transaction, so each statement stands alone; the connection is not used again.
async fn roll_back_prepared(client: &Client, place: &Place, login: &String) -> Result<(), Failed> {
    for prepared in client.query_typed(PREPARED, &[(login, Type::TEXT)]).await? {
        let there = link::connect(place, Some(prepared.try_get(0)?)).await?;
        let says = there.query_typed(HAND_OVER, &[(login, Type::TEXT)]).await?;
        let Some(say) = says.first() else { return Ok(()) };
        there.batch_execute(say.try_get(1)?).await?;
        there.batch_execute(prepared.try_get(1)?).await?;
        there.batch_execute(say.try_get(3)?).await?;
    }
    Ok(())
}

/// Says what a refusal is about. What the network did stays as it is.
fn within(failed: Failed, about: &str) -> Failed {
    match TargetError::from(failed) {
        TargetError::Refused(text) | TargetError::Configuration(text) => {
            TargetError::Refused(format!("{about} can't be handed over: {text}"))
        }
        other => other,
    }
    .into()
}
