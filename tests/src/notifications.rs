//! What a session's notification daemon was asked to show, and a person who clicks in it.

use crate::wait::eventually;
use futures_util::StreamExt;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use zbus::fdo::{DBusProxy, MonitoringProxy};
use zbus::names::BusName;
use zbus::zvariant::Value;
use zbus::{Connection, MatchRule, MessageStream, Proxy};

/// The daemon's bus name, which is its interface's name too.
const NAME: &str = "org.freedesktop.Notifications";

/// A notification as an app sent it to the daemon.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Who sent it.
    pub process: u32,
    pub summary: String,
    pub body: String,
    /// Label by key.
    pub actions: Vec<(String, String)>,
}

type Seen = Arc<Mutex<Vec<Shown>>>;

/// dunst, watched.
pub struct Notifications {
    bus: Connection,
    seen: Seen,
    pick: PathBuf,
    listener: tokio::task::JoinHandle<()>,
}

impl Notifications {
    /// Writes dunst's configuration into `dir` and answers its path. Its menu, which a person would click in, is a
    /// script that picks the line which holds every word of the file `pick`.
    pub fn configure(dir: &Path) -> PathBuf {
        let menu = dir.join("menu");
        let pick = dir.join("pick");
        let script = format!(
            "#!/bin/sh\nlines=$(cat)\nprintf '%s\\n' \"$lines\" >'{0}.offered'\n\
             printf '%s\\n' \"$lines\" | grep -F -f '{0}' | head -n 1\n",
            pick.display()
        );
        fs::write(&menu, script).expect("write the menu");
        fs::set_permissions(&menu, fs::Permissions::from_mode(0o700)).expect("make it a program");
        let config = dir.join("dunstrc");
        // Nothing goes away by itself: a slow machine must not lose one before it is clicked.
        let text = format!(
            "[global]\nfont = Inter 10\nmarkup = full\nformat = \"<b>%s</b>\\n%b\"\nwidth = 340\nheight = 200\n\
             offset = 16x16\norigin = top-right\nframe_width = 1\nframe_color = \"#8a94a6\"\npadding = 12\n\
             horizontal_padding = 14\ncorner_radius = 8\nnotification_limit = 4\nstack_duplicates = false\n\
             show_indicators = no\nignore_dbusclose = no\ndmenu = {}\n\
             [urgency_low]\nbackground = \"#ffffff\"\nforeground = \"#1c2430\"\ntimeout = 0\n\
             [urgency_normal]\nbackground = \"#ffffff\"\nforeground = \"#1c2430\"\ntimeout = 0\n\
             [urgency_critical]\nbackground = \"#fff4f2\"\nforeground = \"#1c2430\"\ntimeout = 0\n",
            menu.display()
        );
        fs::write(&config, text).expect("write dunstrc");
        config
    }

    /// Listens on the session bus at `address`; `dir` is what [`configure`](Self::configure) was given.
    pub async fn listen(address: &str, dir: &Path) -> Self {
        let connect = async || {
            let builder = zbus::connection::Builder::address(address).expect("the bus's address");
            builder.build().await.expect("the session bus")
        };
        let (bus, monitor) = (connect().await, connect().await);
        let names = DBusProxy::new(&bus).await.expect("the bus");
        eventually("the notification daemon", async || {
            names.name_has_owner(NAME.try_into().ok()?).await.ok()?.then_some(())
        })
        .await;
        let rule =
            MatchRule::builder().interface(NAME).expect("a name").member("Notify").expect("a name").build();
        let proxy = MonitoringProxy::new(&monitor).await.expect("the bus");
        proxy.become_monitor(&[rule], 0).await.expect("listen on the bus");
        let seen = Seen::default();
        let listener = tokio::spawn(record(monitor, names, seen.clone()));
        Self { bus, seen, pick: dir.join("pick"), listener }
    }

    /// All that were shown so far, oldest first.
    pub fn all(&self) -> Vec<Shown> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits for a notification of `process` whose summary or body holds `text`.
    pub async fn shown(&self, process: u32, text: &str) -> Shown {
        eventually(&format!("a notification with “{text}”"), async || {
            let holds =
                |n: &Shown| n.process == process && (n.summary.contains(text) || n.body.contains(text));
            self.all().into_iter().find(holds)
        })
        .await
    }

    /// Clicks the action with this label of the notification whose summary holds `summary`, in dunst's own menu.
    pub async fn choose(&self, summary: &str, action: &str) {
        // dunst's line is `#action (summary) [id,app]`.
        fs::write(&self.pick, format!("#{action} ({summary}")).expect("say what to pick");
        let dunst =
            Proxy::new(&self.bus, NAME, "/org/freedesktop/Notifications", "org.dunstproject.cmd0").await;
        let dunst = dunst.expect("dunst");
        let offered = self.pick.with_extension("offered");
        let _ = fs::remove_file(&offered);
        let () = dunst.call("ContextMenuCall", &()).await.expect("open dunst's menu");
        let lines =
            eventually("dunst's menu", async || fs::read_to_string(&offered).ok().filter(|l| !l.is_empty()))
                .await;
        assert!(
            lines.contains(&format!("#{action} ({summary}")),
            "dunst offers no such action, but:\n{lines}"
        );
    }
}

impl Drop for Notifications {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn record(monitor: Connection, names: DBusProxy<'static>, seen: Seen) {
    let mut messages = MessageStream::from(monitor);
    while let Some(Ok(message)) = messages.next().await {
        type Notify<'a> = (String, u32, String, String, String, Vec<String>, HashMap<String, Value<'a>>, i32);
        let body = message.body();
        let Ok((_, _, _, summary, body, actions, _, _)) = body.deserialize::<Notify<'_>>() else { continue };
        let header = message.header();
        let Some(sender) = header.sender() else { continue };
        let process = names.get_connection_unix_process_id(BusName::from(sender.clone())).await.unwrap_or(0);
        let actions = actions.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        seen.lock().unwrap().push(Shown { process, summary, body, actions });
    }
}
