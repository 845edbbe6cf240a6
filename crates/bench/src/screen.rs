//! Programs on a private screen, and what arrives on its session bus.

use crate::Outcome;
use crate::place::Place;
use futures_util::StreamExt as _;
use gatepass_tests::process::Process;
use gatepass_tests::{Session, bins};
use std::collections::HashMap;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use zbus::fdo::MonitoringProxy;
use zbus::zvariant::Value;
use zbus::{Connection, MatchRule, MessageStream};

const NOTIFICATIONS: &str = "org.freedesktop.Notifications";

/// The profile whose desktop is measured.
pub const PROFILE: &str = "tomas";

/// Joins the profile at the command line, as a person would.
pub fn join(session: &Session, place: &Place) -> Outcome<()> {
    let link = place.invite(PROFILE, "backend", &[])?;
    let mut command = session.command(&bins::path("gatepass"));
    command.env("GATEPASS_HOME", session.home()).args(["--profile", PROFILE, "join", &link]);
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{PROFILE} can't join: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

/// The desktop in the tray, no window.
pub fn start_hidden(session: &Session, env: &[(&str, &str)]) -> Process {
    let mut command = desktop(session);
    command.arg("--hidden").envs(env.iter().copied());
    Process::start("desktop", &command, &session.logs())
}

/// `gatepass-desktop` for the profile, not yet run.
pub fn desktop(session: &Session) -> Command {
    let mut command = session.command(&bins::path("gatepass-desktop"));
    command.env("GATEPASS_HOME", session.home()).args(["--profile", PROFILE]);
    command
}

/// The bare GTK program that stands for what any desktop app costs here.
pub fn bare(session: &Session, args: &[&str]) -> Process {
    let mut command = session.command(&bins::path("gatepass-bench-bare"));
    // What the desktop sets for itself too.
    command.envs([("GDK_GL", "disable"), ("MALLOC_ARENA_MAX", "1")]).args(args);
    Process::start("bare", &command, &session.logs())
}

/// A connection to the session's bus.
pub async fn bus(session: &Session) -> Outcome<Connection> {
    let address = session.env().iter().find(|(key, _)| key == "DBUS_SESSION_BUS_ADDRESS");
    let (_, address) = address.ok_or("the session has no bus")?;
    Ok(zbus::connection::Builder::address(address.as_str())?.build().await?)
}

/// A notification at the moment the bus passed it on.
pub struct Seen {
    pub at: Instant,
    /// Summary and body.
    pub text: String,
}

/// Every notification that anybody on the bus asks for.
pub struct Recorder {
    seen: mpsc::UnboundedReceiver<Seen>,
    listener: tokio::task::JoinHandle<()>,
}

impl Recorder {
    pub async fn start(session: &Session) -> Outcome<Self> {
        let bus = bus(session).await?;
        let rule = MatchRule::builder().interface(NOTIFICATIONS)?.member("Notify")?.build();
        MonitoringProxy::new(&bus).await?.become_monitor(&[rule], 0).await?;
        let (tell, seen) = mpsc::unbounded_channel();
        let mut messages = MessageStream::from(bus);
        let listener = tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                let at = Instant::now();
                type Notify<'a> =
                    (String, u32, String, String, String, Vec<String>, HashMap<String, Value<'a>>, i32);
                let body = message.body();
                let Ok((_, _, _, summary, text, ..)) = body.deserialize::<Notify<'_>>() else { continue };
                let _ = tell.send(Seen { at, text: format!("{summary}\n{text}") });
            }
        });
        Ok(Self { seen, listener })
    }

    /// Waits for the next one that holds `text`.
    pub async fn until(&mut self, text: &str) -> Outcome<Seen> {
        let mut others = Vec::new();
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            while let Some(seen) = self.seen.recv().await {
                if seen.text.contains(text) {
                    return Ok(seen);
                }
                others.push(seen.text);
            }
            Err("the bus is gone".into())
        });
        match waited.await {
            Ok(seen) => seen,
            Err(_) => Err(format!("no notification with “{text}”, only {others:?}").into()),
        }
    }

    /// Forgets those that came so far.
    pub fn clear(&mut self) {
        while self.seen.try_recv().is_ok() {}
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Asks for a notification, as an app without any library around it.
pub async fn notify(bus: &Connection, summary: &str) -> Outcome<()> {
    let hints: HashMap<&str, Value<'_>> = HashMap::new();
    let body = ("bench", 0_u32, "", summary, "", Vec::<&str>::new(), hints, -1_i32);
    let path = "/org/freedesktop/Notifications";
    bus.call_method(Some(NOTIFICATIONS), path, Some(NOTIFICATIONS), "Notify", &body).await?;
    Ok(())
}
