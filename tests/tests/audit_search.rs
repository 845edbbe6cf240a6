//! The audit view of a long log in a real window: searching as one types, saved searches, and jumping to a place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::{Desktop, Session, World, bins, eventually};
use serde_json::json;

/// The positions in the rows that are there, newest first.
async fn rows(desktop: &Desktop) -> Vec<u64> {
    let code =
        "return [...document.querySelectorAll('a.event')].map((e) => Number(e.dataset.testid.slice(10)))";
    let found = desktop.script(code, Vec::new()).await;
    found.as_array().unwrap().iter().filter_map(|seq| seq.as_u64()).collect()
}

/// A key that no field hears.
async fn press(desktop: &Desktop, key: &str, ctrl: bool) {
    let code = "document.activeElement?.blur(); document.body.dispatchEvent(new KeyboardEvent('keydown', \
                { key: arguments[0], ctrlKey: arguments[1], bubbles: true }))";
    desktop.script(code, vec![json!(key), json!(ctrl)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_typed_saved_and_left_for_a_place() {
    let session = Session::start((1280, 800)).await;
    let world = World::in_session(&session);
    world.tomas.join(&world.server);
    world.mara.join(&world.server);
    for n in 0..12 {
        let reason = format!("<b>import {n}</b> hangs");
        world.tomas.json(&["request", "orders-db/fix", "--for", "10m", "--reason", &reason]);
        world.tomas.json(&["withdraw", &format!("R-{}", n + 1)]);
    }
    let pictures = bins::root().join("tests/artifacts");
    std::fs::create_dir_all(&pictures).unwrap();
    let iris = Desktop::open(&session, &world.iris).await;
    iris.join(&world.iris.invite(&world.server)).await;
    iris.click("nav-audit").await;
    let all = eventually("the log is there", async || Some(rows(&iris).await).filter(|r| r.len() > 12)).await;

    // Words as they are typed, then a filter: the list takes the whole width.
    iris.fill("audit-search", "\"import 7\"").await;
    eventually("one is found", async || (rows(&iris).await.len() == 1).then_some(())).await;
    iris.see("rail").await;
    iris.fill("audit-search", "kind:withdrawn ").await;
    let withdrawn =
        eventually("all that were withdrawn", async || Some(rows(&iris).await).filter(|r| r.len() == 12))
            .await;
    assert!(withdrawn.is_sorted_by(|a, b| a > b));
    iris.reads("12 of").await;
    iris.picture(&pictures.join("audit-search.png")).await;

    press(&iris, "s", true).await;
    iris.fill("search-name", "Taken back").await;
    iris.click("save-search").await;
    iris.gone("search-name").await;

    // Opened, its detail stands beside the list; Escape leads back, and then out of the search.
    iris.click(&format!("event-row-{}", withdrawn[5])).await;
    iris.see_text("event-sentence", "withdrew").await;
    iris.gone("rail").await;
    press(&iris, "Escape", false).await;
    iris.see("rail").await;
    press(&iris, "Escape", false).await;
    iris.gone("rail").await;
    eventually("all are back", async || (rows(&iris).await == all).then_some(())).await;

    // It is offered by its name, in a window that was opened anew.
    iris.close();
    let iris = Desktop::open(&session, &world.iris).await;
    iris.click("nav-audit").await;
    iris.see(&format!("event-row-{}", all[0])).await;
    iris.fill("audit-search", "Taken").await;
    let choose = "const o = [...document.querySelectorAll('[role=option]')].find((o) => o.textContent.includes('Taken back')); \
                  o?.click(); return Boolean(o)";
    eventually("it is offered", async || iris.script(choose, Vec::new()).await.as_bool().filter(|b| *b))
        .await;
    eventually("it is searched for", async || (rows(&iris).await == withdrawn).then_some(())).await;
    press(&iris, "Escape", false).await;

    press(&iris, "d", false).await;
    iris.fill("jump-to", "2").await;
    iris.reads("Lands on event 2").await;
    iris.picture(&pictures.join("audit-jump.png")).await;
    iris.click("jump-go").await;
    iris.see("event-row-2").await;
    let current = "return document.querySelector('a.event[aria-current=true]')?.dataset.testid";
    eventually("it is picked", async || {
        (iris.script(current, Vec::new()).await.as_str() == Some("event-row-2")).then_some(())
    })
    .await;
}
