//! A shared database for tests: one private PostgreSQL per test program, a database of its own per test, and the role
//! of `docs/postgres-roles.sql` in it.

use crate::store::postgres::{Options, PostgresStore};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gatepass_testkit::{Pgbouncer, Postgres};
use hmac::{Hmac, Mac as _};
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;

/// The nodes' role, and its password.
pub const SERVICE: &str = "gatepass";
pub const SERVICE_PASSWORD: &str = "a service's pass:word/@%";
/// The role that owns the tables, with the same password here.
pub const OWNER: &str = "gatepass_owner";
pub const ROLES: &str = include_str!("../../../../docs/postgres-roles.sql");
const TEMPLATE: &str = "gatepass_template";

/// Ends with this process.
fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(Postgres::start)
}

/// Makes roles, schema and grants in `database` of `server`, as an operator would.
pub async fn prepare(server: &Postgres, database: &str) {
    let password = verifier(SERVICE_PASSWORD);
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

/// What PostgreSQL keeps of a password (RFC 5802), with one round instead of 4096: without optimisation each connection
/// would take a tenth of a second for them.
fn verifier(password: &str) -> String {
    const SALT: &[u8] = b"for tests";
    let keyed = |key: &[u8], parts: &[&[u8]]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes()
    };
    let salted = keyed(password.as_bytes(), &[SALT, &1u32.to_be_bytes()]);
    let stored = Sha256::digest(keyed(&salted, &[b"Client Key"]));
    let server = keyed(&salted, &[b"Server Key"]);
    let [salt, stored, server] = [SALT, &stored, &server].map(|part| BASE64.encode(part));
    format!("SCRAM-SHA-256$1:{salt}${stored}:{server}")
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

    /// Through a PgBouncer in transaction mode; with the direct way beside it, or without.
    pub fn behind_a_pooler(&self, direct: bool) -> Options {
        static POOLER: OnceLock<Pgbouncer> = OnceLock::new();
        let port = POOLER.get_or_init(|| Pgbouncer::before(self.server, SERVICE, SERVICE_PASSWORD)).port();
        let straight = self.options();
        Options {
            url: format!("postgres://{SERVICE}@127.0.0.1:{port}/{}", self.name),
            direct: direct.then_some(straight.url.clone()),
            pooler: true,
            ..straight
        }
    }

    /// Waits until every event that was committed has its place in the log. What it did can be read before.
    pub async fn placed(&self) {
        let waiting = || {
            let (server, name) = (self.server, self.name.clone());
            tokio::task::spawn_blocking(move || server.psql(&name, "SELECT count(*) FROM outbox"))
        };
        while waiting().await.expect("psql runs") != "0" {}
    }

    /// Runs SQL as the superuser.
    pub fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }

    pub fn server(&self) -> &'static Postgres {
        self.server
    }
}
