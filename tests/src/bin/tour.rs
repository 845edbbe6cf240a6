//! Drives two real windows through the way of a request and leaves pictures, light and dark: `tour [DIR]`, into
//! docs/pictures unless told otherwise. README's pictures come from here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gatepass_tests::{Desktop, Person, Session, World, bins, eventually};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

struct Tour {
    dir: PathBuf,
    from: Instant,
}

impl Tour {
    /// The window as it stands, in both themes.
    async fn picture(&self, window: &Desktop, name: &str) {
        for theme in ["light", "dark"] {
            window.script(&format!("document.documentElement.dataset.theme = '{theme}'"), Vec::new()).await;
            still(window).await;
            window.picture(&self.file(&format!("{name}-{theme}"))).await;
        }
        window.script("delete document.documentElement.dataset.theme", Vec::new()).await;
        still(window).await;
        println!("{:4} s  {name}", self.from.elapsed().as_secs());
    }

    /// The whole screen, with both windows and what the desktop shows beside them.
    fn screen(&self, session: &Session, name: &str) {
        let to = self.file(name);
        session.picture(&to);
        mogrify(&["-resize", "1740x"], &to);
        println!("{:4} s  {name}", self.from.elapsed().as_secs());
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.png"))
    }
}

/// Waits until nothing moves but what never rests.
async fn still(window: &Desktop) {
    let script = "return document.getAnimations().every(\
                  a => a.playState !== 'running' || a.effect.getTiming().iterations === Infinity)";
    eventually("nothing moves", async || {
        window.script(script, Vec::new()).await.as_bool().filter(|still| *still)
    })
    .await;
}

#[tokio::main]
async fn main() {
    let dir = std::env::args_os().nth(1).map_or_else(|| bins::root().join("docs/pictures"), PathBuf::from);
    fs::create_dir_all(&dir).expect("the pictures' folder");
    let tour = Tour { dir, from: Instant::now() };
    let session = Session::start((2680, 800)).await;
    let mut world = World::in_session(&session);
    yesterday(&world, &session).await;

    let tomas = Desktop::open(&session, &world.tomas).await;
    tour.picture(&tomas, "signin").await;
    tomas.join(&world.tomas.invite(&world.server)).await;
    tomas.place(20, 20);
    let mara = Desktop::open(&session, &world.mara).await;
    mara.place(1170, 20);

    ask(&tour, &session, &tomas).await;
    decide(&tour, &session, &tomas, &mara, &world).await;
    hold_and_give_back(&tour, &session, &tomas, &mara).await;
    read(&tour, &session, &mut world, tomas, mara).await;
    small(&tour.dir);
}

/// Some history, and somebody else who waits.
async fn yesterday(world: &World, session: &Session) {
    world.noor.join(&world.server);
    world.mara.join(&world.server);
    let lena = Person::new("lena", "Lena Fischer", "backend", &session.home(), session.env());
    lena.join(&world.server);
    let ask = |role: &str, length: &str, reason: &str| {
        lena.json(&["request", role, "--for", length, "--reason", reason])["id"].as_str().unwrap().to_owned()
    };
    let ended = ask("orders-db/fix", "15m", "Order 88 was booked twice");
    world.noor.json(&["approve", &ended]);
    eventually("lena's access", async || lena.grant(&ended).filter(|g| g["state"] == "active")).await;
    lena.json(&["return", &ended]);
    eventually("its end", async || lena.grant(&ended).filter(|g| g["state"] == "ended")).await;
    let denied = ask("orders-db/fix", "1h", "Try something");
    world.mara.json(&["deny", &denied, "--reason", "Say what you want to change, and where"]);
    ask("orders-db/fix", "20m", "Refund for order 61 stuck, customer is on the phone");
}

