//! Taking the login away: its sessions first, at once; then the login, and before it what it owns if there is anything.

use super::clear::roll_back_prepared;
use super::failed::Failed;
use super::place::Place;
use super::session::Session;
use crate::TargetError;
use crate::points::{Point, reached};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};
use tracing::warn;

/// How long sessions may take to end once told to.
const SESSIONS_LIMIT: Duration = Duration::from_secs(5);
/// How long a connection may go without showing whose it is. Usually they take a millisecond.
const UNNAMED_LIMIT: Duration = Duration::from_secs(2);

/// A login whose sessions have ended, that lets nobody in and has no group's rights.
pub(super) struct Cut {
    pub sessions_ended: u32,
    pub oid: u32,
    /// It is gone already: it left nothing behind.
    pub dropped: bool,
    pub drop: String,
}

/// Ends the sessions and asks what there is. Materialised, so that the server can't signal before it has filtered.
///
/// What shuts the door also takes the groups back, and what the holder may have given on (up to 14, membership in the
/// login itself): nobody has their rights any more, even while something keeps the login from being dropped. The
/// comment remembers them, since one of them takes over what the login owns.
const FIND_AND_END: &str = "
    WITH login AS MATERIALIZED (SELECT oid, rolname FROM pg_roles WHERE rolname = $1),
         theirs AS MATERIALIZED (SELECT a.pid FROM login l JOIN pg_stat_activity a ON a.usesysid = l.oid),
         groups AS (SELECT DISTINCT g.oid, g.rolname FROM login l JOIN pg_auth_members m ON m.member = l.oid
                      JOIN pg_roles g ON g.oid = m.roleid),
         members AS (SELECT DISTINCT p.rolname FROM login l JOIN pg_auth_members m ON m.roleid = l.oid
                       JOIN pg_roles p ON p.oid = m.member WHERE p.rolname <> current_user)
    SELECT oid,
           concat_ws('; ',
               'SET LOCAL lock_timeout = 1000',
               format('ALTER ROLE %I NOLOGIN PASSWORD NULL VALID UNTIL %L', rolname, 'epoch'),
               (SELECT format('COMMENT ON ROLE %I IS %L', $1,
                              regexp_replace(coalesce(shobj_description(l.oid, 'pg_authid'), ''),
                                             '\\n\\{[0-9,]*\\}$', '') || E'\\n' || array_agg(oid)::text)
                  FROM groups HAVING count(*) > 0),
               (SELECT 'REVOKE ' || string_agg(quote_ident(rolname), ', ') || ' FROM ' || quote_ident($1)
                  FROM groups),
               (SELECT 'REVOKE ' || quote_ident($1) || ' FROM ' || string_agg(quote_ident(rolname), ', ')
                  FROM members)),
           format('DROP ROLE IF EXISTS %I', rolname),
           ARRAY(SELECT CASE WHEN pg_terminate_backend(pid) THEN pid END FROM theirs),
           EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = l.oid)
               OR EXISTS (SELECT FROM pg_prepared_xacts WHERE owner = $1)
               OR EXISTS (SELECT FROM pg_locks k LEFT JOIN pg_stat_activity a USING (pid)
                           WHERE k.locktype = 'virtualxid' AND a.usesysid IS NULL AND a.datid IS NULL)
      FROM login l";

/// Sessions by the login's oid, since a session outlives its login's name; then connections that do not show whose they
/// are; then whether the login is there. Someone who connects is authenticated before pg_stat_activity has their name,
/// and may ask to stay so for a while (`post_auth_delay`); pg_locks has them already. It is read first, and what is read
/// second depends on it, so that nobody gets from the one to the other in between.
const END: &str = "
    WITH held AS MATERIALIZED (SELECT array_agg(DISTINCT pid) AS pids FROM pg_locks
                                  WHERE locktype = 'virtualxid' AND pid IS NOT NULL),
         seen AS MATERIALIZED (
             SELECT s.pid, s.usesysid, s.datid
               FROM held, pg_stat_get_activity(CASE WHEN held.pids IS NULL THEN NULL::int END) s)
    SELECT ARRAY(SELECT pid FROM seen WHERE usesysid = $1),
           ARRAY(SELECT CASE WHEN pg_terminate_backend(pid) THEN pid END FROM seen WHERE usesysid = $1),
           ARRAY(SELECT unnest(pids) FROM held
                 EXCEPT SELECT pid FROM seen WHERE usesysid IS NOT NULL OR datid IS NOT NULL),
           EXISTS (SELECT FROM pg_roles WHERE oid = $1)";

