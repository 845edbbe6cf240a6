//! The server over HTTP, one module per file of `src/routes`, and what runs beside the routes. It keeps its state in
//! SQLite here; `tests/on_postgres` runs the same modules over PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backup;
mod catalogue;
mod config;
mod directory;
mod doctor;
mod drift;
mod drift_kept;
mod enroll;
mod erase;
mod example;
mod foreign;
mod full_disk;
mod grants;
mod health;
mod import;
mod jobs;
mod life;
mod lists;
mod log;
mod me;
mod migrate;
mod people;
mod ready;
mod redacted;
mod requests;
mod restart;
mod sessions;
mod signing;
mod ssh;
mod store;
mod store_log;
mod store_texts;
mod stream;
mod tiles;
mod tls;
mod urgent;
mod verify_log;
mod witness;

use redacted::redacted;
