//! `docs/operations.md`, followed to the letter: every command of it, in its order, on a server that people use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_testkit::postgres::{ADMIN_PASSWORD, Postgres};
use gatepass_tests::process::Process;
use gatepass_tests::{Person, bins, eventually};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// Passwords of the roles, as `gatepass_owner` and `gatepass` have them at first, and of the superuser.
const OWNER: &str = "an owner's password";
const NODES: &str = "the nodes' password";
const SUPERUSER: &str = "root of all";

/// The commands between fences that name no language, by the chapter they stand in.
fn documented(docs: &str) -> Vec<(String, Vec<String>)> {
    let (mut chapter, mut blocks) = (String::new(), Vec::new());
    let mut lines = docs.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("## ") {
            chapter = name.to_owned();
        } else if line.starts_with("```") {
            let block: Vec<String> = lines.by_ref().take_while(|l| *l != "```").map(str::to_owned).collect();
            if line == "```" {
                blocks.push((chapter.clone(), block));
            }
        }
    }
    blocks
}

/// A machine as the document has it, in a directory.
struct Machine {
    dir: TempDir,
    postgres: Postgres,
    address: String,
    server: Option<Process>,
    /// PostgreSQL's data directory.
    cluster: String,
    /// What to go back to.
    moment: String,
    /// What `systemctl` and the like were told beside starting and stopping.
    told: Vec<String>,
}

