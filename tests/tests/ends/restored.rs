//! An old copy of the database is put in the place of the new one by hand: the server does not write a second history, says
//! what to do, and ends accesses all the same.

use crate::place::{Place, UP};
use chrono::TimeDelta;
use gatepass_core::command::{Body, Command as Wish};
use gatepass_core::id::CommandId;
use gatepass_core::wire::{GrantState, Head, Submit};
use gatepass_server::clock::{Clock as _, SystemClock};
use gatepass_server::testing::Someone;
use gatepass_tests::{bins, eventually};
use std::path::{Path, PathBuf};
use std::process::Command;
use uuid::Uuid;

/// A copy of the whole data directory, as somebody makes it while the server is stopped.
fn copy(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(done.success());
}

fn data(place: &Place) -> PathBuf {
    place.folder().join("data-0")
}

/// The database of a copy, without what else is in the directory.
fn put_back(place: &Place, copy: &Path) {
    for end in ["", "-wal", "-shm"] {
        let name = format!("gatepass.db{end}");
        let _ = std::fs::remove_file(data(place).join(&name));
        if copy.join(&name).exists() {
            std::fs::copy(copy.join(&name), data(place).join(&name)).unwrap();
        }
    }
}

fn stop(place: &mut Place) {
    place.nodes[0].process = None;
}

async fn write(place: &Place) -> (u16, String) {
    let (status, body) = place.say(0, "/v1/requests", &place.wish("fix", 60)).await.expect("an answer");
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

async fn head(place: &Place) -> Head {
    place.tomas.get("/v1/log/head").await.get()
}

fn tool(place: &Place, verb: &str) -> (bool, String) {
    let mut command = Command::new(bins::path("gatepass-server"));
    let output = command.args(verb.split(' ')).arg("--config").arg(&place.nodes[0].config).output().unwrap();
    let said = [output.stdout, output.stderr].map(|s| String::from_utf8_lossy(&s).into_owned());
    (output.status.success(), said.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_the_database_is_not_written_on() {
    let mut place = Place::new().await;
    // An access that the copy knows, and that ends after it was put back.
    let known = place.access(0, 20).await;
    let holder = place.observed(0, known).await;
    let ends = place.view(0, known).await.unwrap().ends_at.unwrap();
    stop(&mut place);
    let old = place.folder().join("old");
    copy(&data(&place), &old);
    place.serve(0, &[]);
    let then = head(&place).await;
    // And one that it does not know.
    let unknown = place.access(0, 600).await;
    let other = place.observed(0, unknown).await;
    assert_eq!(write(&place).await.0, 201);
    let lost = head(&place).await;
    stop(&mut place);
    put_back(&place, &old);

    let back = SystemClock.now();
    place.serve(0, &[]);
    assert_eq!(write(&place).await, (409, "log_held".to_owned()));
    let log = place.nodes[0].process().log();
    assert!(log.contains("gatepass-server log recover"), "it says what to do: {log}");
    assert_eq!(place.metric(0, "gatepass_log_held").await, 1.0);
    let invite = Command::new(bins::path("gatepass-server"))
        .args(["invite", "--person", "mara", "--name", "Mara", "--config"])
        .arg(&place.nodes[0].config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&invite.stderr).into_owned();
    assert!(!invite.status.success() && said.contains("gatepass-server log recover"), "{said}");
    let (well, said) = tool(&place, "doctor");
    assert!(!well && said.contains("gatepass-server log recover"), "{said}");
    // Access ends all the same: what is due, and what nobody knows of any more.
    place.gone().await;
    let (holder, other) = (holder.seen().await, other.seen().await);
    assert!(holder.last() <= ends + UP, "{holder:?}, and the end was {ends}");
    assert!(other.last() <= back + TimeDelta::seconds(20), "{other:?}");
    assert_eq!(head(&place).await.size, then.size, "not one event was written");

    // The newest copy is lost: somebody who may says how it goes on.
    stop(&mut place);
    let (done, said) = tool(&place, "log recover");
    assert!(done && said.contains(&format!("It had {} events", lost.size)), "{said}");
    place.serve(0, &[]);
    assert_eq!(write(&place).await.0, 201);
    place.is(0, known, GrantState::Ended).await;
    let bodies = place.bodies().await;
    let told: Vec<&String> = bodies.iter().filter(|b| b.contains("log.recovered")).collect();
    assert!(matches!(told[..], [one] if one.contains(&lost.root.0)), "{told:?}");
    let (well, said) = tool(&place, "log recover");
    assert!(well && said.contains("nothing to recover"), "{said}");
}

/// A copy of the whole directory knows nothing of what came after it. Devices do.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_everything_is_told_by_devices() {
    let mut place = Place::new().await;
    stop(&mut place);
    let old = place.folder().join("old");
    copy(&data(&place), &old);
    place.serve(0, &[]);
    for _ in 0..3 {
        assert_eq!(write(&place).await.0, 201);
    }
    let lost = head(&place).await;
    stop(&mut place);
    std::fs::remove_dir_all(data(&place)).unwrap();
    copy(&old, &data(&place));
    place.serve(0, &[]);

    // One person's word stops nobody but them.
    assert_eq!(seen(&place, &place.tomas, &lost).await, (409, "log_held".to_owned()));
    assert_eq!(write(&place).await.0, 201, "of a device that saw nothing");
    assert_eq!(seen(&place, &place.tomas, &lost).await.0, 409);
    assert_eq!(write(&place).await.0, 201);
    let dana = seen(&place, &place.dana, &lost).await;
    assert_eq!(dana, (409, "log_held".to_owned()));
    assert_eq!(write(&place).await, (409, "log_held".to_owned()), "of two it does");
    // Also after a restart.
    place.serve(0, &[]);
    assert_eq!(write(&place).await, (409, "log_held".to_owned()));
    stop(&mut place);
    assert!(tool(&place, "log recover").0);
    place.serve(0, &[]);
    assert_eq!(write(&place).await.0, 201);
    eventually("it is told in the log", async || {
        place.bodies().await.iter().any(|b| b.contains("log.recovered")).then_some(())
    })
    .await;
}

/// A command of a device that names what it saw.
async fn seen(place: &Place, someone: &Someone, head: &Head) -> (u16, String) {
    let command = Wish::Create {
        resource: "orders-db".to_owned(),
        role: "fix".to_owned(),
        duration_s: 60,
        reason: None,
        ticket: None,
        ssh_key: None,
    };
    let body = Body {
        id: CommandId(Uuid::now_v7()),
        device: someone.device,
        at: SystemClock.now(),
        head: Some(head.clone()),
        command,
    };
    let submit = Submit { command: someone.key.sign("request.create", &body).unwrap(), texts: Vec::new() };
    let (status, body) = place.say(0, "/v1/requests", &submit).await.expect("an answer");
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}
