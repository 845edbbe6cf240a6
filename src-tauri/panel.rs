//! Whether the desktop's panel is dark, which decides the tray icon's colour.

use std::process::Command;
use std::sync::OnceLock;

/// Asked once: a panel seldom changes while the app runs. Unknown panels count as dark, as most are.
pub fn is_dark() -> bool {
    static DARK: OnceLock<bool> = OnceLock::new();
    *DARK.get_or_init(|| decide(&std::env::var("XDG_CURRENT_DESKTOP").unwrap_or_default(), kde_scheme))
}

/// GNOME's and Unity's panels are dark in either theme; KDE's follows the colour scheme.
fn decide(desktop: &str, kde_scheme: impl Fn() -> Option<String>) -> bool {
    let kde = desktop.split(':').any(|name| name.eq_ignore_ascii_case("kde"));
    !kde || kde_scheme().is_some_and(|scheme| scheme.to_lowercase().contains("dark"))
}

fn kde_scheme() -> Option<String> {
    let ask = |program: &str| {
        Command::new(program)
            .args(["--file", "kdeglobals", "--group", "General", "--key", "ColorScheme"])
            .output()
            .ok()
    };
    let output = ask("kreadconfig6").or_else(|| ask("kreadconfig5"))?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_icon_contrasts_with_the_panel() {
        assert!(decide("ubuntu:GNOME", || None));
        assert!(decide("", || None));
        assert!(decide("KDE", || Some("BreezeDark".to_owned())));
        assert!(!decide("KDE", || Some("BreezeLight".to_owned())));
        assert!(!decide("KDE", || None));
    }
}
