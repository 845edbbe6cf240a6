//! What a holder tries to keep, or to give to others.

use crate::holder::{access, connect, target, url};
use gatepass_connectors::postgres::login_name;
use gatepass_connectors::{Connector, TargetError};

#[tokio::test]
async fn a_holder_cant_make_more_of_it() {
    let target = target();
    let access = access(&["orders_writer"]);
    let login = login_name(access.grant);
    let secret = target.provision(&access).await;
    for more in [
        format!("ALTER ROLE {login} VALID UNTIL 'infinity'"),
        format!("ALTER ROLE {login} CONNECTION LIMIT 1000"),
        format!("COMMENT ON ROLE {login} IS 'mine'"),
        "GRANT orders_writer TO public".to_owned(),
        "SET ROLE orders_writer; CREATE ROLE more LOGIN".to_owned(),
        "SET ROLE orders_writer; GRANT orders_writer TO postgres".to_owned(),
        "SET SESSION AUTHORIZATION postgres".to_owned(),
        "SELECT pg_create_physical_replication_slot('kept')".to_owned(),
        "CREATE EVENT TRIGGER kept ON ddl_command_start EXECUTE FUNCTION f()".to_owned(),
        "CREATE SUBSCRIPTION kept CONNECTION '' PUBLICATION kept".to_owned(),
        "CREATE PUBLICATION kept".to_owned(),
        "LISTEN x; DROP ROLE gatepass_admin".to_owned(),
    ] {
        assert!(target.holder(&secret, &more).is_err(), "{more}");
    }
    let replication = format!("{}?replication=database", url(&secret));
    let refused = target.server.psql_at(&replication, "IDENTIFY_SYSTEM").unwrap_err();
    assert!(refused.to_lowercase().contains("wal"), "{refused}");
    // These a holder may, and they end with the login.
    let mine = format!(
        "ALTER ROLE {login} SET role = 'orders_writer'; ALTER ROLE {login} SET statement_timeout = 0"
    );
    assert_eq!(target.holder(&secret, &mine), Ok(String::new()));
    target.connector.remove(access.grant).await.unwrap();
    assert_eq!(target.connector.inspect().await.unwrap(), []);
}

/// Up to PostgreSQL 14 (13.23 does) a login may make others its members; a superuser may on each.
#[tokio::test]
async fn whom_it_was_given_on_to_loses_it_with_the_holder() {
    let target = target();
    let access = access(&["orders_reader"]);
    let login = login_name(access.grant);
    let friend = format!("friend_{}", access.grant.0.simple());
    target.sees(&format!("CREATE ROLE {friend} LOGIN PASSWORD 'friend'"));
    let secret = target.provision(&access).await;
    let give = format!("GRANT {login} TO {friend}");
    let by_holder = target.holder(&secret, &give).is_ok();
    let version: u32 = target.sees("SHOW server_version_num").parse().unwrap();
    assert!(!by_holder || version < 150_000, "{version}");
    if !by_holder {
        target.sees(&give);
    }
    let friends = connect(&target.server.url(&friend, "friend", &target.database)).await.unwrap();
    friends.batch_execute(&format!("SET ROLE {login}; SELECT count(*) FROM orders")).await.unwrap();
    let strangers = target.connector.strangers(&["orders_reader".into()]).await.unwrap();
    let known = strangers.iter().any(|s| s.name == friend && s.grants == ["orders_reader"]);
    assert!(known, "{strangers:?}");

    // What keeps the login from being dropped does not keep the rights.
    target.sees(&format!("GRANT USAGE ON SCHEMA public TO {login}"));
    let refused = target.connector.remove(access.grant).await;
    assert!(matches!(&refused, Err(TargetError::Refused(_))), "{refused:?}");
    assert!(friends.batch_execute("SELECT count(*) FROM orders").await.is_err());
    assert!(friends.batch_execute("RESET ROLE; SELECT count(*) FROM orders").await.is_err());

    target.sees(&format!("REVOKE USAGE ON SCHEMA public FROM {login}"));
    target.connector.remove(access.grant).await.unwrap();
    assert!(friends.batch_execute("SELECT count(*) FROM orders").await.is_err());
    assert!(friends.batch_execute("SELECT 1").await.is_ok(), "the friend's own session is the friend's");
    drop(friends);
    target.sees(&format!("DROP ROLE {friend}"));
}

/// The same without anything in the way: the login is gone at once, and with it what others had of it.
#[tokio::test]
async fn a_session_of_somebody_else_that_took_the_logins_role_has_nothing_of_it() {
    let target = target();
    let access = access(&["orders_reader"]);
    let login = login_name(access.grant);
    target.provision(&access).await;
    let boss = format!("boss_{}", access.grant.0.simple());
    target.sees(&format!("CREATE ROLE {boss} LOGIN PASSWORD 'boss'; GRANT {login} TO {boss}"));
    let session = connect(&target.server.url(&boss, "boss", &target.database)).await.unwrap();
    session.batch_execute(&format!("SET ROLE {login}; SELECT count(*) FROM orders")).await.unwrap();
    assert_eq!(
        target.connector.remove(access.grant).await.unwrap().sessions_ended,
        0,
        "it is not the login's"
    );
    assert!(session.batch_execute("SELECT count(*) FROM orders").await.is_err());
    drop(session);
    target.sees(&format!("DROP ROLE {boss}"));
}

#[tokio::test]
async fn a_role_that_makes_roles_is_not_given_for_a_time() {
    let target = target();
    let name = format!("makers_{}", access(&[]).grant.0.simple());
    target.sees(&format!("CREATE ROLE {name} CREATEROLE; CREATE ROLE {name}_in; GRANT {name} TO {name}_in"));
    target.server.admin(&target.database, &format!("{name},{name}_in"));
    for group in [name.clone(), format!("{name}_in")] {
        let refused = target.connector.provision(&access(&["orders_reader", &group])).await;
        assert!(
            matches!(&refused, Err(TargetError::Configuration(m)) if m.contains(&group) && m.contains("make roles")),
            "{refused:?}"
        );
    }
    assert_eq!(target.connector.inspect().await.unwrap(), []);
    target.sees(&format!("DROP ROLE {name}_in; DROP ROLE {name}"));
}
