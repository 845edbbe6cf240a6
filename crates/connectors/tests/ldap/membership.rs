//! Who is in a group when several grants, and people by themselves, need to be.

use crate::holder::{access, dn_of, group, names, nobody, target};
use gatepass_connectors::{Connector, TargetError};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn two_grants_of_one_person_do_not_end_each_other() {
    let target = target();
    let mara = dn_of("mara");
    let (one, two) = (access("mara", &["admins", "shell"]), access("mara", &["admins"]));
    target.give(&one).await;
    target.give(&two).await;
    assert_eq!(target.ldap.inspect().await.unwrap().len(), 2);
    target.take(&one).await;
    assert!(target.members("admins").contains(&mara), "the other still needs it");
    assert_eq!(target.slapd.values(&group("shell"), "memberUid"), [""; 0]);
    let found = target.ldap.inspect().await.unwrap();
    assert_eq!(found.iter().map(|f| f.grant).collect::<Vec<_>>(), [two.grant]);
    target.take(&two).await;
    assert_eq!(target.members("admins"), [dn_of("tomas")]);
    assert_eq!(target.ldap.inspect().await.unwrap(), []);
}

#[tokio::test]
async fn two_nodes_at_once_leave_nothing_and_lose_nothing() {
    let target = target();
    let other = target.another();
    let mara = dn_of("mara");
    for _ in 0..25 {
        let (one, two) = (access("mara", &["admins"]), access("mara", &["admins"]));
        target.give(&one).await;
        let (ended, given) = tokio::join!(target.ldap.remove(one.grant), other.provision(&two));
        ended.unwrap();
        given.unwrap();
        assert!(target.members("admins").contains(&mara), "the second one holds it");
        let (ended, again) = tokio::join!(other.remove(two.grant), target.ldap.remove(one.grant));
        ended.unwrap();
        again.unwrap();
        assert!(!target.members("admins").contains(&mara), "nobody holds it");
        target.give(&one).await;
        target.give(&two).await;
        let (first, second) = tokio::join!(target.ldap.remove(one.grant), other.remove(two.grant));
        first.unwrap();
        second.unwrap();
        assert!(!target.members("admins").contains(&mara), "both ended at once");
    }
}

#[tokio::test]
async fn what_stood_before_stays() {
    let target = target();
    let (one, two) = (access("tomas", &["admins"]), access("tomas", &["admins", "shell"]));
    target.give(&one).await;
    // Tried again, as after a crash.
    target.give(&one).await;
    target.give(&two).await;
    target.take(&one).await;
    target.take(&two).await;
    assert_eq!(target.members("admins"), [dn_of("tomas")]);
    assert_eq!(target.slapd.values(&group("shell"), "memberUid"), [""; 0]);
}

#[tokio::test]
async fn the_last_member_goes_and_nobody_stands_in() {
    let target = target();
    target.slapd.change(&names("lonely", &dn_of("tomas")));
    let access = access("mara", &["lonely"]);
    target.give(&access).await;
    // Somebody takes the only other one out by hand.
    target.slapd.change(&format!(
        "dn: {}\nchangetype: modify\ndelete: member\nmember: {}\n",
        group("lonely"),
        dn_of("tomas")
    ));
    target.take(&access).await;
    assert_eq!(target.members("lonely"), [nobody("lonely")]);
    let lonely = [group("lonely")];
    assert_eq!(target.ldap.strangers(&lonely).await.unwrap(), [], "it is no one");
    target.give(&access).await;
    assert_eq!(target.members("lonely"), [dn_of("mara")], "and goes when somebody comes");
    target.take(&access).await;
    assert_eq!(target.members("lonely"), [nobody("lonely")]);
}

