//! PostgreSQL goes away: restarted, or failed over.

use crate::days::{BOUND, Database, Days};
use crate::load::Outcome;
use gatepass_core::wire::GrantState;
use gatepass_testkit::{Postgres, Proxy};
use gatepass_tests::{eventually, until};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn restarted_under_load() {
    let mut days = Days::two(Database::Own(Postgres::start())).await;
    let load = days.load(6);
    let access = days.access(0, 2).await;
    load.more(30).await;
    for _ in 0..2 {
        days.database().stop();
        tokio::time::sleep(Duration::from_millis(300)).await;
        days.database().start_again();
        load.more(30).await;
    }
    let outcome = load.stop().await;
    assert!(outcome.codes.contains_key("unavailable"), "somebody noticed: {:?}", outcome.codes);
    days.nothing_left(access.ends_at.unwrap(), BOUND).await;
    days.well(&outcome).await;
}

/// A replica that lags behind takes over: what the primary confirmed last is gone, and the nodes, which had signed it, say
/// so and write no second history until somebody says how it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn failed_over_with_a_lost_tail() {
    let mut days = Days::two(Database::Own(Postgres::start())).await;
    let way = Proxy::to(days.database().port());
    let replica = days.database().replica(way.port());
    let load = days.load(4);
    load.more(20).await;
    let kept = load.stop().await;
    replica.catch_up(days.database());
    way.cut();
    // Confirmed by the primary alone.
    let load = days.load(4);
    let access = days.access(0, 600).await;
    load.more(20).await;
    let lost = load.stop().await;
    assert_eq!(days.logins(), 1);
    days.database().stop();
    replica.promote();
    days.lead_to(replica.port());

    for node in 0..2 {
        eventually("the node says that the log went back", async || {
            (days.metric(node, "gatepass_log_went_back_total").await >= 1.0).then_some(())
        })
        .await;
        let log = days.nodes[node].process().log();
        assert!(log.contains("the database lost part of the log"), "{log}");
    }
    // Nobody knows of the access any more: it goes.
    days.nothing_left(access.starts_at.unwrap(), 2 * BOUND).await;
    for node in 0..2 {
        let tomas = days.at(node, &days.tomas);
        eventually("nothing is written any more", async || {
            let answer = tomas.ask("fix", 60).await;
            (answer.body["code"] == "log_held").then_some(())
        })
        .await;
    }
    *days.database() = replica;
    days.recover();
    let after = days.load(4);
    after.more(20).await;
    let mut outcome = after.stop().await;
    outcome.acknowledged.extend(kept.acknowledged);
    outcome.lies.extend([kept.lies, lost.lies].concat());
    days.well(&outcome).await;
}

/// With a standby that has to have it first, nothing that was acknowledged is lost.
#[tokio::test(flavor = "multi_thread")]
async fn failed_over_with_a_synchronous_standby() {
    let mut days = Days::two(Database::Own(Postgres::start())).await;
    let way = Proxy::to(days.database().port());
    let replica = days.database().replica(way.port());
    days.psql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    days.psql("SELECT pg_reload_conf()");
    let load = days.load(4);
    load.more(20).await;
    // From here on nothing is confirmed, and nobody is told that it was.
    way.blackhole();
    let waiting = days.psql("SELECT pg_current_wal_insert_lsn()");
    until("a write waits for the standby", Duration::from_secs(20), async || {
        let sql = format!(
            "SELECT count(*) > 0 AND pg_current_wal_insert_lsn() > '{waiting}' FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        );
        (days.psql(&sql) == "t").then_some(())
    })
    .await;
    days.database().stop();
    replica.promote();
    replica.psql("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    replica.psql("postgres", "SELECT pg_reload_conf()");
    days.lead_to(replica.port());
    *days.database() = replica;
    load.more(20).await;
    let outcome = load.stop().await;
    for node in 0..2 {
        assert_eq!(days.metric(node, "gatepass_log_went_back_total").await, 0.0);
    }
    days.well(&outcome).await;
}

/// What a database can lose is said when a node starts.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_lost_is_said_at_start() {
    let mut days = Days::with(Database::Own(Postgres::start_with(&["fsync=on"])), &[&[]]).await;
    let said = |days: &Days| days.nodes[0].process().log();
    assert!(!said(&days).contains("fsync is off") && !said(&days).contains("standby"), "{}", said(&days));
    let port = days.database().port();
    let _replica = days.database().replica(port);
    days.psql("ALTER SYSTEM SET full_page_writes = off");
    days.psql("SELECT pg_reload_conf()");
    until("the replica follows", Duration::from_secs(20), async || {
        let both =
            "SELECT count(*) = 1 AND current_setting('full_page_writes') = 'off' FROM pg_stat_replication";
        (days.psql(both) == "t").then_some(())
    })
    .await;
    days.nodes[0].process = None;
    let folder = days.folder().to_owned();
    days.nodes[0].serve(&folder);
    let log = said(&days);
    assert!(log.contains("full_page_writes is off") && log.contains("A standby follows"), "{log}");
    let asked = days.ask(0, 1).await;
    let over = days.grant(0, &asked, GrantState::Ended).await;
    days.nothing_left(over.ends_at.unwrap(), BOUND).await;
    days.well(&Outcome::default()).await;
}
