//! What travels between server, client and window. Times are RFC 3339 UTC.

mod api;
mod shown;
mod state;

pub use api::*;
pub use shown::*;
pub use state::*;
