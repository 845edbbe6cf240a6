//! Native notifications: what the client says is new, and accesses that end soon. Each once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::FixedOffset;
use gatepass_client::ui::Settings;
use gatepass_client::{Client, Clock, Notice};
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::{EndCause, GrantView};
use notify_rust::{Hint, Notification, Urgency};
use tauri::{AppHandle, Manager};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::daemon::{Buttons, Daemon, Shown};
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
    client: Client,
    daemon: Daemon,
    /// The app's icon as a file, for daemons that do not know the installed app.
    icon: Option<PathBuf>,
    /// Requests that came lately.
    recent: Arc<Mutex<Vec<Recent>>>,
    /// Where alarms are that are not over.
    alarms: Arc<Mutex<BTreeMap<GrantId, Shown>>>,
}

/// When a request was told, and where, if it could be shown.
#[derive(Clone)]
struct Recent {
    at: Instant,
    shown: Option<Shown>,
}

impl Notifier {
    pub fn new(app: AppHandle, client: Client) -> Self {
        let icon = client.profile().dir().join("tray").join("gatepass.png");
        let written = std::fs::write(&icon, include_bytes!("../icons/64x64.png"));
        let daemon = Daemon::new({
            let client = client.clone();
            move |act| do_act(&app, &client, act)
        });
        Self {
            client,
            daemon,
            icon: written.is_ok().then_some(icon),
            recent: Arc::default(),
            alarms: Arc::default(),
        }
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
            // Alarms can't be switched off.
            Notice::Ended { grant } if grant.end == Some(EndCause::Missing) => note::ended(&grant, zone),
            Notice::Delayed { grant } => note::delayed(&grant, zone),
            Notice::Alarm { grant } => return self.alarm(&grant, zone).await,
            Notice::AfterAll { grant } => {
                let alarm = self.alarms().remove(&grant.id);
                if let Some(shown) = alarm {
                    self.daemon.close(&shown).await;
                }
                note::after_all(&grant, zone)
            }
            Notice::Drift { drift } => note::drift(&drift),
            Notice::Drifts { count } => note::drifts(count),
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

    /// Stays until it is dismissed, or over.
    async fn alarm(&self, grant: &GrantView, zone: FixedOffset) {
        if let Some(shown) = self.show(note::delayed(grant, zone)).await {
            self.alarms().insert(grant.id, shown);
        }
    }

    fn alarms(&self) -> MutexGuard<'_, BTreeMap<GrantId, Shown>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn settings(&self) -> Settings {
        self.client.settings().await.unwrap_or_default()
    }

    async fn needs_you(&self, note: Note) {
        let earlier = {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            recent.retain(|one| one.at.elapsed() < TOGETHER);
            recent.clone()
        };
        let many = earlier.len() + 1 >= MANY;
        let note = if many { note::several_need_you(earlier.len() + 1) } else { note };
        let shown = self.show(note).await;
        let told = Recent { at: Instant::now(), shown };
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        if many {
            for shown in earlier.iter().filter_map(|one| one.shown.as_ref()) {
                self.daemon.close(shown).await;
            }
        }
    }

    /// Answers where it is, when it was shown.
    async fn show(&self, note: Note) -> Option<Shown> {
        let shown = self.post(&note).await;
        if let Err(error) = &shown {
            tracing::warn!(%error, "the notification could not be shown");
        }
        shown.ok()
    }

    async fn post(&self, note: &Note) -> zbus::Result<Shown> {
        let locked = session::is_locked(&self.daemon.bus().await?).await;
        let markup = self.daemon.takes_markup().await.unwrap_or(false);
        self.daemon.show(&self.build(note, locked, markup), Buttons::from(note)).await
    }

    fn build(&self, note: &Note, locked: bool, markup: bool) -> Notification {
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
}

/// Opens or copies; nothing is decided, ended or signed here.
fn do_act(app: &AppHandle, client: &Client, act: Act) {
    match act {
        Act::Open(place) => windows::show(app, Some(place)),
        Act::CopyCommand(grant) => {
            tauri::async_runtime::spawn(copy_command(app.clone(), client.clone(), grant));
        }
        Act::Nothing => {}
    }
}

async fn copy_command(app: AppHandle, client: Client, grant: GrantId) {
    let copied = match client.credential(grant).await {
        Ok(credential) => app.state::<Desktop>().clipboard.copy(credential.command).map_err(|e| e.message),
        Err(failure) => Err(failure.message),
    };
    if let Err(error) = copied {
        tracing::warn!(error, "the command was not copied");
        windows::show(&app, Some(Place::access(&grant, None)));
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
