use chrono::TimeDelta;
use gatepass_core::erase::is_erased;
use gatepass_core::event::Fact;
use gatepass_core::wire::{Accepted, LogPage, PeopleDocument};
use gatepass_log::{Tree, leaf_hash};
use gatepass_server::erase::{EraseError, Gone, at_console};
use gatepass_server::revoke;
use gatepass_server::store::Store;
use gatepass_server::testing::{CATALOGUE, PATIENCE, Setup, Someone, TestClock, TestServer};
use std::sync::Arc;
use std::time::Duration;

/// Everything an auditor gets, checked against the leaves and the head.
async fn whole(reader: &Someone) -> LogPage {
    let page: LogPage = reader.get("/v1/log/events?limit=5000").await.get();
    let mut tree = Tree::default();
    for entry in &page.entries {
        let leaf = leaf_hash(entry.event.as_ref().expect("an auditor sees every event")).unwrap();
        assert_eq!(leaf.digest(), entry.leaf);
        tree.append(leaf);
    }
    assert_eq!(tree.head(), page.head);
    page
}

fn words(page: &LogPage) -> Vec<String> {
    let document = |text: &str| text.starts_with("{\"resources\"");
    page.entries
        .iter()
        .flat_map(|e| &e.texts)
        .map(|t| t.text.clone())
        .filter(|text| !document(text))
        .collect()
}

/// Waits until what the server answers is so.
async fn until<T>(what: &str, ask: impl AsyncFn() -> T, so: impl Fn(&T) -> bool) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let answer = ask().await;
            if so(&answer) {
                return answer;
            }
            // A device may not ask without a pause.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn console(server: &TestServer) -> Arc<dyn Store> {
    gatepass_server::open_store(&server.config, Default::default()).await.unwrap()
}

#[tokio::test]
async fn what_is_known_of_a_person_goes_and_the_log_stays() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let ines = server.auditor("ines").await;
    let asked: Accepted = tomas.ask("write", 60).await.get();
    dana.approve(&asked.request).await.get::<Accepted>();
    let store = console(&server).await;
    let now = server.clock.now();

    let refused = at_console(&*store, "tomas", false, now).await.unwrap_err();
    assert!(matches!(&refused, EraseError::Holds(who, _) if who == "tomas"), "{refused:?}");
    let said = refused.to_string();
    assert!(said.contains("an undecided request") && said.contains("an enabled device"), "{said}");
    assert!(said.contains("revoke-all"), "{said}");
    let unknown = at_console(&*store, "nobody", false, now).await.unwrap_err();
    assert_eq!(unknown, EraseError::Unknown("nobody".to_owned()));

    revoke::at_console(&*store, "tomas", "left on bad terms", now).await.unwrap();
    // Reason and ticket, their name, their device, and why everything ended.
    let told = Gone { person: "tomas".to_owned(), now: None, texts: 5, devices: 1 };
    assert_eq!(at_console(&*store, "tomas", true, now).await.unwrap(), told);
    let before = whole(&ines).await;
    let known = words(&before);
    for text in ["stuck orders", "INC-4711", "left on bad terms", "\"Tomas\"", "\"Dana\""] {
        assert!(known.iter().any(|w| w.contains(text)), "{text} in {known:?}");
    }

    let gone = at_console(&*store, "tomas", false, now).await.unwrap();
    let handle = gone.now.clone().unwrap();
    assert_eq!(Gone { now: None, ..gone }, told);
    assert!(is_erased(&handle));
    let after =
        until("the erasure is in the log", || whole(&ines), |p| p.head.size == before.head.size + 2).await;
    for (entry, earlier) in after.entries.iter().zip(&before.entries) {
        assert_eq!((&entry.leaf, &entry.event), (&earlier.leaf, &earlier.event));
    }
    let left = words(&after);
    for text in ["stuck orders", "INC-4711", "left on bad terms", "Tomas"] {
        assert!(!left.iter().any(|w| w.contains(text)), "{text} in {left:?}");
    }
    assert!(left.iter().any(|w| w.contains("\"Dana\"")), "{left:?}");
    let kinds: Vec<_> = after.entries.iter().rev().take(2).map(|e| &e.event.as_ref().unwrap().fact).collect();
    assert!(matches!(kinds[..], [
        Fact::PersonRecorded { person, groups, .. },
        Fact::PersonErased { person: erased },
    ] if person == erased && *person == tomas.id && groups.is_empty()));

    let people = until(
        "people are read again",
        async || ines.get("/v1/people").await.get::<PeopleDocument>(),
        |p| p.people.iter().all(|p| p.handle != "tomas"),
    )
    .await;
    let row = people.people.iter().find(|p| p.id == tomas.id).unwrap();
    assert_eq!((&row.handle, row.name.as_str(), row.groups.len()), (&handle, "Erased person", 0));
    let view = ines.request(asked.request.id).await;
    assert_eq!((view.reason, view.ticket, view.by_name.as_str()), (None, None, "Erased person"));

    // There is nothing left; the handle is free, and the one that says nothing is nobody's.
    let again = Gone { person: handle.clone(), ..Gone::default() };
    assert_eq!(at_console(&*store, &handle, false, now).await.unwrap(), again);
    let other = server.person("tomas", &["backend"]).await;
    assert_ne!(other.id, tomas.id);
    let named = gatepass_server::invite::Invitation {
        handle,
        name: "Somebody".to_owned(),
        groups: Default::default(),
        auditor: false,
        admin: false,
    };
    let refused = gatepass_server::invite::invite(&*store, &server.config, named, now).await.unwrap_err();
    assert!(refused.to_string().contains("somebody who was erased"), "{refused}");

    store.scrub().await.unwrap();
    if server.database.is_none() {
        for file in std::fs::read_dir(&server.config.data).unwrap() {
            let file = file.unwrap().path();
            if !file.is_file() {
                continue;
            }
            let bytes = std::fs::read(&file).unwrap();
            for text in ["stuck orders", "INC-4711", "left on bad terms"] {
                let found = bytes.windows(text.len()).any(|w| w == text.as_bytes());
                assert!(!found, "{text} in {}", file.display());
            }
        }
    }
    server.finish().await;
}

