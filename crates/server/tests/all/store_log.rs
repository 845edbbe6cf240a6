//! What stands with the log's events for proofs and tiles, on every implementation.

use gatepass_core::Time;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{EventId, GrantId};
use gatepass_core::text::Digest;
use gatepass_log::{Hash, Tree};
use gatepass_server::backup;
use gatepass_server::store::postgres::PostgresStore;
use gatepass_server::store::sqlite::{SqliteOptions, SqliteStore};
use gatepass_server::store::{Change, Store, StoreError};
use gatepass_server::testing::database::Database;
use uuid::Uuid;

fn sqlite(directory: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(&directory.path().join("data"), SqliteOptions::default()).unwrap()
}

fn published(n: usize) -> Event {
    Event {
        id: EventId(Uuid::now_v7()),
        at: Time::default(),
        by: By::Gatepass,
        request: None,
        fact: Fact::CataloguePublished { catalogue: Digest::of(&n.to_be_bytes()), document: None },
        command: None,
    }
}

async fn grow(store: &dyn Store, by: usize) {
    let events = (0..by).map(published).collect();
    store.commit(Change { events, ..Change::default() }).await.unwrap();
}

/// The leaves and the roots of complete subtrees are those of the tree over the events.
async fn proofs_are_made_of_what_stands_with_the_events(store: &dyn Store) {
    for by in [1, 254, 1, 300, 44] {
        grow(store, by).await;
    }
    let mut tree = Tree::default();
    let mut complete = Vec::new();
    let entries = store.entries(0, 1_000).await.unwrap().entries;
    let leaves: Vec<Hash> = entries.iter().map(|e| Hash::leaf(e.body.get().as_bytes())).collect();
    for leaf in &leaves {
        tree.append_with(*leaf, |height, _, root| complete.extend((height == 8).then_some(root)));
    }
    assert_eq!(tree.head(), store.head().await.unwrap());
    assert_eq!(store.nodes(0, 0, 600).await.unwrap(), leaves);
    assert_eq!(store.nodes(0, 599, 1).await.unwrap(), leaves[599..]);
    assert_eq!(store.nodes(8, 0, 2).await.unwrap(), complete);
    assert_eq!(store.nodes(8, 1, 1).await.unwrap(), complete[1..]);
    // What is not complete yet, wholly or in part.
    for (height, index, count) in [(0, 600, 1), (0, 599, 2), (8, 2, 1), (8, 0, 3), (16, 0, 1)] {
        assert!(
            matches!(store.nodes(height, index, count).await, Err(StoreError::Failed(_))),
            "{height} {index}"
        );
    }
}

/// Its length would not fit where the log is served.
async fn an_event_has_fewer_than_65536_bytes(store: &dyn Store) {
    let sized = |bytes: usize| {
        let grant = GrantId(Uuid::now_v7());
        let event = |message: String| Event {
            fact: Fact::GrantDelayed { grant, attempts: 1, message },
            ..published(0)
        };
        let room = bytes - gatepass_log::canonical(&event(String::new())).unwrap().len();
        Change { events: vec![event("x".repeat(room))], ..Change::default() }
    };
    let refused = store.commit(sized(65_536)).await.unwrap_err();
    assert_eq!(refused, StoreError::TooLarge(65_536));
    assert_eq!(store.commit(sized(65_535)).await.unwrap().head.size, 1);
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                super::$name(&super::sqlite(&directory)).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                let database = super::Database::fresh().await;
                super::$name(&super::PostgresStore::open(&database.options()).await.unwrap()).await;
            })*
        }
        mod on_postgres_behind_a_pooler {
            $(#[tokio::test]
            async fn $name() {
                let options = super::Database::fresh().await.behind_a_pooler(false);
                super::$name(&super::PostgresStore::open(&options).await.unwrap()).await;
            })*
        }
    };
}

conformance!(proofs_are_made_of_what_stands_with_the_events, an_event_has_fewer_than_65536_bytes);

/// A log of a version that did not keep them, and one whose end such a version wrote.
#[tokio::test]
async fn what_proofs_are_made_of_is_made_for_a_log_that_lacks_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = sqlite(&directory);
    grow(&store, 700).await;
    let whole = store.nodes(8, 0, 2).await.unwrap();
    drop(store);
    for lost in ["", "WHERE number = 1"] {
        let db = rusqlite::Connection::open(directory.path().join("data/gatepass.db")).unwrap();
        db.execute(&format!("DELETE FROM subtree {lost}"), []).unwrap();
        drop(db);
        assert_eq!(sqlite(&directory).nodes(8, 0, 2).await.unwrap(), whole);
    }
    let database = Database::fresh().await;
    let store = PostgresStore::open(&database.options()).await.unwrap();
    grow(&store, 700).await;
    let whole = store.nodes(8, 0, 2).await.unwrap();
    for lost in ["", "WHERE number = 1"] {
        // Also while it runs beside such a node.
        database.psql(&format!("DELETE FROM subtree {lost}"));
        assert_eq!(store.nodes(8, 0, 2).await.unwrap(), whole);
    }
}

#[tokio::test]
async fn a_backup_with_other_hashes_than_the_log_has_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let store = sqlite(&directory);
    grow(&store, 300).await;
    drop(store);
    let file = directory.path().join("backup.db");
    let size = backup::backup(&directory.path().join("data"), &file).unwrap().head.size;
    assert_eq!(size, 300);
    let after = |sql: &str| {
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        backup::check(&file).map_err(|error| error.to_string())
    };
    let said = after("UPDATE subtree SET root = zeroblob(32)").unwrap_err();
    assert!(said.contains("what proofs are made of is not what the log says at position 1"), "{said}");
    after("DELETE FROM subtree").unwrap();
    let said = after("INSERT INTO subtree VALUES (8, 1, zeroblob(32))").unwrap_err();
    assert!(said.contains("the number of hashes"), "{said}");
}
