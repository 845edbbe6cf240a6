//! The SSH connector on real hosts: OpenSSH's server and client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

/// Ends a test that nobody but root can run: to set a host up, or to give somebody a terminal.
macro_rules! needs_root {
    () => {
        if !gatepass_testkit::sshd::root() {
            eprintln!("not shown: this takes root");
            return;
        }
    };
}

mod host;
mod list;
mod login;
mod session;
mod target;
