//! The clipboard, from here rather than from the page. A password does not stay on it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arboard::SetExtLinux as _;
use gatepass_client::ui::Failure;
use gatepass_core::Code;
use zeroize::Zeroizing;

/// How long a password stays.
const STAY: Duration = Duration::from_secs(30);

/// Kept open while the app runs: on X11 the text is gone with its owner.
#[derive(Clone, Default)]
pub struct Clipboard(Arc<Mutex<Option<arboard::Clipboard>>>);

impl Clipboard {
    /// Puts a text on the clipboard.
    pub fn copy(&self, text: String) -> Result<(), Failure> {
        self.with(|clipboard| clipboard.set_text(text))
    }

    /// Puts a password on the clipboard, hidden from clipboard histories that respect it, and clears it after
    /// 30 seconds when it is still there.
    pub fn copy_secret(&self, secret: Zeroizing<String>) -> Result<(), Failure> {
        self.with(|clipboard| clipboard.set().exclude_from_history().text(secret.as_str()))?;
        let this = self.clone();
        tauri::async_runtime::spawn(async move {
            tokio::time::sleep(STAY).await;
            let cleared = this.with(|clipboard| {
                let still = clipboard.get_text().is_ok_and(|text| Zeroizing::new(text) == secret);
                if still { clipboard.clear() } else { Ok(()) }
            });
            if let Err(failure) = cleared {
                tracing::warn!(%failure, "the clipboard was not cleared");
            }
        });
        Ok(())
    }

    fn with(
        &self,
        act: impl FnOnce(&mut arboard::Clipboard) -> Result<(), arboard::Error>,
    ) -> Result<(), Failure> {
        let failed = |e| Failure::new(Code::Internal, format!("The clipboard can’t be used: {e}"));
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let clipboard = match held.take() {
            Some(clipboard) => clipboard,
            None => arboard::Clipboard::new().map_err(failed)?,
        };
        act(held.insert(clipboard)).map_err(failed)
    }
}
