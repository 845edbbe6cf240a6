//! What each device shows is what the server says to the same person, and each was told everything once.

use super::{Evidence, Read, View};
use gatepass_client::Notice;
use gatepass_core::event::{Event, Fact};
use gatepass_core::wire::Verdict;
use std::collections::BTreeMap;
use std::fmt::Debug;
use uuid::Uuid;

pub fn check(evidence: &Evidence, read: &Read, wrong: &mut Vec<String>) {
    for view in &evidence.views {
        if let Some(problem) = &view.problem {
            wrong.push(format!("{}’s device says: {problem}", view.handle));
        }
        same(&view.handle, "requests", &view.requests, &view.server_requests, wrong);
        same(&view.handle, "accesses", &view.grants, &view.server_grants, wrong);
        for (request, shown) in view.server_requests.iter().map(|r| (r.id, r.state)) {
            if read.states.get(&request).map(|s| s.state) != Some(shown) {
                wrong.push(format!("the server shows {} {request} as {shown:?}", view.handle));
            }
        }
        told(view, read, wrong);
    }
}

fn same<T: PartialEq + Debug>(handle: &str, what: &str, device: &[T], server: &[T], wrong: &mut Vec<String>) {
    if device.len() != server.len() {
        let (shown, there) = (device.len(), server.len());
        wrong.push(format!("{handle}’s device shows {shown} {what}, and the server {there}"));
    }
    if let Some((device, server)) = device.iter().zip(server).find(|(device, server)| device != server) {
        wrong.push(format!("{handle}’s device shows other {what} than the server: {device:?}, {server:?}"));
    }
}

/// Which kind of news, and about what.
type News = (&'static str, Uuid);

fn news(notice: &Notice) -> News {
    match notice {
        Notice::NeedsYou { request } => ("needs you", request.id.0),
        Notice::Approved { request } => ("approved", request.id.0),
        Notice::Denied { request } => ("denied", request.id.0),
        Notice::Lapsed { request } => ("lapsed", request.id.0),
        Notice::Ready { grant } => ("ready", grant.id.0),
        Notice::Extended { grant } => ("extended", grant.id.0),
        Notice::Ended { grant } | Notice::AfterAll { grant } => ("ended", grant.id.0),
        Notice::Alarm { grant } => ("alarm", grant.id.0),
        Notice::Delayed { grant } => ("delayed", grant.id.0),
        Notice::Drift { drift } => ("drift", drift.id.0),
        Notice::Drifts { .. } => ("drift", Uuid::nil()),
    }
}

/// What an event may be told as.
fn source(event: &Event) -> Option<News> {
    let request = event.request?.0;
    Some(match &event.fact {
        Fact::RequestCreated { .. } => ("needs you", request),
        Fact::RequestGranted { .. } => ("approved", request),
        Fact::RequestDenied { .. } => ("denied", request),
        Fact::RequestLapsed => ("lapsed", request),
        Fact::GrantActive { grant, .. } => ("ready", grant.0),
        Fact::GrantExtended { grant, .. } => ("extended", grant.0),
        Fact::GrantEnded { grant, .. } | Fact::GrantFailed { grant, .. } => ("ended", grant.0),
        Fact::GrantDelayed { grant, attempts: 1, .. } => ("delayed", grant.0),
        Fact::GrantDelayed { grant, attempts: 3, .. } => ("alarm", grant.0),
        _ => return None,
    })
}

fn told(view: &View, read: &Read, wrong: &mut Vec<String>) {
    let count = |of: &mut dyn Iterator<Item = News>| {
        of.fold(BTreeMap::<News, usize>::new(), |mut counts, news| {
            *counts.entry(news).or_default() += 1;
            counts
        })
    };
    let notices = count(&mut view.notices.iter().map(news));
    let sources = count(&mut read.events.iter().filter_map(|(_, event)| source(event)));
    for ((kind, id), times) in &notices {
        let most = sources.get(&(*kind, *id)).copied().unwrap_or(0);
        if *times > most {
            wrong.push(format!("{} was told “{kind}” of {id} {times} times, of {most}", view.handle));
        }
    }
    if view.reopened {
        return;
    }
    // What stays true is told however late it is heard of.
    for request in read.states.values() {
        let mine = request.by == view.person;
        let verdict = request.approvals.iter().any(|a| a.by == view.person).then_some(Verdict::Approve);
        let lasting = sources.keys().filter(|(kind, id)| match *kind {
            "denied" | "lapsed" => mine && *id == request.id.0,
            "ended" => (mine || verdict.is_some()) && request.grant.as_ref().is_some_and(|g| g.id.0 == *id),
            _ => false,
        });
        for (kind, id) in lasting.filter(|news| !notices.contains_key(news)) {
            wrong.push(format!("{} was never told “{kind}” of {id}", view.handle));
        }
    }
}
