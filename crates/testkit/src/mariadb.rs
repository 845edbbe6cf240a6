//! A private MariaDB.

use crate::postgres::free_port;
use crate::watch::Watched;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The name of the login that the operators' script makes for Gatepass.
pub const ADMIN: &str = "gatepass_admin";
/// Its password.
pub const ADMIN_PASSWORD: &str = "an admin's pass:word/@%";
/// The script that operators run, run here as well.
const ADMIN_SCRIPT: &str = include_str!("../../../docs/connectors/mariadb-admin.sql");

/// One MariaDB of its own: data in a temporary directory, a free port on 127.0.0.1 and a Unix socket beside the data,
/// by which `root` gets in without a password. Its event scheduler is on unless told otherwise.
/// Stopped and removed when dropped, also when the process that started it dies.
pub struct Mariadb {
    /// The first, so that it has ended when the directories go.
    running: Option<Watched>,
    /// Kept so that servers started beside this one copy it too.
    template: Arc<TempDir>,
    dir: TempDir,
    port: u16,
    settings: Vec<String>,
}

impl Mariadb {
    /// An empty server.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// An empty server with settings, each `name=value`.
    pub fn start_with(settings: &[&str]) -> Self {
        let (template, dir) = (template(), private_dir());
        run(Command::new("cp").arg("-a").arg(template.path().join("data")).arg(dir.path()));
        let settings = settings.iter().map(ToString::to_string).collect();
        let mut server = Self { running: None, template, dir, port: 0, settings };
        for _ in 0..5 {
            server.port = free_port();
            if server.launch() {
                return server;
            }
        }
        panic!("MariaDB does not start:\n{}", server.log());
    }

    /// A server with the database `orders`, a table `orders` with 100 rows, the roles `orders_reader` and
    /// `orders_writer`, and what `docs/connectors/mariadb-admin.sql` makes.
    pub fn orders() -> Self {
        let server = Self::start();
        server.make_orders();
        server
    }

    /// Makes what [`orders`](Self::orders) has on a server that is empty.
    pub fn make_orders(&self) {
        self.sql("CREATE ROLE orders_reader; CREATE ROLE orders_writer");
        self.orders_again("orders");
        self.admin(ADMIN, &["orders_reader", "orders_writer"]);
    }

    /// Another database on the same server, like `orders`, with the same roles.
    pub fn orders_again(&self, database: &str) {
        self.sql(&format!(
            "CREATE DATABASE {database}; USE {database};
             CREATE TABLE orders (id int AUTO_INCREMENT PRIMARY KEY, customer varchar(100) NOT NULL, cents bigint NOT NULL);
             INSERT INTO orders (customer, cents) SELECT CONCAT('customer ', seq), seq * 100 FROM seq_1_to_100;
             GRANT SELECT ON {database}.* TO orders_reader, orders_writer;
             GRANT INSERT, UPDATE, DELETE ON {database}.* TO orders_writer"
        ));
    }