impl Machine {
    fn new() -> Self {
        let postgres = Postgres::orders();
        postgres.psql("postgres", &format!("ALTER ROLE postgres PASSWORD '{SUPERUSER}'"));
        let dir = tempfile::Builder::new().prefix("gatepass-operations-").tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let cluster = postgres.psql("postgres", "SHOW data_directory");
        let (moment, told) = (String::new(), Vec::new());
        let machine = Self { dir, postgres, address, server: None, cluster, moment, told };
        for folder in [
            "etc/gatepass/secrets",
            "etc/sysusers.d",
            "etc/systemd/system",
            "var/lib",
            "backup",
            "usr/bin",
            "work/secrets",
        ] {
            fs::create_dir_all(machine.at(folder)).unwrap();
        }
        for (at, text) in [
            ("etc/gatepass/secrets/orders-pg", ADMIN_PASSWORD),
            ("etc/gatepass/secrets/database", NODES),
            ("etc/gatepass/secrets/owner", OWNER),
            ("work/secrets/database", NODES),
            ("work/owner-password", OWNER),
            ("work/new-password", "another password"),
        ] {
            machine.secret(at, text);
        }
        // psql asks nobody.
        let escaped = |p: &str| p.replace('\\', "\\\\").replace(':', "\\:");
        let logins = [("gatepass_owner", OWNER), ("gatepass", NODES), ("postgres", SUPERUSER)];
        let lines: String = logins.map(|(login, p)| format!("*:*:*:{login}:{}\n", escaped(p))).concat();
        machine.secret("pgpass", &lines);
        for name in ["docs", "packaging"] {
            symlink(bins::root().join(name), machine.at("work").join(name)).unwrap();
        }
        fs::copy(bins::path("gatepass-server"), machine.at("work/gatepass-server")).unwrap();
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn secret(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
        fs::set_permissions(self.at(path), Permissions::from_mode(0o600)).unwrap();
    }

    /// The configuration of the README, with these lines of `[server]`.
    fn configure(&self, lines: &str) {
        let text = CONFIG
            .replace("LINES", lines)
            .replace("ADDRESS", &self.address)
            .replace("TARGET", &self.postgres.admin_url())
            .replace("DATA", self.at("var/lib/gatepass").to_str().unwrap());
        fs::write(self.at("etc/gatepass/gatepass.toml"), text).unwrap();
    }

    fn shared(&self) -> String {
        let url = format!("postgres://gatepass@127.0.0.1:{}/gatepass", self.postgres.port());
        format!("database = \"{url}\"\npostgres = {{ password_file = \"./secrets/database\" }}")
    }

    /// A command with this machine's places in it.
    fn here(&self, line: &str) -> String {
        let root = self.dir.path().display();
        let group = Command::new("id").arg("-gn").output().unwrap();
        let group = String::from_utf8(group.stdout).unwrap();
        let line = line
            .replace("/var/lib/postgresql/15/main", &self.cluster)
            .replace("/var/lib/postgresql/15/before", &format!("{}-before", self.cluster))
            .replace("2026-11-22 12:00:00+00", &self.moment);
        ["/etc/", "/var/lib/", "/backup/", "/usr/bin/"]
            .iter()
            .fold(line, |line, place| line.replace(place, &format!("{root}{place}")))
            .replace("-h db.example.com", &format!("-h 127.0.0.1 -p {}", self.postgres.port()))
            .replace("-g gatepass", &format!("-g {}", group.trim()))
            // It asks for the new one at the terminal.
            .replace("\\password gatepass", "ALTER ROLE gatepass PASSWORD $$another password$$")
    }

    fn serve(&mut self, config: &str) {
        assert!(self.server.is_none(), "it runs");
        let mut command = Command::new(bins::path("gatepass-server"));
        command.arg("serve").arg("--config").arg(config).current_dir(self.at("work"));
        let (process, line) = Process::start_until_line("server", &command, self.dir.path());
        assert_eq!(line, format!("listening on http://{}", self.address));
        self.server = Some(process);
    }

    /// Does what one line says, and answers what it said.
    fn run(&mut self, line: &str) -> String {
        let service = self.at("etc/gatepass/gatepass.toml").display().to_string();
        let line = self.here(line);
        let words: Vec<&str> = line.split('#').next().unwrap().split_whitespace().collect();
        match words.as_slice() {
            ["gatepass-server", "serve", "--config", config] => self.serve(config),
            ["gatepass-server", "worker", "--config", config] => {
                let mut command = Command::new(bins::path("gatepass-server"));
                command.arg("worker").arg("--config").arg(config);
                let (_ends_here, line) = Process::start_until_line("worker", &command, self.dir.path());
                assert_eq!(line, "working");
            }
            ["systemctl", "stop", "gatepass-server"] => self.server = None,
            ["systemctl", "start", "gatepass-server"] => self.serve(&service),
            ["systemctl", "stop", "postgresql"] => self.postgres.stop(),
            ["systemctl", "start", "postgresql"] => {
                self.give(&self.cluster);
                self.postgres.start_again();
            }
            ["systemctl", "restart", "postgresql"] => {
                self.postgres.stop();
                self.postgres.start_again();
            }
            ["systemctl", "restart", "gatepass-server"] => {
                self.server = None;
                self.serve(&service);
            }
            _ => return self.shell(&line),
        }
        String::new()
    }

    fn shell(&mut self, line: &str) -> String {
        // The machine's own services are left alone: what they would be told is kept.
        let (line, rest) =
            line.split_once("&& system").map_or((line, None), |(line, rest)| (line, Some(rest)));
        self.told.extend(rest.map(|rest| format!("system{rest}")));
        if line.starts_with("systemctl") {
            self.told.push(line.to_owned());
            return String::new();
        }
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", line]).current_dir(self.at("work"));
        let programs = bins::dir();
        command.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
        let owner = self.postgres.url("gatepass_owner", OWNER, "gatepass");
        command.env("PGPASSFILE", self.at("pgpass")).env("DATABASE", owner);
        let done = command.output().unwrap();
        let said = [done.stdout, done.stderr].map(|s| String::from_utf8_lossy(&s).into_owned()).concat();
        assert!(done.status.success(), "{line}\n{said}");
        said
    }

    /// Gives a directory to whom PostgreSQL runs as.
    fn give(&self, path: &str) {
        let owner = fs::metadata(PathBuf::from(&self.cluster).parent().unwrap()).unwrap();
        let to = format!("{}:{}", owner.uid(), owner.gid());
        assert!(Command::new("chown").args(["-R", &to, path]).status().unwrap().success());
    }

    /// An empty database with the schema, as the chapter on it says.
    fn prepare_again(&mut self, chapter: &[String]) {
        self.server = None;
        self.postgres.psql("postgres", "DROP DATABASE gatepass WITH (FORCE)");
        self.postgres.psql("postgres", "CREATE DATABASE gatepass OWNER gatepass_owner");
        self.postgres.psql("gatepass", "ALTER SCHEMA public OWNER TO gatepass_owner");
        let until_roles = chapter.iter().position(|line| line.contains("postgres-roles.sql")).unwrap();
        for line in &chapter[..=until_roles] {
            self.run(line);
        }
    }
}

/// The first fence of a language in a chapter.
fn fence<'a>(docs: &'a str, chapter: &str, language: &str) -> &'a str {
    let (_, rest) = docs.split_once(&format!("\n## {chapter}\n")).expect(chapter);
    let (_, rest) = rest.split_once(&format!("```{language}\n")).expect(language);
    rest.split_once("```").unwrap().0
}

