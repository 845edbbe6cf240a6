//! Names, configurations, and targets that are down, wrong or encrypted.

use crate::holder::{access, connect, connector, target, url};
use crate::until;
use gatepass_connectors::mariadb::Mariadb;
use gatepass_connectors::{Connector, TargetError};
use gatepass_testkit::Mariadb as Server;
use gatepass_testkit::mariadb::{ADMIN, ADMIN_PASSWORD};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_login_that_may_do_everything_needs_no_script() {
    let server = Server::start();
    server.sql("CREATE ROLE orders_reader; CREATE ROLE orders_writer");
    server.orders_again("orders");
    let password = ADMIN_PASSWORD.replace('\'', "''");
    server.sql(&format!(
        "CREATE USER {ADMIN}@'%' IDENTIFIED BY '{password}';
         GRANT ALL PRIVILEGES ON *.* TO {ADMIN}@'%' WITH GRANT OPTION;
         GRANT orders_reader TO {ADMIN}@'%' WITH ADMIN OPTION"
    ));
    let connector = connector(&server.admin_url());
    for grants in [["orders_reader"], ["SELECT ON orders.orders"]] {
        let access = access(&grants);
        let secret = connector.provision(&access).await.unwrap();
        assert_eq!(server.sql_at(url(&secret), "SELECT COUNT(*) FROM orders"), Ok("100".into()));
        assert!(server.sql_at(url(&secret), "DELETE FROM orders").is_err());
        assert_eq!(connector.inspect().await.unwrap().len(), 1);
        connector.remove(access.grant).await.unwrap();
        assert!(server.sql_at(url(&secret), "SELECT 1").is_err());
    }
    // What it may not give itself, nobody gets.
    let error = connector.provision(&access(&["orders_writer"])).await.unwrap_err();
    assert!(matches!(&error, TargetError::Configuration(text) if text.contains("ADMIN OPTION")), "{error}");
    assert_eq!(connector.inspect().await.unwrap(), []);
}

#[tokio::test]
async fn names_are_quoted() {
    let target = target();
    let nasty = ["a`; drop user x; --", "it's \"q\"", "Ümläut ? %I", r"back\slash", "a,b"];
    for name in nasty {
        let quoted = format!("`{}`", name.replace('`', "``"));
        target.server.sql(&format!(
            "CREATE ROLE IF NOT EXISTS {quoted}; GRANT SELECT ON {}.* TO {quoted};
             GRANT {quoted} TO gatepass_admin_owner@localhost WITH ADMIN OPTION",
            target.database
        ));
        let secret = target.provision(&access(&[name])).await;
        assert_eq!(target.holder(&secret, "SELECT COUNT(*) FROM orders"), Ok("100".into()), "{name}");
    }
    let asked = access(&nasty);
    let secret = target.provision(&asked).await;
    assert_eq!(target.holder(&secret, "SELECT COUNT(*) FROM orders"), Ok("100".into()));
    target.connector.remove(asked.grant).await.unwrap();
}

#[tokio::test]
async fn roles_that_nobody_can_give_are_refused_and_leave_nothing() {
    let target = target();
    target.server.sql(&format!("CREATE ROLE {}_r", target.database));
    let ungiven = format!("{}_r", target.database);
    for (role, says) in [
        ("b`; drop role orders_reader; --", "the target has no role b`; drop role orders_reader; --"),
        ("ORDERS_READER", "the target has no role ORDERS_READER"),
        ("root", "the target has no role root"),
        (ungiven.as_str(), "lacks WITH ADMIN OPTION"),
    ] {
        let refused = target.connector.provision(&access(&[role, "orders_reader"])).await;
        assert!(
            matches!(&refused, Err(TargetError::Configuration(m)) if m.contains(says)),
            "{role}: {refused:?}"
        );
    }
    assert_eq!(target.connector.inspect().await.unwrap(), []);
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
        let down = connector.remove(access.grant).await;
        assert!(matches!(down, Err(TargetError::Unreachable(_))), "{down:?}");
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
    target.server.sql(&format!(
        "CREATE USER IF NOT EXISTS feeble IDENTIFIED BY '{}'",
        ADMIN_PASSWORD.replace('\'', "''")
    ));
    let wrong = [
        (good.clone(), "not the password", "Access denied"),
        (good.replace("gatepass_admin", "feeble"), ADMIN_PASSWORD, "mariadb-admin.sql"),
        (format!("{good}?ssl-mode=required"), ADMIN_PASSWORD, "TLS"),
    ];
    for (url, password, says) in wrong {
        let connector = Mariadb::new(&url, &password.into()).unwrap();
        let error = connector.inspect().await.unwrap_err();
        assert!(error.to_string().contains(says) && !error.to_string().contains(password), "{error}");
        assert!(matches!(error, TargetError::Configuration(_)), "{error:?}");
    }
    target.server.sql("DROP USER feeble");
}

#[tokio::test]
async fn a_full_server_is_no_answer() {
    let server = Server::start_with(&["max-connections=10"]);
    server.make_orders();
    let connector = connector(&server.admin_url());
    let secret = connector.provision(&access(&["orders_reader"])).await.unwrap();
    drop(connector);
    let mut sessions = Vec::new();
    while let Ok(session) = connect(url(&secret)).await {
        sessions.push(session);
    }
    let full = crate::holder::connector(&server.admin_url()).inspect().await;
    assert!(matches!(full, Err(TargetError::Unreachable(_))), "{full:?}");
}

#[tokio::test]
async fn tls_is_used_when_offered_and_verified_when_required() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[req]\nprompt = no\ndistinguished_name = name\nx509_extensions = more\n[name]\nCN = target\n\
                  [more]\nsubjectAltName = IP:127.0.0.1\nbasicConstraints = critical, CA:FALSE\n";
    std::fs::write(dir.path().join("config"), config).unwrap();
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -config config \
                   -keyout key.pem -out cert.pem";
    let made = std::process::Command::new("openssl")
        .args(request.split_whitespace())
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    for name in ["", "key.pem", "cert.pem"] {
        gatepass_testkit::mariadb::readable(&dir.path().join(name));
    }
    let at = dir.path().display();
    let server = Server::start_with(&[&format!("ssl-cert={at}/cert.pem"), &format!("ssl-key={at}/key.pem")]);
    server.make_orders();
    let url = server.admin_url();
    let opened = |sql: &str| server.sql(sql).split_whitespace().last().unwrap().parse::<u32>().unwrap();
    let encrypted = || opened("SHOW GLOBAL STATUS LIKE 'Ssl_accepts'");
    let known = format!("{url}?ssl-mode=verify_identity&ssl-ca={at}/cert.pem");
    for (url, tls) in [(url.clone(), true), (known, true), (format!("{url}?ssl-mode=disabled"), false)] {
        let before = encrypted();
        connector(&url).inspect().await.unwrap();
        assert_eq!(encrypted() > before, tls, "{url}");
    }
    let unknown = connector(&format!("{url}?ssl-mode=required")).inspect().await.unwrap_err();
    assert!(matches!(&unknown, TargetError::Configuration(m) if m.contains("certificate")), "{unknown:?}");
    server.sql("GRANT USAGE ON *.* TO gatepass_admin@'%' REQUIRE SSL");
    let plain = connector(&format!("{url}?ssl-mode=disabled")).inspect().await.unwrap_err();
    assert!(matches!(plain, TargetError::Configuration(_)), "{plain:?}");
}
