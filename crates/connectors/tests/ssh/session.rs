//! What becomes of open sessions at the end, on a host that has nothing but the authority's line.

use crate::target::{Target, gone, process, reached, soon, target};
use chrono::TimeDelta;
use gatepass_connectors::{Access, Connector, Removed, TargetError};
use gatepass_core::Time;
use gatepass_core::catalogue::Session;

async fn provisioned(target: &Target, session: Session, seconds: i64) -> Access {
    let mut access = target.access(session);
    access.until = soon(seconds);
    target.provision(&access).await;
    access
}

fn in_time(ended: Time, until: Time) {
    assert!(ended >= until, "not before: {ended} {until}");
    assert!(ended < until + TimeDelta::seconds(2), "no later than two seconds: {ended} {until}");
}

#[tokio::test]
async fn left_open_when_the_role_says_so() {
    let target = target(&[], |_| ());
    let access = provisioned(&target, Session::Leave, 3).await;
    let mut open = target.open(&[], &["cat"]);
    assert!(open.echoes());
    reached(access.until).await;
    assert_eq!(target.connector.remove(access.grant).await, Ok(Removed { sessions_ended: 0 }));
    assert!(target.says("true").is_err(), "nobody new");
    assert!(open.echoes(), "who is in stays in");
}

#[tokio::test]
async fn a_command_is_ended_with_all_it_started() {
    let target = target(&[], |_| ());
    let access = provisioned(&target, Session::Cut, 4).await;
    let mut open =
        target.open(&[], &["nohup sleep 1000 >/dev/null 2>&1 & echo pid $!; trap '' HUP TERM; cat"]);
    let pid = open.line_with("pid ").unwrap().split_off(4);
    assert!(open.echoes() && process(&pid));
    let (ended, _) = open.ended().expect("it ends");
    in_time(ended, access.until);
    assert!(gone(&pid));
    assert!(target.says("true").is_err());
}

#[tokio::test]
async fn a_terminal_is_as_ever_until_it_is_ended() {
    needs_root!();
    let target = target(&[], |_| ());
    // As long as a slow machine may need to type all of it.
    provisioned(&target, Session::Cut, 600).await;
    let mut shell = target.open(&["-tt"], &[]);
    shell.type_in("PS1=; stty -echo; echo at $(tty) leads $(ps -o sid= -p $$) of $$ end\n");
    let line = shell.line_with("at /dev/pts/").expect("a terminal");
    let words: Vec<&str> = line.split_whitespace().collect();
    let leads = words.iter().position(|w| *w == "leads").unwrap();
    assert_eq!(words[leads + 1], words[leads + 3], "the shell leads the session: {line}");
    // Job control: an interrupt ends what runs, not the shell; a stopped job goes on.
    shell.type_in("sh -c 'echo before; exec sleep 1000'\n");
    assert!(shell.line_with("before").is_some());
    shell.type_in("\u{3}");
    shell.type_in("echo after $?\n");
    assert_eq!(shell.line_with("after").as_deref(), Some("after 130"));
    shell.type_in("sh -c 'echo again; exec sleep 1000'\n");
    assert!(shell.line_with("again").is_some());
    shell.type_in("\u{1a}");
    assert!(shell.line_with("Stopped").is_some());
    shell.type_in("kill -9 %1; echo killed $?\n");
    assert_eq!(shell.line_with("killed").as_deref(), Some("killed 0"));
    drop(shell);

    let access = provisioned(&target, Session::Cut, 8).await;
    let mut shell = target.open(&["-tt"], &[]);
    shell.type_in("PS1=; stty -echo; echo quiet $((40 + 2))\n");
    assert!(shell.line_with("quiet 42").is_some());
    shell.type_in("nohup sleep 1000 >/dev/null & echo pid $! end\n");
    let line = shell.line_with("pid ").unwrap();
    let pid = line.split_whitespace().nth(1).unwrap().to_owned();
    assert!(process(&pid));
    assert!(shell.line_with("this access has ended").is_some(), "the holder is told");
    let (ended, _) = shell.ended().expect("it ends");
    in_time(ended, access.until);
    assert!(gone(&pid));
}

#[tokio::test]
async fn exit_status_and_nothing_left_behind() {
    let target = target(&[], |_| ());
    provisioned(&target, Session::Cut, 600).await;
    for status in [0, 1, 7, 255] {
        assert_eq!(target.run(&[], &[&format!("exit {status}")]).status.code(), Some(status));
    }
    assert_eq!(target.says("echo 'a  b' \"c\" \\$HOME").unwrap(), "a  b c $HOME", "as it was typed");
    if gatepass_testkit::sshd::root() {
        assert_eq!(target.run(&["-tt"], &["exit 3"]).status.code(), Some(3));
    }
    // What waits for the end goes when the session does.
    let companion = target.says("sleep 0.1; pgrep -s $$ -f 'this access has ended' | head -n 1").unwrap();
    assert!(!companion.is_empty() && gone(&companion));
}

#[tokio::test]
async fn files_are_copied() {
    let target = target(&[], |_| ());
    provisioned(&target, Session::Cut, 600).await;
    let (there, back) = (target.file("there"), target.file("back"));
    std::fs::write(&there, "some bytes").unwrap();
    let account = target.host.account();
    let home = target.says("mktemp -d").unwrap();
    // The subsystem, which is sshd's own here, and the older way.
    for (n, options) in [&[][..], &["-O"][..]].iter().enumerate() {
        let remote = format!("{account}@127.0.0.1:{home}/file-{n}");
        let mut up = target.host.client_of("scp", &target.key, options);
        assert!(up.arg(&there).arg(&remote).status().unwrap().success());
        let mut down = target.host.client_of("scp", &target.key, options);
        assert!(down.arg(&remote).arg(&back).status().unwrap().success());
        assert_eq!(std::fs::read_to_string(&back).unwrap(), "some bytes");
    }
    target.says(&format!("rm -r {home}")).unwrap();
}

#[tokio::test]
async fn a_connection_from_before_opens_no_session_after() {
    let target = target(&[], |_| ());
    let access = provisioned(&target, Session::Cut, 4).await;
    let socket = target.file("master");
    let path = format!("ControlPath={}", socket.display());
    let mut master = target.open(&["-M", "-o", &path], &["cat"]);
    assert!(master.echoes());
    assert!(target.run(&["-o", &path], &["true"]).status.success());
    reached(access.until).await;
    let refused = target.run(&["-o", &path, "-o", "ControlMaster=no"], &["echo in"]);
    assert!(!refused.status.success() && refused.stdout.is_empty());
}

#[tokio::test]
async fn forwarded_ports_would_outlive_the_command() {
    let target = target(&[], |options| options.extensions.push("permit-port-forwarding".into()));
    let error = target.connector.provision(&target.access(Session::Cut)).await.unwrap_err();
    assert!(matches!(&error, TargetError::Configuration(why) if why.contains("control")), "{error}");
    assert!(target.connector.provision(&target.access(Session::Leave)).await.is_ok());
    assert_eq!(target.connector.inspect().await.unwrap().len(), 1, "what was refused is nowhere");
}