fn people(machine: &Machine) -> [Person; 2] {
    let env = [("GATEPASS_KEYSTORE".to_owned(), "file".to_owned())];
    let home = machine.at("people");
    [
        Person::new("tomas", "Tomás Rivera", "backend", &home, &env),
        Person::new("iris", "Iris Lund", "", &home, &env),
    ]
}

fn invite(machine: &mut Machine, line: &str) -> String {
    let said = machine.run(line);
    said.split_whitespace().find(|word| word.starts_with("gatepass://")).expect("a link").to_owned()
}

/// What a person has on their own machine and from the server: the same before and after.
fn seen(tomas: &Person, iris: &Person) -> [Value; 3] {
    [tomas.json(&["requests"]), tomas.json(&["grants", "--all"]), iris.json(&["requests", "--all"])]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_does_what_it_says() {
    let docs = fs::read_to_string(bins::root().join("docs/operations.md")).unwrap();
    let blocks = documented(&docs);
    let shared_chapter =
        blocks.iter().find(|(chapter, _)| chapter == "One PostgreSQL").expect("the chapter").1.clone();
    let mut machine = Machine::new();
    let [tomas, iris] = people(&machine);
    machine.configure("");
    let (mut before, mut request, mut done) = (None, String::new(), Vec::new());
    for (chapter, block) in &blocks {
        done.push(chapter.as_str());
        let count = done.iter().filter(|c| *c == chapter).count();
        match (chapter.as_str(), count) {
            ("", 1) => {
                let [check, serve, asked] = block.as_slice() else { panic!("{block:?}") };
                assert!(machine.run(check).starts_with("ok: 1 targets"));
                machine.run(serve);
                let link = invite(&mut machine, asked);
                tomas.json(&["join", &link]);
                let auditor = asked.replace("tomas", "iris").replace("--groups backend", "--auditor");
                let link = invite(&mut machine, &auditor);
                iris.json(&["join", &link]);
                let args = ["request", "orders-db/read", "--for", "1h", "--reason", "See the orders"];
                request = tomas.json(&args)["id"].as_str().unwrap().to_owned();
                eventually("the access is there", async || {
                    (tomas.grant(&request)?["state"] == "active").then_some(())
                })
                .await;
                before = Some(seen(&tomas, &iris));
                continue;
            }
            ("One PostgreSQL", 1) => {
                // Two are prepared: this one is a new installation.
                machine.server = None;
                let by_hand = fence(&docs, chapter, "sql")
                    .replace(
                        "\\password gatepass_owner",
                        &format!("ALTER ROLE gatepass_owner PASSWORD $${OWNER}$$;"),
                    )
                    .replace(
                        "\\password gatepass\n",
                        &format!("ALTER ROLE gatepass PASSWORD $${NODES}$$;\n"),
                    );
                machine.postgres.psql("postgres", &by_hand);
                let port = machine.postgres.port();
                let toml = fence(&docs, chapter, "toml")
                    .replace("db.example.com:5432", &format!("127.0.0.1:{port}"));
                let toml =
                    toml.replacen("[server]", &format!("[server]\nlisten = \"{}\"", machine.address), 1);
                fs::write(machine.at("work/gatepass.toml"), toml).unwrap();
            }
            // Without the target: the new installation would remove there what it does not know.
            ("Workers", 1) => {
                let to = machine.at("etc/gatepass/gatepass.toml");
                fs::copy(machine.at("work/gatepass.toml"), to).unwrap();
            }
            ("Moving from SQLite to PostgreSQL", 1) => {
                machine.configure("");
                machine.prepare_again(&shared_chapter);
                machine.serve(&machine.at("etc/gatepass/gatepass.toml").display().to_string());
                machine.configure(&machine.shared());
            }
            // Its commands about SQLite are for the directory that was left.
            ("Backup and restore", 1) => {
                machine.server = None;
                machine.configure("");
            }
            // The last one of what is good; then something happens that is not to stay.
            ("Backup and restore", 4) => {
                let now = "SELECT clock_timestamp()";
                machine.moment = machine.postgres.psql("postgres", now);
                machine.postgres.psql("gatepass", "TRUNCATE event; SELECT pg_switch_wal()");
            }
            ("Backup and restore", 3) => {
                let wal = machine.at("backup/wal");
                fs::create_dir(&wal).unwrap();
                machine.give(wal.to_str().unwrap());
                fs::set_permissions(machine.dir.path(), Permissions::from_mode(0o755)).unwrap();
            }
            ("Backup and restore", 2) => {
                machine.configure(&machine.shared());
                machine.serve(&machine.at("etc/gatepass/gatepass.toml").display().to_string());
            }
            ("Somebody leaves, or loses a device", 1) => {
                machine.run(
                    "gatepass-server invite --config /etc/gatepass/gatepass.toml --person mara --name Mara",
                );
            }
            _ => {}
        }
        let said: Vec<String> = block.iter().map(|line| machine.run(line)).collect();
        match (chapter.as_str(), count) {
            ("Moving from SQLite to PostgreSQL", 1) => {
                assert!(said[1].contains("1 requests, 2 people, 2 devices, 1 jobs"), "{}", said[1]);
                assert_eq!(
                    Some(seen(&tomas, &iris)),
                    before,
                    "with the caches of before, nothing is another"
                );
            }
            ("Upgrading", 1) => {
                assert!(
                    said[1].contains("nothing is left to do") && said[4].contains("nothing is left to do")
                );
            }
            ("Backup and restore", 1) => assert!(said[1].contains("no event is lost"), "{said:?}"),
            ("Backup and restore", 4) => {
                assert_eq!(Some(seen(&tomas, &iris)), before);
                let events = machine
                    .postgres
                    .psql("gatepass", "SELECT count(*) > 0 AND count(*) = max(seq) FROM event");
                assert_eq!(events, "t");
            }
            ("Backup and restore", 2) | ("When something is wrong", 1) => {
                let doctor = said.last().unwrap();
                assert!(doctor.contains("ok   log.newest: all") && !doctor.contains("fail "), "{doctor}");
                assert_eq!(Some(seen(&tomas, &iris)), before);
            }
            ("Somebody leaves, or loses a device", 1) => before = Some(seen(&tomas, &iris)),
            ("Erasing a person", 1) => {
                assert!(said[0].contains("mara: would erase"), "{}", said[0]);
                assert!(said[1].contains("mara is erased-"), "{}", said[1]);
                before = Some(seen(&tomas, &iris));
            }
            ("Changing keys and passwords", 2) => {
                let held = fs::read_to_string(machine.at("etc/gatepass/secrets/database")).unwrap();
                assert_eq!(held, "another password");
            }
            ("Under systemd", 1) => {
                assert!(machine.at("usr/bin/gatepass-server").exists());
                assert!(machine.at("etc/systemd/system/gatepass-server.service").exists());
                assert!(machine.told.iter().any(|t| t.starts_with("systemctl enable --now gatepass-server")));
            }
            _ => {}
        }
    }
    for chapter in [
        "One PostgreSQL",
        "Moving from SQLite to PostgreSQL",
        "Upgrading",
        "Backup and restore",
        "Changing keys and passwords",
        "Somebody leaves, or loses a device",
        "Erasing a person",
        "When something is wrong",
        "Under systemd",
    ] {
        assert!(done.contains(&chapter), "{chapter} has no commands: {done:?}");
    }
    // The access of before all that is still there, and ends on the real target.
    let logins = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gp\\_%'";
    assert_eq!(machine.postgres.psql("orders", logins), "1");
    tomas.json(&["return", &request]);
    eventually("the access ends", async || (tomas.grant(&request)?["state"] == "ended").then_some(())).await;
    assert_eq!(machine.postgres.psql("orders", logins), "0");
}

const CONFIG: &str = r#"
[server]
name = "example.com/gatepass"
listen = "ADDRESS"
data = "DATA"
LINES

[[target]]
id = "orders-pg"
kind = "postgres"
url = "TARGET"
password_file = "./secrets/orders-pg"

[[resource]]
id = "orders-db"
name = "Orders database"
environment = "production"
target = "orders-pg"

[[resource.role]]
id = "read"
name = "Read"
grants = ["orders_reader"]
ask = ["backend"]
approve = []
default = "1h"
max = "8h"
"#;
