use crate::holder::{access, grant, now, somebody};
use crate::{Held, SHOWS, details, hashed, token};
use async_trait::async_trait;
use gatepass_connectors::command::{Command, LIMIT, Settings};
use gatepass_connectors::conformance::{Session, Shows, Subject, suite};
use gatepass_connectors::{Connector, Holder, Stranger, TargetError};
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::Secret;
use gatepass_testkit::examples::BuildHost;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Target {
    host: Arc<BuildHost>,
    connector: Box<dyn Connector>,
}

fn settings(host: &BuildHost) -> Settings {
    Settings { program: host.program(), env: Vec::new(), limit: LIMIT }
}

fn installed(host: BuildHost) -> Target {
    let connector = Box::new(Command::connector("build-host", settings(&host)));
    Target { connector, host: Arc::new(host) }
}

/// A program in `sh` instead of the example; it is told where it may write as `$D`.
fn program(script: &str) -> Target {
    let host = BuildHost::install_as("");
    let text = format!("#!/bin/sh\nD='{}'\n{script}\n", host.accesses().display());
    fs::write(host.program(), text).unwrap();
    installed(host)
}

fn known(host: &BuildHost, hash: &str) -> bool {
    fs::read_dir(host.accesses()).unwrap().any(|entry| {
        let name = entry.unwrap().path();
        !name.file_name().unwrap().to_str().unwrap().starts_with('.')
            && fs::read_to_string(name).is_ok_and(|text| text.contains(hash))
    })
}

#[async_trait]
impl Subject for Target {
    fn connector(&self) -> &dyn Connector {
        &*self.connector
    }

    fn grants(&self) -> Vec<String> {
        vec!["builder".into()]
    }

    fn grant(&self) -> GrantId {
        grant()
    }

    fn holder(&self) -> Holder {
        somebody()
    }

    fn now(&self) -> Time {
        now()
    }

    fn shows(&self) -> Shows {
        SHOWS
    }

    async fn open(&self, secret: &Secret) -> Option<Box<dyn Session>> {
        let (host, hash) = (self.host.clone(), hashed(token(secret)));
        known(&host, &hash).then(|| Box::new(Held(move || known(&host, &hash))) as _)
    }
}

#[tokio::test]
async fn the_suite_on_the_example() {
    suite(async || installed(BuildHost::install())).await;
}

#[tokio::test]
async fn who_has_access_by_hand_is_a_stranger_and_stays() {
    let target = installed(BuildHost::install());
    let root = Stranger { name: "root".into(), grants: vec!["builder".into()] };
    let asked = access(&["builder"]);
    target.connector.provision(&asked).await.unwrap();
    target.connector.remove(asked.grant).await.unwrap();
    assert_eq!(target.connector.strangers(&["builder".into(), "x".into()]).await.unwrap(), [root]);
}

#[tokio::test]
async fn the_example_says_what_is_wrong() {
    let target = installed(BuildHost::install());
    let asked = access(&["builder"]);
    fs::rename(target.host.accesses(), target.host.accesses().with_extension("away")).unwrap();
    let away = target.connector.provision(&asked).await;
    assert!(matches!(&away, Err(TargetError::Unreachable(m)) if m.contains("is not there")), "{away:?}");
    fs::remove_file(target.host.program().with_extension("conf")).unwrap();
    let unset = target.connector.inspect().await;
    assert!(
        matches!(&unset, Err(TargetError::Configuration(m)) if m.contains("build-host.conf")),
        "{unset:?}"
    );
}

#[tokio::test]
async fn a_program_is_told_the_verb_the_question_and_nothing_else() {
    let script = r#"
        cat >"$D/question"; printf '%s\n' "$#" "$@" >"$D/arguments"; env | sort >"$D/environment"; pwd >"$D/folder"
        echo '{"ok": true, "details": {"token": "x"}}'"#;
    let target = program(script);
    let asked = access(&["builder", "it's \"quoted\""]);
    let secret = target.connector.provision(&asked).await.unwrap();
    assert_eq!(details(&secret)["token"], "x");
    let wrote = |name: &str| fs::read_to_string(target.host.accesses().join(name)).unwrap();
    assert_eq!(wrote("arguments"), "1\nprovision\n");
    assert_eq!(wrote("folder"), "/\n");
    let environment = wrote("environment");
    let names: Vec<_> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    // dash adds PWD itself.
    assert!(names.iter().all(|name| ["LANG", "PATH", "PWD"].contains(name)), "{names:?}");
    let question: Value = serde_json::from_str(&wrote("question")).unwrap();
    assert_eq!(
        question,
        serde_json::json!({
            "version": 1,
            "verb": "provision",
            "target": "build-host",
            "grant": asked.grant.to_string(),
            "person": {"id": asked.holder.person.to_string(), "handle": asked.holder.handle},
            "grants": ["builder", "it's \"quoted\""],
            "session": "cut",
            "until": asked.until.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        })
    );
    let named =
        Settings { env: vec!["CARGO_MANIFEST_DIR".into(), "NOT_SET".into()], ..settings(&target.host) };
    Command::connector("build-host", named).provision(&asked).await.unwrap();
    let here = format!("CARGO_MANIFEST_DIR={}\n", env!("CARGO_MANIFEST_DIR"));
    assert!(wrote("environment").contains(&here) && !wrote("environment").contains("NOT_SET"));
}

