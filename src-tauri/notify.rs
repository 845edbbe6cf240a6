//! Native notifications: what the client says is new, and accesses that end soon. Each once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gatepass_client::ui::Settings;
use gatepass_client::{Client, Clock, Notice};
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::GrantView;
use notify_rust::{Hint, Notification, Urgency};
use tauri::{AppHandle, Manager};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::desktop::{Desktop, zone};
use crate::navigate::Place;
use crate::note::{self, Act, Note};
use crate::{ending, session, windows};

/// So many requests within [`TOGETHER`] become one notification.
const MANY: usize = 3;
const TOGETHER: Duration = Duration::from_secs(60);

/// Shows what the person should know, as far as they want to.
#[derive(Clone)]
pub struct Notifier {
    app: AppHandle,
    client: Client,
    /// The app's icon as a file, for daemons that do not know the installed app.
    icon: Option<PathBuf>,
    /// When requests came lately, and under which number each was shown.
    recent: Arc<Mutex<Vec<(Instant, u32)>>>,
}

impl Notifier {
    pub fn new(app: AppHandle, client: Client) -> Self {
        let icon = client.profile().dir().join("tray").join("gatepass.png");
        let written = std::fs::write(&icon, include_bytes!("../icons/64x64.png"));
        Self { app, client, icon: written.is_ok().then_some(icon), recent: Arc::default() }
    }

