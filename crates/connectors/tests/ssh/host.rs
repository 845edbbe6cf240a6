//! Hosts that run `gatepass-host`. Only root can set one up: anybody else is told so, and nothing is shown.

use crate::target::{Open, Target, certificate, gone, now, process, reached, soon, watched, watched_with};
use async_trait::async_trait;
use chrono::TimeDelta;
use gatepass_connectors::conformance::{self, Shows, Subject, suite};
use gatepass_connectors::{Access, Class, Connector, Holder, Removed, TargetError};
use gatepass_core::Time;
use gatepass_core::catalogue::Session;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use uuid::Uuid;

#[async_trait]
impl Subject for Target {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn grants(&self) -> Vec<String> {
        vec![self.host.account()]
    }

    fn grant(&self) -> GrantId {
        GrantId(Uuid::now_v7())
    }

    fn holder(&self) -> Holder {
        self.holder()
    }

    fn now(&self) -> Time {
        now()
    }

    fn shows(&self) -> Shows {
        // A certificate is good until its own end.
        Shows { new_secret: false, ..Shows::default() }
    }

    async fn open(&self, secret: &Secret) -> Option<Box<dyn conformance::Session>> {
        self.key.certify(certificate(secret));
        let mut open = self.open(&[], &["cat"]);
        open.echoes().then(|| Box::new(open) as Box<dyn conformance::Session>)
    }
}

#[async_trait]
impl conformance::Session for Open {
    async fn alive(&mut self) -> bool {
        self.echoes()
    }
}

#[tokio::test]
async fn the_suite_of_the_port() {
    needs_root!();
    suite(async || watched()).await;
}

async fn provisioned(target: &Target, session: Session, seconds: i64) -> Access {
    let mut access = target.access(session);
    access.until = soon(seconds);
    target.provision(&access).await;
    access
}

