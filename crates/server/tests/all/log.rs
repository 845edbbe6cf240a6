use crate::redacted;
use gatepass_core::event::Fact;
use gatepass_core::text::Digest;
use gatepass_core::wire::{Accepted, Head, LogPage};
use gatepass_log::{Hash, Tree, leaf_hash};
use gatepass_server::testing::TestServer;

#[tokio::test]
async fn everybody_gets_the_leaves_and_the_entitled_the_events() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let dana = server.person("dana", &["dba"]).await;
    server.person("olga", &["oncall"]).await;
    let ivo = server.person("ivo", &["sales"]).await;
    let ines = server.auditor("ines").await;
    let asked: Accepted = tomas.ask("write", 60).await.get();
    tomas.withdraw(&asked.request).await.get::<Accepted>();

    let whole: LogPage = ines.get("/v1/log/events?limit=5000").await.get();
    let mut tree = Tree::default();
    for (i, entry) in whole.entries.iter().enumerate() {
        assert_eq!(entry.seq, i as u64 + 1);
        let event = entry.event.as_ref().expect("an auditor sees every event");
        let leaf = leaf_hash(event).unwrap();
        assert_eq!(leaf.digest(), entry.leaf);
        tree.append(leaf);
        for text in &entry.texts {
            let digest = text.digest().unwrap();
            assert!(event.fact.digests().iter().any(|(_, d)| **d == digest));
        }
    }
    assert_eq!(tree.head(), whole.head);
    assert_eq!(ines.get("/v1/log/head").await.get::<Head>(), whole.head);
    // Texts of one event come in the order of their digests, which salts make random.
    let mut entries = whole.entries.clone();
    entries.iter_mut().for_each(|e| e.texts.sort_by(|a, b| a.text.cmp(&b.text)));
    redacted(|| insta::assert_json_snapshot!("whole", entries));

    let kinds = |page: &LogPage| -> Vec<&'static str> {
        page.entries.iter().filter_map(|e| e.event.as_ref()).map(|e| e.fact.kind()).collect()
    };
    for (who, of_request) in [(&tomas, true), (&dana, true), (&ivo, false)] {
        let page: LogPage = who.get("/v1/log/events").await.get();
        let leaves = |p: &LogPage| -> Vec<Digest> { p.entries.iter().map(|e| e.leaf.clone()).collect() };
        assert_eq!(leaves(&page), leaves(&whole));
        // Everybody gets the keys and the groups, to check decisions with; names stay with their person.
        let theirs = |fact: &Fact| match fact {
            Fact::CataloguePublished { .. } | Fact::DeviceEnrolled { .. } | Fact::PersonRecorded { .. } => {
                true
            }
            _ => of_request,
        };
        let all = whole.entries.iter().filter_map(|e| e.event.as_ref()).map(|e| &e.fact);
        let expected: Vec<_> = all.filter(|f| theirs(f)).map(Fact::kind).collect();
        assert_eq!(kinds(&page), expected);
        let named = page
            .entries
            .iter()
            .filter(|e| !e.texts.is_empty() && e.event.as_ref().unwrap().request.is_none());
        assert_eq!(named.count(), 3, "the catalogue, their own person and device");
        assert!(page.entries.iter().all(|e| e.event.is_some() || e.texts.is_empty()));
        assert!(Hash::parse(&page.scope).is_some());
    }

    // By cursor.
    let mut seqs = Vec::new();
    let mut after = 0;
    loop {
        let page: LogPage = dana.get(&format!("/v1/log/events?after={after}&limit=4")).await.get();
        let Some(last) = page.entries.last() else { break };
        after = last.seq;
        seqs.extend(page.entries.iter().map(|e| e.seq));
    }
    assert_eq!(seqs, (1..=whole.head.size).collect::<Vec<_>>());
    for wrong in ["?limit=0", "?limit=5001", "?after=-1"] {
        assert_eq!(dana.get(&format!("/v1/log/events{wrong}")).await.code(), "malformed");
    }
    server.finish().await;
}

#[tokio::test]
async fn a_page_says_what_else_to_pull_again() {
    let server = TestServer::start().await;
    let tomas = server.person("tomas", &["backend"]).await;
    let page = async || tomas.get("/v1/log/events").await.get::<LogPage>();
    let before = page().await;
    // Someone else joins: the directory changed, not what tomas may see.
    server.person("petra", &["support"]).await;
    let other = page().await;
    assert_ne!(other.directory, before.directory);
    assert_eq!((&other.scope, &other.catalogue), (&before.scope, &before.catalogue));
    // tomas becomes an approver.
    let again = server.invite("tomas", &["backend", "dba"], false, false).await;
    server.join(&again).await;
    assert_ne!(page().await.scope, before.scope);
    server.finish().await;
}
