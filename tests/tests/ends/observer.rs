//! Somebody with a login on the target, who uses it for as long as it lets them: one session that stays open, and a new
//! login twice a second. When was the last time that either worked, by the target's own clock?

use chrono::{DateTime, Utc};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

type Time = DateTime<Utc>;

/// How often the open session is used.
const USED: Duration = Duration::from_millis(50);
/// How often a new login is tried.
const TRIED: Duration = Duration::from_millis(500);
/// Longer than this, an answer is none.
const ANSWER: Duration = Duration::from_secs(10);

/// Who tries, until they are asked what they saw.
pub struct Observer {
    over: watch::Sender<bool>,
    session: JoinHandle<Option<Time>>,
    logins: JoinHandle<Logins>,
}

#[derive(Debug, Default)]
struct Logins {
    last: Option<Time>,
    refused: usize,
}

/// What the observer had.
#[derive(Debug)]
pub struct Seen {
    /// When the open session last answered.
    pub session: Option<Time>,
    /// When a new login last got in.
    pub login: Option<Time>,
    /// New logins that did not.
    pub refused: usize,
}

impl Observer {
    /// Gets in at `url`, makes a table of its own where it may, and goes on trying. Panics when it does not get in:
    /// what was never there can't be seen to end.
    pub async fn start(url: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let client = login(url).await.unwrap_or_else(|| panic!("the holder does not get in"));
        let table =
            format!("CREATE TABLE public.kept_by_its_holder_{} ()", NEXT.fetch_add(1, Ordering::Relaxed));
        client.batch_execute(&table).await.expect("a table of its own");
        let first = now(&client).await.expect("the session answers");
        let (over, watched) = watch::channel(false);
        let session = tokio::spawn(held(client, first, watched.clone()));
        let logins = tokio::spawn(tries(url.to_owned(), watched));
        Self { over, session, logins }
    }

    /// Tries once more with a new login, and says what it had.
    pub async fn seen(self) -> Seen {
        self.over.send_replace(true);
        let session = self.session.await.expect("the session's task");
        let Logins { last, refused } = self.logins.await.expect("the logins' task");
        Seen { session, login: last, refused }
    }
}

impl Seen {
    /// The last time that anything worked.
    pub fn last(&self) -> Time {
        self.session.max(self.login).expect("it got in at least once")
    }
}

async fn held(client: Client, first: Time, over: watch::Receiver<bool>) -> Option<Time> {
    let mut last = first;
    while !*over.borrow() {
        match now(&client).await {
            Some(at) => last = at,
            None => return Some(last),
        }
        sleep(USED).await;
    }
    // Still open when asked: that is what is to be known.
    Some(now(&client).await.unwrap_or(last))
}

async fn tries(url: String, mut over: watch::Receiver<bool>) -> Logins {
    let mut logins = Logins::default();
    loop {
        let last = *over.borrow();
        match login(&url).await {
            Some(client) => logins.last = now(&client).await.or(logins.last),
            None => logins.refused += 1,
        }
        if last {
            return logins;
        }
        let _ = timeout(TRIED, over.changed()).await;
    }
}

/// A session of whoever is in the URL; none when the target does not let them in or is away.
pub async fn login(url: &str) -> Option<Client> {
    let (client, connection) = timeout(ANSWER, tokio_postgres::connect(url, NoTls)).await.ok()?.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// The target's time, when the session still answers: so a slow machine makes nothing later than it was.
async fn now(client: &Client) -> Option<Time> {
    let asked = client.query_one("SELECT clock_timestamp()", &[]);
    timeout(ANSWER, asked).await.ok()?.ok()?.try_get(0).ok()
}