    /// Runs the operators' script for a login of this name, and lets it give these roles.
    pub fn admin(&self, name: &str, roles: &[&str]) {
        let escaped = |name: &str| name.replace('_', "\\_");
        self.sql(&ADMIN_SCRIPT.replace(ADMIN, name).replace(&escaped(ADMIN), &escaped(name)));
        let password = ADMIN_PASSWORD.replace('\'', "''");
        self.sql(&format!("ALTER USER {name}@'%' IDENTIFIED BY '{password}' ACCOUNT UNLOCK"));
        for role in roles {
            self.sql(&format!("GRANT {role} TO {name}_owner@localhost WITH ADMIN OPTION"));
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The target's URL as the configuration has it: the admin's login, without the password.
    pub fn admin_url(&self) -> String {
        self.admin_url_of("orders")
    }

    /// The same for another database of this server.
    pub fn admin_url_of(&self, database: &str) -> String {
        format!("mysql://{ADMIN}@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL as `root` and answers what the client prints, without headers.
    pub fn sql(&self, sql: &str) -> String {
        let socket = format!("--socket={}", self.dir.path().join("socket").display());
        client(&[&socket, "--user=root", "--skip-ssl"], "", sql)
            .unwrap_or_else(|e| panic!("mariadb: {e}\n{sql}"))
    }

    /// Runs SQL as whoever a URL is for, over TCP. `Err` is what the client said.
    pub fn sql_at(&self, url: &str, sql: &str) -> Result<String, String> {
        let (login, database) =
            url.strip_prefix("mysql://").expect("a URL").rsplit_once('/').expect("a database");
        let (login, _) = login.rsplit_once('@').expect("a host");
        let (user, password) = login.split_once(':').expect("a password");
        let database = database.split('?').next().unwrap_or_default();
        self.sql_as(user, password, database, sql)
    }

    /// Runs SQL as anybody, over TCP.
    pub fn sql_as(&self, user: &str, password: &str, database: &str, sql: &str) -> Result<String, String> {
        let (port, user) = (format!("--port={}", self.port), format!("--user={user}"));
        client(&["--host=127.0.0.1", &port, &user, database], password, sql)
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// Every statement it was sent.
    pub fn statements(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.path().join("data/statements.log")).unwrap_or_default())
            .into()
    }

    /// Ends the server at once, as a crash would. Data stay.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Starts it again after [`stop`](Self::stop), on the same port.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs");
        assert!(self.launch(), "MariaDB does not start again:\n{}", self.log());
    }

    /// Starts the server and waits until it takes connections; false when it ended instead.
    fn launch(&mut self) -> bool {
        let mut mariadbd = Command::new("mariadbd");
        mariadbd.arg("--no-defaults");
        if root() {
            mariadbd.arg("--user=mysql");
        }
        for (setting, value) in [
            ("datadir", self.dir.path().join("data").display().to_string()),
            ("socket", self.dir.path().join("socket").display().to_string()),
            ("pid-file", self.dir.path().join("pid").display().to_string()),
            ("port", self.port.to_string()),
            // A server that starts deletes the temporary tables it finds: its own only.
            ("tmpdir", self.dir.path().join("data").display().to_string()),
        ] {
            mariadbd.arg(format!("--{setting}={value}"));
        }
        for setting in [
            "bind-address=127.0.0.1",
            "event-scheduler=ON",
            "general-log=1",
            "general-log-file=statements.log",
            "innodb-buffer-pool-size=16M",
            // Nothing is lost when the server ends, only when the machine does.
            "innodb-flush-log-at-trx-commit=2",
            "max-connections=200",
        ] {
            mariadbd.arg(format!("--{setting}"));
        }
        for setting in &self.settings {
            mariadbd.arg(format!("--{setting}"));
        }
        let directories = [self.dir.path(), self.template.path()];
        let mut watched = Watched::start(&self.dir.path().join("server.log"), "KILL", directories, &mariadbd);
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                self.running = Some(watched);
                return true;
            }
            if watched.ended() {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

/// A data directory to copy, made when no server of this process has one; removed with the last of them.
fn template() -> Arc<TempDir> {
    static TEMPLATE: Mutex<Weak<TempDir>> = Mutex::new(Weak::new());
    let mut shared = TEMPLATE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(made) = shared.upgrade() {
        return made;
    }
    let dir = private_dir();
    let mut install = Command::new("mariadb-install-db");
    install.arg("--no-defaults").arg(format!("--datadir={}", dir.path().join("data").display()));
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    if root() {
        install.arg("--user=mysql");
    }
    run(&mut install);
    let made = Arc::new(dir);
    *shared = Arc::downgrade(&made);
    made
}

/// A temporary directory that belongs to whom the server runs as: as root that is the system's `mysql`.
fn private_dir() -> TempDir {
    let dir = tempfile::Builder::new().prefix("gatepass-mariadb-").tempdir().expect("a temporary directory");
    if root() {
        run(Command::new("chown").arg("mysql:mysql").arg(dir.path()));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("keep it private");
    }
    dir
}

fn root() -> bool {
    crate::postgres::owner().is_some()
}

fn client(at: &[&str], password: &str, sql: &str) -> Result<String, String> {
    let mut client = Command::new("mariadb");
    client
        .args(["--no-defaults", "--batch", "--skip-column-names", "--raw", "--connect-timeout=10"])
        .args(at);
    client.env("MYSQL_PWD", password).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = client.spawn().unwrap_or_else(|e| panic!("mariadb does not start: {e}"));
    // A client that could not connect does not read: that is told by its exit code.
    let _ = child.stdin.take().expect("its input").write_all(sql.as_bytes());
    let output = child.wait_with_output().expect("its answer");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned())
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Lets the server read a file, such as a certificate, or look into a directory.
pub fn readable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("let the server read it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn it_starts_stops_and_leaves_nothing() {
        let mut server = Mariadb::orders();
        let (dir, port) = (server.dir.path().to_owned(), server.port());
        assert_eq!(server.sql("SELECT COUNT(*) FROM orders.orders"), "100");
        assert_eq!(server.sql_as(ADMIN, ADMIN_PASSWORD, "", "SELECT 1"), Ok("1".to_owned()));
        assert!(server.sql_as(ADMIN, ADMIN_PASSWORD, "", "SELECT * FROM orders.orders").is_err());
        assert!(server.sql_as(ADMIN, "wrong", "", "SELECT 1").is_err());
        server.stop();
        assert!(server.sql_as(ADMIN, ADMIN_PASSWORD, "", "SELECT 1").is_err());
        server.start_again();
        assert_eq!(server.sql("SELECT COUNT(*) FROM orders.orders"), "100");
        drop(server);
        assert!(!dir.exists());
        TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
    }
}
