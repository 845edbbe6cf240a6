//! The log, pure: how an event becomes a leaf, how leaves become a root, how commands are signed.

pub mod bundle;
mod checkpoint;
mod leaf;
mod nodes;
mod proof;
pub mod replay;
mod signature;
#[cfg(feature = "testing")]
pub mod testing;
mod tile;
mod tree;
pub mod witness;

pub use checkpoint::{CheckpointError, LogKey, LogVerifier, head_of, origin};
pub use leaf::{Hash, canonical, leaf_hash};
pub use nodes::{HEIGHT, Nodes};
pub use proof::{Proof, ProofError, check_consistency, check_inclusion, consistency, inclusion, root_at};
pub use signature::{Key, SignatureError, fingerprint, signed_bytes, verify};
pub use tile::{Tile, WIDTH, digits};
pub use tree::Tree;
