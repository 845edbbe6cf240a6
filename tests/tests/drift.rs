//! What somebody does by hand on a real PostgreSQL: given past Gatepass, and taken away behind its back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::{Desktop, Person, Session, World, eventually, until};
use serde_json::Value;
use std::time::Duration;

/// The server looks every minute.
const A_LOOK: Duration = Duration::from_secs(90);

fn drift(person: &Person) -> Vec<Value> {
    person.json(&["drift"]).as_array().expect("an array").clone()
}

/// A look now: every start begins with one. Killed, it does not ask the desktops to come back one by one.
fn look(world: &mut World) {
    world.server.kill();
    world.server.serve();
}

async fn only(person: &Person, state: &str) -> Value {
    eventually(&format!("{} sees it {state}", person.handle), async || {
        drift(person).into_iter().find(|d| d["state"] == state)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_given_by_hand_is_told_marked_and_gone_and_never_taken() {
    let mut world = World::headless();
    let sql = |world: &World, sql: &str| world.orders.psql("orders", sql);
    sql(&world, "CREATE ROLE metrics_ro LOGIN");
    sql(&world, "GRANT orders_writer TO metrics_ro");

    let found = until("the next look", A_LOOK, async || drift(&world.noor).into_iter().next()).await;
    assert_eq!((&found["name"], &found["state"]), (&"metrics_ro".into(), &"open".into()));
    assert_eq!(found["grants"], serde_json::json!(["orders_writer"]));
    assert_eq!(found["resource_names"], serde_json::json!(["Orders database"]));
    assert_eq!(drift(&world.iris).len(), 1, "auditors see it");
    assert_eq!(drift(&world.tomas), Vec::<Value>::new(), "not his to see");
    let id = found["id"].as_str().unwrap().to_owned();
    let known = ["drift", "known", &id, "--reason", "monitoring, agreed in INC-7"];
    assert_eq!(world.iris.try_json(&known).unwrap_err().code, "not_allowed");
    assert_eq!(world.tomas.try_json(&known).unwrap_err().code, "not_found");
    let marked = world.noor.json(&known);
    assert_eq!((&marked["state"], &marked["known"]["by"]["handle"]), (&"known".into(), &"noor".into()));

    // Still the same at the next look; more than that is open again.
    look(&mut world);
    assert_eq!(only(&world.noor, "known").await["id"], id.as_str());
    sql(&world, "GRANT orders_reader TO metrics_ro");
    look(&mut world);
    let again = only(&world.noor, "open").await;
    assert_eq!((&again["id"], &again["known"]), (&id.as_str().into(), &Value::Null));
    assert_eq!(again["grants"], serde_json::json!(["orders_reader", "orders_writer"]));
    let held = "SELECT pg_has_role('metrics_ro', 'orders_writer', 'MEMBER')";
    assert_eq!(sql(&world, held), "t", "Gatepass took nothing away");

    sql(&world, "REVOKE orders_writer, orders_reader FROM metrics_ro");
    look(&mut world);
    eventually("it is gone", async || drift(&world.noor).is_empty().then_some(())).await;
    let gone = world.noor.json(&["drift", "--gone"]);
    assert_eq!((&gone[0]["id"], &gone[0]["state"]), (&id.as_str().into(), &"gone".into()));
    let told = world.iris.json(&["audit", "search", "kind:drift"]);
    let kinds: Vec<_> = told.as_array().unwrap().iter().rev().map(|e| e["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["drift.found", "drift.known", "drift.found", "drift.gone"]);
    let said = world.iris.json(&["audit", "search", "kind:drift.known", "agreed"]);
    assert_eq!(
        said[0]["sentence"],
        "Noor Haddad marked as known that metrics_ro holds orders_writer on Orders database"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_that_somebody_drops_ends_and_is_not_made_again() {
    let mut world = World::headless();
    let args = ["request", "orders-db/read", "--for", "30m", "--reason", "Wrong totals", "--wait", "30s"];
    let request = world.tomas.json(&args)["id"].as_str().unwrap().to_owned();
    let login = world.orders.psql("orders", "SELECT rolname FROM pg_roles WHERE rolname LIKE 'gp\\_%'");
    world.orders.psql("orders", &format!("DROP OWNED BY {login}"));
    world.orders.psql("orders", &format!("DROP ROLE {login}"));
    look(&mut world);
    let ended = eventually("it ended", async || {
        world.tomas.grant(&request).filter(|grant| grant["state"] == "ended")
    })
    .await;
    assert_eq!(ended["end"], "missing");
    assert_eq!(world.logins(), 0, "it is not made again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_says_so_and_marks_it() {
    let session = Session::start((1340, 860)).await;
    let mut world = World::in_session(&session);
    let noor = Desktop::open(&session, &world.noor).await;
    noor.join(&world.noor.invite(&world.server)).await;
    world.orders.psql("orders", "CREATE ROLE deploy_old LOGIN IN ROLE orders_writer");
    look(&mut world);

    let told = session.notifications.shown(noor.process, "No grant explains deploy_old").await;
    assert!(told.body.contains("deploy_old holds orders_writer on Orders database"), "{told:?}");
    session.notifications.choose("No grant explains deploy_old", "Look").await;
    noor.see_text("without-a-grant", "deploy_old").await;
    noor.see_text("nav-now", "1").await;
    noor.click("mark-deploy_old").await;
    noor.fill("note", "The old deploy, until March").await;
    noor.click("sign").await;
    noor.see_text("known", "The old deploy, until March").await;
    noor.gone("without-a-grant").await;

    world.orders.psql("orders", "DROP OWNED BY deploy_old; DROP ROLE deploy_old");
    look(&mut world);
    noor.see_text("gone", "deploy_old").await;
    noor.click("nav-audit").await;
    noor.reads("no longer finds that").await;
}
