//! Who holds what a role gives without Gatepass, and what time it is there.

use crate::holder::{access, now, target};
use gatepass_connectors::{Connector, Stranger};

#[tokio::test]
async fn whoever_gets_a_group_without_a_tag_is_a_stranger() {
    let target = target();
    let ours = access(&["orders_reader"]);
    target.provision(&ours).await;
    let me = format!("s_{}", ours.grant.0.simple());
    let look = async || {
        let groups = ["orders_reader".to_owned(), "orders_writer".to_owned(), "no such group".to_owned()];
        let all = target.connector.strangers(&groups).await.unwrap();
        all.into_iter().filter(|s| s.name.starts_with(&me)).collect::<Vec<_>>()
    };
    assert_eq!(look().await, []);
    target.sees(&format!(
        "CREATE ROLE {me}_direct LOGIN; GRANT orders_reader, orders_writer TO {me}_direct;
         CREATE ROLE {me}_team; GRANT orders_writer TO {me}_team;
         CREATE ROLE {me}_through LOGIN; GRANT {me}_team TO {me}_through;
         CREATE ROLE {me}_quiet LOGIN NOINHERIT; GRANT {me}_team TO {me}_quiet;
         CREATE ROLE {me}_nobody NOLOGIN; GRANT orders_reader TO {me}_nobody;
         CREATE ROLE {me}_without LOGIN;
         CREATE ROLE {me}_claims LOGIN; GRANT orders_reader TO {me}_claims;
         COMMENT ON ROLE {me}_claims IS 'gatepass:{} by gatepass_admin on orders'",
        ours.grant
    ));
    let stranger = |name: &str, grants: &[&str]| Stranger {
        name: format!("{me}_{name}"),
        grants: grants.iter().map(ToString::to_string).collect(),
    };
    let all = [
        stranger("claims", &["orders_reader"]),
        stranger("direct", &["orders_reader", "orders_writer"]),
        stranger("quiet", &["orders_writer"]),
        stranger("through", &["orders_writer"]),
    ];
    assert_eq!(look().await, all);
    // From 16 on someone may have the right to hand a group on and nothing else.
    if target.sees("SELECT current_setting('server_version_num')::int >= 160000") == "t" {
        target.sees(&format!(
            "REVOKE orders_reader, orders_writer FROM {me}_direct;
             GRANT orders_reader TO {me}_direct WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        ));
        assert_eq!(look().await.len(), 3);
    }
    let everybody =
        target.connector.strangers(&["orders_reader".into(), "orders_writer".into()]).await.unwrap();
    assert!(
        everybody.iter().all(|s| s.name != "gatepass_admin" && !s.name.starts_with("gp_")),
        "{everybody:?}"
    );
    let drop = "SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE rolname LIKE ";
    target.sees(&format!("{drop} '{me}%' \\gexec"));
}

#[tokio::test]
async fn the_clock_is_the_targets() {
    let target = target();
    let (before, there, after) = (now(), target.connector.clock().await.unwrap().unwrap(), now());
    let slack = chrono::TimeDelta::milliseconds(5);
    assert!(before - slack <= there && there <= after + slack, "{before} {there} {after}");
}
