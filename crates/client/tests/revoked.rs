//! Ending everything of a person, and removals that fail: what a device shows, checks and tells.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod home;

use gatepass_client::Notice;
use gatepass_core::Code;
use gatepass_core::command::{Body, Command};
use gatepass_core::event::{By, Fact};
use gatepass_core::id::{CommandId, DeviceId, GrantId, PersonId, RequestId};
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{EndCause, Removal};
use gatepass_log::Key;
use home::{Home, NOOR, State, TOMAS, problem};
use serde_json::json;
use uuid::Uuid;

const HIS: DeviceId = DeviceId(Uuid::from_u128(11));
const HERS: DeviceId = DeviceId(Uuid::from_u128(22));

fn key(of: DeviceId) -> Key {
    Key::from_bytes(&[of.0.as_u128() as u8; 32])
}

fn enroll(s: &mut State, person: PersonId, device: DeviceId, name: &str) {
    let name = SaltedText::new([9; 16], name);
    let fact = Fact::DeviceEnrolled {
        person,
        device,
        signing_key: key(device).public(),
        seal_key: String::new(),
        name: name.digest().unwrap(),
    };
    s.put(By::Gatepass, None, fact, vec![name]);
}

/// An event by `device`, which signed `command`.
fn signed(
    s: &mut State,
    by: (PersonId, DeviceId),
    command: &Command,
    about: Option<RequestId>,
    fact: Fact,
) -> u64 {
    let (person, device) = by;
    let body =
        Body { id: CommandId(Uuid::from_u128(77)), device, at: s.now, head: None, command: command.clone() };
    let seq = s.put(By::Person { person, device }, about, fact, vec![]);
    s.log.last_mut().unwrap().0.command = Some(key(device).sign(command.kind(), &body).unwrap());
    seq
}

fn reason() -> Digest {
    SaltedText::new([5; 16], "lost the laptop").digest().unwrap()
}

fn order() -> Command {
    Command::RevokeAll { person: TOMAS, reason: reason() }
}

#[tokio::test]
async fn each_event_is_checked_by_itself_and_what_comes_after_does_not_hold() {
    let home = Home::new().await;
    let ending = |grant| Fact::GrantEnding { grant, cause: EndCause::Revoked, reason: Some(reason()) };
    let (seqs, wrong) = {
        let mut s = home.state();
        enroll(&mut s, TOMAS, HIS, "laptop");
        enroll(&mut s, NOOR, HERS, "desk");
        let held = s.ask(1, "stuck");
        let grant = s.live(held);
        let waits = s.ask(2, "stuck again");
        let noor = (NOOR, HERS);
        let seqs = [
            signed(&mut s, noor, &order(), None, Fact::PersonRevoked { person: TOMAS, reason: reason() }),
            signed(&mut s, noor, &order(), None, Fact::DeviceDisabled { person: TOMAS, device: HIS }),
            signed(&mut s, noor, &order(), Some(held), ending(grant)),
            signed(&mut s, noor, &order(), Some(waits), Fact::RequestWithdrawn),
        ];
        // By the same order somebody else's ends; and his device signs once more.
        let other = Fact::PersonRevoked { person: NOOR, reason: reason() };
        let late = Command::Withdraw { request: waits };
        let wrong = [
            signed(&mut s, noor, &order(), None, other),
            signed(&mut s, noor, &order(), None, Fact::DeviceDisabled { person: NOOR, device: HERS }),
            signed(&mut s, (TOMAS, HIS), &late, Some(waits), Fact::RequestWithdrawn),
        ];
        (seqs, wrong)
    };
    let client = home.joined().await;
    for seq in seqs {
        assert!(client.event(seq).await.unwrap().signature.unwrap().valid, "{seq}");
    }
    for seq in wrong {
        assert!(!client.event(seq).await.unwrap().signature.unwrap().valid, "{seq}");
    }
    let said = client.event(seqs[0]).await.unwrap().event.sentence;
    assert_eq!(said, "Noor Haddad ended everything of Tomás Rivera");
}

