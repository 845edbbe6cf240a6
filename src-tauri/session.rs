//! Questions to the desktop session that no library asks for us.

use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;

/// Whether the screen is locked, as far as the session says; only asks who is there already.
pub async fn is_locked(bus: &Connection) -> bool {
    const WAYS: [(&str, &str); 2] = [
        ("org.gnome.ScreenSaver", "/org/gnome/ScreenSaver"),
        ("org.freedesktop.ScreenSaver", "/ScreenSaver"),
    ];
    for (name, path) in WAYS {
        if asked(bus, name, path).await.unwrap_or(false) {
            return true;
        }
    }
    false
}

async fn asked(bus: &Connection, name: &str, path: &str) -> zbus::Result<bool> {
    if !DBusProxy::new(bus).await?.name_has_owner(BusName::try_from(name)?).await? {
        return Ok(false);
    }
    bus.call_method(Some(name), path, Some(name), "GetActive", &()).await?.body().deserialize()
}
