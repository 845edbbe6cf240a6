//! A private PostgreSQL that keeps the server's state, prepared as an operator would, and as safe as one: `fsync` on.

use crate::Outcome;
use crate::device::random;
use gatepass_server::store::postgres::{Options, PostgresStore};
use gatepass_testkit::Postgres;
use std::fs;
use std::path::Path;
use uuid::Uuid;

const OWNER: &str = "gatepass_owner";
const SERVICE: &str = "gatepass";
const ROLES: &str = include_str!("../../../docs/postgres-roles.sql");
/// The testkit's own are for tests, which may lose everything.
const SETTINGS: [&str; 4] = ["fsync=on", "synchronous_commit=on", "log_statement=none", "max_wal_size=4GB"];

pub struct Shared {
    server: Postgres,
    password: String,
    /// What the nodes use.
    database: String,
}

impl Shared {
    /// An empty one, ready for a node.
    pub async fn start() -> Outcome<Self> {
        let password = Uuid::from_bytes(random()).simple().to_string();
        let shared =
            Self { server: Postgres::start_with(&SETTINGS), password, database: "gatepass".to_owned() };
        let Self { server, password, database } = &shared;
        server.psql("postgres", &format!("CREATE ROLE {OWNER} LOGIN PASSWORD '{password}'"));
        shared.make(database).await?;
        server.psql(database, &format!("ALTER ROLE {SERVICE} PASSWORD '{password}'"));
        Ok(shared)
    }

    /// Another database with the same tables and grants.
    pub async fn make(&self, database: &str) -> Outcome<()> {
        let server = &self.server;
        server.psql("postgres", &format!("CREATE DATABASE {database} OWNER {OWNER}"));
        server.psql(database, &format!("ALTER SCHEMA public OWNER TO {OWNER}"));
        PostgresStore::migrate(&Options {
            url: self.url(OWNER, database),
            password: self.password.clone().into(),
            direct: None,
            pooler: false,
            connections: 2,
        })
        .await?;
        server.psql(database, &format!("\\set service {SERVICE}\n{ROLES}"));
        Ok(())
    }

    /// Lines of `[server]`, and its section; the password goes into a file in `folder`.
    pub fn settings(&self, folder: &Path) -> Outcome<(String, String)> {
        fs::write(folder.join("database-password"), &self.password)?;
        let section = "[server.postgres]\npassword_file = \"./database-password\"".to_owned();
        Ok((format!("database = \"{}\"", self.url(SERVICE, &self.database)), section))
    }

    fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.server.port())
    }

    /// Runs SQL as the superuser where the nodes keep their state.
    pub fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.database, sql)
    }

    /// Transactions that were committed in the nodes' database so far.
    pub fn commits(&self) -> Outcome<u64> {
        // Asked elsewhere, so that asking does not count; what sessions counted is reported within a second of idling.
        let sql = format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{}'", self.database);
        Ok(self.server.psql("postgres", &sql).trim().parse()?)
    }

    /// Bytes of the nodes' database, and bytes that PostgreSQL wrote to its log for all of them so far.
    pub fn bytes(&self) -> Outcome<(f64, f64)> {
        let sql = "SELECT pg_database_size(current_database()), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')";
        let answer = self.psql(sql);
        let (size, log) = answer.trim().split_once('|').ok_or("no sizes")?;
        Ok((size.parse()?, log.parse()?))
    }

    /// A session as the nodes have them.
    pub async fn connect(&self, database: Option<&str>) -> Outcome<tokio_postgres::Client> {
        let database = database.unwrap_or(&self.database);
        let url = self.server.url(SERVICE, &self.password, database);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
        tokio::spawn(async move {
            // It ends with an error, which the client sees too.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// A session that may load rows in bulk.
    pub async fn connect_as_owner(&self) -> Outcome<tokio_postgres::Client> {
        let url = self.server.url(OWNER, &self.password, &self.database);
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(client)
    }
}
