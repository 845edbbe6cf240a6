//! A virtual desktop session for `./dev run` on a machine without a display: `session DIR PICTURE`.
//! Prints the environment of the session as shell assignments and an empty line, then keeps PICTURE fresh until it
//! is asked to end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::Session;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(dir), Some(picture)) = (args.next(), args.next()) else {
        eprintln!("usage: session DIR PICTURE");
        std::process::exit(2);
    };
    let session = Session::start_in(&dir, (2680, 800)).await;
    for (key, value) in session.env() {
        println!("{key}={}", quoted(value));
    }
    println!();
    let mut end = signal(SignalKind::terminate()).expect("listen for the end");
    // Written beside and then moved: whoever looks sees a whole picture.
    let next = picture.with_extension("next.png");
    while tokio::time::timeout(Duration::from_secs(1), end.recv()).await.is_err() {
        session.picture(&next);
        std::fs::rename(&next, &picture).expect("put the picture in its place");
    }
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}
