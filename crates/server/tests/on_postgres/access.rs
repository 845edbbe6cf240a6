//! Who gets into the database, how, and how far.

use gatepass_server::store::StoreError;
use gatepass_server::store::postgres::{Options, PostgresStore};
use gatepass_server::testing::PATIENCE;
use gatepass_server::testing::database::{Database, OWNER, ROLES, SERVICE, SERVICE_PASSWORD, prepare};
use gatepass_testkit::Postgres;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use secrecy::SecretString;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Runs the real program over `server` of `[server]`. `Err` is what it said when it ended instead of serving.
async fn serve(directory: &Path, server: &str, password: Option<&str>) -> Result<Child, String> {
    let file = directory.join("gatepass.toml");
    fs::write(&file, format!("[server]\nname = \"test/gatepass\"\nlisten = \"127.0.0.1:0\"\n{server}\n"))
        .unwrap();
    let log = directory.join("log");
    let mut program = Command::new(env!("CARGO_BIN_EXE_gatepass-server"));
    program.arg("serve").arg("--config").arg(file).kill_on_drop(true);
    program.envs(password.map(|p| ("GATEPASS_TEST_PASSWORD", p)));
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap());
    let mut child = program.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = timeout(PATIENCE, lines.next_line()).await;
    let first =
        first.unwrap_or_else(|_| panic!("neither served nor ended: {}", fs::read_to_string(&log).unwrap()));
    match first.unwrap() {
        Some(line) => {
            assert!(line.starts_with("listening on "), "{line}");
            Ok(child)
        }
        None => {
            let status = timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
            let said = fs::read_to_string(log).unwrap();
            assert_eq!(status.code(), Some(1), "{said}");
            Err(said)
        }
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }
}

