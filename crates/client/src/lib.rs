//! Gatepass without a window: the server's API, the device's keys, the encrypted cache of the log, and
//! [`Client`] over them. The desktop and the command line are both thin over this.

mod api;
mod cache;
mod client;
mod clock;
mod comeback;
mod credential;
mod decision;
mod evidence;
mod export;
mod failure;
mod invite;
mod keys;
mod lists;
mod notice;
mod people;
mod profile;
mod run;
mod search;
mod sync;
mod tiles;
pub mod ui;
mod unanswered;
mod verify;
mod wait;
mod witness;
mod writes;

pub use api::{GrantScope, RequestScope};
pub use client::{Client, Topic};
pub use clock::Clock;
pub use export::{ExportAsk, ExportFormat, ExportPlace, ExportProgress, ExportState, Exported};
pub use invite::Invite;
pub use keys::KeyStore;
pub use notice::Notice;
pub use profile::{DEFAULT as DEFAULT_PROFILE, Device, Profile};
pub use verify::verify_bundle;
pub use wait::Waited;
