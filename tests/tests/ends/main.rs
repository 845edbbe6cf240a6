//! Access ends: whatever becomes of the server, of its way to the target, of its clock and of its data, nobody has
//! access for longer than the bounds say, nothing is left behind, and nothing goes that was not ours.
//!
//! What is measured is what a holder of the access saw: see `observer`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod away;
mod killed;
mod observer;
mod overlaps;
mod place;
mod restored;
mod stopped;
mod time;
