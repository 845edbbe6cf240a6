//! A server, a PostgreSQL and the usual people: tomas asks, noor and mara approve, iris audits.

use crate::{Person, Server, Session};
use gatepass_testkit::Postgres;
use std::path::Path;
use tempfile::TempDir;

/// Everything but windows.
pub struct World {
    pub tomas: Person,
    pub noor: Person,
    pub mara: Person,
    pub iris: Person,
    pub server: Server,
    pub orders: Postgres,
    _home: Option<TempDir>,
}

impl World {
    /// Everybody has joined, with keys in files: for tests without a desktop.
    pub fn headless() -> Self {
        let home =
            tempfile::Builder::new().prefix("gatepass-home-").tempdir().expect("a temporary directory");
        let env = [("GATEPASS_KEYSTORE".to_owned(), "file".to_owned())];
        let mut world = Self::with(home.path(), &env);
        world._home = Some(home);
        for person in [&world.tomas, &world.noor, &world.mara, &world.iris] {
            person.join(&world.server);
        }
        world
    }

    /// People of this session, with its keyring; nobody has joined yet.
    pub fn in_session(session: &Session) -> Self {
        Self::with(&session.home(), session.env())
    }

    fn with(home: &Path, env: &[(String, String)]) -> Self {
        let orders = Postgres::orders();
        let server = Server::start(&orders, "");
        let person = |handle: &str, name: &str, groups: &str| Person::new(handle, name, groups, home, env);
        Self {
            tomas: person("tomas", "Tomás Rivera", "backend"),
            noor: person("noor", "Noor Haddad", "dba"),
            mara: person("mara", "Mara Okafor", "dba,oncall"),
            iris: person("iris", "Iris Lund", "").auditor(),
            server,
            orders,
            _home: None,
        }
    }

    /// How many logins Gatepass has made and not removed.
    pub fn logins(&self) -> u32 {
        let sql = "SELECT count(*) FROM pg_roles WHERE rolcanlogin AND rolname NOT IN ('postgres', 'gatepass_admin')";
        self.orders.psql("orders", sql).parse().expect("a number")
    }
}
