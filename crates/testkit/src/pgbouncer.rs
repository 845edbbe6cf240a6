//! A private PgBouncer.

use crate::Postgres;
use crate::postgres::{free_port, owner, owner_command, private_dir};
use crate::watch::Watched;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A pooler before a private PostgreSQL, on a free port of 127.0.0.1. Ended and removed when dropped,
/// also when the process that started it dies.
pub struct Pgbouncer {
    /// The first, so that it has ended when the directory goes.
    running: Option<Watched>,
    dir: TempDir,
    port: u16,
}

impl Pgbouncer {
    /// In transaction mode: leads to every database of `server`, and lets `login` in with `password`, which it uses there as well.
    pub fn before(server: &Postgres, login: &str, password: &str) -> Self {
        Self::start(server, login, password, "pool_mode = transaction\ndefault_pool_size = 8")
    }

    /// Lets in whomever the server would, as it asks the server as `login`, a superuser; in this `pool_mode`, and keeps
    /// one connection to the server for each.
    pub fn asking(server: &Postgres, login: &str, password: &str, pool_mode: &str) -> Self {
        let more = format!(
            "pool_mode = {pool_mode}\ndefault_pool_size = 1\nauth_user = {login}\nserver_login_retry = 0"
        );
        Self::start(server, login, password, &more)
    }

    fn start(server: &Postgres, login: &str, password: &str, more: &str) -> Self {
        let mut pooler = Self { running: None, dir: private_dir(), port: 0 };
        let users =
            pooler.write("users.txt", &format!("\"{login}\" \"{}\"\n", password.replace('"', "\"\"")));
        for _ in 0..5 {
            pooler.port = free_port();
            let settings = pooler.write(
                "pgbouncer.ini",
                &format!(
                    "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                     listen_port = {}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n\
                     {more}\nmax_client_conn = 500\n",
                    server.port(),
                    pooler.port,
                    users.display()
                ),
            );
            if pooler.launch(&settings) {
                return pooler;
            }
        }
        panic!("PgBouncer does not start:\n{}", pooler.log());
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("pooler.log")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("write a file of PgBouncer's");
        if let Some((uid, gid)) = owner() {
            chown(&path, Some(uid), Some(gid)).expect("hand it to whom PgBouncer runs as");
        }
        path
    }

    /// Starts it and waits until it takes connections; false when it ended instead.
    fn launch(&mut self, settings: &Path) -> bool {
        // Debian's is not on everybody's path.
        let debian = Path::new("/usr/sbin/pgbouncer");
        let mut program = owner_command(if debian.exists() { debian } else { Path::new("pgbouncer") });
        program.arg(settings);
        let mut watched = Watched::start(&self.log_path(), "TERM", [self.dir.path(); 2], &program);
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until && !watched.ended() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.running = Some(watched);
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leads_to_every_database() {
        let server = Postgres::orders();
        let password = "a \"quoted\" pass:word/@%";
        server.psql("postgres", &format!("CREATE ROLE someone LOGIN PASSWORD '{password}'"));
        let pooler = Pgbouncer::before(&server, "someone", password);
        let (dir, encoded) = (pooler.dir.path().to_owned(), "a%20%22quoted%22%20pass%3Aword%2F%40%25");
        for database in ["orders", "postgres"] {
            let at = format!("postgres://someone:{encoded}@127.0.0.1:{}/{database}", pooler.port());
            assert_eq!(server.psql_at(&at, "SELECT current_database()"), Ok(database.to_owned()));
        }
        let at = format!("postgres://someone:wrong@127.0.0.1:{}/orders", pooler.port());
        assert!(server.psql_at(&at, "SELECT 1").is_err());
        drop(pooler);
        assert!(!dir.exists());
    }
}