#[tokio::test]
async fn every_kind_of_group() {
    let target = target();
    target.slapd.change(&format!(
        "dn: {}\nobjectClass: groupOfUniqueNames\ncn: unique\nuniqueMember: {}\n",
        group("unique"),
        dn_of("tomas")
    ));
    // As Active Directory has them: may be empty, and an id of its own in binary.
    target.slapd.change(&format!(
        "dn: {}\nobjectClass: group\ncn: ad\nsAMAccountName: ad\nobjectGUID:: AAECA/8FBgcICQoLDA0ODw==\n",
        group("ad")
    ));
    let access = access("mara", &["admins", "unique", "ad", "shell"]);
    target.give(&access).await;
    assert!(target.members("admins").contains(&dn_of("mara")));
    assert!(target.slapd.values(&group("unique"), "uniqueMember").contains(&dn_of("mara")));
    assert_eq!(target.members("ad"), [dn_of("mara")]);
    assert_eq!(target.slapd.values(&group("shell"), "memberUid"), ["mara"]);
    target.take(&access).await;
    assert_eq!(target.slapd.values(&group("unique"), "uniqueMember"), [dn_of("tomas")]);
    for (name, attribute) in [("ad", "member"), ("shell", "memberUid")] {
        assert_eq!(target.slapd.values(&group(name), attribute), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn one_group_written_in_two_ways_is_one() {
    let target = target();
    let mut one = access("mara", &["admins"]);
    let two = access("mara", &["admins"]);
    one.grants = vec![one.grants[0].to_uppercase(), one.grants[0].replace(',', ", ")];
    target.give(&one).await;
    target.give(&two).await;
    target.take(&two).await;
    assert!(target.members("admins").contains(&dn_of("mara")));
    target.take(&one).await;
    assert_eq!(target.members("admins"), [dn_of("tomas")]);
}

#[tokio::test]
async fn a_crash_between_note_and_membership() {
    let target = target();
    for again in [false, true] {
        let access = access("mara", &["admins"]);
        target.notes.put.store(true, Ordering::SeqCst);
        let broken = target.ldap.provision(&access).await;
        assert!(matches!(broken, Err(TargetError::Unreachable(_))), "{broken:?}");
        assert_eq!(target.members("admins"), [dn_of("tomas")], "the note comes first");
        if again {
            target.give(&access).await;
            assert!(target.members("admins").contains(&dn_of("mara")));
        }
        target.take(&access).await;
        assert_eq!(target.members("admins"), [dn_of("tomas")]);
    }
}

#[tokio::test]
async fn a_crash_between_membership_and_answer() {
    let target = target();
    for again in [false, true] {
        let access = access("mara", &["admins"]);
        // The second reading is after the membership was made.
        target.notes.reading.store(2, Ordering::SeqCst);
        let broken = target.ldap.provision(&access).await;
        assert!(matches!(broken, Err(TargetError::Unreachable(_))), "{broken:?}");
        assert!(target.members("admins").contains(&dn_of("mara")), "it was made");
        assert_eq!(target.ldap.inspect().await.unwrap().len(), 1, "and is found");
        if again {
            // It is there now, and still no standing one.
            target.give(&access).await;
        }
        target.take(&access).await;
        assert_eq!(target.members("admins"), [dn_of("tomas")]);
    }
}

#[tokio::test]
async fn strangers_are_those_whom_no_grant_explains() {
    let target = target();
    let groups = [group("admins"), group("shell")];
    target
        .slapd
        .change(&format!("dn: {}\nchangetype: modify\nadd: memberUid\nmemberUid: tomas\n", groups[1]));
    target.give(&access("mara", &["admins", "shell"])).await;
    // Standing: also with a grant on top, it is there by no grant.
    target.give(&access("tomas", &["admins"])).await;
    let strangers = target.ldap.strangers(&groups).await.unwrap();
    let told: Vec<_> = strangers.iter().map(|s| (s.name.as_str(), s.grants.as_slice())).collect();
    assert_eq!(told, [("tomas", &groups[1..]), (dn_of("tomas").as_str(), &groups[..1])]);
}

#[tokio::test]
async fn a_grant_that_asks_for_other_groups_keeps_none_of_the_first() {
    let target = target();
    let mut access = access("mara", &["admins"]);
    target.give(&access).await;
    access.grants = vec![group("shell")];
    target.give(&access).await;
    assert_eq!(target.members("admins"), [dn_of("tomas")]);
    assert_eq!(target.slapd.values(&access.grants[0], "memberUid"), ["mara"]);
    target.take(&access).await;
}
