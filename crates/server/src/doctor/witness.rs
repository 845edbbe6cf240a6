//! The log's witnesses, each asked to cosign again what was signed last: that changes nothing for it.

use super::{Finding, fail, ok, warn};
use crate::Config;
use crate::seen;
use crate::witness::{Refused, again, client};
use futures_util::future::join_all;

const ABOUT: &str = "log.witness";

pub async fn examine(config: &Config) -> Vec<Finding> {
    let all = &config.witnesses.each;
    if all.is_empty() {
        return Vec::new();
    }
    let Ok(Some(note)) = seen::note(&config.data) else {
        let says = format!("nothing is signed yet that the {} witnesses could be asked about", all.len());
        return vec![warn(ABOUT, says, "Start the server, and look again")];
    };
    let client = match client() {
        Ok(client) => client,
        Err(error) => {
            let says = format!("the witnesses can’t be asked: {error}");
            return vec![fail(ABOUT, says, "See to this machine’s certificates")];
        }
    };
    let (client, note) = (&client, note.as_str());
    let each = all.iter().map(|at| async move {
        let name = at.witness.name();
        match again(client, at, note).await {
            Ok(_) | Err(Refused::Ahead(_)) => ok(ABOUT, format!("{name} cosigns the log")),
            Err(error @ Refused::Contradicts) => fail(
                ABOUT,
                format!("{name} does not cosign the log: {error}"),
                "Find out which of the two before anything else: docs/operations.md says how",
            ),
            Err(error) => warn(
                ABOUT,
                format!("{name} does not cosign the log: {error}"),
                "Nothing waits for it, and it is asked again by itself",
            ),
        }
    });
    join_all(each).await
}
