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
    /// Takes a picture of the whole screen into the file that is its last argument.
    camera: Command,
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
            eventually("the window's driver", async || {
                tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
            })
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
        let mut camera = session.command(Path::new("import"));
        camera.args(["-window", "root"]);
        let desktop = Self { window, process, driver, camera };
        desktop.see_any(&["nav-access", "invite-link"]).await;
        desktop
    }

    /// Joins by an invite's link, as somebody who was sent one.
    pub async fn join(&self, link: &str) {
        self.fill("invite-link", link).await;
        self.click("continue").await;
        self.see("nav-access").await;
    }

    /// Puts the window's corner there and in front of others, so that two can be seen.
    pub fn place(&self, x: u32, y: u32) {
        self.xdotool(&["windowmove", &x.to_string(), &y.to_string(), "windowactivate"]);
    }

    /// Ends the app as if the computer was switched off.
    pub fn close(self) {}

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
            // Not WebDriver's own text: it holds a text that is cut at its end for one that is not shown.
            self.window.find(Locator::Css(&selector)).await.ok()?.prop("innerText").await.ok()?
        })
        .await
    }

    /// Waits until an element's text holds `text`.
    pub async fn see_text(&self, test_id: &str, text: &str) -> String {
        eventually(&format!("“{text}” in {test_id}"), async || {
            let element = self.window.find(Locator::Css(&Self::find(test_id))).await.ok()?;
            let found = element.prop("innerText").await.ok()??;
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

    /// Waits until an element is off, and sees that a click on it opens nothing to sign.
    pub async fn click_when_off(&self, test_id: &str) {
        let selector = Self::find(test_id);
        eventually(&format!("{test_id} is off"), async || {
            let element = self.window.find(Locator::Css(&selector)).await.ok()?;
            (element.attr("aria-disabled").await.ok()?.as_deref() == Some("true")).then_some(())?;
            element.click().await.ok()
        })
        .await;
        let signing =
            self.window.find_all(Locator::Css(&Self::find("sign"))).await.expect("look for a step to sign");
        for step in signing {
            let off = step.attr("aria-disabled").await.expect("its state");
            assert_eq!(off.as_deref(), Some("true"), "{test_id} is off and yet there is something to sign");
        }
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

    /// The window's content as a PNG, as it is on the screen. Not WebDriver's own picture: that waits for a change,
    /// and a window at rest has none for a minute.
    pub async fn picture(&self, to: &Path) {
        let id = self.xdotool(&[]).trim().to_owned();
        let mut import = Command::new("import");
        import.envs(self.camera.get_envs().filter_map(|(key, value)| Some((key, value?))));
        import.args(["-window", &id, "png:-"]);
        let mut before = Vec::new();
        // The page's script is done before the screen shows what it did: until two in a row are the same.
        let picture = eventually("the window is at rest", async || {
            let output = import.output().ok().filter(|output| output.status.success())?;
            let same = output.stdout == before;
            before = output.stdout;
            same.then(|| before.clone())
        })
        .await;
        fs::write(to, picture).expect("write the picture");
    }

    /// xdotool on this window: finds it, and goes on with `more`. Answers what it says.
    fn xdotool(&self, more: &[&str]) -> String {
        let mut xdotool = Command::new("xdotool");
        xdotool.envs(self.camera.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let process = self.process.to_string();
        xdotool.args(["search", "--all", "--sync", "--onlyvisible", "--pid", &process, "--name", "Gatepass"]);
        let output = xdotool.args(more).output().expect("run xdotool");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the app and its driver said so far.
    pub fn log(&self) -> String {
        self.driver.log()
    }
}

impl Drop for Desktop {
    /// A test that failed leaves a picture of its screen in `GATEPASS_TEST_PICTURES`.
    fn drop(&mut self) {
        let Some(dir) = std::env::var_os("GATEPASS_TEST_PICTURES").filter(|_| std::thread::panicking())
        else {
            return;
        };
        let name = std::thread::current().name().unwrap_or("window").replace("::", "-");
        let to = Path::new(&dir).join(format!("{name}-{}.png", self.process));
        let _ = self.camera.arg(&to).status();
        eprintln!("---- the screen: {}", to.display());
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
