//! Programs that end with this process, however it ends.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A program under a shell that ends it.
pub struct Watched(Child);

impl Watched {
    /// Starts `before… program arguments…`, its output at the end of `log`. Dropped, it is ended with `signal` and waited
    /// for. When this process died without that, it is ended as well, and `directories` are removed: nobody else would.
    pub fn start(log: &Path, signal: &str, directories: [&Path; 2], program: &Command) -> Self {
        // The shell holds the program's id and the reading end of a pipe to this process, which the kernel closes even for
        // a process that was killed.
        let script = r#"
            exec 3<&0
            log=$1 signal=$2 first=$3 second=$4; shift 4
            "$@" >>"$log" 2>&1 </dev/null & program=$!
            { read -r _ <&3 || : >"$log.orphaned"; kill -"$signal" $program 2>/dev/null; } &
            wait $program
            [ ! -e "$log.orphaned" ] || rm -rf "$first" "$second""#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "gatepass-watch"]).arg(log).arg(signal).args(directories);
        shell.arg(program.get_program()).args(program.get_args());
        Self(shell.stdin(Stdio::piped()).spawn().expect("start sh"))
    }

    /// Whether the program ended by itself.
    pub fn ended(&mut self) -> bool {
        self.0.try_wait().expect("the state of sh").is_some()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(mut tell) = self.0.stdin.take() {
            // One that ended before does not read.
            let _ = tell.write_all(b"stop\n");
        }
        let _ = self.0.wait();
    }
}
