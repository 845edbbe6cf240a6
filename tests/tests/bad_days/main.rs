//! What goes wrong with the database that several nodes share: nothing that was acknowledged is lost, nothing is there
//! twice, devices are told the truth, accesses end in time, and everything goes on by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contention;
mod days;
mod failover;
mod history;
mod load;
mod nodes;
mod refused;
mod sequencers;
