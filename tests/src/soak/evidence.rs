//! What is known after a run, read from the database itself and from the target.

use super::check::{Evidence, Login, Placed};
use gatepass_core::Time;
use gatepass_core::directory::Person;
use gatepass_core::id::{GrantId, PersonId};
use gatepass_core::text::Digest;
use gatepass_core::wire::Head;
use gatepass_testkit::postgres::{ADMIN, ADMIN_PASSWORD, Postgres};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// Between two looks at the target.
const LOOK: Duration = Duration::from_millis(100);

/// A connection that ends with its client.
async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("it can be connected to");
    tokio::spawn(connection);
    client
}

/// The database as the nodes see it.
pub struct Kept(Client);

impl Kept {
    pub async fn open(url: &str) -> Self {
        Self(connect(url).await)
    }

    /// What still has to happen: nothing, or what.
    pub async fn rest(&self) -> Option<String> {
        let sql =
            "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM job), (SELECT count(*) FROM sealed),
                       (SELECT count(*) FROM request WHERE state = 'pending'
                            OR grant_state NOT IN ('ended', 'failed'))";
        let row = self.0.query_one(sql, &[]).await.expect("the database answers");
        let counts: [i64; 4] = [0, 1, 2, 3].map(|column| row.get(column));
        let names = ["events to place", "jobs", "secrets", "open requests and accesses"];
        let rest: Vec<String> = counts
            .iter()
            .zip(names)
            .filter(|(n, _)| **n > 0)
            .map(|(n, name)| format!("{n} {name}"))
            .collect();
        (!rest.is_empty()).then(|| rest.join(", "))
    }

    pub async fn size(&self) -> u64 {
        let row = self.0.query_one("SELECT size FROM head", &[]).await.expect("the log has a head");
        row.get::<_, i64>(0) as u64
    }

    /// Everything that the database can say.
    pub async fn read(&self, evidence: &mut Evidence) {
        let rows = async |sql| self.0.query(sql, &[]).await.expect("the database answers");
        for row in rows("SELECT seq, encode(leaf, 'hex'), body FROM event ORDER BY seq").await {
            let (seq, leaf, body) = (row.get::<_, i64>(0) as u64, row.get(1), row.get(2));
            evidence.log.push(Placed { seq, leaf, body });
        }
        for row in rows("SELECT size, root FROM head").await {
            let (size, root) = (row.get::<_, i64>(0) as u64, Digest(row.get(1)));
            evidence.head = Some(Head { size, root });
        }
        for row in rows("SELECT body FROM request ORDER BY number").await {
            evidence.rows.push(serde_json::from_str(row.get(0)).expect("a request"));
        }
        for row in rows("SELECT digest, text FROM text").await {
            evidence.texts.insert(Digest(row.get(0)), row.get(1));
        }
        for row in rows("SELECT id, handle, name, groups, auditor, admin FROM person").await {
            evidence.people.push(Person {
                id: PersonId(row.get(0)),
                handle: row.get(1),
                name: row.get(2),
                groups: row.get::<_, Vec<String>>(3).into_iter().collect(),
                auditor: row.get(4),
                admin: row.get(5),
            });
        }
    }
}

/// Looks at the target all the time, with a connection of its own.
pub struct Watch {
    stop: oneshot::Sender<()>,
    looking: JoinHandle<BTreeMap<String, Login>>,
}

impl Watch {
    pub async fn of(target: &Postgres) -> Self {
        let client = connect(&target.url(ADMIN, ADMIN_PASSWORD, "orders")).await;
        let (stop, mut stopped) = oneshot::channel();
        let looking = tokio::spawn(async move {
            let mut logins = BTreeMap::new();
            while tokio::time::timeout(LOOK, &mut stopped).await.is_err() {
                look(&client, &mut logins).await;
            }
            logins
        });
        Self { stop, looking }
    }

    pub async fn end(self) -> Vec<Login> {
        let _ = self.stop.send(());
        self.looking.await.expect("it looked").into_values().collect()
    }
}

/// Logins that have been made for grants, and sessions that outlived theirs.
async fn look(client: &Client, logins: &mut BTreeMap<String, Login>) {
    let sql = r"SELECT rolname::text, nullif(rolvaliduntil, 'infinity'), clock_timestamp() FROM pg_roles WHERE rolname LIKE 'gp\_%'
                UNION SELECT usename::text, NULL, clock_timestamp() FROM pg_stat_activity WHERE usename LIKE 'gp\_%'";
    for row in client.query(sql, &[]).await.expect("the target answers") {
        let (name, until, now): (String, Option<Time>, Time) = (row.get(0), row.get(1), row.get(2));
        let Some(id) = name.strip_prefix("gp_").and_then(|id| Uuid::try_parse(id).ok()) else { continue };
        let login = logins.entry(name).or_insert(Login { grant: GrantId(id), last: now, until: None });
        login.last = now;
        login.until = login.until.max(until);
    }
}

/// What Gatepass has made on the target and not removed.
pub async fn left(target: &Postgres) -> Vec<String> {
    let client = connect(&target.url(ADMIN, ADMIN_PASSWORD, "orders")).await;
    let rows = client.query(r"SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'gp\_%'", &[]).await;
    rows.expect("the target answers").iter().map(|row| row.get(0)).collect()
}
