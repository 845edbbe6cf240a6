//! The server's clock is set, two days either way, while it runs and while it does not. The target's is right.

use crate::observer::Observer;
use crate::place::{Place, Setup, UP};
use async_trait::async_trait;
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use gatepass_core::wire::GrantState;
use gatepass_server::clock::{BOUND, Clock, SystemClock};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A clock that a test sets. Only what people set: how long the machine is up goes on.
struct Set(TempDir);

impl Set {
    fn right() -> Self {
        assert!(Path::new(FAKETIME).exists(), "faketime is missing: run ./dev setup");
        let set = Self(tempfile::tempdir().unwrap());
        set.by(0);
        set
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("offset")
    }

    fn by(&self, days: i64) {
        let new = self.0.path().join("new");
        fs::write(&new, format!("{days:+}d")).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    fn env(&self) -> Vec<(String, String)> {
        let file = self.file().display().to_string();
        [
            ("LD_PRELOAD", FAKETIME),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

/// What devices go by: the server's clock, as they know it.
struct Off(TimeDelta);

#[async_trait]
impl Clock for Off {
    fn now(&self) -> Time {
        SystemClock.now() + self.0
    }

    async fn sleep_until(&self, due: Time) {
        SystemClock.sleep_until(due - self.0).await;
    }
}

async fn place(set: &Set) -> Place {
    let env = set.env();
    let env: Vec<(&str, &str)> = env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    Place::with(Setup { nodes: &[&env], ..Setup::default() }).await
}

async fn used(place: &Place, seconds: u32) -> (GrantId, Observer, Time) {
    let grant = place.access(0, seconds).await;
    let observer = place.observed(0, grant).await;
    // By the target's clock, which is the test's.
    let guard = "SELECT extract(epoch FROM min(rolvaliduntil)) * 1000 FROM pg_roles r
        JOIN pg_shdescription d ON d.objoid = r.oid
        WHERE d.description LIKE 'gatepass:% by gatepass_admin on ' || current_database()";
    let millis = place.target().psql(&place.name, guard).parse::<f64>().expect("one guard");
    let end = Time::from_timestamp_millis(millis as i64).unwrap();
    let left = end - SystemClock.now();
    assert!(left <= TimeDelta::seconds(seconds.into()), "the guard is by the target's clock: {left} is left");
    (grant, observer, end)
}

/// Set back, nothing becomes longer: neither what is there nor what is given then.
#[tokio::test(flavor = "multi_thread")]
async fn set_back_while_it_runs() {
    let set = Set::right();
    let mut place = place(&set).await;
    let (grant, observer, end) = used(&place, 6).await;
    set.by(-2);
    place.over(0, observer, end + UP).await;
    place.is(0, grant, GrantState::Ended).await;
    assert!(place.metric(0, "gatepass_clock_set_back_seconds").await > 100_000.0, "it says so");
    let (grant, observer, end) = used(&place, 3).await;
    place.over(0, observer, end + UP).await;
    place.is(0, grant, GrantState::Ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn set_back_while_it_is_down() {
    let set = Set::right();
    let mut place = place(&set).await;
    let (grant, observer, end) = used(&place, 8).await;
    place.nodes[0].process.as_mut().unwrap().kill();
    set.by(-2);
    let env = set.env();
    let env: Vec<(&str, &str)> = env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    place.serve(0, &env);
    place.over(0, observer, end + UP).await;
    place.is(0, grant, GrantState::Ended).await;
}

/// Set forward, nothing ends that the target says is still good; then set right again.
#[tokio::test(flavor = "multi_thread")]
async fn set_forward_while_it_runs() {
    let set = Set::right();
    let mut place = place(&set).await;
    let (grant, observer, end) = used(&place, 14).await;
    set.by(2);
    goes_by(&mut place, TimeDelta::days(2)).await;
    let seen = place.over(0, observer, end + UP).await;
    assert!(
        seen.last() > end - BOUND - TimeDelta::milliseconds(500),
        "not ended before its time: {seen:?} {end}"
    );
    place.is(0, grant, GrantState::Ended).await;
    assert!(place.metric(0, "gatepass_ends_held_total").await > 0.0, "the end waited");
    // What is given now ends in time, by a clock that is wrong, and by one that was set right.
    for days in [2, 0] {
        set.by(days);
        let (grant, observer, end) = used(&place, 3).await;
        place.over(0, observer, end + UP).await;
        place.is(0, grant, GrantState::Ended).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn set_forward_while_it_is_down() {
    let set = Set::right();
    let mut place = place(&set).await;
    let (grant, observer, end) = used(&place, 14).await;
    place.nodes[0].process.as_mut().unwrap().kill();
    set.by(2);
    let env = set.env();
    let env: Vec<(&str, &str)> = env.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    place.serve(0, &env);
    goes_by(&mut place, TimeDelta::days(2)).await;
    let seen = place.over(0, observer, end + UP).await;
    assert!(
        seen.last() > end - BOUND - TimeDelta::milliseconds(500),
        "not ended before its time: {seen:?} {end}"
    );
    place.is(0, grant, GrantState::Ended).await;
}

/// Devices take the server's time from its answers, and sign in again when their tokens are over by it.
async fn goes_by(place: &mut Place, off: TimeDelta) {
    let clock: Arc<dyn Clock> = Arc::new(Off(off));
    for someone in [&mut place.tomas, &mut place.dana] {
        someone.clock = clock.clone();
        someone.sign_in().await;
    }
}
