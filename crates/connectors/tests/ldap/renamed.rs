//! Entries that are renamed, moved or deleted while a grant runs, in directories that follow them and that don't.

use crate::holder::{Target, access, dn_of, group, names, on, target};
use gatepass_connectors::{Connector, TargetError};
use gatepass_testkit::Slapd;
use gatepass_testkit::slapd::{PEOPLE, person};

const FOLLOWS: &str = "overlay refint\nrefint_attributes member uniqueMember\nrefint_nothing cn=gone";

fn rename(target: &Target, dn: &str, to: &str) {
    target.slapd.change(&format!("dn: {dn}\nchangetype: modrdn\nnewrdn: {to}\ndeleteoldrdn: 1\n"));
}

#[tokio::test]
async fn a_person_who_was_renamed_leaves_by_both_names() {
    for settings in ["", FOLLOWS] {
        let target = on(Slapd::start_with(settings));
        target.slapd.change(&names("admins", &dn_of("tomas")));
        let (one, two) = (access("mara", &["admins"]), access("mara", &["admins"]));
        target.give(&one).await;
        rename(&target, &dn_of("mara"), "uid=marat");
        if settings == FOLLOWS {
            // refint works in the background.
            while !target.members("admins").contains(&dn_of("marat")) {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(target.ldap.inspect().await.unwrap().len(), 1);
        let told = target.ldap.strangers(&[group("admins")]).await.unwrap();
        assert_eq!(told.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), [dn_of("tomas")]);
        // The address is still the old one, the name is not.
        target.give(&two).await;
        target.take(&one).await;
        assert!(target.members("admins").contains(&dn_of("marat")), "the other still needs it");
        target.take(&two).await;
        assert_eq!(target.members("admins"), [dn_of("tomas")], "{settings}");
    }
}

#[tokio::test]
async fn a_person_who_is_gone_is_taken_out_all_the_same() {
    let target = target();
    let access = access("mara", &["admins", "shell"]);
    target.give(&access).await;
    target.slapd.change(&format!("dn: {}\nchangetype: delete\n", dn_of("mara")));
    target.take(&access).await;
    assert_eq!(target.members("admins"), [dn_of("tomas")]);
    assert_eq!(target.slapd.values(&group("shell"), "memberUid"), [""; 0]);
    // Somebody else of that name begins with nothing.
    target.slapd.change(&person("mara"));
    assert!(!target.members("admins").contains(&format!("uid=mara,{PEOPLE}")));
}

#[tokio::test]
async fn a_group_that_was_renamed_is_found_again() {
    let target = target();
    let access = access("mara", &["admins"]);
    target.give(&access).await;
    rename(&target, &group("admins"), "cn=chiefs");
    assert_eq!(target.ldap.inspect().await.unwrap().len(), 1);
    // Not even another one in its place misleads.
    target.slapd.change(&names("admins", &dn_of("mara")));
    target.take(&access).await;
    assert_eq!(target.members("chiefs"), [dn_of("tomas")]);
    assert_eq!(target.members("admins"), [dn_of("mara")], "that one is not ours");
}

#[tokio::test]
async fn a_group_that_is_gone_took_its_memberships_along() {
    let target = target();
    let access = access("mara", &["admins"]);
    target.give(&access).await;
    target.slapd.change(&format!("dn: {}\nchangetype: delete\n", group("admins")));
    assert_eq!(target.ldap.inspect().await.unwrap(), []);
    target.take(&access).await;
}

#[tokio::test]
async fn a_group_that_is_hidden_is_not_taken_for_gone() {
    let target = target();
    // All groups, or this one only.
    for hidden in ["dn.subtree=\"ou=groups,dc=example,dc=com\"", &format!("dn.exact=\"{}\"", group("admins"))]
    {
        let access = access("mara", &["admins"]);
        target.give(&access).await;
        target.slapd.configure_again(&format!("add: olcAccess\nolcAccess: {{0}}to {hidden} by * none"));
        let refused = target.ldap.remove(access.grant).await;
        assert!(matches!(&refused, Err(TargetError::Refused(_))), "{hidden}: {refused:?}");
        assert!(target.members("admins").contains(&dn_of("mara")));
        target.slapd.configure_again("delete: olcAccess\nolcAccess: {0}");
        target.take(&access).await;
        assert_eq!(target.members("admins"), [dn_of("tomas")]);
    }
}
