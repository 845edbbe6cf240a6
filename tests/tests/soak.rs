//! Three runs of the seeded workload over three nodes, with other seeds each time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::soak::{Machines, run};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_keep_their_word_whatever_breaks() {
    let machines = Arc::new(Machines::start().await);
    for _ in 0..3 {
        match run(&machines, rand::random()).await {
            Ok(summary) => eprintln!("soak: {summary}"),
            Err(wrong) => panic!("{wrong}"),
        }
    }
}
