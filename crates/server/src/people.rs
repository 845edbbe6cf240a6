//! Who is who and with which device: a snapshot in memory, read again when it changes.

use crate::store::{Device, Store, StoreError};
use gatepass_core::directory::{Directory, Person};
use gatepass_core::id::{DeviceId, PersonId};
use gatepass_core::text::Digest;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::watch;

/// People, groups and devices at one moment.
#[derive(Debug)]
pub struct Snapshot {
    pub directory: Directory,
    /// Changes when the directory does.
    pub hash: Digest,
    devices: HashMap<DeviceId, Device>,
}

impl Snapshot {
    pub(crate) fn new(people: Vec<Person>, devices: Vec<Device>) -> Self {
        Self {
            hash: Digest::of(&serde_json::to_vec(&people).unwrap_or_default()),
            directory: Directory::new(people),
            devices: devices.into_iter().map(|d| (d.id, d)).collect(),
        }
    }

    pub fn device(&self, id: DeviceId) -> Option<&Device> {
        self.devices.get(&id)
    }

    /// Of a person.
    pub fn devices(&self, person: PersonId) -> impl Iterator<Item = &Device> {
        self.devices.values().filter(move |d| d.person == person)
    }

    pub fn disabled(&self, device: DeviceId) -> bool {
        self.device(device).is_some_and(|d| d.disabled)
    }

    pub fn person(&self, id: PersonId) -> Option<&Person> {
        self.directory.get(id)
    }
}

/// The current snapshot.
pub struct People {
    current: watch::Sender<Arc<Snapshot>>,
    /// One reading at a time, so that an older one never replaces a newer.
    reading: tokio::sync::Mutex<()>,
}

impl People {
    pub async fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let (people, devices) = store.people().await?;
        Ok(Self {
            current: watch::Sender::new(Arc::new(Snapshot::new(people, devices))),
            reading: Default::default(),
        })
    }

    pub fn now(&self) -> Arc<Snapshot> {
        self.current.borrow().clone()
    }

    /// Each snapshot as it comes.
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.current.subscribe()
    }

    pub async fn reload(&self, store: &dyn Store) -> Result<(), StoreError> {
        let _one = self.reading.lock().await;
        let (people, devices) = store.people().await?;
        self.current.send_replace(Arc::new(Snapshot::new(people, devices)));
        Ok(())
    }
}