    /// Shows notices as they come, until the client is gone.
    pub async fn run(&self, mut notices: Receiver<Notice>) {
        loop {
            match notices.recv().await {
                Ok(notice) => self.take(notice).await,
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "too many notifications at once"),
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn take(&self, notice: Notice) {
        let settings = self.settings().await;
        let zone = zone(Clock::system().now());
        let note = match notice {
            Notice::NeedsYou { request } if settings.notify_review => {
                return self.needs_you(note::needs_you(&request)).await;
            }
            // Nobody was asked, or the extension's own notice follows: "ready" and "extended" say it all.
            Notice::Approved { request } if request.needs.is_empty() || request.extends.is_some() => return,
            Notice::Approved { request } if settings.notify_decided => note::approved(&request),
            Notice::Denied { request } if settings.notify_decided => note::denied(&request),
            Notice::Lapsed { request } if settings.notify_decided => note::lapsed(&request),
            Notice::Extended { grant } if settings.notify_decided => note::extended(&grant, zone),
            Notice::Ready { grant } if settings.notify_ready => note::ready(&grant, zone),
            Notice::Ended { grant } if settings.notify_ended => note::ended(&grant, zone),
            // An alarm can't be switched off.
            Notice::Delayed { grant } => note::delayed(&grant, zone),
            _ => return,
        };
        self.show(note).await;
    }

    /// Says which accesses end soon, each end once, also over restarts.
    pub async fn warn(&self, grants: &[GrantView], now: Time) {
        let due = ending::due(grants, now);
        if due.is_empty() {
            return;
        }
        let file = self.client.profile().dir().join("warned.json");
        let read = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut warned: BTreeMap<GrantId, Time> = read.unwrap_or_default();
        let new: Vec<_> = due.into_iter().filter(|(g, end)| warned.get(&g.id) != Some(end)).collect();
        if new.is_empty() {
            return;
        }
        warned.retain(|id, _| grants.iter().any(|g| g.id == *id));
        warned.extend(new.iter().map(|(g, end)| (g.id, *end)));
        // Before they are shown: rather one lost in a crash than one shown twice.
        let kept = serde_json::to_vec(&warned).map_err(std::io::Error::other);
        if let Err(error) = kept.and_then(|bytes| std::fs::write(&file, bytes)) {
            tracing::warn!(%error, "what was said about ends could not be kept");
        }
        if self.settings().await.notify_ending {
            for (grant, end) in new {
                self.show(note::ends_soon(grant, end, now, zone(now))).await;
            }
        }
    }

    async fn settings(&self) -> Settings {
        self.client.settings().await.unwrap_or_default()
    }

    async fn needs_you(&self, note: Note) {
        let earlier: Vec<u32> = {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.retain(|(at, _)| at.elapsed() < TOGETHER);
            recent.iter().map(|(_, id)| *id).collect()
        };
        let many = earlier.len() + 1 >= MANY;
        let note = if many { note::several_need_you(earlier.len() + 1) } else { note };
        let shown = self.show(note).await.unwrap_or_default();
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), shown));
        if many {
            // That they could not be taken back is logged there.
            let _ = tokio::task::spawn_blocking(move || session::close_notifications(&earlier)).await;
        }
    }

    /// Answers the daemon's number for it, when it was shown. The bus is asked on a thread that may wait.
    async fn show(&self, note: Note) -> Option<u32> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.post(&note)).await.ok().flatten()
    }

    /// Shows it and waits for a click on a thread of its own; answers the daemon's number for it.
    fn post(&self, note: &Note) -> Option<u32> {
        let notification = self.build(note);
        let handle = match notification.show() {
            Ok(handle) => handle,
            Err(error) => {
                tracing::warn!(%error, "the notification could not be shown");
                return None;
            }
        };
        let id = handle.id();
        let (acts, default, this) = (note.actions.clone(), note.default.clone(), self.clone());
        let waiting = std::thread::Builder::new().name("notification".to_owned()).stack_size(256 * 1024);
        let waiting = waiting.spawn(move || {
            handle.wait_for_action(|key| {
                let act = match key {
                    "default" => Some(default),
                    key => key.parse::<usize>().ok().and_then(|n| acts.get(n)).map(|(_, act)| act.clone()),
                };
                if let Some(act) = act {
                    this.act(act);
                    // Not every daemon takes it away after a click.
                    session::close_notifications(&[id]);
                }
            });
        });
        if let Err(error) = waiting {
            tracing::warn!(%error, "clicks on the notification will do nothing");
        }
        Some(id)
    }

    fn build(&self, note: &Note) -> Notification {
        let locked = session::is_locked();
        let markup = session::notifications_take_markup();
        let (title, body) = if locked { (note.kind, "") } else { (note.title.as_str(), note.body.as_str()) };
        let mut n = Notification::new();
        n.appname("Gatepass").summary(title).body(&if markup { escape(body) } else { body.to_owned() });
        n.hint(Hint::DesktopEntry("Gatepass".to_owned()));
        n.urgency(if note.urgent { Urgency::Critical } else { Urgency::Normal });
        if let Some(icon) = self.icon.as_ref().and_then(|path| path.to_str()) {
            n.icon(icon);
        }
        n.action("default", note.actions.first().map_or("Open", |(label, _)| label));
        for (number, (label, _)) in note.actions.iter().enumerate() {
            n.action(&number.to_string(), label);
        }
        n
    }

    /// Opens or copies; nothing is decided, ended or signed here.
    fn act(&self, act: Act) {
        match act {
            Act::Open(place) => windows::show(&self.app, Some(place)),
            Act::CopyCommand(grant) => {
                let this = self.clone();
                tauri::async_runtime::spawn(async move { this.copy_command(grant).await });
            }
            Act::Nothing => {}
        }
    }

    async fn copy_command(&self, grant: GrantId) {
        let copied = match self.client.credential(grant).await {
            Ok(credential) => {
                self.app.state::<Desktop>().clipboard.copy(credential.command).map_err(|e| e.message)
            }
            Err(failure) => Err(failure.message),
        };
        if let Err(error) = copied {
            tracing::warn!(error, "the command was not copied");
            windows::show(&self.app, Some(Place::access(&grant, None)));
        }
    }
}

/// For daemons that read the body as markup: text stays text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_text_is_shown_not_done() {
        assert_eq!(escape("<b>a & b</b>"), "&lt;b&gt;a &amp; b&lt;/b&gt;");
    }
}
