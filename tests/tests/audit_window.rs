//! The history in a real window: an event with its proof, everything checked again, and evidence that is checked elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_server::testing::forge::Forge;
use gatepass_tests::{Desktop, Session, World, bins, eventually};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An access that mara approved and tomas gave back, all at the command line; answers where its approval is in the log.
async fn given_back(world: &World) -> u64 {
    world.tomas.join(&world.server);
    world.mara.join(&world.server);
    let ask = ["request", "orders-db/fix", "--for", "10m", "--reason", "<b>The import</b> hangs"];
    let id = world.tomas.json(&ask)["id"].as_str().unwrap().to_owned();
    world.mara.json(&["approve", "R-1", "--note", "Go ahead"]);
    let in_state = |state: &'static str| {
        let id = &id;
        async move || world.tomas.grant(id).filter(|g| g["state"] == state)
    };
    eventually("it is active", in_state("active")).await;
    world.tomas.json(&["return", "R-1"]);
    eventually("it has ended", in_state("ended")).await;
    let events = world.mara.json(&["audit", "search", "kind:request.approved"]);
    events[0]["seq"].as_u64().unwrap_or_else(|| panic!("an approval in {events}"))
}

/// Where there is no profile and no server.
fn verify_elsewhere(file: &Path) -> Value {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(bins::path("gatepass"));
    command.env_clear().env("HOME", home.path()).env("GATEPASS_HOME", home.path());
    let output = command.args(["--json", "audit", "verify"]).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", file.display());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The files that the window says it saved.
async fn saved(desktop: &Desktop, title: &str) -> Vec<PathBuf> {
    let said = desktop.see_text("export-done", title).await;
    let files: Vec<PathBuf> = said
        .split_whitespace()
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from)
        .collect();
    assert!(!files.is_empty(), "no file in “{said}”");
    files
}

/// Closes the dialog that is open.
async fn close(desktop: &Desktop) {
    desktop.script("document.querySelector('.dialog-foot [data-focus]').click()", Vec::new()).await;
}

