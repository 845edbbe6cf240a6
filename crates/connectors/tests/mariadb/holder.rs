//! What a holder does with a MariaDB secret, and how the tests reach the target.

use async_trait::async_trait;
use gatepass_connectors::conformance::{Session, Subject};
use gatepass_connectors::mariadb::Mariadb;
use gatepass_connectors::{Access, Connector, Holder};
use gatepass_core::Time;
use gatepass_core::catalogue::Session as Sessions;
use gatepass_core::id::{GrantId, PersonId};
use gatepass_core::wire::Secret;
use gatepass_testkit::Mariadb as Server;
use gatepass_testkit::mariadb::ADMIN_PASSWORD;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use uuid::Uuid;

pub struct Target {
    pub server: Arc<Server>,
    pub database: String,
    pub connector: Mariadb,
}

/// A new database like `orders`, on a server shared by the tests that run meanwhile, and a connector with the least
/// privileged login.
pub fn target() -> Target {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let server = shared.upgrade().unwrap_or_else(|| Arc::new(Server::orders()));
    *shared = Arc::downgrade(&server);
    let database = format!("orders_{}", Uuid::now_v7().simple());
    server.orders_again(&database);
    let connector = connector(&server.admin_url_of(&database));
    Target { server, database, connector }
}

pub fn connector(url: &str) -> Mariadb {
    Mariadb::new(url, &ADMIN_PASSWORD.into()).expect("a good url")
}

/// Whole milliseconds, as the product's times are.
#[allow(clippy::disallowed_methods, reason = "a test is an edge")]
pub fn now() -> Time {
    Time::from_timestamp_millis(chrono::Utc::now().timestamp_millis()).expect("a time")
}

pub fn access(grants: &[&str]) -> Access {
    let grants = grants.iter().map(ToString::to_string).collect();
    let until = now() + chrono::TimeDelta::hours(1);
    Access { grant: GrantId(Uuid::now_v7()), holder: somebody(), grants, session: Sessions::Cut, until }
}

/// Each time another.
fn somebody() -> Holder {
    let person = PersonId(Uuid::now_v7());
    Holder { person, handle: format!("p-{}", person.0.simple()), ssh_key: None }
}

pub fn url(secret: &Secret) -> &str {
    match secret {
        Secret::Mariadb { url } => url,
        other => panic!("not of MariaDB: {other:?}"),
    }
}

/// The password in a holder's URL; it needs no decoding.
pub fn password(secret: &Secret) -> &str {
    let (_, rest) = url(secret).split_once("gp_").expect("an account");
    rest.split_once(':').and_then(|(_, rest)| rest.split_once('@')).expect("a password").0
}

pub async fn connect(url: &str) -> Result<Conn, mysql_async::Error> {
    let options = mysql_async::Opts::from_url(url)?;
    Conn::new(OptsBuilder::from_opts(options).prefer_socket(false)).await
}

impl Target {
    pub async fn provision(&self, access: &Access) -> Secret {
        self.connector.provision(access).await.expect("provision")
    }

    /// Runs SQL as the holder.
    pub fn holder(&self, secret: &Secret, sql: &str) -> Result<String, String> {
        self.server.sql_at(url(secret), sql)
    }
}

#[async_trait]
impl Subject for Target {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn grants(&self) -> Vec<String> {
        vec!["orders_reader".into(), "orders_writer".into()]
    }

    fn grant(&self) -> GrantId {
        GrantId(Uuid::now_v7())
    }

    fn holder(&self) -> Holder {
        somebody()
    }

    fn now(&self) -> Time {
        now()
    }

    async fn open(&self, secret: &Secret) -> Option<Box<dyn Session>> {
        Some(Box::new(Open(connect(url(secret)).await.ok()?)))
    }
}

struct Open(Conn);

#[async_trait]
impl Session for Open {
    async fn alive(&mut self) -> bool {
        self.0.query_drop("SELECT COUNT(*) FROM orders").await.is_ok()
    }
}
