//! What the person should be told, each event at most once: the position told last is kept in the cache.

use crate::cache::{Cache, blocking};
use crate::client::{Client, Joined};
use crate::ui::Failure;
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::event::{Event, Fact};
use gatepass_core::wire::{
    DriftState, DriftView, GrantState, GrantView, RequestState, RequestView, Trouble, Verdict,
};
use std::sync::Arc;

/// One thing to tell the person now. Views are as of now, not as of the event.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Someone asked, and this person may decide.
    NeedsYou {
        request: RequestView,
    },
    /// People approved theirs; the access is being set up. Not for what nobody had to approve, nor for extensions,
    /// of which [`Notice::Ready`] and [`Notice::Extended`] tell.
    Approved {
        request: RequestView,
    },
    Denied {
        request: RequestView,
    },
    /// Nobody decided on theirs in time.
    Lapsed {
        request: RequestView,
    },
    /// Their access is there.
    Ready {
        grant: GrantView,
    },
    /// The end of their access was moved.
    Extended {
        grant: GrantView,
    },
    /// An access of theirs, or that they approved, is gone and that has been read back; see `removal`. Also an
    /// access of theirs that could not be set up (`state` is failed).
    Ended {
        grant: GrantView,
    },
    /// Setting up an access of theirs, or one they approved, fails and goes on; see `trouble`.
    Delayed {
        grant: GrantView,
    },
    /// An access should be over and its removal failed three times or more; it goes on. For admins, and for those who
    /// may approve it: they answer for it.
    Alarm {
        grant: GrantView,
    },
    /// What such an alarm was about is gone after all.
    AfterAll {
        grant: GrantView,
    },
    /// Access that no grant explains, which this person may mark.
    Drift {
        drift: DriftView,
    },
    /// So many at once.
    Drifts {
        count: usize,
    },
}

/// More drift than this at once is told as a number.
const NAMED: usize = 3;

/// From so many failed removals on it is an alarm, as the server says it.
pub const ALARM: u32 = 3;

/// News older than this is history: it stands in the lists, nobody is disturbed for it.
const STALE: TimeDelta = TimeDelta::hours(1);

/// More than this at once is history too; the last ones are told.
const MOST: u32 = 500;

impl Client {
    /// Sends what is new to whoever takes notices, and remembers that it was sent.
    pub(crate) async fn notify(&self, joined: &Arc<Joined>) -> Result<(), Failure> {
        if self.0.notices.receiver_count() == 0 {
            return Ok(());
        }
        let now = joined.api.now();
        let news = blocking(&joined.cache, move |cache| {
            let size = cache.position()?.size;
            let Some(told) = cache.notified()?.filter(|told| *told < size) else { return Ok(Vec::new()) };
            let from = told.max(size.saturating_sub(MOST.into()));
            let mut news = Vec::new();
            for (_, event) in cache.facts_after(from, MOST)? {
                news.extend(notice(cache, &event, now)?);
            }
            let news = together(news);
            // Before they are shown: rather one lost in a crash than one shown twice.
            cache.set_notified(size)?;
            Ok(news)
        });
        for notice in news.await? {
            let _ = self.0.notices.send(notice);
        }
        Ok(())
    }
}

/// Much drift at once, such as at the first look at a target, is one notice.
fn together(news: Vec<Notice>) -> Vec<Notice> {
    let count = news.iter().filter(|n| matches!(n, Notice::Drift { .. })).count();
    if count <= NAMED {
        return news;
    }
    let rest = news.into_iter().filter(|n| !matches!(n, Notice::Drift { .. }));
    rest.chain([Notice::Drifts { count }]).collect()
}

/// Of what is still open; told once, also when what it holds changed more than once meanwhile.
fn drift(cache: &Cache, event: &Event, now: Time) -> Result<Option<Notice>, Failure> {
    let Fact::DriftFound { drift, .. } = &event.fact else { return Ok(None) };
    let found = cache.drift_of(*drift, now)?;
    let open = found.filter(|d| d.can_mark && d.state == DriftState::Open && d.changed_at == event.at);
    Ok(open.map(|drift| Notice::Drift { drift }))
}

fn notice(cache: &Cache, event: &Event, now: Time) -> Result<Option<Notice>, Failure> {
    let fresh = now - event.at < STALE;
    let Some(id) = event.request else { return drift(cache, event, now) };
    let Some(request) = cache.request(id, now)? else { return Ok(None) };
    let held = |grant| cache.grant(grant, now);
    let mine = request.mine;
    Ok(match &event.fact {
        Fact::RequestCreated { .. } if request.can_decide => Some(Notice::NeedsYou { request }),
        Fact::RequestGranted { .. }
            if mine
                && fresh
                && request.state == RequestState::Approved
                && request.extends.is_none()
                && !request.needs.is_empty() =>
        {
            Some(Notice::Approved { request })
        }
        Fact::RequestDenied { .. } if mine && fresh => Some(Notice::Denied { request }),
        Fact::RequestLapsed if mine && fresh => Some(Notice::Lapsed { request }),
        Fact::GrantActive { grant, .. } if mine => {
            held(*grant)?.filter(|g| g.state == GrantState::Active).map(|grant| Notice::Ready { grant })
        }
        Fact::GrantExtended { grant, .. } if mine && fresh => {
            held(*grant)?.filter(|g| g.state == GrantState::Active).map(|grant| Notice::Extended { grant })
        }
        Fact::GrantEnded { grant, removal, .. } | Fact::GrantFailed { grant, removal, .. }
            if fresh && removal.attempts > ALARM && cache.answers_for(id)? =>
        {
            held(*grant)?.map(|grant| Notice::AfterAll { grant })
        }
        // However long ago: it is still so.
        Fact::GrantDelayed { grant, attempts: ALARM, .. } if cache.answers_for(id)? => {
            let stuck = |t: &Trouble| t.attempts >= ALARM;
            held(*grant)?
                .filter(|g| g.state == GrantState::Ending && g.trouble.as_ref().is_some_and(stuck))
                .map(|grant| Notice::Alarm { grant })
        }
        Fact::GrantEnded { grant, .. } | Fact::GrantFailed { grant, .. }
            if fresh && (mine || request.my_verdict == Some(Verdict::Approve)) =>
        {
            held(*grant)?.map(|grant| Notice::Ended { grant })
        }
        // The first failure of setting up, and not every try after it.
        Fact::GrantDelayed { grant, attempts: 1, .. } if fresh => held(*grant)?
            .filter(|g| g.state != GrantState::Ending && g.trouble.is_some())
            .filter(|g| g.mine || request.my_verdict == Some(Verdict::Approve))
            .map(|grant| Notice::Delayed { grant }),
        _ => None,
    })
}