/// Goes to an event as a link does.
async fn show(desktop: &Desktop, seq: u64) {
    desktop.script("location.hash = `#/audit/${arguments[0]}`", vec![json!(seq)]).await;
    desktop.see("proof").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_proven_in_the_window_and_elsewhere() {
    let session = Session::start((1280, 800)).await;
    let world = World::in_session(&session);
    let approved = given_back(&world).await;
    let iris = Desktop::open(&session, &world.iris).await;
    iris.join(&world.iris.invite(&world.server)).await;

    iris.click("nav-audit").await;
    iris.see(&format!("event-row-{approved}")).await;
    show(&iris, approved).await;
    iris.see_text("event-sentence", "Mara Okafor approved").await;
    // A signed head over it is at most a second behind.
    iris.see_text("proof", "lead to the signed head").await;

    // What the page computes itself, next to what the command line does.
    iris.click("show-hashes").await;
    iris.see_text("proof-holds", "Same as the signed head").await;
    eventually("the page computes the root that the command line knows", async || {
        let shown = iris.script("return document.querySelector('.climb-head').title", Vec::new()).await;
        let known = world.iris.json(&["audit", "show", &approved.to_string()]);
        (shown == known["head_root"]).then_some(())
    })
    .await;
    let page = iris.page().await;
    assert!(page.contains("Computed in this window"), "{page}");
    assert!(page.contains("The head is signed by"), "{page}");
    assert!(!page.contains("this window cannot"), "WebKit checks Ed25519 itself: {page}");
    close(&iris).await;
    iris.gone("climb").await;

    iris.click("show-key").await;
    iris.see_text("signed-bytes", r#""verdict":"approve""#).await;
    iris.reads("the digest of what was asked").await;
    close(&iris).await;
    iris.click("show-rule").await;
    iris.see_text("rule-lines", "\"approve\"").await;
    close(&iris).await;
    iris.see_text("story", "gave back").await;

    iris.click("verify").await;
    iris.see_text("verify-result", "Everything holds to event").await;

    iris.click("evidence-pack").await;
    let files = saved(&iris, "Evidence page saved").await;
    let [page, pack] = files.as_slice() else { panic!("a page and its pack: {files:?}") };
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Tomás Rivera") && page.contains("&lt;b&gt;The import&lt;/b&gt;"), "{page}");
    let verdict = verify_elsewhere(pack);
    assert_eq!(
        (&verdict["holds"], &verdict["grants"], &verdict["ended"]),
        (&true.into(), &1.into(), &1.into())
    );

    iris.click("export").await;
    iris.click("export-bundle").await;
    let all = saved(&iris, "Evidence pack saved").await;
    let verdict = verify_elsewhere(&all[0]);
    assert_eq!(verdict["holds"], true, "{verdict}");
    assert_eq!(verdict["decisions"], 1, "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_server_the_history_is_checked_and_taken_out_all_the_same() {
    let session = Session::start((1280, 800)).await;
    let mut world = World::in_session(&session);
    let approved = given_back(&world).await;
    let iris = Desktop::open(&session, &world.iris).await;
    iris.join(&world.iris.invite(&world.server)).await;
    iris.click("nav-audit").await;
    show(&iris, approved).await;
    iris.see_text("proof", "lead to the signed head").await;

    world.server.kill();
    iris.see_text("offline-banner", "was verified on this device").await;
    iris.click("verify").await;
    iris.see_text("verify-result", "Everything holds to event").await;
    iris.click("show-hashes").await;
    iris.see_text("proof-holds", "Same as the signed head").await;
    close(&iris).await;
    iris.click("export").await;
    iris.click("export-csv").await;
    let csv = saved(&iris, "CSV saved").await;
    let csv = std::fs::read_to_string(&csv[0]).unwrap();
    assert!(csv.contains("request.approved") && csv.contains("grant.ended"), "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_history_locks_the_window_and_leaves_evidence() {
    let session = Session::start((1280, 800)).await;
    let mut world = World::in_session(&session);
    let approved = given_back(&world).await;
    let iris = Desktop::open(&session, &world.iris).await;
    iris.join(&world.iris.invite(&world.server)).await;
    iris.click("nav-audit").await;
    show(&iris, approved).await;
    iris.see_text("proof", "lead to the signed head").await;

    // Everything is made to fit, but for what was seen before.
    world.server.kill();
    iris.see("offline-banner").await;
    let forge = Forge::open(&world.server.dir().join("data"));
    let mut rows = forge.rows();
    let row = rows.iter_mut().find(|r| r.kind() == "grant.active").unwrap();
    let mut event = row.json();
    event["at"] = json!("2020-01-01T00:00:00Z");
    row.say(&event);
    forge.rewrite(&rows);
    world.server.serve();

    // Not in the time it would take by itself.
    let again = "document.querySelector('[data-testid=\"offline-banner\"] button')?.click()";
    iris.script(again, Vec::new()).await;
    iris.see("banner-evidence").await;
    iris.script("location.hash = '#/audit'", Vec::new()).await;
    iris.see("mismatch").await;
    iris.reads("This device signs nothing for now.").await;
    iris.click("save-evidence").await;
    let path = eventually("the evidence is saved", async || {
        let page = iris.page().await;
        let (_, path) = page.split_once("Evidence saved: ")?;
        Some(PathBuf::from(format!("{}.json", path.split_once(".json")?.0)))
    })
    .await;
    let evidence: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(evidence["format"], "gatepass.evidence/v1", "{evidence}");
    for side in ["seen_note", "got_note"] {
        assert!(
            evidence[side].as_str().is_some_and(|note| note.contains("\n\n\u{2014} ")),
            "{side}: {evidence}"
        );
    }
    assert_ne!(evidence["seen"], evidence["got"], "{evidence}");
}
