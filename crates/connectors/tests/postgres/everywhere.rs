//! What a login leaves in the databases of the cluster: all kinds of objects, and databases that can't be reached.

use crate::holder::{access, connector, target, url};
use gatepass_connectors::postgres::login_name;
use gatepass_connectors::{Connector, TargetError};
use gatepass_testkit::Postgres as Server;

#[tokio::test]
async fn objects_of_every_kind_are_handed_over_in_every_database() {
    let target = target();
    let version: u32 = target.sees("SHOW server_version_num").parse().unwrap();
    let other = format!("{}_too", target.database);
    target.server.orders_again(&other);
    let group = format!("makers_{}", access(&[]).grant.0.simple());
    let prepare = format!(
        "GRANT CREATE ON DATABASE CURRENT TO {group}; GRANT USAGE ON FOREIGN DATA WRAPPER elsewhere TO {group}"
    );
    target.sees(&format!("CREATE ROLE {group}"));
    for database in [&target.database, &other] {
        target.server.psql(database, "CREATE FOREIGN DATA WRAPPER elsewhere");
        target.server.psql(database, &prepare.replace("CURRENT", database));
    }
    target.server.admin(&target.database, &group);
    let access = access(&[&group]);
    let login = login_name(access.grant);
    let secret = target.provision(&access).await;
    let make = "CREATE SCHEMA work;
                CREATE TABLE work.notes (id serial PRIMARY KEY, note text) PARTITION BY RANGE (id);
                CREATE TABLE work.part PARTITION OF work.notes FOR VALUES FROM (1) TO (100);
                CREATE INDEX ON work.notes (note);
                INSERT INTO work.notes (note) VALUES ('kept');
                CREATE VIEW work.view AS SELECT * FROM work.notes;
                CREATE MATERIALIZED VIEW work.made AS SELECT * FROM work.notes;
                CREATE SEQUENCE work.numbers;
                CREATE DOMAIN work.small AS int CHECK (VALUE < 10);
                CREATE TYPE work.pair AS (a int, b int);
                CREATE FUNCTION work.f() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END';
                CREATE PROCEDURE work.p() LANGUAGE sql AS 'SELECT 1';
                CREATE AGGREGATE work.total(int) (SFUNC = int4pl, STYPE = int);
                CREATE TRIGGER t BEFORE INSERT ON work.part FOR EACH ROW EXECUTE FUNCTION work.f();
                CREATE RULE r AS ON UPDATE TO work.part DO NOTHING;
                CREATE POLICY p ON work.part;
                CREATE COLLATION work.c (locale = 'C');
                CREATE TEXT SEARCH CONFIGURATION work.t (COPY = simple);
                CREATE STATISTICS work.s ON id, note FROM work.part;
                CREATE SERVER away FOREIGN DATA WRAPPER elsewhere;
                CREATE USER MAPPING FOR CURRENT_USER SERVER away OPTIONS (a 'b');
                CREATE FOREIGN TABLE work.far (a int) SERVER away;
                CREATE PUBLICATION told FOR TABLE work.part;
                SELECT lo_create(4711);
                GRANT SELECT ON LARGE OBJECT 4711 TO orders_reader;
                GRANT SELECT ON work.notes TO orders_reader;
                ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO orders_reader;
                ALTER DEFAULT PRIVILEGES IN SCHEMA work GRANT EXECUTE ON FUNCTIONS TO orders_reader;
                COMMENT ON SCHEMA work IS 'mine'";
    for database in [&target.database, &other] {
        let there = url(&secret).replace(&target.database, database);
        let made = target.server.psql_at(&there, make);
        assert_eq!(made, Ok("4711".into()), "{database}");
    }
    // From 16 on somebody who is no superuser may subscribe; a worker of the server would do that as the login.
    if version >= 160_000 {
        target.sees(&format!("GRANT pg_create_subscription TO {group}"));
        let subscribe = format!(
            "CREATE SUBSCRIPTION s_{group} CONNECTION 'host=127.0.0.1 password=x' PUBLICATION told
               WITH (connect = false, slot_name = NONE, enabled = false)"
        );
        let there = url(&secret).replace(&target.database, &other);
        target.server.psql_at(&there, &subscribe).unwrap();
    }
    target.connector.remove(access.grant).await.unwrap();
    if version >= 160_000 {
        let owner = format!("SELECT subowner::regrole FROM pg_subscription WHERE subname = 's_{group}'");
        assert_eq!(target.sees(&owner), group);
        target.server.psql(&other, &format!("DROP SUBSCRIPTION s_{group}"));
    }
    for database in [&target.database, &other] {
        let sees = |sql: &str| target.server.psql(database, sql);
        let owners = "SELECT string_agg(DISTINCT o::regrole::text, ',') FROM (
                        SELECT relowner FROM pg_class WHERE relnamespace = 'work'::regnamespace UNION ALL
                        SELECT proowner FROM pg_proc WHERE pronamespace = 'work'::regnamespace UNION ALL
                        SELECT typowner FROM pg_type WHERE typnamespace = 'work'::regnamespace UNION ALL
                        SELECT nspowner FROM pg_namespace WHERE nspname = 'work' UNION ALL
                        SELECT lomowner FROM pg_largeobject_metadata UNION ALL
                        SELECT pubowner FROM pg_publication UNION ALL
                        SELECT srvowner FROM pg_foreign_server UNION ALL
                        SELECT stxowner FROM pg_statistic_ext UNION ALL
                        SELECT cfgowner FROM pg_ts_config WHERE cfgname = 't' UNION ALL
                        SELECT collowner FROM pg_collation WHERE collname = 'c') AS all_of_them (o)";
        assert_eq!(sees(owners), group);
        assert_eq!(sees("SELECT note FROM work.view"), "kept");
        assert_eq!(sees("SELECT count(*) FROM pg_default_acl"), "0", "what would be granted later is not");
        assert_eq!(sees("SELECT count(*) FROM pg_user_mappings"), "0");
        assert_eq!(
            sees("SELECT has_table_privilege('orders_reader', 'work.notes', 'SELECT')"),
            "t",
            "{version}"
        );
    }
    let left = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{login}'");
    assert_eq!(target.sees(&left), "0");
    for database in [&other, &target.database] {
        target.server.psql(database, &format!("DROP OWNED BY {group} CASCADE"));
    }
    target.sees(&format!("DROP ROLE {group}"));
}

