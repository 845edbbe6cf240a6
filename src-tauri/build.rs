//! Embeds the window's page and checks the capabilities.

use std::fs;
use std::path::Path;

/// Shown when the desktop was built before the window's page: `generate_context!` needs some page.
const PLACEHOLDER: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Gatepass</title>\
    <p>The window was not built. Run <code>./dev build</code>, then start Gatepass again.</p></html>\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in ["ui/dist", "tauri.conf.json", "src-tauri/capabilities", "icons"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let page = Path::new("ui/dist/index.html");
    if !page.exists() {
        println!("cargo:warning=ui/dist is missing; a placeholder stands in until the ui is built");
        fs::create_dir_all("ui/dist")?;
        fs::write(page, PLACEHOLDER)?;
    }
    let attributes =
        tauri_build::Attributes::new().capabilities_path_pattern("./src-tauri/capabilities/**/*");
    tauri_build::try_build(attributes)?;
    Ok(())
}
