//! The watch: a session on the target that ends those of logins whose end has come, whether Gatepass is there or not.
//! docs/connectors/postgres-guard.sql makes it.

use crate::TargetError;

/// Its own login, so that nobody else's session passes for it.
pub(super) const LOGIN: &str = "gatepass_watch";
/// It looks twice a second, and says when it looked in its `application_name`, which everybody may read.
pub(super) const SEEN: &str = "gatepass watch ";

/// The longest silence of one that works.
pub(super) const SILENCE_S: f64 = 10.0;

/// `silence` is how many seconds ago it looked last, when there is one.
pub(super) fn at_work(silence: Option<f64>) -> Result<(), TargetError> {
    let how = "is docs/connectors/postgres-guard.sql installed there, and its watch running?";
    match silence {
        Some(seconds) if seconds <= SILENCE_S => Ok(()),
        Some(seconds) => Err(TargetError::Refused(format!(
            "the watch on the target has not looked for {seconds:.0} s, so nothing would end open sessions: {how}"
        ))),
        None => Err(TargetError::Refused(format!(
            "there is no watch on the target, so nothing would end open sessions: {how}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_has_not_looked_is_none() {
        assert_eq!(at_work(Some(0.4)), Ok(()));
        assert!(at_work(Some(11.0)).is_err_and(|e| e.to_string().contains("has not looked for 11 s")));
        assert!(at_work(None).is_err());
    }
}
