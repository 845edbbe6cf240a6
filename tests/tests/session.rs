//! The harness itself: its display, keyring, notifications and processes are real, and nothing is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::process::Process;
use gatepass_tests::{Session, eventually};
use std::fs;
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_a_display_a_keyring_and_notifications_that_can_be_clicked() {
    let session = Session::start((800, 600)).await;

    let store = session
        .command(Path::new("sh"))
        .args(["-c", "printf secret | secret-tool store --label=x a b"])
        .status();
    assert!(store.unwrap().success());
    let found = session.command(Path::new("secret-tool")).args(["lookup", "a", "b"]).output().unwrap();
    assert_eq!(found.stdout, b"secret");

    let (_app, mut chosen) = {
        let answer = session.dir().join("answer");
        let mut command = session.command(Path::new("sh"));
        command
            .args(["-c", "notify-send -A review=Review -A later=Later 'A summary' 'and a body' >\"$0\""])
            .arg(&answer);
        (Process::start("notify", &command, &session.logs()), answer)
    };
    let shown = eventually("the notification", async || session.notifications.all().into_iter().next()).await;
    assert_eq!((shown.summary.as_str(), shown.body.as_str()), ("A summary", "and a body"));
    assert_eq!(shown.actions[0], ("review".to_owned(), "Review".to_owned()));
    session.notifications.choose("A summary", "Review").await;
    let answer =
        eventually("the answer", async || fs::read_to_string(&chosen).ok().filter(|a| !a.is_empty())).await;
    assert_eq!(answer.trim(), "review");

    chosen.set_file_name("screen.png");
    session.picture(&chosen);
    assert!(fs::metadata(&chosen).unwrap().len() > 100);

    let (dir, bus) =
        (session.dir().to_owned(), session.env().iter().find(|(k, _)| k == "DISPLAY").unwrap().1.clone());
    drop(session);
    assert!(!dir.exists());
    assert!(!Path::new(&format!("/tmp/.X11-unix/X{}", &bus[1..])).exists(), "the display is gone");
}
