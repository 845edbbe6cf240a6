//! A server that follows another one.

use super::{Postgres, bin, free_port, owner_command, private_dir, run};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

impl Postgres {
    /// A copy that follows this server by way of a port of 127.0.0.1: this server's, or a proxy's before it. It has
    /// everything from before this call; what comes later, it streams.
    pub fn replica(&self, way: u16) -> Self {
        let dir = private_dir();
        let data = dir.path().join("data");
        let mut copy = owner_command(&bin("pg_basebackup"));
        copy.arg("-h").arg(self.dir.path()).args(["-p", &self.port.to_string(), "-U", "postgres", "-D"]);
        copy.arg(&data).args(["--checkpoint=fast", "--wal-method=stream", "--no-sync"]);
        run(&mut copy);
        let primary = format!("primary_conninfo = 'host=127.0.0.1 port={way} user=postgres'\n");
        let open = |name: &str| OpenOptions::new().append(true).create(true).open(data.join(name));
        open("postgresql.auto.conf").and_then(|mut f| f.write_all(primary.as_bytes())).expect("the settings");
        open("standby.signal").expect("the sign of a replica");
        let mut replica = Self {
            running: None,
            template: self.template.clone(),
            dir,
            port: free_port(),
            settings: self.settings.clone(),
        };
        assert!(replica.launch(), "the replica does not start:\n{}", replica.log());
        replica
    }

    /// Makes a replica a server of its own, with what it has.
    pub fn promote(&self) {
        assert_eq!(self.psql("postgres", "SELECT pg_promote()"), "t", "{}", self.log());
    }

    /// Waits until a replica has everything that `primary` wrote before this call.
    pub fn catch_up(&self, primary: &Self) {
        let there = primary.psql("postgres", "SELECT pg_current_wal_lsn()");
        let until = Instant::now() + Duration::from_secs(30);
        while self.psql("postgres", &format!("SELECT pg_last_wal_replay_lsn() >= '{there}'")) != "t" {
            assert!(Instant::now() < until, "the replica is behind {there}:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The folder that the server's data are in, and that belongs to it.
    pub fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Hands a folder to whom the server runs as.
    pub fn hand_over(&self, folder: &std::path::Path) {
        if let Some((uid, gid)) = super::owner() {
            std::os::unix::fs::chown(folder, Some(uid), Some(gid)).expect("hand it to postgres");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_and_takes_over() {
        let mut primary = Postgres::start();
        primary.psql("postgres", "CREATE TABLE t AS SELECT 1 AS n");
        let replica = primary.replica(primary.port());
        primary.psql("postgres", "INSERT INTO t VALUES (2)");
        replica.catch_up(&primary);
        primary.stop();
        replica.promote();
        replica.psql("postgres", "INSERT INTO t VALUES (3)");
        assert_eq!(replica.psql("postgres", "SELECT sum(n) FROM t"), "6");
    }
}
