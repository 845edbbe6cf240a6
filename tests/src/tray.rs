//! The tray of a session: the watcher that apps register their icons with, and their menus.

use crate::wait::eventually;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::BusName;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, OwnedValue, Structure, Value};
use zbus::{Connection, Proxy, interface};

const NAME: &str = "org.kde.StatusNotifierWatcher";
const ITEM: &str = "org.kde.StatusNotifierItem";
const MENU: &str = "com.canonical.dbusmenu";

/// One entry of a menu as the bus has it: id, properties, children.
type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);
type Items = Arc<Mutex<Vec<(String, String)>>>;

/// The tray: a watcher and host in one.
pub struct Tray {
    bus: Connection,
    items: Items,
}

struct Watcher(Items);

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    /// `service` is a bus name, or the item's path on the caller's own name.
    async fn register_status_notifier_item(
        &self,
        service: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> zbus::fdo::Result<()> {
        let sender = header.sender().map(ToString::to_string).unwrap_or_default();
        let item = match service.starts_with('/') {
            true => (sender, service.to_owned()),
            false => (service.to_owned(), "/StatusNotifierItem".to_owned()),
        };
        let full = format!("{}{}", item.0, item.1);
        {
            let mut items = self.0.lock().unwrap();
            if !items.contains(&item) {
                items.push(item);
            }
        }
        Self::status_notifier_item_registered(&emitter, &full).await?;
        Ok(())
    }

    async fn register_status_notifier_host(&self, _service: &str) {}

    #[zbus(property)]
    async fn registered_status_notifier_items(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(name, path)| format!("{name}{path}")).collect()
    }

    #[zbus(property)]
    async fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    async fn protocol_version(&self) -> i32 {
        0
    }

    #[zbus(signal)]
    async fn status_notifier_item_registered(emitter: &SignalEmitter<'_>, service: &str) -> zbus::Result<()>;
}

/// One entry of a menu. Ids hold only until the menu changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    pub id: i32,
    pub label: String,
    pub enabled: bool,
    pub children: Vec<Entry>,
}

impl Entry {
    /// Itself and everything below it.
    pub fn all(&self) -> Vec<&Entry> {
        let mut all = vec![self];
        for child in &self.children {
            all.extend(child.all());
        }
        all
    }

    /// The labels of everything below it.
    pub fn labels(&self) -> Vec<&str> {
        self.all().into_iter().map(|entry| entry.label.as_str()).filter(|label| !label.is_empty()).collect()
    }
}

impl Tray {
    /// Becomes the watcher of the session bus at `address`.
    pub async fn watch(address: &str) -> Self {
        let items = Items::default();
        let bus = zbus::connection::Builder::address(address)
            .expect("the bus's address")
            .serve_at("/StatusNotifierWatcher", Watcher(items.clone()))
            .expect("a free path")
            .name(NAME)
            .expect("the watcher's name")
            .build()
            .await
            .expect("be the tray's watcher");
        Self { bus, items }
    }

    /// The bus itself.
    pub async fn bus(&self) -> DBusProxy<'static> {
        DBusProxy::new(&self.bus).await.expect("the bus")
    }

    /// The icon of a running process, once it has one.
    pub async fn icon(&self, process: u32) -> Icon<'_> {
        let bus = self.bus().await;
        eventually("the tray icon", async || {
            let items = self.items.lock().unwrap().clone();
            for (name, path) in items {
                let owner = BusName::try_from(name.clone()).ok()?;
                if bus.get_connection_unix_process_id(owner).await.is_ok_and(|pid| pid == process) {
                    return Some(Icon { bus: &self.bus, name, path });
                }
            }
            None
        })
        .await
    }
}

/// One app's icon.
pub struct Icon<'a> {
    bus: &'a Connection,
    name: String,
    path: String,
}

impl Icon<'_> {
    async fn proxy(&self, path: String, interface: &'static str) -> Proxy<'_> {
        Proxy::new(self.bus, self.name.clone(), path, interface).await.expect("the icon")
    }

    /// A text property of the item: `Title`, `IconName`, `Status`, `XAyatanaLabel`.
    pub async fn property(&self, name: &str) -> Option<String> {
        // Read afresh: libayatana-appindicator does not always say when one changes.
        let item = self.proxy(self.path.clone(), "org.freedesktop.DBus.Properties").await;
        let value: OwnedValue = item.call("Get", &(ITEM, name)).await.ok()?;
        value.downcast_ref::<String>().ok()
    }

    async fn menu_proxy(&self) -> Option<Proxy<'_>> {
        let item = self.proxy(self.path.clone(), "org.freedesktop.DBus.Properties").await;
        let value: OwnedValue = item.call("Get", &(ITEM, "Menu")).await.ok()?;
        let path = OwnedObjectPath::try_from(value).map(|path| ObjectPath::from(path).to_string()).ok()?;
        Some(self.proxy(path, MENU).await)
    }

    /// The menu as it stands.
    pub async fn menu(&self) -> Option<Entry> {
        let menu = self.menu_proxy().await?;
        let _: Result<bool, _> = menu.call("AboutToShow", &(0_i32,)).await;
        let (_, layout): (u32, Layout) =
            menu.call("GetLayout", &(0_i32, -1_i32, Vec::<String>::new())).await.ok()?;
        let (id, properties, children) = layout;
        Some(entry(id, &properties, children.iter().map(|child| &**child)))
    }

    /// Waits for an entry whose label holds `text`, and clicks it.
    pub async fn click(&self, text: &str) {
        let id = eventually(&format!("“{text}” in the tray's menu"), async || {
            let menu = self.menu().await?;
            menu.all().into_iter().find(|e| e.enabled && e.label.contains(text)).map(|e| e.id)
        })
        .await;
        let menu = self.menu_proxy().await.expect("the menu");
        let () = menu.call("Event", &(id, "clicked", Value::from(0_i32), 0_u32)).await.expect("click");
    }

    /// Waits until some label holds `text`, and answers that label.
    pub async fn label(&self, text: &str) -> String {
        eventually(&format!("“{text}” in the tray's menu"), async || {
            let menu = self.menu().await?;
            menu.labels().into_iter().find(|label| label.contains(text)).map(str::to_owned)
        })
        .await
    }
}

fn entry<'a>(
    id: i32,
    properties: &HashMap<String, OwnedValue>,
    children: impl Iterator<Item = &'a Value<'a>>,
) -> Entry {
    let text = properties.get("label").and_then(|v| v.downcast_ref::<String>().ok()).unwrap_or_default();
    // An underscore marks the access key; two stand for one.
    let label = text.replace("__", "\u{0}").replace('_', "").replace('\u{0}', "_");
    let enabled = properties.get("enabled").and_then(|v| v.downcast_ref::<bool>().ok()).unwrap_or(true);
    Entry { id, label, enabled, children: children.filter_map(child).collect() }
}

fn child(value: &Value<'_>) -> Option<Entry> {
    let value = match value {
        Value::Value(inner) => inner,
        other => other,
    };
    let fields = value.downcast_ref::<Structure<'_>>().ok()?;
    let [id, properties, children] = fields.fields() else { return None };
    let id = id.downcast_ref::<i32>().ok()?;
    let properties = HashMap::<String, OwnedValue>::try_from(properties.try_clone().ok()?).ok()?;
    let Value::Array(children) = children else { return None };
    Some(entry(id, &properties, children.iter()))
}
