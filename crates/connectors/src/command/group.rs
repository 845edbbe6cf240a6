//! A program and what it started, as one.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io;
use std::process::ExitStatus;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// A process group with its leader. Dropped, all of it is ended.
///
/// The leader is not reaped before the group was ended for the last time: until then the kernel gives its id, which
/// is the group's as well, to nobody else.
pub struct Group {
    leader: Child,
    id: Option<Pid>,
    /// From before the leader was there, so that its end is not missed.
    children: tokio::signal::unix::Signal,
}

impl Group {
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let children = signal(SignalKind::child())?;
        let leader = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { leader, id, children })
    }

    pub fn leader(&mut self) -> &mut Child {
        &mut self.leader
    }

    /// Returns when the leader has ended, without reaping it.
    pub async fn ended(&mut self) {
        let Some(id) = self.id else { return };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(id), options), Ok(None)) {
            // One signal may stand for several children.
            self.children.recv().await;
        }
    }

    /// Ends whoever is left in it.
    pub fn kill(&self) {
        if let Some(id) = self.id {
            // It is gone already: just as good.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }

    /// Ends whoever is left, and reaps the leader.
    pub async fn reap(&mut self) -> io::Result<ExitStatus> {
        self.kill();
        // From here on the id may be somebody else's.
        self.id = None;
        self.leader.wait().await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