const END_UNNAMED: &str = "SELECT pg_terminate_backend($1)";

/// Ends the sessions, then shuts the door by dropping the login, or as far as can be when it left something, and ends
/// those that slipped in; `None` when there is no such login. Sessions are ended before the door is shut because one
/// may hold a lock on its own login's row.
pub(super) async fn cut(client: Arc<Session>, place: &Place, login: &String) -> Result<Option<Cut>, Failed> {
    let found = client.ask(FIND_AND_END, &[(login, Type::TEXT)]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    reached(Point::PostgresRemoveTold);
    let oid: u32 = row.try_get(0)?;
    let mut ended: BTreeSet<i32> = row.try_get::<_, Vec<Option<i32>>>(3)?.into_iter().flatten().collect();
    let drop: String = row.try_get(2)?;
    let left: bool = row.try_get(4)?;
    // Waits for no lock: the door is still open.
    let quickly = format!("SET LOCAL lock_timeout = 200; {drop}");
    let mut dropped = !left && settled(client.batch_execute(&quickly).await)?;
    let shut = if dropped { Ok(()) } else { shut(&client, place, login, row).await };
    reached(Point::PostgresRemoveShut);
    let there = silence(&client, oid, &mut ended).await?;
    shut?;
    reached(Point::PostgresRemoveSilent);
    dropped &= !there;
    if dropped {
        reached(Point::PostgresRemoveDropped);
    }
    let sessions_ended = u32::try_from(ended.len()).unwrap_or(u32::MAX);
    Ok(Some(Cut { sessions_ended, oid, dropped, drop }))
}

/// Whether it could be dropped; what the server has against it is for the longer way to find.
fn settled(dropped: Result<(), Error>) -> Result<bool, Failed> {
    match dropped.map_err(Failed::from) {
        Ok(()) => Ok(true),
        Err(failed) if failed.lost() => Err(failed),
        Err(_) => Ok(false),
    }
}

async fn shut(client: &Session, place: &Place, login: &String, row: &Row) -> Result<(), Failed> {
    let say: &str = row.try_get(1)?;
    match client.batch_execute(say).await {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            // No session is left that could hold the row, but a prepared transaction can.
            roll_back_prepared(client, place, login).await?;
            Ok(client.batch_execute(say).await?)
        }
        other => Ok(other?),
    }
}

/// Ends sessions of `oid` until none is left, nor any connection that could still become one; whether the login is
/// still there.
pub(super) async fn silence(client: &Session, oid: u32, ended: &mut BTreeSet<i32>) -> Result<bool, Failed> {
    let from = Instant::now();
    let mut pause = Duration::from_millis(1);
    // Who connects from now on finds the door shut.
    let mut before: Option<BTreeSet<i32>> = None;
    loop {
        let rows = client.ask(END, &[(&oid, Type::OID)]).await?;
        let row = rows.first().ok_or_else(|| TargetError::Refused("no answer to the read-back".into()))?;
        let open: Vec<i32> = row.try_get(0)?;
        ended.extend(row.try_get::<_, Vec<Option<i32>>>(1)?.into_iter().flatten());
        let unnamed: BTreeSet<i32> = row.try_get::<_, Vec<i32>>(2)?.into_iter().collect();
        let mut waiting = match before.take() {
            Some(before) => &before & &unnamed,
            None => unnamed,
        };
        if from.elapsed() > UNNAMED_LIMIT {
            end_unnamed(client, &mut waiting).await?;
        }
        let Some(one) = open.first().or(waiting.first()) else { return Ok(row.try_get(3)?) };
        if from.elapsed() > SESSIONS_LIMIT {
            let count = open.len() + waiting.len();
            let text = format!("{count} session(s) do not end, one is process {one} of the target");
            return Err(TargetError::Refused(text).into());
        }
        before = Some(waiting);
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Nobody who means well is so slow to connect, and whose it is can't be seen: the connection is ended. A superuser's
/// can't be, which shows that it is not the login's.
async fn end_unnamed(client: &Session, waiting: &mut BTreeSet<i32>) -> Result<(), Failed> {
    for pid in waiting.clone() {
        match client.ask(END_UNNAMED, &[(&pid, Type::INT4)]).await {
            Ok(_) => warn!(pid, "a connection to the target that did not show whose it is was ended"),
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                waiting.remove(&pid);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