#[tokio::test]
async fn a_database_that_cant_be_entered_is_named() {
    let server = Server::start_with(&["max_prepared_transactions=5"]);
    server.make_orders();
    server.orders_again("closed");
    let make = "CREATE SCHEMA work; GRANT USAGE, CREATE ON SCHEMA work TO orders_writer";
    server.psql("closed", make);
    let connector = connector(&server.admin_url());
    let access = access(&["orders_writer"]);
    let secret = connector.provision(&access).await.unwrap();
    let closed = url(&secret).replace("/orders", "/closed");
    server.psql_at(&closed, "CREATE TABLE work.mine (); GRANT SELECT ON work.mine TO orders_reader").unwrap();

    let refusal = async |sql: &str| {
        server.psql("postgres", sql);
        match connector.remove(access.grant).await {
            Err(TargetError::Refused(message)) => message,
            other => panic!("{other:?}"),
        }
    };
    let message = refusal("REVOKE CONNECT ON DATABASE closed FROM public").await;
    assert!(message.contains("\"closed\" can't be handed over: permission denied for database"), "{message}");
    assert!(server.psql_at(&closed, "SELECT 1").is_err(), "the access has ended all the same");
    let message = refusal("ALTER DATABASE closed ALLOW_CONNECTIONS false").await;
    assert!(message.contains("\"closed\", which takes no connections"), "{message}");
    server.psql(
        "postgres",
        "ALTER DATABASE closed ALLOW_CONNECTIONS true; GRANT CONNECT ON DATABASE closed TO public",
    );
    connector.remove(access.grant).await.unwrap();
    assert_eq!(
        server.psql("closed", "SELECT tableowner FROM pg_tables WHERE tablename = 'mine'"),
        "orders_writer"
    );

    let secret = connector.provision(&access).await.unwrap();
    let closed = url(&secret).replace("/orders", "/closed");
    server.psql_at(&closed, "BEGIN; DELETE FROM orders; PREPARE TRANSACTION 'later'").unwrap();
    let message = refusal("REVOKE CONNECT ON DATABASE closed FROM public").await;
    assert!(message.contains("prepared transaction") && message.contains("\"closed\""), "{message}");
    server.psql("postgres", "GRANT CONNECT ON DATABASE closed TO public");
    connector.remove(access.grant).await.unwrap();
    assert_eq!(server.psql("closed", "SELECT count(*) FROM orders"), "100");
}
