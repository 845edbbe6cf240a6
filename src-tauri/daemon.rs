//! The session's notification daemon, over one connection for as long as the app runs.
//!
//! A notification belongs to the connection that sent it: dunst tells only that one of clicks, GNOME takes the
//! notification away when it closes. notify-rust's own `show` opens one for each, and a session bus ends at some 250;
//! so notify-rust says what a notification is, and it goes out here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as Plain, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use notify_rust::Notification;
use tokio::sync::Mutex;
use zbus::fdo::DBusProxy;
use zbus::message::{Header, Message, Type};
use zbus::names::{BusName, OwnedUniqueName};
use zbus::zvariant::Value;
use zbus::{Connection, MatchRule, MessageStream, connection};

use crate::note::Act;

mod waiting;
use waiting::Waiting;
pub use waiting::{Buttons, Shown};

#[cfg(test)]
mod tests;

/// The daemon's bus name, which is its interface's name too.
const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
/// The bus itself, likewise.
const BUS: &str = "org.freedesktop.DBus";
/// How long the daemon may take to answer; the bus may have to start it first.
const PATIENCE: Duration = Duration::from_secs(25);

/// Shows notifications and hears of clicks on them.
#[derive(Clone)]
pub struct Daemon(Arc<Inner>);

struct Inner {
    bus: Mutex<Option<Connection>>,
    waiting: Plain<Waiting>,
    act: Box<dyn Fn(Act) + Send + Sync>,
    /// Where the bus is, unless the session's environment says it.
    #[cfg(test)]
    address: Option<String>,
}

impl Daemon {
    /// Connects when first needed; calls `act` for each click, on a task of the runtime, so it must not wait.
    pub fn new(act: impl Fn(Act) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            bus: Mutex::default(),
            waiting: Plain::default(),
            act: Box::new(act),
            #[cfg(test)]
            address: None,
        }))
    }

    /// The session bus, connected anew when the connection was lost.
    pub async fn bus(&self) -> zbus::Result<Connection> {
        let mut kept = self.0.bus.lock().await;
        if let Some(bus) = kept.as_ref().filter(|bus| !bus.is_closed()) {
            return Ok(bus.clone());
        }
        let bus = self.0.address()?.method_timeout(PATIENCE).build().await?;
        // From before the question who the daemon is: a change of it meanwhile is heard.
        let messages = MessageStream::from(&bus);
        let names = DBusProxy::new(&bus).await?;
        let signals = || MatchRule::builder().msg_type(Type::Signal);
        names.add_match_rule(signals().sender(NAME)?.interface(NAME)?.build()).await?;
        let owner = signals().sender(BUS)?.member("NameOwnerChanged")?.add_arg(NAME)?.build();
        names.add_match_rule(owner).await?;
        let owner = names.get_name_owner(BusName::try_from(NAME)?).await.ok();
        self.0.waiting().start(owner);
        tokio::spawn(hear(self.clone(), messages));
        Ok(kept.insert(bus).clone())
    }

    /// Whether the daemon reads the body as markup; then text has to be escaped.
    pub async fn takes_markup(&self) -> zbus::Result<bool> {
        let answer =
            self.bus().await?.call_method(Some(NAME), PATH, Some(NAME), "GetCapabilities", &()).await?;
        Ok(answer.body().deserialize::<Vec<String>>()?.iter().any(|one| one == "body-markup"))
    }

    /// Shows it; a click on it does what `buttons` say, once.
    pub async fn show(&self, notification: &Notification, buttons: Buttons) -> zbus::Result<Shown> {
        let hints: HashMap<&str, Value<'_>> = notification.hints.iter().map(Into::into).collect();
        let what = (
            &notification.appname,
            0u32,
            &notification.icon,
            &notification.summary,
            &notification.body,
            &notification.actions,
            hints,
            i32::from(notification.timeout),
        );
        let answer = self.bus().await?.call_method(Some(NAME), PATH, Some(NAME), "Notify", &what).await?;
        let daemon = answer.header().sender().map(|name| OwnedUniqueName::from(name.to_owned()));
        let shown =
            Shown { daemon: daemon.ok_or(zbus::Error::MissingField)?, id: answer.body().deserialize()? };
        let then = self.0.waiting().add(shown.clone(), buttons);
        if let Some(act) = then.act {
            self.clicked(shown.clone(), act);
        }
        if let Some(oldest) = then.over {
            tracing::warn!(id = oldest.id, "took the oldest notification back, there are too many");
            self.close(&oldest).await;
        }
        Ok(shown)
    }

    /// Takes a notification back, if the daemon that shows it is still there.
    pub async fn close(&self, shown: &Shown) {
        let close = async {
            let bus = self.bus().await?;
            let daemon = shown.daemon.as_str();
            bus.call_method(Some(daemon), PATH, Some(NAME), "CloseNotification", &(shown.id,)).await
        };
        if let Err(error) = close.await {
            tracing::debug!(%error, id = shown.id, "the notification was not taken back");
        }
    }

    fn clicked(&self, shown: Shown, act: Act) {
        (self.0.act)(act);
        // Not every daemon takes it away after a click. The answer comes to the task that hears of clicks.
        let this = self.clone();
        tokio::spawn(async move { this.close(&shown).await });
    }

    fn take(&self, message: &Message) {
        let header = message.header();
        let (Some(member), Some(sender)) = (header.member(), header.sender()) else { return };
        let body = message.body();
        let shown = |id| Shown { daemon: sender.to_owned().into(), id };
        match (interface(&header), member.as_str()) {
            (BUS, "NameOwnerChanged") if sender.as_str() == BUS => {
                let Ok((NAME, old, new)) = body.deserialize::<(&str, &str, &str)>() else { return };
                let owner = |name: &str| OwnedUniqueName::try_from(name).ok();
                self.0.waiting().owner_changed(owner(old), owner(new));
            }
            (NAME, "ActionInvoked") => {
                let Ok((id, key)) = body.deserialize::<(u32, &str)>() else { return };
                let act = self.0.waiting().clicked(&shown(id), key);
                if let Some(act) = act {
                    self.clicked(shown(id), act);
                }
            }
            (NAME, "NotificationClosed") => {
                let Ok((id, _)) = body.deserialize::<(u32, u32)>() else { return };
                self.0.waiting().closed(&shown(id));
            }
            _ => {}
        }
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(not(test))]
    fn address(&self) -> zbus::Result<connection::Builder<'_>> {
        connection::Builder::session()
    }

    #[cfg(test)]
    fn address(&self) -> zbus::Result<connection::Builder<'_>> {
        self.address.as_deref().map_or_else(connection::Builder::session, connection::Builder::address)
    }
}

fn interface<'m>(header: &'m Header<'_>) -> &'m str {
    header.interface().map_or("", |name| name.as_str())
}

/// Takes what the bus says, in its order and without ever waiting: the connection's answers come this way too.
async fn hear(daemon: Daemon, mut messages: MessageStream) {
    while let Some(Ok(message)) = messages.next().await {
        if message.message_type() == Type::Signal {
            daemon.take(&message);
        }
    }
    tracing::warn!("the session bus is gone; notifications try to connect again");
}
