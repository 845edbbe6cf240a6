//! Snapshots, the same ones for either store.

use insta::Settings;

/// Ids, times and random bytes differ from run to run; everything else is in the snapshot.
pub fn redacted(check: impl FnOnce()) {
    let mut settings = Settings::clone_current();
    settings.set_sort_maps(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.add_filter(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]");
    settings.add_filter(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", "[time]");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "[sha256]");
    settings.add_filter(r"\b[0-9a-f]{2}(:[0-9a-f]{2}){3}\b", "[fingerprint]");
    settings.add_filter(r"[A-Za-z0-9+/]{86}==", "[signature]");
    settings.add_filter(r"\bA[A-Za-z0-9_-]{75}\b", "[token]");
    settings.add_filter(r"[A-Za-z0-9+/]{43}=", "[key]");
    settings.add_filter(r#""sealed": "[^"]+""#, r#""sealed": "[sealed]""#);
    settings.add_filter(r"[A-Za-z0-9+/]{22}==", "[salt]");
    settings.bind(check);
}
