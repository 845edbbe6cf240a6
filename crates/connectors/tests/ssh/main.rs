//! The SSH connector on real hosts: OpenSSH's server and client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host;
mod list;
mod login;
mod session;
mod target;
