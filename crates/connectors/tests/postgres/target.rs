//! Names, configurations, and targets that are down, wrong or shared.

use crate::holder::{access, connector, target};
use crate::until;
use gatepass_connectors::postgres::{Postgres, login_name};
use gatepass_connectors::{Connector, TargetError};
use gatepass_testkit::Postgres as Server;
use gatepass_testkit::postgres::ADMIN_PASSWORD;
use std::time::{Duration, Instant};

#[tokio::test]
async fn names_are_quoted_by_the_server() {
    let target = target();
    let nasty = [r#"a"; drop role x; --"#, "it's", "Ümläut $1 %I", r"back\slash", "a,b"];
    for name in nasty {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        target.sees(&format!("CREATE ROLE {quoted}; GRANT SELECT ON orders TO {quoted}"));
        target.sees(&format!(
            "DO $do$ BEGIN IF current_setting('server_version_num')::int >= 160000 THEN
               EXECUTE $g$GRANT {quoted} TO gatepass_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE$g$; END IF; END $do$"
        ));
    }
    let asked = access(&nasty);
    let secret = target.provision(&asked).await;
    assert_eq!(target.holder(&secret, "SELECT count(*) FROM orders"), Ok("100".into()));
    target.connector.provision(&access(&nasty[..1])).await.unwrap();
    target.connector.remove(asked.grant).await.unwrap();
    let Err(TargetError::Configuration(message)) =
        target.connector.provision(&access(&[r#"b"; drop role orders_reader; --"#, "orders_reader"])).await
    else {
        panic!("there is no such group");
    };
    assert_eq!(message, r#"the target has no group role "b\"; drop role orders_reader; --""#);
    assert_eq!(target.sees("SELECT count(*) FROM pg_roles WHERE rolname = 'orders_reader'"), "1");
}

#[tokio::test]
async fn roles_that_nobody_should_give_are_refused() {
    let target = target();
    for group in ["gatepass_admin", "postgres"] {
        let refused = target.connector.provision(&access(&[group])).await;
        assert!(matches!(refused, Err(TargetError::Configuration(_))), "{group}: {refused:?}");
    }
    assert_eq!(target.connector.inspect().await.unwrap(), [], "and nothing is left of it");
}

#[tokio::test]
async fn a_role_of_that_name_that_is_not_ours_is_left_alone() {
    let target = target();
    let access = access(&["orders_reader"]);
    let login = login_name(access.grant);
    target.sees(&format!("CREATE ROLE {login}"));
    let refused = target.connector.provision(&access).await;
    assert!(matches!(&refused, Err(TargetError::Refused(m)) if m.contains(&login)), "{refused:?}");
    assert_eq!(target.connector.inspect().await.unwrap(), []);
    target.sees(&format!("DROP ROLE {login}"));
}

#[tokio::test]
async fn targets_on_one_cluster_see_only_their_own() {
    let (one, two) = (target(), target());
    let access = access(&["orders_reader"]);
    one.provision(&access).await;
    assert_eq!(one.connector.inspect().await.unwrap().len(), 1);
    assert_eq!(two.connector.inspect().await.unwrap(), []);
}

#[tokio::test]
async fn a_target_that_is_down_is_told_quickly_and_used_again_when_it_is_back() {
    let mut server = Server::orders();
    let connector = connector(&server.admin_url());
    let access = access(&["orders_reader"]);
    connector.provision(&access).await.unwrap();
    server.stop();
    let started = Instant::now();
    for _ in 0..3 {
        assert!(matches!(connector.remove(access.grant).await, Err(TargetError::Unreachable(_))));
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    server.start_again();
    until("it is used again", async || connector.remove(access.grant).await.is_ok()).await;
    // A connection that was kept and is dead is replaced within the call.
    connector.provision(&access).await.unwrap();
    server.stop();
    server.start_again();
    assert_eq!(connector.inspect().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_configuration_has_wrong_is_said_without_the_password() {
    let target = target();
    let good = target.server.admin_url();
    let wrong = [
        (good.clone(), "not the password", "password authentication failed"),
        (good.replace("/orders", "/nowhere"), ADMIN_PASSWORD, "\"nowhere\" does not exist"),
        (format!("{good}?sslmode=require"), ADMIN_PASSWORD, "TLS"),
    ];
    for (url, password, says) in wrong {
        let connector = Postgres::new(&url, &password.into()).unwrap();
        let error = connector.inspect().await.unwrap_err();
        assert!(error.to_string().contains(says) && !error.to_string().contains(password), "{error}");
        assert!(matches!(error, TargetError::Configuration(_)), "{error:?}");
    }
    // An admin without the right to make logins.
    target.sees("CREATE ROLE feeble LOGIN PASSWORD 'feeble'");
    let url = target.server.admin_url().replace("gatepass_admin", "feeble");
    let error = Postgres::new(&url, &"feeble".into()).unwrap().provision(&access(&["orders_reader"])).await;
    assert!(
        matches!(&error, Err(TargetError::Configuration(m)) if m.contains("permission denied")),
        "{error:?}"
    );
}

#[tokio::test]
async fn tls_is_used_when_offered_and_verified_when_required() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = more\n[name]\nCN = target\n\
                  [more]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = critical, CA:FALSE\n";
    std::fs::write(dir.path().join("config"), config).unwrap();
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-config", "config", "-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let server = Server::start();
    server.make_orders();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    server.encrypt(&read("cert.pem"), &read("key.pem"));
    let url = server.admin_url();
    let encrypted = "SELECT coalesce(bool_and(ssl), false) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                      WHERE application_name = 'gatepass'";
    let known = format!("{url}?sslmode=verify-full&sslrootcert={}/cert.pem", dir.path().display());
    for (url, tls) in [(url.clone(), "t"), (known, "t"), (format!("{url}?sslmode=disable"), "f")] {
        let connector = connector(&url);
        connector.inspect().await.unwrap();
        assert_eq!(server.psql("orders", encrypted), tls, "{url}");
        drop(connector);
        until("it is closed", async || {
            server.psql("orders", "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gatepass'")
                == "0"
        })
        .await;
    }
    let unknown = connector(&format!("{url}?sslmode=require")).inspect().await.unwrap_err();
    assert!(matches!(&unknown, TargetError::Configuration(m) if m.contains("certificate")), "{unknown:?}");
}
