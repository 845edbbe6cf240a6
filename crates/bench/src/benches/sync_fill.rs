//! A server with a long past: whole lives of requests, their commands signed by real devices, put into its store
//! through the store's own port.

use crate::Outcome;
use crate::device::{Device, random};
use crate::place::Place;
use chrono::TimeDelta;
use futures_util::{StreamExt as _, TryStreamExt as _};
use gatepass_core::Time;
use gatepass_core::command::Command;
use gatepass_core::event::{By, Event, Fact, Rule};
use gatepass_core::id::{EventId, GrantId, Number, RequestId};
use gatepass_core::request::apply;
use gatepass_core::text::{Digest, SaltedText};
use gatepass_core::wire::{CatalogueDocument, EndCause, Removal, Verdict};
use gatepass_server::store::{Change, RowChange};
use uuid::Uuid;

/// How many changes wait for the store at once; it puts them into one transaction.
const WAITING: usize = 512;
/// The events of one life.
const LIFE: usize = 7;

/// Whose lives these are.
struct Cast {
    asker: Device,
    approver: Device,
    rule: Rule,
}

/// Fills the place's log with at least so many events; it serves again afterwards.
pub async fn fill(place: &mut Place, events: usize) -> Outcome<()> {
    let (asker, approver) =
        (place.device("tomas", "backend", &[]).await?, place.device("noor", "dba", &[]).await?);
    let CatalogueDocument { hash, catalogue } = asker.get("/v1/catalogue").await?;
    let (resource, role) = catalogue.role("orders-db", "write").ok_or("the role is not in the catalogue")?;
    let rule = Rule {
        catalogue: hash,
        target: resource.target.clone(),
        kind: resource.kind.clone(),
        grants: role.grants.clone(),
        ask: role.ask.clone(),
        approve: role.approve.clone(),
        max_s: role.max_s,
        session: Default::default(),
    };
    let cast = Cast { asker, approver, rule };
    place.stop();
    let config = gatepass_server::Config::load(&place.config())?;
    let store = gatepass_server::open_store(&config, Default::default()).await?;
    let lives = events.div_ceil(LIFE);
    let begin = crate::clock::now() - TimeDelta::minutes(lives as i64);
    futures_util::stream::iter((0..lives).map(|n| cast.live(n, begin + TimeDelta::minutes(n as i64))))
        .map(|change| async {
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(store.commit(change?).await?)
        })
        .buffered(WAITING)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    drop(store);
    place.serve()
}

impl Cast {
    /// One life that began at `from`.
    fn live(&self, number: usize, from: Time) -> Outcome<Change> {
        let (id, grant) = (Uuid::now_v7(), GrantId(Uuid::now_v7()));
        let request = RequestId(id);
        let text = format!(
            "order {number} is stuck in payment since the deploy, customers wait for {}",
            number % 97
        );
        let reason = SaltedText::new(random(), text);
        let digest = reason.digest();
        let at = |seconds: i64| from + TimeDelta::seconds(seconds);
        let asked = Command::Create {
            resource: "orders-db".to_owned(),
            role: "write".to_owned(),
            duration_s: 1800,
            reason: digest.clone(),
            ticket: None,
            ssh_key: None,
        };
        let decided = Command::Decide {
            request,
            revision: 1,
            shown: Digest::of(id.as_bytes()),
            verdict: Verdict::Approve,
            duration_s: Some(1800),
            note: None,
        };
        let removal = Removal { checked_at: at(1201), sessions_ended: 1, attempts: 1 };
        let created = Fact::RequestCreated {
            // The store gives the number.
            number: Number(0),
            resource: "orders-db".to_owned(),
            role: "write".to_owned(),
            rule: self.rule.clone(),
            duration_s: 1800,
            lapses_at: at(8 * 3600),
            reason: digest.clone(),
            ticket: None,
            extends: None,
            ssh_key: None,
        };
        let by_asker = |command| -> Outcome<_> { Ok((self.asker.by(), Some(command))) };
        let (asks, returns) = (
            self.asker.sign(id, at(0), asked)?,
            self.asker.sign(Uuid::now_v7(), at(1200), Command::Return { grant })?,
        );
        let approves = self.approver.sign(Uuid::now_v7(), at(60), decided)?;
        let gatepass = || (By::Gatepass, None);
        let facts = [
            (at(0), by_asker(asks)?, created),
            (
                at(60),
                (self.approver.by(), Some(approves)),
                Fact::RequestApproved { duration_s: 1800, note: None },
            ),
            (at(60), gatepass(), Fact::RequestGranted { grant, duration_s: 1800, latest_end: at(2760) }),
            (at(60), gatepass(), Fact::GrantProvisioning { grant }),
            (at(61), gatepass(), Fact::GrantActive { grant, starts_at: at(61), ends_at: at(1861) }),
            (
                at(1200),
                by_asker(returns)?,
                Fact::GrantEnding { grant, cause: EndCause::Returned, reason: None },
            ),
            (at(1201), gatepass(), Fact::GrantEnded { grant, cause: EndCause::Returned, removal }),
        ];
        let mut change = Change::default();
        let mut state = None;
        for (at, (by, command), fact) in facts {
            let event = Event { id: EventId(Uuid::now_v7()), at, by, request: Some(request), fact, command };
            state = apply(state, &event);
            change.events.push(event);
        }
        change.rows = vec![RowChange { request: state.ok_or("no request came of its events")?, expected: 0 }];
        change.texts.extend(digest.map(|digest| (digest, reason)));
        Ok(change)
    }
}
