//! Nothing is left on the target, and no access was there longer after its end than is bound.

use super::{Evidence, Read};
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::request::Request;

/// What a removal may take when nothing is broken, on a machine with several times the work that it has cores for; with
/// nothing else to do it takes half a second.
const USUAL: TimeDelta = TimeDelta::seconds(15);
/// When a node went with the end in its hands, its lease ends first, and others look every two seconds. The same holds
/// for one that was stopped, or could not say that it was done.
const TAKEN_OVER: TimeDelta = TimeDelta::seconds(32);
/// How long before an end something may have broken that holds it up.
const SHADOW: TimeDelta = TimeDelta::seconds(40);
/// The target counts in microseconds, Gatepass in milliseconds.
const ROUNDING: TimeDelta = TimeDelta::milliseconds(1);

/// Answers by how much the latest was late.
pub fn check(evidence: &Evidence, read: &Read, wrong: &mut Vec<String>) -> TimeDelta {
    for name in &evidence.left {
        wrong.push(format!("{name} is left on the target"));
    }
    let mut latest = TimeDelta::zero();
    for request in read.states.values() {
        let Some(grant) = &request.grant else { continue };
        let Some(due) = due(request) else {
            wrong.push(format!("the access of {} never ended", request.number));
            continue;
        };
        let login = evidence.logins.iter().find(|login| login.grant == grant.id);
        let gone = [grant.removal.as_ref().map(|r| r.checked_at), login.map(|login| login.last)];
        for gone in gone.into_iter().flatten() {
            let late = gone - due;
            latest = latest.max(late);
            let bound = bound(evidence, due, gone);
            if late > bound {
                wrong.push(format!(
                    "the access of {} was there until {gone}, {} ms after its end; ending it began {} ms after, and the \
                     bound is {} ms",
                    request.number,
                    late.num_milliseconds(),
                    grant.end.as_ref().map_or(0, |end| (end.at - due).num_milliseconds()),
                    bound.num_milliseconds()
                ));
            }
        }
        let fixed = grant.ends_at.unwrap_or(grant.latest_end) + ROUNDING;
        if let Some(until) = login.and_then(|login| login.until).filter(|until| *until > fixed) {
            wrong
                .push(format!("the target would have let {} in until {until}, past {fixed}", request.number));
        }
    }
    let explained = |login: &&super::Login| {
        !read.states.values().any(|r| r.grant.as_ref().is_some_and(|g| g.id == login.grant))
    };
    for login in evidence.logins.iter().filter(explained) {
        wrong.push(format!("there was a login for {}, of which the log does not speak", login.grant));
    }
    latest
}

/// When the access had to be over: given back, ended, or at its time.
fn due(request: &Request) -> Option<Time> {
    let grant = request.grant.as_ref().filter(|grant| grant.over())?;
    let ended = grant.end.as_ref().map(|end| end.at)?;
    Some(grant.ends_at.map_or(ended, |fixed| fixed.min(ended)))
}

fn bound(evidence: &Evidence, due: Time, gone: Time) -> TimeDelta {
    let broken = |from: Time| evidence.troubles.iter().filter(move |t| t.from <= gone && t.to >= from);
    let mut bound = USUAL;
    if broken(due - SHADOW).next().is_some() {
        bound += TAKEN_OVER;
    }
    // Without the database nobody knows what is due.
    for trouble in broken(due).filter(|t| t.away) {
        bound += trouble.to.min(gone) - trouble.from.max(due);
    }
    bound
}
