//! Directories that restrict what a group may hold.

use crate::holder::{access, connector, dn_of, group, names, on, settings};
use gatepass_connectors::ldap::Settings;
use gatepass_connectors::{Connector, TargetError};
use gatepass_testkit::Slapd;
use gatepass_testkit::slapd::person;

#[tokio::test]
async fn where_members_have_to_exist_another_may_stand_in() {
    let target = on(Slapd::start_with(
        "moduleload memberof\noverlay memberof\nmemberof-dangling error\nmemberof-dangling-error 19",
    ));
    target.slapd.change(&person("nobody"));
    target.slapd.change(&names("lonely", &dn_of("tomas")));
    let access = access("mara", &["lonely"]);
    target.give(&access).await;
    let alone =
        format!("dn: {}\nchangetype: modify\ndelete: member\nmember: {}\n", group("lonely"), dn_of("tomas"));
    target.slapd.change(&alone);
    let refused = target.ldap.remove(access.grant).await;
    assert!(matches!(&refused, Err(TargetError::Refused(m)) if m.contains("placeholder")), "{refused:?}");
    assert_eq!(target.ldap.inspect().await.unwrap().len(), 1, "it is still found");

    let named = Settings { placeholder: Some(dn_of("nobody")), ..settings(&target.slapd.url()) };
    let named = connector(&named, target.notes.clone());
    named.remove(access.grant).await.unwrap();
    assert_eq!(target.members("lonely"), [dn_of("nobody")]);
    named.provision(&access).await.unwrap();
    assert_eq!(target.members("lonely"), [dn_of("mara")]);
    named.remove(access.grant).await.unwrap();
}
