//! PgBouncer between the holder and the target, which keeps connections open as the login.

use crate::holder::{access, connect, connector, now, url};
use crate::until;
use gatepass_connectors::Connector;
use gatepass_connectors::postgres::login_name;
use gatepass_testkit::{Pgbouncer, Postgres as Server};

async fn nothing_goes_through_after_the_end(pool_mode: &str) {
    let server = Server::orders();
    server.psql("orders", "CREATE ROLE pooler SUPERUSER LOGIN PASSWORD 'pooler'");
    let pooler = Pgbouncer::asking(&server, "pooler", "pooler", pool_mode);
    let connector = connector(&server.admin_url());
    let mut access = access(&["orders_reader"]);
    let login = login_name(access.grant);
    let secret = connector.provision(&access).await.unwrap();
    let through = url(&secret).replace(&format!(":{}/", server.port()), &format!(":{}/", pooler.port()));
    let count = "SELECT count(*) FROM orders";
    assert_eq!(server.psql_at(&through, count), Ok("100".into()), "{}", pooler.log());
    let open = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{login}'");
    assert_eq!(server.psql("orders", &open), "1", "the pooler keeps the connection that nobody uses");

    // PgBouncer asks for the password as the server has it, and is told that it is good no more. Who is in stays.
    let inside = connect(&through).await.unwrap();
    inside.batch_execute(count).await.unwrap();
    access.until = now() - chrono::TimeDelta::milliseconds(1);
    connector.guard(&access).await.unwrap();
    assert!(server.psql_at(&through, count).is_err());
    inside.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let removed = connector.remove(access.grant).await.unwrap();
    assert_eq!(removed.sessions_ended, 1);
    assert!(inside.batch_execute(count).await.is_err());
    assert!(connect(&through).await.is_err());
    let again = through.replace(&pooler.port().to_string(), &server.port().to_string());
    assert!(connect(&again).await.is_err());
    until("nobody is there", async || server.psql("orders", &open) == "0").await;
    assert_eq!(server.psql("orders", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gp\\_%'"), "0");
}

#[tokio::test]
async fn in_transaction_mode_nothing_goes_through_after_the_end() {
    nothing_goes_through_after_the_end("transaction").await;
}

#[tokio::test]
async fn in_session_mode_nothing_goes_through_after_the_end() {
    nothing_goes_through_after_the_end("session").await;
}