async fn ask(tour: &Tour, session: &Session, tomas: &Desktop) {
    session.tray.icon(tomas.process).await.click("Request access…").await;
    tomas.click("role-write").await;
    tomas.click("duration-1800").await;
    tomas.fill("reason", "Orders have been stuck in pending since the 09:50 deploy.").await;
    tomas.fill("ticket", "INC-4211").await;
    tomas.see_text("preview", "Mara Okafor").await;
    tour.picture(tomas, "request").await;
    tomas.click("send-request").await;
    tomas.see("request-row-R-4").await;
    tour.picture(tomas, "requests").await;
}

async fn decide(tour: &Tour, session: &Session, tomas: &Desktop, mara: &Desktop, world: &World) {
    session.notifications.shown(mara.process, "Tomás Rivera asks for").await;
    tour.screen(session, "notification");
    session.notifications.choose("Tomás Rivera asks for", "Review").await;
    mara.see("approve").await;
    mara.reads("pending since the 09:50 deploy").await;
    tour.picture(mara, "review").await;
    mara.click("approve").await;
    mara.click("duration-1200").await;
    mara.fill("note", "Go ahead, keep it to the one table.").await;
    mara.reads("Show the exact bytes").await;
    tour.picture(mara, "sign").await;
    mara.click("sign").await;
    mara.gone("sign").await;
    world.noor.json(&["approve", "R-4"]);
    session.notifications.shown(tomas.process, "Ready: write on Orders database").await;
    // One that nobody has to approve, beside it; the command line is the same device.
    world.tomas.json(&["request", "orders-db/read", "--for", "2h", "--reason", "Compare with yesterday"]);
    session.notifications.shown(tomas.process, "Ready: read on Orders database").await;
}

async fn hold_and_give_back(tour: &Tour, session: &Session, tomas: &Desktop, mara: &Desktop) {
    tomas.click("nav-access").await;
    tomas.see("grant-card-R-5").await;
    tomas.see("copy-command").await;
    tour.picture(tomas, "access").await;
    tour.screen(session, "desktop");
    tomas.click("give-back").await;
    tour.picture(tomas, "give-back").await;
    tomas.click("sign").await;
    session.notifications.shown(tomas.process, "Ended: write on Orders database").await;
    tomas.see("ended-R-4").await;
    tomas.reads("checked").await;
    tour.picture(tomas, "ended").await;
    mara.click("nav-review").await;
}

async fn read(tour: &Tour, session: &Session, world: &mut World, tomas: Desktop, mara: Desktop) {
    mara.click("nav-audit").await;
    mara.reads("Tomás Rivera").await;
    tour.picture(&mara, "audit").await;
    mara.fill("audit-search", "person:tomas kind:grant\u{e007}").await;
    eventually("only what was looked for", async || {
        (!mara.page().await.contains("Lena asked")).then_some(())
    })
    .await;
    tour.picture(&mara, "audit-search").await;
    tomas.click("nav-settings").await;
    tour.picture(&tomas, "settings").await;
    world.server.stop();
    tomas.close();
    let tomas = Desktop::open(session, &world.tomas).await;
    tomas.place(20, 20);
    tomas.see("offline-banner").await;
    tomas.click("nav-audit").await;
    tomas.reads("Tomás Rivera").await;
    tour.picture(&tomas, "audit-offline").await;
}

/// A repository keeps every picture for ever: none may be large.
fn small(dir: &Path) {
    for file in fs::read_dir(dir).expect("the pictures").filter_map(Result::ok).map(|file| file.path()) {
        mogrify(&["+dither", "-colors", "256", "-strip", "-define", "png:compression-level=9"], &file);
        let size = fs::metadata(&file).expect("its size").len();
        assert!(size < 150_000, "{} has {size} bytes", file.display());
    }
}

fn mogrify(how: &[&str], file: &Path) {
    let status = Command::new("mogrify").args(how).arg(file).status();
    assert!(status.is_ok_and(|s| s.success()), "mogrify could not change {}", file.display());
}