#[tokio::test]
async fn an_approval_that_counts_no_more_holds_nothing_up() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let asked: Accepted = tomas.ask("write", 60).await.get();
    dana.approve(&asked.request).await.get::<Accepted>();
    let (store, now) = (console(&server).await, server.clock.now());
    let refused = at_console(&*store, "dana", false, now).await.unwrap_err().to_string();
    assert!(refused.contains("an approval of an undecided request and an enabled device"), "{refused}");
    revoke::at_console(&*store, "dana", "left", now).await.unwrap();
    assert!(at_console(&*store, "dana", false, now).await.unwrap().now.is_some());
    tomas.withdraw(&asked.request).await.get::<Accepted>();
    server.finish().await;
}

#[tokio::test]
async fn texts_go_when_they_were_kept_for_long_enough() {
    let clock = TestClock::new("2026-11-17T12:00:00Z".parse().unwrap());
    let retention = "[retention]\n\"request.*\" = \"30d\"\n\"request.denied\" = \"90d\"\n";
    let setup =
        Setup { clock: clock.clone(), catalogue: format!("{retention}{CATALOGUE}"), ..Setup::default() };
    let server = TestServer::with(setup).await;
    let tomas = server.person("tomas", &["backend"]).await;
    server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let mut ines = server.auditor("ines").await;
    let asked: Accepted = tomas.ask("write", 60).await.get();
    tomas.withdraw(&asked.request).await.get::<Accepted>();
    let page = whole(&ines).await;
    assert_eq!(page.retention.seconds("request.created"), Some(30 * 86_400));
    assert_eq!(page.retention.seconds("drift.found"), None);
    let count = words(&page).len();

    clock.advance(TimeDelta::days(29));
    ines.sign_in().await;
    let reason = ines.request(asked.request.id).await.reason;
    assert_eq!(reason.as_deref(), Some("stuck orders"));
    clock.advance(TimeDelta::days(2));
    ines.sign_in().await;
    let page = until("the texts went", || whole(&ines), |p| words(p).len() == count - 2).await;
    assert!(words(&page).iter().any(|w| w.contains("\"Tomas\"")), "only what the rules name");
    let view = ines.request(asked.request.id).await;
    assert_eq!((view.reason, view.ticket), (None, None));
    server.finish().await;
}
