//! The named points on the way of an access, to the target and back, where a test ends this process or stops it.
//!
//! Without the feature `points`, which only tests ask for, [`reached`] is nothing at all: what is shipped can't be
//! stopped here.

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point { $($(#[$doc])* $point,)* }

        impl Point {
            /// Every one there is.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            pub const fn name(self) -> &'static str {
                match self { $(Self::$point => $name,)* }
            }
        }
    };
}

points! {
    /// A command is decided and not yet written.
    CommandDecided = "command.decided";
    /// It is written, with its jobs; its sender does not know.
    CommandWritten = "command.written";
    ProvisionClaimed = "provision.claimed";
    /// The log says that setting up began; the target knows nothing.
    ProvisionStarted = "provision.started";
    PostgresProvisionPlanned = "postgres.provision.planned";
    /// The login is on the target, and nobody has its password.
    PostgresProvisionMade = "postgres.provision.made";
    ProvisionCalled = "provision.called";
    /// Setting up was slow, and the target's guard was moved.
    ProvisionGuarded = "provision.guarded";
    ProvisionSealed = "provision.sealed";
    ProvisionReported = "provision.reported";
    GuardClaimed = "guard.claimed";
    GuardCalled = "guard.called";
    GuardSettled = "guard.settled";
    EndClaimed = "end.claimed";
    /// The log says that the access is ending; the target still lets in.
    EndReported = "end.reported";
    /// The sessions that were found were told to end; the door is open.
    PostgresRemoveTold = "postgres.remove.told";
    PostgresRemoveShut = "postgres.remove.shut";
    PostgresRemoveSilent = "postgres.remove.silent";
    /// What the login had in one database is handed over.
    PostgresRemoveHandedOver = "postgres.remove.handed_over";
    PostgresRemoveDropped = "postgres.remove.dropped";
    /// Nothing is left on the target; the log does not say so.
    EndCalled = "end.called";
    /// A removal failed, and nobody was told.
    EndFailed = "end.failed";
    EndSettled = "end.settled";
}

/// Says that the work is at this point.
#[cfg(not(feature = "points"))]
#[inline(always)]
pub const fn reached(_: Point) {}

/// Says that the work is at this point: the first time, `GATEPASS_POINT=NAME=kill` ends this process there as the
/// kernel would, and `NAME=stop` stops it until somebody lets it go on.
#[cfg(feature = "points")]
pub fn reached(point: Point) {
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    static ASKED: LazyLock<Option<(String, String)>> = LazyLock::new(|| {
        let asked = std::env::var("GATEPASS_POINT").ok()?;
        asked.split_once('=').map(|(name, what)| (name.to_owned(), what.to_owned()))
    });
    static DONE: AtomicBool = AtomicBool::new(false);
    let Some((name, what)) = &*ASKED else { return };
    if name == point.name() && !DONE.swap(true, Ordering::SeqCst) {
        let signal = if what == "stop" { Signal::STOP } else { Signal::KILL };
        // A process may always signal itself.
        let _ = kill_process(getpid(), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_the_points_own() {
        let names: BTreeSet<&str> = Point::ALL.iter().map(|p| p.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
