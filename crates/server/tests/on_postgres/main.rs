//! The same tests as in `tests/all`, with the state in one PostgreSQL: `gatepass_server::testing::shared` goes by this
//! program's name. The answers are the same, so the snapshots are, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod nodes;
mod pooler;
mod revoked;

#[path = "../all/catalogue.rs"]
mod catalogue;
#[path = "../all/drift.rs"]
mod drift;
#[path = "../all/enroll.rs"]
mod enroll;
#[path = "../all/erase.rs"]
mod erase;
#[path = "../all/grants.rs"]
mod grants;
#[path = "../all/health.rs"]
mod health;
#[path = "../all/jobs.rs"]
mod jobs;
#[path = "../all/life.rs"]
mod life;
#[path = "../all/log.rs"]
mod log;
#[path = "../all/me.rs"]
mod me;
#[path = "../all/people.rs"]
mod people;
#[path = "../all/redacted.rs"]
mod redacted;
#[path = "../all/requests.rs"]
mod requests;
#[path = "../all/restart.rs"]
mod restart;
#[path = "../all/sessions.rs"]
mod sessions;
#[path = "../all/signing.rs"]
mod signing;
#[path = "../all/ssh.rs"]
mod ssh;
#[path = "../all/stream.rs"]
mod stream;
#[path = "../all/tiles.rs"]
mod tiles;

use redacted::redacted;
