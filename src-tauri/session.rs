//! Questions to the desktop session that no library asks for us.

use zbus::blocking::{Connection, Proxy};

const NOTIFICATIONS: &str = "org.freedesktop.Notifications";

/// Takes notifications back that were shown before.
pub fn close_notifications(ids: &[u32]) {
    let closed = Connection::session().and_then(|bus| {
        let daemon = Proxy::new(&bus, NOTIFICATIONS, "/org/freedesktop/Notifications", NOTIFICATIONS)?;
        ids.iter().filter(|id| **id != 0).try_for_each(|id| daemon.call("CloseNotification", &(*id,)))
    });
    if let Err(error) = closed {
        tracing::debug!(%error, "earlier notifications stay");
    }
}

/// Whether the daemon reads the body as markup; then text has to be escaped.
pub fn notifications_take_markup() -> bool {
    notify_rust::get_capabilities().is_ok_and(|all| all.iter().any(|one| one == "body-markup"))
}

/// Whether the screen is locked, as far as the session says; only asks who is there already.
pub fn is_locked() -> bool {
    const WAYS: [(&str, &str); 2] = [
        ("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver"),
        ("org.freedesktop.ScreenSaver", "/ScreenSaver"),
    ];
    let Ok(bus) = Connection::session() else { return false };
    let Ok(names) = zbus::blocking::fdo::DBusProxy::new(&bus) else { return false };
    WAYS.iter().any(|(name, path)| {
        let there =
            zbus::names::BusName::try_from(*name).is_ok_and(|n| names.name_has_owner(n).unwrap_or(false));
        there && Proxy::new(&bus, *name, *path, *name).and_then(|p| p.call("GetActive", &())).unwrap_or(false)
    })
}
