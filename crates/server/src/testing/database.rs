//! A shared database for tests: one private PostgreSQL per test program, a database of its own per test, and the role
//! of `docs/postgres-roles.sql` in it.

use crate::store::postgres::{Options, PostgresStore};
use gatepass_testkit::Postgres;
use secrecy::SecretString;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;

/// The nodes' role, and its password.
pub const SERVICE: &str = "gatepass";
pub const SERVICE_PASSWORD: &str = "a service's pass:word/@%";
const OWNER: &str = "gatepass_owner";
const ROLES: &str = include_str!("../../../../docs/postgres-roles.sql");
const TEMPLATE: &str = "gatepass_template";

/// Ends with this process.
fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

/// Makes roles, schema and grants in `database` of `server`, as an operator would.
pub async fn prepare(server: &Postgres, database: &str) {
    let password = SERVICE_PASSWORD.replace('\'', "''");
    server.psql(
        "postgres",
        &format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{OWNER}') THEN
                 CREATE ROLE {OWNER} LOGIN PASSWORD '{password}'; END IF; END $$"
        ),
    );
    server.psql("postgres", &format!("CREATE DATABASE {database} OWNER {OWNER}"));
    server.psql(database, &format!("ALTER SCHEMA public OWNER TO {OWNER}"));
    PostgresStore::migrate(&options(server, OWNER, database)).await.expect("the owner may migrate");
    server.psql(database, &format!("\\set service {SERVICE}\n{ROLES}"));
    server.psql(database, &format!("ALTER ROLE {SERVICE} PASSWORD '{password}'"));
}

fn options(server: &Postgres, role: &str, database: &str) -> Options {
    Options {
        url: format!("postgres://{role}@127.0.0.1:{}/{database}", server.port()),
        password: SecretString::from(SERVICE_PASSWORD),
        direct: None,
        pooler: false,
        connections: 8,
    }
}

/// A database with the schema and the nodes' role, and nothing in it.
pub struct Database {
    server: &'static Postgres,
    pub name: String,
}

impl Database {
    pub async fn fresh() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        static PREPARED: OnceCell<()> = OnceCell::const_new();
        let server = server();
        PREPARED.get_or_init(|| prepare(server, TEMPLATE)).await;
        let name = format!("gatepass_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let sql = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}");
        tokio::task::spawn_blocking(move || server.psql("postgres", &sql)).await.expect("psql runs");
        Self { server, name }
    }

    pub fn options(&self) -> Options {
        options(self.server, SERVICE, &self.name)
    }

    /// Runs SQL as the superuser.
    pub fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }

    pub fn server(&self) -> &'static Postgres {
        self.server
    }
}
