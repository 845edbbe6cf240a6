//! What an account is called, and the password it is made with.

use gatepass_core::id::GrantId;
use rand::distributions::Alphanumeric;
use rand::{Rng, rngs::OsRng};
use sha1::{Digest, Sha1};
use std::fmt::Write;

const PASSWORD_LENGTH: usize = 32;
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// What the account made for a grant is called. Base 32, because MySQL's names have at most 32 characters.
pub fn account_name(grant: GrantId) -> String {
    let id = grant.0.as_u128();
    let digits = (0..26u32).rev().map(|n| {
        let five = usize::try_from((id >> (5 * n)) & 31).unwrap_or_default();
        char::from(BASE32[five])
    });
    "gp_".chars().chain(digits).collect()
}

/// A password of ASCII letters and digits.
pub(super) fn password() -> String {
    OsRng.sample_iter(Alphanumeric).take(PASSWORD_LENGTH).map(char::from).collect()
}

/// What `mysql_native_password` checks with. The server is told this only, so neither its logs nor its list of sessions
/// ever have the password.
pub(super) fn verifier(password: &str) -> String {
    let mut text = String::from("*");
    for byte in Sha1::digest(Sha1::digest(password.as_bytes())) {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn names_are_short_and_each_grants_own() {
        let name = |id: &str| account_name(id.parse().unwrap());
        assert_eq!(name("00000000-0000-0000-0000-000000000000"), "gp_aaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(name("ffffffff-ffff-ffff-ffff-ffffffffffff"), "gp_h7777777777777777777777777");
        assert_eq!(name("00000000-0000-0000-0000-000000000021"), "gp_aaaaaaaaaaaaaaaaaaaaaaaabb");
        assert!(name("01890a5d-ac96-774b-bcce-b302099a8057").len() <= 32);
    }

    /// As `SELECT PASSWORD('password')` answers.
    #[test]
    fn the_verifier_is_the_servers_own() {
        assert_eq!(verifier("password"), "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19");
    }
}
