//! What holds after every case: nothing of ours is left, and everything else is.

use super::{PATIENCE, Place, Time};
use crate::observer::{Observer, Seen, login};
use gatepass_testkit::postgres::Postgres;
use gatepass_tests::until;
use tokio_postgres::Client;
use uuid::Uuid;

/// What is on the target and not ours.
pub struct Strangers {
    bystander: Option<Client>,
    foreign: String,
}

impl Strangers {
    /// A login with what our roles give and an open session, and a role that looks like ours and is another's.
    pub async fn settle(server: &Postgres, name: &str) -> Self {
        let foreign = format!("gp_{}", Uuid::now_v7().simple());
        server.psql(
            name,
            &format!(
                "CREATE ROLE bystander_{name} LOGIN PASSWORD 'bystander' IN ROLE orders_writer;
                 CREATE ROLE {foreign} LOGIN IN ROLE orders_writer;
                 COMMENT ON ROLE {foreign} IS 'gatepass:{} by gatepass_admin on elsewhere';",
                Uuid::now_v7()
            ),
        );
        let url = server.url(&format!("bystander_{name}"), "bystander", name);
        Self { bystander: Some(login(&url).await.expect("the bystander gets in")), foreign }
    }
}

impl Place {
    /// Every event of the log, as the first node's store has it.
    pub async fn bodies(&self) -> Vec<String> {
        let config = self.nodes[0].read();
        let store = gatepass_server::open_store(&config, Default::default()).await.expect("the store");
        let entries = store.entries(0, 10_000).await.expect("the log reads").entries;
        entries.iter().map(|e| e.body.get().to_owned()).collect()
    }

    /// What holds after every case: the access ended by `bound`, nothing of it is left, and everybody else's is.
    pub async fn over(&mut self, node: usize, observer: Observer, bound: Time) -> Seen {
        self.nothing_left(node).await;
        let seen = observer.seen().await;
        println!(
            "{}: the last access was {} ms before the bound",
            self.name,
            (bound - seen.last()).num_milliseconds()
        );
        assert!(
            seen.last() <= bound,
            "access until {}, and it had to be over by {bound}: {seen:?}",
            seen.last()
        );
        assert!(seen.refused > 0, "a new login was tried after the end: {seen:?}");
        self.others_are_there().await;
        seen
    }

    /// Waits until nothing of ours is left on the target.
    pub async fn gone(&self) {
        until(&format!("nothing is left on the target of {}", self.name), PATIENCE, async || {
            let left = self.left();
            if left.is_empty() { Some(()) } else { None }
        })
        .await;
    }

    /// Waits until neither role, session, object nor job is left.
    pub async fn nothing_left(&self, node: usize) {
        self.gone().await;
        let http = &self.http;
        let url = format!("{}/metrics", self.nodes[node].url);
        until("no job is left", PATIENCE, async || {
            let text = http.get(&url).send().await.ok()?.text().await.ok()?;
            text.lines().any(|line| line == "gatepass_jobs 0").then_some(())
        })
        .await;
    }

    /// What is left of ours.
    pub fn left(&self) -> String {
        let sql = "
            SELECT 'role ' || rolname FROM pg_roles r JOIN pg_shdescription d ON d.objoid = r.oid
             WHERE d.description LIKE 'gatepass:% by gatepass_admin on ' || current_database()
            UNION ALL
            SELECT 'session of ' || usename FROM pg_stat_activity
             WHERE datname = current_database() AND usename LIKE 'gp\\_%'
            UNION ALL
            SELECT 'object ' || relname || ' of ' || relowner::regrole FROM pg_class
             WHERE relname LIKE 'kept_by_its_holder%' AND relowner::regrole::text <> 'orders_writer'
            UNION ALL
            SELECT 'what nobody owns: ' || classid::regclass || ' ' || objid FROM pg_shdepend s
             WHERE refclassid = 'pg_authid'::regclass AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND NOT EXISTS (SELECT FROM pg_authid a WHERE a.oid = s.refobjid)";
        self.target().psql(&self.name, sql)
    }

    pub async fn others_are_there(&mut self) {
        let Some(Strangers { bystander, foreign }) = &self.strangers else { return };
        if let Some(session) = bystander {
            session
                .query_one("SELECT count(*) FROM orders", &[])
                .await
                .expect("the bystander's session goes on");
        }
        let sql = format!(
            "SELECT count(*) FROM pg_roles WHERE rolname IN ('bystander_{}', '{foreign}')",
            self.name
        );
        assert_eq!(self.target().psql(&self.name, &sql), "2", "roles that are not ours stay");
    }

    /// A metric of this node; the sum over its labels.
    pub async fn metric(&self, node: usize, name: &str) -> f64 {
        let text = self.http.get(format!("{}/metrics", self.nodes[node].url)).send().await.expect("metrics");
        let text = text.text().await.expect("text");
        let of =
            text.lines().filter(|l| l.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
        of.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The bystander's session ended with its server; the role has to stay.
    pub fn bystander_left(&mut self) {
        if let Some(strangers) = &mut self.strangers {
            strangers.bystander = None;
        }
    }
}
