//! What goes wrong around a real server and a real PostgreSQL: neither access nor history may suffer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::{World, eventually};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;

/// Tomas asks for the role that one approval gives; answers the request's id.
fn ask(world: &World, length: &str) -> String {
    let args = ["request", "orders-db/fix", "--for", length, "--reason", "Wrong totals"];
    world.tomas.json(&args)["id"].as_str().expect("an id").to_owned()
}

async fn state(world: &World, request: &str, state: &str) -> Value {
    eventually(&format!("{request} is {state}"), async || {
        world.tomas.grant(request).filter(|grant| grant["state"] == state)
    })
    .await
}

/// The log is whole: every position once, and every device agrees with the server about it.
fn history_holds(world: &World) {
    let events = world.iris.json(&["audit", "list"]);
    let seqs: Vec<u64> = events.as_array().unwrap().iter().map(|e| e["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=seqs[0]).rev().collect::<Vec<_>>());
    let ids: std::collections::BTreeSet<_> =
        events.as_array().unwrap().iter().map(|e| e["id"].to_string()).collect();
    assert_eq!(ids.len(), seqs.len(), "no event twice");
}

#[tokio::test]
async fn a_target_that_is_down_at_approval_is_set_up_when_it_is_back() {
    let mut world = World::headless();
    let request = ask(&world, "10m");
    world.orders.stop();
    world.mara.json(&["approve", &request]);
    let grant = eventually("it says what is wrong", async || {
        world.tomas.grant(&request).filter(|grant| !grant["trouble"].is_null())
    })
    .await;
    assert_eq!(grant["state"], "provisioning");
    assert!(world.tomas.try_json(&["credential", &request]).is_err(), "there is nothing yet");

    world.orders.start_again();
    let grant = state(&world, &request, "active").await;
    assert_eq!(world.logins(), 1);
    let url = world.tomas.json(&["credential", &request])["url"].as_str().unwrap().to_owned();
    assert_eq!(world.orders.psql_at(&url, "SELECT count(*) FROM orders").as_deref(), Ok("100"));
    let length = |grant: &Value| {
        let at = |key: &str| {
            world.orders.psql(
                "orders",
                &format!("SELECT extract(epoch FROM timestamptz '{}')", grant[key].as_str().unwrap()),
            )
        };
        at("ends_at").parse::<f64>().unwrap() - at("starts_at").parse::<f64>().unwrap()
    };
    assert!((length(&grant) - 600.0).abs() < 1.0, "its time runs from when it can be used: {grant}");
    history_holds(&world);
}

#[tokio::test]
async fn a_target_that_is_down_at_the_end_is_cleared_when_it_is_back() {
    let mut world = World::headless();
    let request = ask(&world, "3s");
    world.mara.json(&["approve", &request]);
    state(&world, &request, "active").await;
    let url = world.tomas.json(&["credential", &request])["url"].as_str().unwrap().to_owned();
    world.orders.stop();
    let grant = eventually("it says what is wrong", async || {
        world.tomas.grant(&request).filter(|grant| grant["state"] == "ending" && !grant["trouble"].is_null())
    })
    .await;
    assert!(!grant["trouble"]["message"].as_str().unwrap_or_default().is_empty(), "{grant}");

    world.orders.start_again();
    state(&world, &request, "ended").await;
    assert_eq!(world.logins(), 0);
    assert!(world.orders.psql_at(&url, "SELECT 1").is_err());
    history_holds(&world);
}

#[tokio::test]
async fn killed_at_any_moment_the_server_goes_on() {
    let mut world = World::headless();
    for delay in [0, 1, 3, 8, 15, 30, 60, 120] {
        let request = ask(&world, "10m");
        // Somewhere between the approval, the login on the target and the news of it.
        let mut approval =
            world.mara.command(&["--json", "approve", &request]).stdout(Stdio::null()).spawn().unwrap();
        let seen = eventually("mara's request arrives", async || {
            let pending = world.tomas.json(&["requests"]);
            let state = pending.as_array().unwrap().iter().find(|r| r["id"] == *request)?["state"].clone();
            (state == "approved" || approval.try_wait().unwrap().is_some()).then_some(state)
        })
        .await;
        tokio::time::sleep(Duration::from_millis(delay)).await;
        world.server.kill();
        let _ = approval.wait();
        world.server.serve();
        assert_eq!(seen, "approved");
        state(&world, &request, "active").await;
        assert_eq!(world.logins(), 1, "killed {delay} ms after the approval");

        world.tomas.json(&["return", &request]);
        tokio::time::sleep(Duration::from_millis(delay)).await;
        world.server.kill();
        world.server.serve();
        state(&world, &request, "ended").await;
        assert_eq!(world.logins(), 0, "killed {delay} ms after it was given back");
    }
    history_holds(&world);
}

#[tokio::test]
async fn an_end_that_came_while_the_server_was_gone_is_made_up_for() {
    let mut world = World::headless();
    let request = ask(&world, "2s");
    world.mara.json(&["approve", &request]);
    let grant = state(&world, &request, "active").await;
    world.server.kill();
    let sql = format!("SELECT now() > timestamptz '{}'", grant["ends_at"].as_str().unwrap());
    eventually("its time is over", async || (world.orders.psql("orders", &sql) == "t").then_some(())).await;
    let url = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gp%' AND rolvaliduntil < now()";
    assert_eq!(world.orders.psql("orders", url), "1", "the target itself lets nobody in any more");
    world.server.serve();
    state(&world, &request, "ended").await;
    assert_eq!(world.logins(), 0);
}

#[tokio::test]
async fn two_approvals_at_once_are_two_and_one_access() {
    let world = World::headless();
    let args =
        ["request", "orders-db/write", "--for", "10m", "--reason", "Wrong totals", "--ticket", "INC-1"];
    let request = world.tomas.json(&args)["id"].as_str().unwrap().to_owned();
    let approvals = [&world.noor, &world.mara]
        .map(|p| p.command(&["--json", "approve", &request]).stdout(Stdio::null()).spawn().unwrap());
    for mut approval in approvals {
        assert!(approval.wait().unwrap().success());
    }
    state(&world, &request, "active").await;
    assert_eq!(world.logins(), 1);
    history_holds(&world);
}

#[tokio::test]
async fn a_server_that_hangs_keeps_the_end() {
    let mut world = World::headless();
    let request = ask(&world, "2s");
    world.mara.json(&["approve", &request]);
    let grant = state(&world, &request, "active").await;
    world.server.process().freeze();
    let sql = format!("SELECT now() > timestamptz '{}'", grant["ends_at"].as_str().unwrap());
    eventually("its time is over", async || (world.orders.psql("orders", &sql) == "t").then_some(())).await;
    world.server.process().thaw();
    state(&world, &request, "ended").await;
    assert_eq!(world.logins(), 0);
}