/// Waits until the host has written down so many connections.
fn connections(target: &Target, count: usize) {
    let limit = Instant::now() + Duration::from_secs(15);
    let there = || std::fs::read_dir(target.host.path("/run/gatepass-host/connections")).unwrap().count();
    while there() != count {
        assert!(Instant::now() < limit, "{}\n{}", there(), target.host.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn in_time(ended: Time, until: Time) {
    assert!(ended >= until && ended < until + TimeDelta::seconds(2), "{ended} {until}");
}

#[tokio::test]
async fn everything_ends_at_the_end_without_the_server() {
    needs_root!();
    let target = watched_with(|options| options.extensions.push("permit-port-forwarding".into()));
    assert_eq!(target.connector.class(), Class::A);
    let access = provisioned(&target, Session::Cut, 6).await;
    let mut command =
        target.open(&[], &["nohup sleep 1000 >/dev/null 2>&1 & echo pid $!; trap '' HUP TERM; cat"]);
    let pid = command.line_with("pid ").unwrap().split_off(4);
    // In a session of its own, and nobody's child any more.
    let hidden = "(setsid sh -c 'echo pid $$; exec sleep 1000 >/dev/null 2>&1 </dev/null' &); cat";
    let mut away = target.open(&[], &[hidden]);
    let hidden = away.line_with("pid ").unwrap().split_off(4);
    assert!(away.echoes() && process(&hidden));
    let mut shell = target.open(&["-tt"], &[]);
    shell.type_in("trap '' HUP TERM; echo in\n");
    assert!(shell.line_with("in").is_some());
    // No command at all: a port that is forwarded to this test.
    let behind = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let forward = format!("127.0.0.1:{port}:{}", behind.local_addr().unwrap());
    let mut forwarding = target.open(&["-N", "-L", &forward], &[]);
    connections(&target, 4);
    let mut through = loop {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            break stream;
        }
    };
    let (mut far, _) = behind.accept().unwrap();
    through.write_all(b"x").unwrap();
    far.read_exact(&mut [0]).unwrap();
    for open in [&mut command, &mut away, &mut shell, &mut forwarding] {
        in_time(open.ended().expect("it ends").0, access.until);
    }
    far.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(far.read(&mut [0]).unwrap(), 0, "what went through is closed");
    assert!(gone(&pid) && gone(&hidden), "{}", target.host.log());
    connections(&target, 0);
    assert!(target.says("true").is_err());
    assert_eq!(target.connector.remove(access.grant).await, Ok(Removed { sessions_ended: 0 }));
}

#[tokio::test]
async fn an_early_end_is_read_back() {
    needs_root!();
    let target = watched();
    let (access, other) = (target.access(Session::Cut), target.access(Session::Cut));
    target.provision(&other).await;
    let mut stays = target.open(&[], &["cat"]);
    assert!(stays.echoes());
    target.provision(&access).await;
    let (mut one, mut two) = (target.open(&[], &["cat"]), target.open(&["-N"], &[]));
    assert!(one.echoes());
    connections(&target, 3);
    let found = target.connector.inspect().await.unwrap();
    assert_eq!(found.iter().find(|f| f.grant == access.grant).map(|f| f.sessions), Some(2));
    let asked = Instant::now();
    assert_eq!(target.connector.remove(access.grant).await, Ok(Removed { sessions_ended: 2 }));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(one.ended().is_some() && two.ended().is_some());
    assert!(target.says("true").is_err(), "the certificate is good for nothing any more");
    assert!(stays.echoes(), "another access is another access");
    assert_eq!(target.connector.inspect().await.unwrap().len(), 1);
}

/// After an older state of the server's database was restored.
#[tokio::test]
async fn what_nobody_remembers_is_found_and_ended() {
    needs_root!();
    let target = watched();
    let other = target.again();
    let access = target.access(Session::Cut);
    target.provision(&access).await;
    let mut open = target.open(&[], &["cat"]);
    assert!(open.echoes());
    let found = other.inspect().await.unwrap();
    assert_eq!(found.iter().map(|f| (f.grant, f.sessions)).collect::<Vec<_>>(), [(access.grant, 1)]);
    assert_eq!(other.remove(access.grant).await, Ok(Removed { sessions_ended: 1 }));
    assert!(open.ended().is_some());
    assert!(target.says("true").is_err());
}

#[tokio::test]
async fn a_host_that_is_away_is_asked_again() {
    needs_root!();
    let mut target = watched();
    let access = target.access(Session::Cut);
    target.provision(&access).await;
    let mut open = target.open(&[], &["cat"]);
    assert!(open.echoes());
    target.host.stop();
    let away = target.connector.remove(access.grant).await;
    assert!(matches!(away, Err(TargetError::Unreachable(_))), "{away:?}");
    assert!(open.echoes(), "nobody said it had ended");
    target.host.start_again();
    assert_eq!(target.connector.remove(access.grant).await, Ok(Removed { sessions_ended: 1 }));
    assert!(open.ended().is_some());
}

#[tokio::test]
async fn a_host_with_another_key_is_not_believed() {
    needs_root!();
    let mut target = watched();
    let access = target.access(Session::Cut);
    target.provision(&access).await;
    let known = std::fs::read_to_string(target.host.known_hosts()).unwrap();
    std::fs::write(
        target.host.known_hosts(),
        known.replace("AAAAC3NzaC1lZDI1NTE5AAAAI", "AAAAC3NzaC1lZDI1NTE5AAAAJ"),
    )
    .unwrap();
    let removed = target.connector.remove(access.grant).await;
    assert!(matches!(removed, Err(TargetError::Unreachable(_))), "{removed:?}");
    target.host.stop();
}

#[tokio::test]
async fn without_the_watch_nobody_gets_in_whose_session_has_to_end() {
    needs_root!();
    let mut target = watched();
    let access = target.access(Session::Cut);
    target.provision(&access).await;
    assert!(target.says("true").is_ok());
    target.host.stop_watch();
    std::fs::write(target.host.path("/run/gatepass-host/alive"), "1700000000\n").unwrap();
    assert!(target.says("true").is_err());
    let said = target.connector.inspect().await.unwrap_err();
    assert!(matches!(&said, TargetError::Refused(why) if why.contains("watch")), "{said}");
    let left = target.access(Session::Leave);
    target.provision(&left).await;
    assert!(target.says("true").is_ok(), "what may stay open needs no watch");
    target.host.start_watch();
    target.provision(&access).await;
    assert!(target.says("true").is_ok());
}

#[tokio::test]
async fn an_extension_moves_the_end_of_open_sessions() {
    needs_root!();
    let target = watched();
    let mut access = provisioned(&target, Session::Cut, 4).await;
    let mut open = target.open(&[], &["cat"]);
    assert!(open.echoes());
    let first = access.until;
    access.until = soon(9);
    assert!(target.connector.guard(&access).await.unwrap().is_some());
    reached(first + TimeDelta::seconds(2)).await;
    assert!(open.echoes(), "it goes on");
    in_time(open.ended().expect("it ends").0, access.until);
}

#[tokio::test]
async fn left_open_at_the_end_and_ended_when_taken_back_before() {
    needs_root!();
    let target = watched();
    let access = provisioned(&target, Session::Leave, 3).await;
    let mut open = target.open(&[], &["cat"]);
    assert!(open.echoes());
    reached(access.until).await;
    assert_eq!(target.connector.remove(access.grant).await, Ok(Removed { sessions_ended: 0 }));
    assert!(open.echoes());

    let access = target.access(Session::Leave);
    target.provision(&access).await;
    let mut open = target.open(&[], &["cat"]);
    assert!(open.echoes());
    assert_eq!(target.connector.remove(access.grant).await, Ok(Removed { sessions_ended: 1 }));
    assert!(open.ended().is_some());
}

#[tokio::test]
async fn principals_of_an_account_are_the_hosts_to_say() {
    needs_root!();
    let target = watched_with(|options| options.user = Some("deploy".into()));
    let mut access = target.access(Session::Cut);
    access.grants = vec!["ops".into()];
    target.provision(&access).await;
    assert!(target.says("true").is_err());
    std::fs::write(target.host.path("/etc/gatepass-host/principals/deploy"), "# ours\nops\n\n").unwrap();
    assert_eq!(target.says("id -un"), Ok("deploy".into()));
    // Nobody but the server comes as its login.
    access.grants = vec!["gatepass-host".into(), "root".into()];
    target.provision(&access).await;
    let mut ssh = target.host.client(&target.key, &[]);
    let done = ssh.args(["gatepass-host@127.0.0.1", "list"]).output().unwrap();
    assert!(!done.status.success() && done.stdout.is_empty());
    connections(&target, 0);
}

/// A host that the server can't reach, but that fetches its revocation list.
#[tokio::test]
async fn the_fetched_list_ends_open_sessions_too() {
    needs_root!();
    let target = watched_with(|options| options.control = None);
    let access = target.access(Session::Leave);
    target.provision(&access).await;
    let mut open = target.open(&[], &["cat"]);
    assert!(open.echoes());
    let list = Arc::new(Mutex::new(target.connector.revocations().await.unwrap().unwrap()));
    let port = serve(list.clone());
    std::fs::write(target.host.path("/etc/gatepass-host/krl-url"), format!("http://127.0.0.1:{port}/krl\n"))
        .unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while std::fs::metadata(target.host.path("/var/lib/gatepass-host/krl")).unwrap().len() == 0 {
        assert!(Instant::now() < limit, "{}", target.host.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(open.echoes() && target.says("true").is_ok(), "it is not on the list");
    assert!(matches!(target.connector.remove(access.grant).await, Err(TargetError::RunsOut { .. })));
    let new = target.connector.revocations().await.unwrap().unwrap();
    *list.lock().unwrap() = new;
    assert!(open.ended().is_some(), "{}", target.host.log());
    assert!(target.says("true").is_err());
}

/// What is in `list`, to whoever asks for anything.
fn serve(list: Arc<Mutex<Vec<u8>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked);
            let list = list.lock().unwrap().clone();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", list.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&list));
        }
    });
    port
}

