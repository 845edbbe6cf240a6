//! What only a target of kind `postgres` has: `guard`.

use super::fault;
use gatepass_core::catalogue::Fault;
use toml::Spanned;

/// Whether `guard = "watch"` stands there: the watch of docs/connectors/postgres-guard.sql runs on the target.
pub fn watched(guard: Option<&Spanned<String>>, faults: &mut Vec<Fault>) -> bool {
    let Some(guard) = guard else { return false };
    let known = guard.get_ref() == "watch";
    if !known {
        faults.push(fault(guard, format!("there is no guard “{}”, expected \"watch\"", guard.get_ref())));
    }
    known
}
