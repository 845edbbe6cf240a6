//! Real targets for tests and benchmarks: each starts on a private port and directory and is gone when dropped.
//!
//! Everything here panics when the machine lacks what it needs: a test that can't run has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod examples;
pub mod mariadb;
pub mod pgbouncer;
pub mod postgres;
pub mod proxy;
pub mod slapd;
pub mod sshd;
mod watch;

pub use mariadb::Mariadb;
pub use pgbouncer::Pgbouncer;
pub use postgres::Postgres;
pub use proxy::Proxy;
pub use slapd::Slapd;
pub use sshd::Sshd;