#[test]
fn systemd_understands_the_unit() {
    let packaging = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/ssh");
    let unit = std::fs::read_to_string(format!("{packaging}/gatepass-host.service")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let verify = |text: &str| {
        let file = folder.path().join("gatepass-host.service");
        std::fs::write(&file, text.replace("/usr/local/sbin", packaging)).unwrap();
        let mut analyze = std::process::Command::new("systemd-analyze");
        let done = analyze.args(["verify", "--man=no"]).arg(file).output().unwrap();
        String::from_utf8([done.stdout, done.stderr].concat()).unwrap()
    };
    assert_eq!(verify(&unit), "");
    assert_ne!(verify(&unit.replace("ProtectHome=", "ProtectsHome=")), "", "it does find what is wrong");
}

#[tokio::test]
async fn the_script_takes_nothing_but_what_it_expects() {
    needs_root!();
    let target = watched();
    let script = target.host.path("/usr/local/sbin/gatepass-host");
    let run = |arguments: &[&str], asked: &str| {
        let mut command = std::process::Command::new(&script);
        command.args(arguments).env("SSH_ORIGINAL_COMMAND", asked).output().unwrap()
    };
    let marker = target.file("marker");
    let evil = format!("$(touch {0});`touch {0}`;touch {0}", marker.display());
    for asked in [
        "",
        "end",
        "end x y z",
        "list all",
        &evil,
        &format!("end {evil} 1 1"),
        "end ../../../etc/passwd 1 1",
        "extend 00000000-0000-0000-0000-000000000000 08",
        "end 00000000-0000-0000-0000-000000000000 -1 1",
        "extend ../extended/0000000000000000000000000 1",
        "list\nend",
    ] {
        let done = run(&["control"], asked);
        assert!(!done.status.success(), "{asked}");
        assert_eq!(String::from_utf8_lossy(&done.stdout), "gatepass-host 1\n", "{asked}");
    }
    let grant = "00000000-0000-7000-8000-000000000000";
    for (user, id) in [
        ("../deploy", "gatepass:x"),
        ("-n", "gatepass:x"),
        ("deploy", "gatepass:"),
        ("deploy", &format!("gatepass:{grant}:1:9999999999:cut")),
        ("deploy", &format!("gatepass:{grant}:1:99999999999999999:cut:x")),
        ("deploy", &format!("gatepass:{grant}:01:9999999999:cut:x")),
        ("deploy", &format!("gatepass:{evil}:1:9999999999:cut:x")),
        ("deploy", &format!("gatepass:{grant}:1:9999999999:always:x")),
        ("deploy", &format!("gatepass:{grant}:1:9999999999:cut:x:y")),
        ("deploy", &format!("gatepass:{grant}:1:9999999999:cut:{evil}")),
        ("gatepass-host", &format!("gatepass:{grant}:1:9999999999:cut:x")),
        ("gatepass-host", "gatepass:control:x"),
    ] {
        let done = run(&["principals", user, id, "AAAA;x"], "");
        assert!(done.stdout.is_empty(), "{user} {id}");
    }
    assert!(!marker.exists());
    assert_eq!(
        run(&["principals", "gatepass-host", "gatepass:control", "AAAA"], "").stdout,
        b"gatepass:control\n"
    );
}
