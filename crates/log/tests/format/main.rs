//! That docs/log-format.md, its vectors and other implementations agree with this crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broken;
mod cross;
mod document;
mod fuzzed;
mod kinds;
mod python;
mod rng;
mod story;
mod vectors;