#[tokio::test]
async fn it_asks_the_database_who_it_is() {
    let server = Postgres::start();
    prepare(&server, "gatepass").await;
    let (ours, other) = (Authority::new(), Authority::new());
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("ours.pem", &*ours.pem), ("other.pem", &*other.pem), ("password", SERVICE_PASSWORD)]
    {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let with = |authorities: &str| {
        format!(
            "database = \"postgres://{SERVICE}@127.0.0.1:{}/gatepass\"\n\
             postgres = {{ password_file = \"./password\", ca_file = \"./{authorities}\" }}",
            server.port()
        )
    };

    // A database without TLS does not get the password.
    let refused = serve(directory.path(), &with("ours.pem"), None).await.unwrap_err();
    assert!(refused.contains("the database offers no TLS"), "{refused}");

    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    server.encrypt(&params.signed_by(&key, &ours.issuer).unwrap().pem(), &key.serialize_pem());
    let mut child = serve(directory.path(), &with("ours.pem"), None).await.unwrap();
    let plain = server.psql(
        "gatepass",
        "SELECT count(*) FILTER (WHERE ssl) > 1, count(*) FILTER (WHERE NOT ssl)
         FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'gatepass'",
    );
    assert_eq!(plain, "t|0", "every connection, also the one that listens");
    child.kill().await.unwrap();

    let refused = serve(directory.path(), &with("other.pem"), None).await.unwrap_err();
    assert!(refused.contains("the database’s certificate does not prove who it is"), "{refused}");
    assert!(refused.contains("ca_file"), "{refused}");
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_tried_for_ever() {
    let database = Database::fresh().await;
    let directory = tempfile::tempdir().unwrap();
    let with =
        |section: &str| format!("database = \"{}\"\npostgres = {{ {section} }}", database.options().url);
    let (from_file, from_environment) =
        (with("password_file = \"password\""), with("password_env = \"GATEPASS_TEST_PASSWORD\""));

    // From the file with the line's end that editors leave.
    fs::write(directory.path().join("password"), format!("{SERVICE_PASSWORD}\n")).unwrap();
    serve(directory.path(), &from_file, None).await.unwrap().kill().await.unwrap();
    serve(directory.path(), &from_environment, Some(SERVICE_PASSWORD)).await.unwrap().kill().await.unwrap();

    fs::write(directory.path().join("password"), "wrong-4711").unwrap();
    for (server, password) in [(&from_file, None), (&from_environment, Some("wrong-4711"))] {
        let refused = serve(directory.path(), server, password).await.unwrap_err();
        assert!(refused.contains("the database does not let this server in"), "{refused}");
        assert!(refused.contains("password authentication failed for user \"gatepass\""), "{refused}");
        assert!(!refused.contains("wrong-4711"), "{refused}");
    }
    let unset = serve(directory.path(), &from_environment, None).await.unwrap_err();
    assert!(unset.contains("GATEPASS_TEST_PASSWORD is not set, expected"), "{unset}");

    // Through a pooler, which knows the passwords itself.
    let wrong = |options: Options| Options { password: SecretString::from("wrong-4711"), ..options };
    let refused = PostgresStore::open(&wrong(database.behind_a_pooler(false))).await.err();
    assert!(matches!(&refused, Some(StoreError::Failed(_))), "{refused:?}");
}

/// What the nodes' role may not do, whatever runs in a node.
#[tokio::test]
async fn the_log_cannot_be_changed_by_the_nodes_role() {
    let database = Database::fresh().await;
    let server = database.server();
    let at = server.url(SERVICE, SERVICE_PASSWORD, &database.name);
    assert_eq!(server.psql_at(&at, "SELECT count(*) FROM event"), Ok("0".to_owned()));
    for sql in [
        "UPDATE event SET body = '{}'",
        "DELETE FROM event",
        "TRUNCATE event",
        "INSERT INTO event SELECT * FROM event ON CONFLICT (seq) DO UPDATE SET body = '{}'",
        "UPDATE text SET text = ''",
        "DELETE FROM head",
        "INSERT INTO head SELECT 2, size, root, tree FROM head",
        "DELETE FROM request",
        "DELETE FROM command",
        "UPDATE command SET digest = ''",
        "DELETE FROM person",
        "DELETE FROM device",
        "INSERT INTO refinery_schema_history (version) VALUES (99)",
        "SELECT setval('request_number', 1)",
        "CREATE TABLE more (id int)",
        "CREATE SCHEMA more",
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE event ADD COLUMN more int",
        "DROP TABLE event",
        "CREATE TRIGGER more BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "SET ROLE gatepass_owner",
        "CREATE ROLE more",
    ] {
        let refused = server.psql_at(&at, sql).expect_err(sql);
        assert!(
            ["permission denied", "must be owner"].iter().any(|why| refused.contains(why)),
            "{sql}: {refused}"
        );
    }
}

/// As an operator runs it after every change of the schema: as the owner of the tables, who is no superuser.
#[tokio::test]
async fn the_owner_gives_the_nodes_their_role_again_and_again() {
    let database = Database::fresh().await;
    let server = database.server();
    let at = server.url(OWNER, SERVICE_PASSWORD, &database.name);
    for _ in 0..2 {
        server.psql_at(&at, &format!("\\set service {SERVICE}\n{ROLES}")).unwrap();
    }
    PostgresStore::open(&database.options()).await.unwrap();
}

#[tokio::test]
async fn an_older_schema_is_said_with_what_to_run() {
    let database = Database::fresh().await;
    let directory = tempfile::tempdir().unwrap();
    let lines = gatepass_server::testing::database_lines(&database.options(), directory.path());
    // As before the newest migration, for whoever asks; the nodes' role may not bring it up to date.
    database.psql("DELETE FROM refinery_schema_history WHERE version = (SELECT max(version) FROM refinery_schema_history)");
    let refused = serve(directory.path(), &lines, None).await.unwrap_err();
    assert!(refused.contains("schema is older than this version needs"), "{refused}");
    assert!(refused.contains("run “gatepass-server migrate”"), "{refused}");
    let through = PostgresStore::open(&database.behind_a_pooler(false)).await.err().unwrap().to_string();
    assert!(through.contains("“direct”") && through.contains("“gatepass-server migrate”"), "{through}");

    // Nothing in it at all.
    let empty = format!("{}_empty", database.name);
    database.psql(&format!("CREATE DATABASE {empty}"));
    database.server().psql(&empty, "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let options = database.options();
    let url = options.url.replace(&format!("/{}", database.name), &format!("/{empty}"));
    let refused = PostgresStore::open(&Options { url, ..options }).await.err().unwrap().to_string();
    assert!(refused.contains("run “gatepass-server migrate”"), "{refused}");
}

/// The text between two lines of `docs/operations.md`.
fn documented(from: &str, to: &str) -> &'static str {
    let docs = include_str!("../../../../docs/operations.md");
    let (_, rest) = docs.split_once("\n## One PostgreSQL\n").expect("the section");
    rest.split_once(from).and_then(|(_, rest)| rest.split_once(to)).expect(from).0
}

#[tokio::test]
async fn made_as_documented_it_serves() {
    let server = Postgres::start();
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    // What the operator types twice.
    let by_hand = documented("```sql\n", "```")
        .replace("\\password gatepass_owner", "ALTER ROLE gatepass_owner PASSWORD 'owner'");
    let by_hand = by_hand
        .replace("\\password gatepass\n", "ALTER ROLE gatepass PASSWORD 'nodes';\n")
        .replace("'owner'\n", "'owner';\n");
    server.psql("postgres", &by_hand);

    let toml = documented("```toml\n", "```")
        .replace("db.example.com:5432", &format!("127.0.0.1:{}", server.port()));
    fs::create_dir(at("secrets")).unwrap();
    fs::write(at("secrets/database"), "nodes\n").unwrap();
    fs::write(at("owner-password"), "owner\n").unwrap();
    fs::write(at("gatepass.toml"), &toml).unwrap();

    let commands: Vec<&str> = documented("and the nodes:\n\n```\n", "```").lines().collect();
    let [migrate, roles, check, serving] = commands.as_slice() else { panic!("{commands:?}") };
    for line in [migrate, check] {
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("gatepass-server"));
        let mut program = Command::new(env!("CARGO_BIN_EXE_gatepass-server"));
        let done =
            program.args(words).current_dir(directory.path()).stdin(Stdio::null()).output().await.unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    }
    assert!(
        roles.ends_with("-U gatepass_owner -d gatepass -v service=gatepass -f docs/postgres-roles.sql"),
        "{roles}"
    );
    server
        .psql_at(&server.url(OWNER, "owner", "gatepass"), &format!("\\set service gatepass\n{ROLES}"))
        .unwrap();
    assert_eq!(*serving, "gatepass-server serve --config gatepass.toml");
    let lines = toml.split_once("\"example.com/gatepass\"\n").unwrap().1;
    serve(directory.path(), lines, None).await.unwrap().kill().await.unwrap();
    // The nodes' role owns nothing.
    let owned = "SELECT count(*) FROM pg_class WHERE relowner = 'gatepass'::regrole";
    assert_eq!(server.psql("gatepass", owned), "0");
}
