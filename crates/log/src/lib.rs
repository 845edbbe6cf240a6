//! The log, pure: how an event becomes a leaf, how leaves become a root, how commands are signed.

mod leaf;
mod signature;
mod tree;

pub use leaf::{Hash, canonical, leaf_hash};
pub use signature::{Key, SignatureError, fingerprint, signed_bytes, verify};
pub use tree::Tree;
