//! What can be told about a database without changing anything in it, for who looks whether all is well.

use super::link::{Link, fail};
use super::schema;
use super::step::Step;
use super::{Options, durability, get, parse, subtree};
use crate::Time;
use crate::clock::{Clock as _, SystemClock};
use crate::log::{Fetched, Needed};
use crate::store::StoreError;
use crate::verify::Entry;
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_log::Tree;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_postgres::types::Type;

/// What the database says of itself, of those who use it, and of what it keeps.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// As `server_version_num`: 150008 is 15.8.
    pub version: i32,
    /// It follows another one and takes no writes.
    pub standby: bool,
    /// The steps of the schema that were run, oldest first: version and name.
    pub applied: Vec<(i32, String)>,
    /// What it can lose although it confirmed it, a sentence each.
    pub risks: Vec<String>,
    /// Connections: how many there may be, without those kept for superusers; how many there are.
    pub connections: (i64, i64),
    /// How many this role may have; none when nobody said.
    pub of_role: Option<i64>,
    /// Transactions open for longer than five minutes, as far as this role may see: who, and for how many seconds.
    pub long: Vec<(String, i64)>,
    /// Rows of the outbox: those that wait for their place, and those that vacuum has not cleared away.
    pub outbox: (i64, i64),
    /// Nodes that were there within a minute.
    pub nodes: Vec<Node>,
    /// Seconds by which this machine's clock is ahead.
    pub ahead: f64,
    /// Why nobody can listen for the others; the error in words.
    pub deaf: Option<String>,
    pub token_key: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Of its machine.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// The newest step of the schema that it knows.
    pub schema: i32,
}

/// How long the database may take to listen.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks all of it.
pub async fn facts(options: &Options) -> Result<Facts, StoreError> {
    let link = Link::new(&options.place(&options.url)?, options.pooler, 1)?;
    let applied = schema::applied(&link).await?;
    let one = async |step: Step| -> Result<tokio_postgres::Row, StoreError> {
        link.read(step).await?.pop().ok_or_else(|| StoreError::Failed("no answer".to_owned()))
    };
    let (asked, before) = (Instant::now(), SystemClock.now());
    let clock: Time = get(&one(Step::new("SELECT clock_timestamp()")).await?, 0)?;
    let way = asked.elapsed().as_secs_f64();
    let row = one(Step::new(
        "SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
             current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint,
             (SELECT sum(numbackends)::bigint FROM pg_stat_database),
             (SELECT nullif(rolconnlimit, -1)::bigint FROM pg_roles WHERE rolname = current_user)",
    ))
    .await?;
    let mut found = Facts {
        version: get(&row, 0)?,
        standby: get(&row, 1)?,
        connections: (get(&row, 2)?, get(&row, 3)?),
        of_role: get(&row, 4)?,
        ahead: (before - clock).num_microseconds().unwrap_or(i64::MAX) as f64 / 1e6 + way / 2.0,
        risks: durability::risks(&link).await?,
        deaf: listen(options).await.err().map(|e| e.to_string()),
        ..Facts::default()
    };
    let long = "SELECT coalesce(usename, '') || coalesce(' (' || nullif(application_name, '') || ')', ''),
                    extract(epoch FROM clock_timestamp() - xact_start)::bigint
                FROM pg_stat_activity
                WHERE xact_start < clock_timestamp() - interval '5 minutes' AND datname = current_database()
                ORDER BY 2 DESC LIMIT 5";
    for row in link.read(Step::new(long)).await? {
        found.long.push((get(&row, 0)?, get(&row, 1)?));
    }
    // What follows is there once there is a schema.
    if !applied.is_empty() {
        let row = one(Step::new(
            "SELECT (SELECT count(*) FROM outbox),
                 coalesce((SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'outbox'::regclass), 0),
                 EXISTS (SELECT FROM setting WHERE key = 'token_key')",
        ))
        .await?;
        found.outbox = (get(&row, 0)?, get(&row, 1)?);
        found.token_key = get(&row, 2)?;
        let nodes = "SELECT name, version, schema FROM node
                     WHERE seen_at > clock_timestamp() - interval '1 minute' ORDER BY name, version";
        for row in link.read(Step::new(nodes)).await? {
            found.nodes.push(Node { name: get(&row, 0)?, version: get(&row, 1)?, schema: get(&row, 2)? });
        }
    }
    Ok(Facts { applied, ..found })
}

/// Whether a connection of the kind that nodes listen on can be had.
async fn listen(options: &Options) -> Result<(), StoreError> {
    let Some(place) = options.itself()? else {
        return Err(StoreError::Failed("a pooler is in front, and “direct” is not set".to_owned()));
    };
    let mut config = place.config.clone();
    config.application_name("gatepass-server doctor");
    let listened = async {
        let (client, connection) = config.connect(place.tls.clone()).await.map_err(|e| fail(&e))?;
        let driver = tokio::spawn(connection);
        let done = client.batch_execute("LISTEN gatepass").await.map_err(|e| fail(&e));
        driver.abort();
        done
    };
    timeout(LIMIT, listened)
        .await
        .unwrap_or_else(|_| Err(StoreError::Away(format!("no answer within {} s", LIMIT.as_secs()))))
}

/// The head with its tree, and the newest events before it, oldest first.
pub async fn tail(options: &Options, count: u32) -> Result<(Head, Tree, Vec<Entry>), StoreError> {
    let link = Link::new(&options.place(&options.url)?, options.pooler, 1)?;
    let head = link.read(Step::new("SELECT size, root, tree FROM head")).await?;
    let head = head.first().ok_or_else(|| StoreError::Failed("the log has no head".to_owned()))?;
    let size: i64 = get(head, 0)?;
    let rows = link
        .read(
            Step::new("SELECT seq, leaf, body FROM event WHERE seq > $1 - $2 AND seq <= $1 ORDER BY seq")
                .with(Type::INT8, size)
                .with(Type::INT8, i64::from(count)),
        )
        .await?;
    let entry = |row: &tokio_postgres::Row| {
        Ok(Entry { seq: get::<i64>(row, 0)?.cast_unsigned(), leaf: get(row, 1)?, body: get(row, 2)? })
    };
    let entries = rows.iter().map(entry).collect::<Result<_, StoreError>>()?;
    Ok((Head { size: size.cast_unsigned(), root: Digest(get(head, 1)?) }, parse(get(head, 2)?)?, entries))
}

/// The key that the log is signed with, if it is.
pub async fn signed(options: &Options) -> Result<Option<String>, StoreError> {
    let link = Link::new(&options.place(&options.url)?, options.pooler, 1)?;
    let rows = link.read(Step::new("SELECT value FROM setting WHERE key = 'log_key'")).await?;
    rows.first().map(|row| get(row, 0)).transpose()
}

/// What it takes to prove something of the log, as far as it is there.
pub async fn nodes(options: &Options, needed: &[Needed]) -> Result<Fetched, StoreError> {
    let link = Link::new(&options.place(&options.url)?, options.pooler, 1)?;
    let mut fetched = Fetched::default();
    for (height, index, count) in needed.iter().flat_map(Needed::parts) {
        fetched.insert(*height, *index, subtree::read(&link, *height, *index, *count).await?);
    }
    Ok(fetched)
}