#[tokio::test]
async fn what_an_end_means() {
    for (script, expected) in [
        ("exit 3", "Refused(\"the program ended with status 3\")"),
        ("kill -KILL $$", "Refused(\"the program was ended by signal 9\")"),
        ("echo '{\"removed\": true}'; exit 1", "Refused(\"the program ended with status 1\")"),
        (
            "echo '{\"error\": {\"kind\": \"unreachable\", \"message\": \"later\"}}'; exit 1",
            "Unreachable(\"later\")",
        ),
        ("echo '{\"removed\": true}'", "Removed { sessions_ended: 0 }"),
        ("echo '{\"removed\": true, \"sessions_ended\": 4}' >&2", "Refused(\"its answer is not understood"),
        ("head -c 70000 /dev/zero; sleep 600", "Refused(\"the program’s answer is longer than 64 KiB\")"),
        // More on standard error than a pipe holds.
        ("head -c 900000 /dev/zero >&2; echo '{\"removed\": true}'", "Removed { sessions_ended: 0 }"),
        // It never looks at its question.
        ("exec <&-; echo '{\"removed\": true}'", "Removed { sessions_ended: 0 }"),
    ] {
        let target = program(script);
        let removed = target.connector.remove(grant()).await;
        let said = removed.map_or_else(|error| format!("{error:?}"), |removed| format!("{removed:?}"));
        assert!(said.starts_with(expected), "{said} for {script}");
    }
}

#[tokio::test]
async fn a_program_that_others_can_change_is_not_run() {
    let target = installed(BuildHost::install());
    fs::set_permissions(target.host.program(), fs::Permissions::from_mode(0o775)).unwrap();
    let refused = target.connector.inspect().await;
    assert!(
        matches!(&refused, Err(TargetError::Configuration(m)) if m.contains("changed by others")),
        "{refused:?}"
    );
    fs::remove_file(target.host.program()).unwrap();
    assert!(matches!(target.connector.inspect().await, Err(TargetError::Configuration(_))));
    fs::write(target.host.program(), "#!/nowhere/interpreter\n").unwrap();
    fs::set_permissions(target.host.program(), fs::Permissions::from_mode(0o755)).unwrap();
    let refused = target.connector.inspect().await;
    assert!(
        matches!(&refused, Err(TargetError::Configuration(m)) if m.contains("first line")),
        "{refused:?}"
    );
}

/// The state of a process, `Z` for one that nobody has waited for; none when it is gone.
fn state(id: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.trim())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Waits until the file has a whole line.
async fn line(path: &Path) -> String {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => assert!(Instant::now() < limit, "{} is not written", path.display()),
        }
        tokio::task::yield_now().await;
    }
}

async fn gone(id: &str) {
    let limit = Instant::now() + Duration::from_secs(20);
    while let Some(state) = state(id) {
        // A grandchild is reaped by whoever is its parent by then.
        assert!(Instant::now() < limit, "{id} is still there, {state}");
        if state == 'Z' && parent(id) != std::process::id() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

fn parent(id: &str) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_ended_with_all_it_started() {
    let script = r#"echo $$ >"$D/leader"; sleep 600 & echo $! >"$D/child"; trap '' TERM; wait"#;
    let host = program(script).host;
    let brief = Settings { limit: Duration::from_secs(1), ..settings(&host) };
    let late = Command::connector("build-host", brief).remove(grant()).await;
    assert_eq!(late, Err(TargetError::Unreachable("the program did not end within 1 s".into())));
    let wrote = |name: &str| fs::read_to_string(host.accesses().join(name)).unwrap();
    assert_eq!(state(&wrote("leader")), None, "ended and waited for");
    gone(&wrote("child")).await;
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_its_program() {
    let target = program(r#"echo $$ >"$D/leader"; sleep 600 & echo $! >"$D/child"; wait"#);
    let child = target.host.accesses().join("child");
    tokio::select! {
        removed = target.connector.remove(grant()) => panic!("{removed:?}"),
        _ = line(&child) => {}
    }
    let leader = line(&target.host.accesses().join("leader")).await;
    gone(&leader).await;
    gone(&line(&child).await).await;
}

/// A program that leaves something behind, which holds its output open: its end is what counts.
#[tokio::test]
async fn a_program_that_forks_is_over_when_it_ends() {
    for keep in ["", "setsid "] {
        let child =
            r#"sh -c 'echo $$ >"$0"; exec sleep 600' "$D/child" & until [ -s "$D/child" ]; do :; done"#;
        let target = program(&format!("{keep}{child}; echo '{{\"removed\": true}}'"));
        let from = Instant::now();
        target.connector.remove(grant()).await.unwrap();
        assert!(from.elapsed() < Duration::from_secs(20), "it is not waited for");
        let child = fs::read_to_string(target.host.accesses().join("child")).unwrap();
        if !keep.is_empty() {
            // Who leaves the group has said that it is to go on.
            assert!(state(&child).is_some_and(|state| state != 'Z'), "{keep}");
            std::process::Command::new("kill").args(["-KILL", child.trim()]).status().unwrap();
        }
        gone(&child).await;
    }
}
