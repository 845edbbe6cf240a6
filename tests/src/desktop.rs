//! One person's desktop app, its real window driven through WebKitWebDriver.

use crate::process::Process;
use crate::wait::eventually;
use crate::{Person, Session, bins};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// A desktop app with its window.
pub struct Desktop {
    /// The window.
    pub window: Client,
    /// The app's process id.
    pub process: u32,
    driver: Process,
}

impl Desktop {
    /// Starts the app for this person's profile with its window open, and waits for the first view.
    pub async fn open(session: &Session, person: &Person) -> Self {
        let (port, native) = (free_port(), free_port());
        let mut driver = session.command(&bins::tool("tauri-driver"));
        driver.env("GATEPASS_HOME", person.home());
        driver.args(["--port", &port.to_string(), "--native-port", &native.to_string()]);
        let driver = Process::start(&format!("driver-{}", person.handle), &driver, &session.logs());
        for port in [port, native] {
            eventually("the window's driver", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok())
                .await;
        }

        let options = json!({
            "application": bins::path("gatepass-desktop"),
            "args": ["--profile", person.handle],
        });
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("browserName".to_owned(), json!("wry"));
        capabilities.insert("tauri:options".to_owned(), options);
        let window = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap_or_else(|e| panic!("no window for {}: {e}\n{}", person.handle, driver.log()));
        let process = app_of(&person.handle, &driver).await;
        let desktop = Self { window, process, driver };
        desktop.see_any(&["nav-access", "invite-link"]).await;
        desktop
    }

    /// Ends the app as if the computer was switched off.
    pub async fn close(self) {
        let _ = self.window.clone().close().await;
    }

    fn find(test_id: &str) -> String {
        format!("[data-testid=\"{test_id}\"]")
    }

    /// Waits for an element and answers its text.
    pub async fn see(&self, test_id: &str) -> String {
        self.see_any(&[test_id]).await
    }

    /// Waits for any of these elements and answers its text.
    pub async fn see_any(&self, test_ids: &[&str]) -> String {
        let selector = test_ids.iter().map(|id| Self::find(id)).collect::<Vec<_>>().join(", ");
        eventually(&format!("{selector} in the window\n{}", self.page().await), async || {
            let element = self.window.find(Locator::Css(&selector)).await.ok()?;
            element.is_displayed().await.ok()?.then_some(())?;
            element.text().await.ok()
        })
        .await
    }

    /// Waits until an element's text holds `text`.
    pub async fn see_text(&self, test_id: &str, text: &str) -> String {
        eventually(&format!("“{text}” in {test_id}"), async || {
            let element = self.window.find(Locator::Css(&Self::find(test_id))).await.ok()?;
            let found = element.text().await.ok()?;
            found.contains(text).then_some(found)
        })
        .await
    }

    /// Waits until the window's text holds `text`.
    pub async fn reads(&self, text: &str) {
        eventually(&format!("“{text}” in the window"), async || {
            self.page().await.contains(text).then_some(())
        })
        .await;
    }

    /// Waits until an element is gone.
    pub async fn gone(&self, test_id: &str) {
        let selector = Self::find(test_id);
        eventually(&format!("{test_id} goes away"), async || {
            self.window.find_all(Locator::Css(&selector)).await.ok()?.is_empty().then_some(())
        })
        .await;
    }

    /// Clicks an element once it can be clicked.
    pub async fn click(&self, test_id: &str) {
        let selector = Self::find(test_id);
        eventually(&format!("{test_id} can be clicked"), async || {
            let element = self.window.find(Locator::Css(&selector)).await.ok()?;
            (element.is_enabled().await.ok()? && element.is_displayed().await.ok()?).then_some(())?;
            (element.attr("aria-disabled").await.ok()?.as_deref() != Some("true")).then_some(())?;
            element.click().await.ok()
        })
        .await;
    }

    /// Replaces what a field holds.
    pub async fn fill(&self, test_id: &str, text: &str) {
        let selector = Self::find(test_id);
        eventually(&format!("{test_id} can be filled"), async || {
            let element = self.window.find(Locator::Css(&selector)).await.ok()?;
            element.clear().await.ok()?;
            element.send_keys(text).await.ok()
        })
        .await;
    }

    /// An attribute or property of an element.
    pub async fn value(&self, test_id: &str, property: &str) -> Option<String> {
        let element = self.window.find(Locator::Css(&Self::find(test_id))).await.ok()?;
        element.prop(property).await.ok()?
    }

    /// The whole text of the page.
    pub async fn page(&self) -> String {
        let text =
            self.window.execute("return document.body ? document.body.innerText : ''", Vec::new()).await;
        text.ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Runs a script in the page.
    pub async fn script(&self, code: &str, args: Vec<Value>) -> Value {
        self.window.execute(code, args).await.expect("run the script")
    }

    /// The window's content as a PNG.
    pub async fn picture(&self, to: &Path) {
        let png = self.window.screenshot().await.expect("take a picture");
        fs::write(to, png).expect("write the picture");
    }

    /// What the app and its driver said so far.
    pub fn log(&self) -> String {
        self.driver.log()
    }
}

/// The app that this driver started: the process of its group with the profile in its arguments.
async fn app_of(profile: &str, driver: &Process) -> u32 {
    let group = driver.id().to_string();
    eventually("the app's process", async || {
        let pattern = format!("gatepass-desktop.*--profile[ =]{profile}");
        let listed = Command::new("pgrep").args(["-g", &group, "-f", &pattern]).output().ok()?;
        String::from_utf8_lossy(&listed.stdout).lines().next()?.parse().ok()
    })
    .await
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}
