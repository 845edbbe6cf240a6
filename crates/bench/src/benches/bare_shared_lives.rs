//! What PostgreSQL itself can do: the rows of one life as the server left them, written again by bare loops into the
//! same tables, in as many transactions as the server makes: the steps of the life, and after each that has events the
//! one that gives them their place. Each transaction is sent in one go.

use crate::Outcome;
use crate::shared::Shared;
use futures_util::future::{join_all, join3, try_join_all};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

type Values = Vec<Box<dyn ToSql + Sync + Send>>;

/// As long as a sealed secret for a role of the target.
const SEALED: usize = 300;
/// How many events each step of a life has; those without are claims.
const STEPS: [usize; 8] = [1, 2, 0, 1, 1, 1, 0, 1];

/// One life's rows.
struct Life {
    body: String,
    groups: Vec<String>,
    /// In the order of the log.
    events: Vec<(Vec<u8>, String)>,
    /// Digest, salt, text.
    texts: Vec<(String, String, String)>,
    commands: Vec<String>,
    root: String,
    tree: String,
}

macro_rules! values {
    ($($value:expr),* $(,)?) => {{
        let values: Values = vec![$(Box::new($value)),*];
        values
    }};
}

/// Bare lives per second by so many sessions at once, in a database of their own beside the server's.
pub async fn per_second(shared: &Shared, sessions: usize, over: Duration) -> Outcome<f64> {
    let life = Arc::new(read(shared).await?);
    let database = format!("bare_{}", Uuid::now_v7().simple());
    shared.make(&database).await?;
    let next = Arc::new(AtomicI64::new(0));
    let connecting = (0..sessions).map(|_| shared.connect(Some(&database)));
    let clients = try_join_all(connecting).await?;
    let from = Instant::now();
    let running = clients.into_iter().map(|client| {
        let (life, next) = (life.clone(), next.clone());
        tokio::spawn(async move {
            let bare = Bare { client, statements: Vec::new() };
            bare.prepared().await?.live(&life, &next, from, over).await
        })
    });
    let mut lives = 0;
    for done in join_all(running).await {
        let lived: Outcome<usize> = done?;
        lives += lived?;
    }
    Ok(lives as f64 / from.elapsed().as_secs_f64())
}

async fn read(shared: &Shared) -> Outcome<Life> {
    let client = shared.connect(None).await?;
    let row = client
        .query_one(
            "SELECT id, body, groups FROM request WHERE grant_state = 'ended' ORDER BY number DESC LIMIT 1",
            &[],
        )
        .await?;
    let id: Uuid = row.get(0);
    let events =
        client.query("SELECT leaf, body FROM event WHERE request_id = $1 ORDER BY seq", &[&id]).await?;
    let texts = client.query("SELECT digest, salt, text FROM text WHERE request_id = $1", &[&id]).await?;
    let commands = client.query("SELECT digest FROM command WHERE request_id = $1", &[&id]).await?;
    let head = client.query_one("SELECT root, tree FROM head", &[]).await?;
    Ok(Life {
        body: row.get(1),
        groups: row.get(2),
        events: events.iter().map(|r| (r.get(0), r.get(1))).collect(),
        texts: texts.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect(),
        commands: commands.iter().map(|r| r.get(0)).collect(),
        root: head.get(0),
        tree: head.get(1),
    })
}

const COMMAND: &str = "INSERT INTO command (id, digest, request_id) VALUES ($1, $2, $3)";
const REQUEST: &str = "INSERT INTO request (id, number, version, state, asker, groups, deciders, body)
     VALUES ($1, $2, 1, 'pending', $1, $3, '{}', $4)";
const UPDATE: &str =
    "UPDATE request SET version = version + 1, state = 'approved', grant_id = $1, body = $2 WHERE id = $1";
const SIGHT: &str = "INSERT INTO sight (viewer, number) SELECT unnest($1::text[]), $2";
const TEXT: &str = "INSERT INTO text (event_id, digest, request_id, salt, text) VALUES ($1, $2, $3, $4, $5)";
const PUT: &str = "INSERT INTO job (kind, subject, request_id, target, due) VALUES ($2, $1, $1, '', now())";
const CANCEL: &str = "DELETE FROM job WHERE kind = $2 AND subject = $1";
const LEASE: &str = "UPDATE job SET fence = fence + 1, leased_until = now() WHERE subject = $1";
const MOVE: &str = "UPDATE job SET due = now(), puts = puts + 1 WHERE subject = $1";
const SEAL: &str = "INSERT INTO sealed (grant_id, device_id, sealed) VALUES ($1, $1, $2)";
const FORGET: &str = "DELETE FROM sealed WHERE grant_id = $1";
const POST: &str = "INSERT INTO outbox (event_id, request_id, body) VALUES ($1, $2, $3)";
const HEAD: &str = "UPDATE head SET size = $1, root = $2, tree = $3";
const PLACE: &str = "INSERT INTO event (seq, id, request_id, leaf, body) VALUES ($1, $2, $3, $4, $5)";
const TAKE: &str = "DELETE FROM outbox WHERE event_id = $1";
const ALL: [&str; 15] =
    [COMMAND, REQUEST, UPDATE, SIGHT, TEXT, PUT, CANCEL, LEASE, MOVE, SEAL, FORGET, POST, HEAD, PLACE, TAKE];

