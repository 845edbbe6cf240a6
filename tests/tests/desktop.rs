//! The way of a request in real windows: real server, real PostgreSQL, real notifications, tray and keyring.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_testkit::Postgres;
use gatepass_tests::process::Process;
use gatepass_tests::{Desktop, Session, World, bins, eventually, until};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const REASON: &str = "Orders have been stuck in pending since the 09:50 deploy";

struct Office {
    tomas: Desktop,
    mara: Desktop,
    world: World,
    session: Session,
}

impl Office {
    /// Tomas and mara at their windows, joined by the links they were sent.
    async fn open() -> Self {
        let session = Session::start((2680, 800)).await;
        let world = World::in_session(&session);
        let tomas = Desktop::open(&session, &world.tomas).await;
        tomas.join(&world.tomas.invite(&world.server)).await;
        let mara = Desktop::open(&session, &world.mara).await;
        tomas.place(20, 20);
        mara.place(1170, 20);
        mara.join(&world.mara.invite(&world.server)).await;
        Self { tomas, mara, world, session }
    }

    /// Tomas asks for a role; answers when he sees his request.
    async fn ask(&self, role: &str, length: &str, ticket: &str) {
        self.session.tray.icon(self.tomas.process).await.click("Request access…").await;
        self.tomas.click(&format!("role-{role}")).await;
        self.tomas.fill("duration-other", length).await;
        self.tomas.fill("reason", REASON).await;
        if !ticket.is_empty() {
            self.tomas.fill("ticket", ticket).await;
        }
        self.tomas.see_text("preview", "Mara Okafor").await;
        self.tomas.click("send-request").await;
        self.tomas.see("request-row-R-1").await;
    }

    /// Mara follows the notification and approves.
    async fn approve(&self, shorter: Option<&str>) {
        self.session.notifications.shown(self.mara.process, "Tomás Rivera asks for").await;
        self.session.notifications.choose("Tomás Rivera asks for", "Review").await;
        self.mara.see("request-row-R-1").await;
        self.mara.reads(REASON).await;
        self.mara.reads("orders_writer").await;
        self.mara.click("approve").await;
        if let Some(length) = shorter {
            self.mara.click(&format!("duration-{length}")).await;
        }
        self.mara.fill("note", "Go ahead").await;
        self.mara.reads("Show the exact bytes").await;
        self.mara.script("document.querySelector('details summary').click()", Vec::new()).await;
        self.mara.reads(r#""verdict":"approve""#).await;
        if let Some(length) = shorter {
            self.mara.reads(&format!(r#""duration_s":{length}"#)).await;
        }
        self.mara.click("sign").await;
        self.mara.gone("sign").await;
    }

    /// What tomas's window gives him to get in.
    async fn login(&self) -> Login {
        self.tomas.click("nav-access").await;
        self.tomas.see("countdown").await;
        self.tomas.see("copy-command").await;
        let page = self.tomas.page().await;
        let line =
            page.lines().find(|line| line.starts_with("psql ")).expect("a psql line").trim().to_owned();
        self.tomas.click("reveal-password").await;
        let password = eventually("the password", async || {
            let shown = self.tomas.see("password").await;
            (!shown.contains('•')).then_some(shown)
        })
        .await;
        Login { line, password }
    }
}

/// The line as it is copied into a shell, and the password it asks for.
struct Login {
    line: String,
    password: String,
}

impl Login {
    fn command(&self, sql: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec {} -XAtq -v ON_ERROR_STOP=1 -c \"$0\"", self.line), sql]);
        shell.env("PGPASSWORD", &self.password).env("PGCONNECT_TIMEOUT", "10");
        shell
    }