#[tokio::test]
async fn what_would_end_is_listed_and_the_order_is_signed() {
    let home = Home::new().await;
    {
        let mut s = home.state();
        enroll(&mut s, TOMAS, HIS, "laptop");
        enroll(&mut s, NOOR, HERS, "desk");
        let over = s.ask(1, "stuck");
        let grant = s.live(over);
        s.end(over, grant);
        let held = s.ask(2, "stuck");
        s.live(held);
        s.ask(3, "stuck again");
    }
    let client = home.joined().await;
    let people: Vec<String> = client.people().await.unwrap().into_iter().map(|p| p.handle).collect();
    assert_eq!(people, ["noor", "tomas"]);
    let held = client.holdings(TOMAS).await.unwrap();
    assert_eq!((held.grants.len(), held.requests.len(), held.approvals.len()), (1, 1, 0));
    let device = &held.devices[0];
    assert_eq!((device.name.as_deref(), device.disabled, held.devices.len()), (Some("laptop"), false, 1));

    assert_eq!(client.revoke_all(TOMAS, " ").await.unwrap_err().code, Code::ReasonRequired);
    home.state().instead.insert("/v1/people/", vec![(403, problem("not_allowed", 403)), (200, answer())]);
    assert_eq!(client.revoke_all(TOMAS, "lost").await.unwrap_err().code, Code::NotAllowed);
    assert_eq!(client.revoke_all(TOMAS, "lost").await.unwrap().devices, 1);
    let (path, body) = home.state().posted.last().cloned().unwrap();
    assert_eq!(path, format!("/v1/people/{TOMAS}/revoke-all"));
    let signed = &body["command"]["body"];
    assert_eq!((&signed["kind"], &signed["person"]), (&json!("person.revoke_all"), &json!(TOMAS)));
    assert_eq!(body["texts"][0]["text"], "lost");
}

fn answer() -> serde_json::Value {
    let person = json!({"id": TOMAS, "handle": "tomas", "name": "Tomás Rivera"});
    json!({"person": person, "grants": [], "devices": 1, "head": {"size": 1, "root": Digest::of(b"")}})
}

/// A removal that fails `attempts` times, told as often as the server tells it.
fn fails(s: &mut State, id: RequestId, grant: GrantId, attempts: u32) {
    let cause = EndCause::Expired;
    s.put(By::Gatepass, Some(id), Fact::GrantEnding { grant, cause, reason: None }, vec![]);
    for attempts in [1, 3, 10].into_iter().filter(|n| *n <= attempts) {
        let message = "no route to host".to_owned();
        s.put(By::Gatepass, Some(id), Fact::GrantDelayed { grant, attempts, message }, vec![]);
    }
}

fn gone(s: &mut State, id: RequestId, grant: GrantId, attempts: u32) {
    let removal = Removal { checked_at: s.now, sessions_ended: 0, attempts };
    let fact = Fact::GrantEnded { grant, cause: EndCause::Expired, removal };
    s.put(By::Gatepass, Some(id), fact, vec![]);
}

#[tokio::test]
async fn the_third_failure_is_an_alarm_for_those_who_answer_for_it() {
    let home = Home::new().await;
    let (first, grant) = {
        let mut s = home.state();
        let first = s.ask(1, "stuck");
        (first, s.live(first))
    };
    let client = home.joined().await;
    let mut notices = client.notices();
    fails(&mut home.state(), first, grant, 1);
    client.sync_now().await.unwrap();
    assert!(notices.try_recv().is_err(), "one failure is nobody's alarm");

    fails(&mut home.state(), first, grant, 10);
    client.sync_now().await.unwrap();
    let Ok(Notice::Alarm { grant: alarm }) = notices.try_recv() else { panic!("an alarm") };
    let trouble = alarm.trouble.unwrap();
    assert_eq!((trouble.attempts, trouble.message.as_str()), (10, "no route to host"));
    assert!(notices.try_recv().is_err(), "told once");

    gone(&mut home.state(), first, grant, 12);
    client.sync_now().await.unwrap();
    assert!(matches!(notices.try_recv(), Ok(Notice::AfterAll { grant: g }) if g.removal.is_some()));
    assert!(notices.try_recv().is_err());
}

#[tokio::test]
async fn an_alarm_that_is_over_is_not_told_and_a_holder_answers_for_nothing() {
    let home = Home::new().await;
    let (first, grant) = {
        let mut s = home.state();
        let first = s.ask(1, "stuck");
        (first, s.live(first))
    };
    let client = home.joined().await;
    let mut notices = client.notices();
    {
        let mut s = home.state();
        fails(&mut s, first, grant, 3);
        gone(&mut s, first, grant, 3);
    }
    client.sync_now().await.unwrap();
    assert!(matches!(notices.try_recv(), Ok(Notice::Ended { .. })), "gone with the third try: as usual");
    assert!(notices.try_recv().is_err());

    // The holder, who approves nothing.
    let home = Home::new().await;
    {
        let mut s = home.state();
        s.me = s.people[0].clone();
    }
    let client = home.joined().await;
    let mut notices = client.notices();
    {
        let mut s = home.state();
        let second = s.ask(2, "stuck");
        let grant = s.live(second);
        fails(&mut s, second, grant, 10);
    }
    client.sync_now().await.unwrap();
    let mut told = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        told.push(notice);
    }
    assert!(!told.iter().any(|n| matches!(n, Notice::Alarm { .. } | Notice::Delayed { .. })), "{told:?}");
}