struct Bare {
    client: Client,
    statements: Vec<(&'static str, tokio_postgres::Statement)>,
}

impl Bare {
    async fn prepared(mut self) -> Outcome<Self> {
        for sql in ALL {
            self.statements.push((sql, self.client.prepare(sql).await?));
        }
        Ok(self)
    }

    async fn live(self, life: &Life, next: &AtomicI64, from: Instant, over: Duration) -> Outcome<usize> {
        let mut lives = 0;
        while from.elapsed() < over {
            self.one(life, next.fetch_add(1, Ordering::Relaxed)).await?;
            lives += 1;
        }
        Ok(lives)
    }

    /// The steps: asked; approved and granted; claimed; setting up; active; given back; claimed; ended.
    async fn one(&self, life: &Life, number: i64) -> Outcome<()> {
        let id = Uuid::now_v7();
        let mut events = life.events.iter();
        let mut commands = life.commands.iter();
        for (step, count) in STEPS.into_iter().enumerate() {
            let mut steps: Vec<(&str, Values)> = Vec::new();
            if matches!(step, 0 | 1 | 5) {
                let digest = commands.next().cloned().unwrap_or_default();
                steps.push((COMMAND, values![Uuid::now_v7(), digest, id]));
            }
            let update = (UPDATE, values![id, life.body.clone()]);
            match step {
                0 => {
                    steps.push((REQUEST, values![id, number + 1, life.groups.clone(), life.body.clone()]));
                    let mut viewers = life.groups.clone();
                    viewers.push("p:00000000-0000-7000-8000-000000000001".to_owned());
                    steps.push((SIGHT, values![viewers, number + 1]));
                    for (digest, salt, text) in life.texts.clone() {
                        steps.push((TEXT, values![Uuid::now_v7(), digest, id, salt, text]));
                    }
                    steps.push((PUT, values![id, "lapse"]));
                }
                1 => {
                    steps.push(update);
                    let decider = vec!["p:00000000-0000-7000-8000-000000000002".to_owned()];
                    steps.push((SIGHT, values![decider, number + 1]));
                    steps.push((CANCEL, values![id, "lapse"]));
                    steps.push((PUT, values![id, "end"]));
                    steps.push((PUT, values![id, "provision"]));
                }
                2 | 6 => steps.push((LEASE, values![id])),
                3 => steps.push(update),
                4 => {
                    steps.push(update);
                    steps.push((CANCEL, values![id, "provision"]));
                    steps.push((MOVE, values![id]));
                    steps.push((SEAL, values![id, "s".repeat(SEALED)]));
                }
                5 => {
                    steps.push(update);
                    steps.push((MOVE, values![id]));
                }
                _ => {
                    steps.push(update);
                    steps.push((CANCEL, values![id, "end"]));
                    steps.push((FORGET, values![id]));
                }
            }
            let happened: Vec<(Uuid, &(Vec<u8>, String))> =
                events.by_ref().take(count).map(|event| (Uuid::now_v7(), event)).collect();
            for (event, (_, body)) in &happened {
                steps.push((POST, values![*event, id, body.clone()]));
            }
            self.transaction(steps).await?;
            if happened.is_empty() {
                continue;
            }
            let before = number * life.events.len() as i64;
            let placed = life.events.len() - events.len() - happened.len();
            let mut steps: Vec<(&str, Values)> = Vec::new();
            for (at, (event, (leaf, body))) in happened.into_iter().enumerate() {
                let seq = before + (placed + at) as i64 + 1;
                steps.push((PLACE, values![seq, event, id, leaf.clone(), body.clone()]));
                steps.push((TAKE, values![event]));
            }
            steps.push((HEAD, values![before, life.root.clone(), life.tree.clone()]));
            self.transaction(steps).await?;
        }
        Ok(())
    }

    /// All of it in one go.
    async fn transaction(&self, steps: Vec<(&str, Values)>) -> Outcome<()> {
        let steps = steps.into_iter().map(|(sql, values)| async move {
            let known = self.statements.iter().find(|(known, _)| *known == sql);
            let (_, statement) = known.ok_or("a statement was not prepared")?;
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|v| &**v as _).collect();
            let done: Outcome<u64> = Ok(self.client.execute(statement, &values).await?);
            done
        });
        let (begun, done, committed) =
            join3(self.client.batch_execute("BEGIN"), join_all(steps), self.client.batch_execute("COMMIT"))
                .await;
        begun?;
        for one in done {
            one?;
        }
        Ok(committed?)
    }
}