    fn runs(&self, sql: &str) -> Result<String, String> {
        let output = self.command(sql).output().expect("run the line");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// A session that stays open, and is there.
    async fn hold(&self, orders: &Postgres, logs: &Path) -> Process {
        let process = Process::start("psql", &self.command("SELECT pg_sleep(600)"), logs);
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'";
        eventually("the open session", async || (orders.psql("orders", sql) == "1").then_some(())).await;
        process
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ask_approve_use_and_give_back() {
    let office = Office::open().await;
    let Office { tomas, mara, world, session } = &office;
    world.noor.join(&world.server);

    office.ask("write", "30m", "INC-4211").await;
    office.approve(Some("900")).await;
    assert_eq!(world.logins(), 0, "one approval is not two");
    world.noor.json(&["approve", "R-1"]);

    let approved = session.notifications.shown(tomas.process, "Approved: write on Orders database").await;
    assert!(
        approved.body.contains("Mara Okafor") && approved.body.contains("15 minutes instead of 30"),
        "{approved:?}"
    );
    session.notifications.shown(tomas.process, "Ready: write on Orders database").await;
    let summaries: Vec<_> = session
        .notifications
        .all()
        .into_iter()
        .filter(|n| n.process == tomas.process)
        .map(|n| n.summary)
        .collect();
    assert!(
        summaries.iter().position(|s| s.starts_with("Approved"))
            < summaries.iter().position(|s| s.starts_with("Ready"))
    );

    let login = office.login().await;
    assert_eq!(login.runs("SELECT count(*) FROM orders").as_deref(), Ok("100"));
    assert_eq!(login.runs("UPDATE orders SET cents = 1 WHERE id = 1").as_deref(), Ok(""));
    for more in ["DROP TABLE orders", "CREATE ROLE more", "CREATE TABLE more ()", "SELECT * FROM pg_authid"] {
        assert!(login.runs(more).is_err(), "{more} is more than the role gives");
    }
    let icon = session.tray.icon(tomas.process).await;
    let label = icon.label("Orders database").await;
    assert!(label.contains("min left"), "{label}");

    let mut held = login.hold(&world.orders, &session.logs()).await;
    tomas.click("give-back").await;
    tomas.click("sign").await;
    tomas.see("ended-R-1").await;
    tomas.reads("checked").await;
    eventually("the open session is ended", async || held.ended().then_some(())).await;
    assert_eq!(world.logins(), 0);
    assert!(login.runs("SELECT 1").is_err(), "the login is gone");
    session.notifications.shown(tomas.process, "Ended: write on Orders database").await;
    mara.click("nav-review").await;
    mara.click("request-row-R-1").await;
    mara.reads("checked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approver_ends_it_early() {
    let office = Office::open().await;
    let Office { tomas, mara, world, session } = &office;
    office.ask("fix", "10m", "").await;
    office.approve(None).await;
    session.notifications.shown(tomas.process, "Ready: fix on Orders database").await;
    let login = office.login().await;
    let mut held = login.hold(&world.orders, &session.logs()).await;

    mara.click("nav-review").await;
    mara.click("request-row-R-1").await;
    mara.click("end-access").await;
    mara.fill("note", "The import is being run again").await;
    mara.click("sign").await;

    eventually("the open session is ended", async || held.ended().then_some(())).await;
    let ended = session.notifications.shown(tomas.process, "Ended: fix on Orders database").await;
    assert!(ended.body.contains("By Mara Okafor"), "{ended:?}");
    tomas.see("ended-R-1").await;
    tomas.reads("checked").await;
    assert_eq!(world.logins(), 0);
    assert!(login.runs("SELECT 1").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_when_it_ends_soon_and_ends_by_itself() {
    let office = Office::open().await;
    let Office { tomas, mara, world, session } = &office;
    office.ask("fix", "120s", "").await;
    office.approve(None).await;
    session.notifications.shown(tomas.process, "Ready: fix on Orders database").await;
    let login = office.login().await;
    let mut held = login.hold(&world.orders, &session.logs()).await;

    let soon = until("it ends soon", Duration::from_secs(120), async || {
        session
            .notifications
            .all()
            .into_iter()
            .find(|n| n.process == tomas.process && n.summary.starts_with("Ends in"))
    })
    .await;
    let labels: Vec<_> = soon.actions.iter().map(|(_, label)| label.as_str()).collect();
    assert!(labels.contains(&"Extend…") && labels.contains(&"Give back"), "{labels:?}");
    session.notifications.choose(&soon.summary, "Extend…").await;
    tomas.reads("Extend").await;
    assert_eq!(world.logins(), 1, "asking is not extending");

    until("the open session is ended", Duration::from_secs(60), async || held.ended().then_some(())).await;
    session.notifications.shown(tomas.process, "Ended: fix on Orders database").await;
    assert_eq!(world.logins(), 0);
    assert!(login.runs("SELECT 1").is_err());
    mara.click("nav-review").await;
    mara.click("request-row-R-1").await;
    mara.reads("checked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_stays_readable_and_nothing_is_pretended_without_the_server() {
    let Office { tomas, mara, mut world, session } = Office::open().await;
    tomas.click("new-request").await;
    tomas.click("role-fix").await;
    tomas.fill("reason", REASON).await;
    tomas.click("send-request").await;
    mara.click("nav-review").await;
    mara.click("request-row-R-1").await;

    // A decision that does not arrive.
    mara.click("approve").await;
    mara.fill("note", "Kept here").await;
    mara.reads("Show the exact bytes").await;
    world.server.process().freeze();
    mara.click("sign").await;
    until("it says so", Duration::from_secs(60), async || {
        mara.page().await.contains("Not sent").then_some(())
    })
    .await;
    assert_eq!(mara.value("note", "value").await.as_deref(), Some("Kept here"));
    mara.close();
    world.server.kill();

    // Started again without the server.
    let mara = Desktop::open(&session, &world.mara).await;
    mara.see("offline-banner").await;
    mara.click("nav-review").await;
    mara.click("request-row-R-1").await;
    mara.reads(REASON).await;
    mara.click_when_off("approve").await;
    mara.click("nav-audit").await;
    mara.fill("audit-search", "pending since").await;
    mara.reads("Tomás Rivera").await;
    let icon = session.tray.icon(mara.process).await;
    icon.label("Offline").await;

    // And back.
    world.server.serve();
    mara.gone("offline-banner").await;
    assert_eq!(world.logins(), 0, "the decision that was not sent is none");
    mara.click("nav-review").await;
    mara.click("request-row-R-1").await;
    mara.click("approve").await;
    mara.reads("Show the exact bytes").await;
    mara.click("sign").await;
    session.notifications.shown(tomas.process, "Ready: fix on Orders database").await;
    assert_eq!(world.logins(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_from_people_is_text() {
    let Office { tomas, mara, world: _world, session } = Office::open().await;
    let reason = "<b>bold</b> \u{202e}gnikcab & <img src=x onerror=alert(1)>";
    tomas.click("new-request").await;
    tomas.click("role-fix").await;
    tomas.fill("reason", reason).await;
    tomas.click("send-request").await;
    let shown = session.notifications.shown(mara.process, "Tomás Rivera asks for").await;
    assert!(!shown.body.contains("<b>") && !shown.body.contains('\u{202e}'), "{shown:?}");
    mara.click("nav-review").await;
    mara.click("request-row-R-1").await;
    mara.reads("<b>bold</b>").await;
    mara.reads("⟨U+202E⟩").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_hands_its_link_to_the_first_and_nothing_joins_by_itself() {
    let session = Session::start((1280, 800)).await;
    let world = World::in_session(&session);
    let tomas = Desktop::open(&session, &world.tomas).await;
    let link = world.tomas.invite(&world.server);
    let mut second = session.command(&bins::path("gatepass-desktop"));
    second.env("GATEPASS_HOME", world.tomas.home()).args(["--profile", "tomas", &link]);
    let mut second = Process::start("second", &second, &session.logs());
    eventually("the second start ends", async || second.ended().then_some(())).await;
    eventually("the link is in the field", async || {
        tomas.value("invite-link", "value").await.filter(|value| *value == link)
    })
    .await;
    // Used by nobody so far: it still works, once.
    tomas.click("continue").await;
    tomas.see("nav-access").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_keyring_it_says_so_and_keeps_no_key() {
    let mut session = Session::start((1280, 800)).await;
    session.stop_keyring().await;
    let world = World::in_session(&session);
    let tomas = Desktop::open(&session, &world.tomas).await;
    tomas.fill("invite-link", &world.tomas.invite(&world.server)).await;
    tomas.click("continue").await;
    let said = tomas.see("error").await;
    assert!(said.contains("keyring"), "{said}");
    let keys = Command::new("find").arg(world.tomas.home()).args(["-name", "keys.json"]).output().unwrap();
    assert!(keys.stdout.is_empty(), "no key in a file that nobody asked for");

    // And a way on.
    session.unlock_keyring().await;
    tomas.script("document.querySelector('[data-testid=error] button').click()", Vec::new()).await;
    tomas.join(&world.tomas.invite(&world.server)).await;
}
