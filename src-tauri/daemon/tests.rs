#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

use gatepass_tests::process::Process;
use gatepass_tests::{Session, eventually};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zbus::Proxy;

use super::*;
use crate::navigate::Place;
use crate::note::Note;

/// A daemon of this session, and what clicks in it did.
fn daemon(session: &Session) -> (Daemon, UnboundedReceiver<Act>) {
    let (did, acts) = unbounded_channel();
    let Daemon(inner) = Daemon::new(move |act| did.send(act).unwrap());
    let mut inner = Arc::into_inner(inner).unwrap();
    inner.address = Some(address(session).to_owned());
    (Daemon(Arc::new(inner)), acts)
}

fn address(session: &Session) -> &str {
    &session.env().iter().find(|(key, _)| key == "DBUS_SESSION_BUS_ADDRESS").unwrap().1
}

/// A connection beside the daemon's.
async fn connect(session: &Session) -> Connection {
    connection::Builder::address(address(session)).unwrap().build().await.unwrap()
}

fn place(n: usize) -> Act {
    Act::Open(Place::review(&crate::fixture::id(u32::try_from(n).unwrap())))
}

/// What is shown as the `n`th, and what its clicks do.
fn nth(n: usize) -> (Notification, Buttons) {
    let note = Note {
        kind: "A request needs you",
        title: format!("Request {n} of many"),
        body: "Which nobody dismisses".to_owned(),
        default: Act::Nothing,
        actions: vec![("Review", place(n)), ("Later", Act::Nothing)],
        urgent: false,
    };
    let mut n = Notification::new();
    n.appname("Gatepass").summary(&note.title).body(&note.body);
    n.action("default", "Open").action("0", "Review").action("1", "Later");
    (n, Buttons::from(&note))
}

async fn show(daemon: &Daemon, n: usize) -> Shown {
    let (notification, buttons) = nth(n);
    daemon.show(&notification, buttons).await.unwrap()
}

/// How many connections to the bus this process has.
async fn connections(bus: &Connection) -> usize {
    let names = DBusProxy::new(bus).await.unwrap();
    let mut own = 0;
    for name in names.list_names().await.unwrap().iter().filter(|name| name.starts_with(':')) {
        let process = names.get_connection_unix_process_id(name.inner().clone()).await;
        own += usize::from(process.is_ok_and(|id| id == std::process::id()));
    }
    own
}

/// How many notifications dunst shows or keeps for when there is room.
async fn kept(bus: &Connection) -> u32 {
    let dunst = Proxy::new(bus, NAME, PATH, "org.dunstproject.cmd0").await.unwrap();
    let shown: u32 = dunst.get_property("displayedLength").await.unwrap();
    let waiting: u32 = dunst.get_property("waitingLength").await.unwrap();
    shown + waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_that_nobody_dismisses_are_shown_over_one_connection_and_the_first_can_be_clicked() {
    const COUNT: usize = 400;
    let session = Session::start((800, 600)).await;
    let bus = connect(&session).await;
    let before = connections(&bus).await;
    let (daemon, mut acts) = daemon(&session);
    let mut ids = BTreeSet::new();
    for n in 0..COUNT {
        ids.insert(show(&daemon, n).await.id);
    }
    assert_eq!(ids.len(), COUNT);
    assert_eq!(kept(&bus).await as usize, COUNT, "all are shown, or will be when there is room");
    assert_eq!(connections(&bus).await, before + 1);

    session.notifications.choose("Request 0 of many", "Review").await;
    assert_eq!(acts.recv().await, Some(place(0)));
    eventually("what was clicked is gone", async || (kept(&bus).await as usize == COUNT - 1).then_some(()))
        .await;
    assert_eq!(daemon.0.waiting().len(), COUNT - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_forgotten() {
    let session = Session::start((800, 600)).await;
    let (daemon, _acts) = daemon(&session);
    let first = show(&daemon, 0).await;
    show(&daemon, 1).await;
    daemon.close(&first).await;
    eventually("one is left", async || (daemon.0.waiting().len() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_daemon_is_believed() {
    let session = Session::start((800, 600)).await;
    let (daemon, mut acts) = daemon(&session);
    let shown = show(&daemon, 0).await;
    let ours = daemon.bus().await.unwrap().unique_name().unwrap().to_owned();
    let stranger = connect(&session).await;
    // To us alone, and to everybody.
    for to in [Some(ours.as_str()), None] {
        stranger.emit_signal(to, PATH, NAME, "ActionInvoked", &(shown.id, "0")).await.unwrap();
        stranger.emit_signal(to, PATH, NAME, "NotificationClosed", &(shown.id, 2u32)).await.unwrap();
    }
    // Answered after the bus passed on what came before; the real click comes after that.
    DBusProxy::new(&stranger).await.unwrap().get_id().await.unwrap();
    session.notifications.choose("Request 0 of many", "Later").await;
    assert_eq!(acts.recv().await, Some(Act::Nothing));
    assert!(acts.try_recv().is_err(), "the stranger’s click did something");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_daemon_begins_anew() {
    let session = Session::start((800, 600)).await;
    let bus = connect(&session).await;
    let names = DBusProxy::new(&bus).await.unwrap();
    let (daemon, mut acts) = daemon(&session);
    let old = show(&daemon, 0).await;
    let process = names.get_connection_unix_process_id(NAME.try_into().unwrap()).await.unwrap();
    assert!(Command::new("kill").arg(process.to_string()).status().unwrap().success());
    eventually("the first daemon is gone", async || (daemon.0.waiting().len() == 0).then_some(())).await;

    let mut dunst = session.command("dunst".as_ref());
    dunst.arg("-conf").arg(session.dir().join("dunstrc"));
    let _dunst = Process::start("another-dunst", &dunst, &session.logs());
    eventually("another daemon", async || {
        names.name_has_owner(NAME.try_into().unwrap()).await.unwrap().then_some(())
    })
    .await;
    let new = show(&daemon, 1).await;
    assert_ne!(old.daemon, new.daemon);
    // Not that of the same number on the new one.
    daemon.close(&Shown { id: new.id, ..old }).await;
    assert_eq!(kept(&bus).await, 1);
    session.notifications.choose("Request 1 of many", "Review").await;
    assert_eq!(acts.recv().await, Some(place(1)));
}
