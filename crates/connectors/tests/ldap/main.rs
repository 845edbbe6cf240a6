//! The LDAP connector on a private OpenLDAP.
#![cfg(feature = "ldap")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod conformance;
mod directory;
mod holder;
mod membership;
mod renamed;
mod target;
