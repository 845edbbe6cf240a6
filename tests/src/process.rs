//! A process that does not outlive its owner.

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A child in a process group of its own, its output in a file. Dropped, the group is asked to end and then ended.
/// When this process is killed, the kernel ends the child.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; `name` is for messages and for the log file in `logs`.
    pub fn start(name: &str, command: &Command, logs: &Path) -> Self {
        Self::spawn(name, command, logs, Stdio::null(), false).0
    }

    /// Starts it with `input` as its standard input, and then end of file.
    pub fn start_with_input(name: &str, command: &Command, logs: &Path, input: &str) -> Self {
        use std::io::Write;
        let (mut process, _) = Self::spawn(name, command, logs, Stdio::piped(), false);
        let mut pipe = process.child.stdin.take().expect("its input");
        pipe.write_all(input.as_bytes()).expect("write its input");
        process
    }

    /// Starts it and waits for its first line on standard output.
    pub fn start_until_line(name: &str, command: &Command, logs: &Path) -> (Self, String) {
        let (mut process, _) = Self::spawn(name, command, logs, Stdio::null(), true);
        let mut lines = BufReader::new(process.child.stdout.take().expect("its output"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("read its output");
        assert!(!line.is_empty(), "{name} ended without a word:\n{}", process.log());
        // Whatever it says later must not block it.
        thread::spawn(move || for _ in lines.lines() {});
        (process, line.trim().to_owned())
    }

    fn spawn(name: &str, command: &Command, logs: &Path, input: Stdio, pipe: bool) -> (Self, ()) {
        use std::os::unix::process::CommandExt;
        let log = (0..)
            .map(|n| logs.join(if n == 0 { format!("{name}.log") } else { format!("{name}-{n}.log") }))
            .find(|path| !path.exists())
            .expect("a free name");
        let file = File::create(&log).expect("the log file");
        // setpriv replaces itself by the program, so the process id is the program's.
        let mut child = Command::new("setpriv");
        child.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => child.env(key, value),
                None => child.env_remove(key),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            child.current_dir(dir);
        }
        let out = if pipe { Stdio::piped() } else { Stdio::from(file.try_clone().expect("the log file")) };
        child.process_group(0).stdin(input).stdout(out).stderr(Stdio::from(file));
        let child = child.spawn().unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        (Self { name: name.to_owned(), child, log }, ())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said so far, without what was read as its first line.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Panics when it has ended.
    pub fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().expect("its state") {
            panic!("{} ended ({status}):\n{}", self.name, self.log());
        }
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    /// `kill -9`, at once.
    pub fn kill(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }

    /// Stops it where it stands, as a machine that hangs; [`thaw`](Self::thaw) lets it go on.
    pub fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).expect("stop it");
    }

    pub fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).expect("let it go on");
    }

    /// Asks it to end, waits for it, and ends what is left of its group.
    pub fn end(&mut self) {
        let _ = kill_process_group(self.pid(), Signal::TERM);
        let from = Instant::now();
        while self.child.try_wait().is_ok_and(|status| status.is_none())
            || test_kill_process_group(self.pid()).is_ok()
        {
            if from.elapsed() > Duration::from_secs(5) {
                let _ = kill_process_group(self.pid(), Signal::KILL);
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() && !self.log().is_empty() {
            let log = self.log();
            let from = log.char_indices().rev().nth(4000).map_or(0, |(at, _)| at);
            eprintln!("---- {}, its last words:\n{}", self.name, &log[from..]);
        }
    }
}
