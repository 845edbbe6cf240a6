//! Several sequencers at once.

use crate::days::{Database, Days};

/// Every node has one; with the lock taken away from all of them, the head's row still lets one batch in at a time.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_lock_the_head_fences() {
    let days = Days::two(Database::Shared).await;
    // A function of the same name and shape before the real one: who asks for the lock gets nothing.
    days.psql(&format!(
        "CREATE SCHEMA before;
         GRANT USAGE ON SCHEMA before TO public;
         CREATE FUNCTION before.pg_advisory_xact_lock(integer, integer) RETURNS text LANGUAGE sql
             AS $$ SELECT 'none'::text $$;
         ALTER DATABASE {} SET search_path = before, pg_catalog, public",
        days.name
    ));
    for node in &days.nodes {
        node.database.reset();
    }
    let load = days.load(8);
    load.more(200).await;
    let outcome = load.stop().await;
    let locked = days
        .psql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7420 AND objid = 1");
    assert_eq!(locked, "0");
    days.well(&outcome).await;
}

/// As they are: one at a time, in any order.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_at_a_time() {
    let days = Days::two(Database::Shared).await;
    let load = days.load(12);
    load.more(300).await;
    let outcome = load.stop().await;
    assert_eq!(outcome.codes.len(), 0, "nobody was refused: {:?}", outcome.codes);
    days.well(&outcome).await;
}
