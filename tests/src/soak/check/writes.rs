//! What was acknowledged is in the log once; what was refused is not; of what nobody heard, at most one is.

use super::{About, Answer, Evidence, Read, Write};
use gatepass_core::Code;
use gatepass_core::event::{Event, Fact};
use gatepass_core::text::Digest;
use std::collections::BTreeMap;
use uuid::Uuid;

pub fn check(evidence: &Evidence, read: &Read, wrong: &mut Vec<String>) {
    for write in &evidence.writes {
        let found = read.events.iter().filter(|(_, event)| is(write, event, &evidence.texts)).count();
        // The same may be wanted twice: then one got through, and another was too late.
        let mut same = evidence.writes.iter().filter(|other| one(write, other));
        let other = same.any(|other| !matches!(other.answer, Answer::Refused(_)));
        let what = format!("{} ({:?})", write.kind, write.about);
        match (write.answer, found) {
            (_, 2..) => wrong.push(format!("{what} is in the log {found} times")),
            (Answer::Taken, 0) => wrong.push(format!("{what} was acknowledged, and is not in the log")),
            // Said before anything is looked at; another try of the same may have got through.
            (Answer::Refused(Code::RateLimited), _) => {}
            (Answer::Refused(code), 1) if !other => {
                wrong.push(format!("{what} was refused ({code:?}), and is in the log"));
            }
            _ => {}
        }
    }
}

fn one(write: &Write, other: &Write) -> bool {
    (write.device, write.kind, &write.about) == (other.device, other.kind, &other.about)
}

fn is(write: &Write, event: &Event, texts: &BTreeMap<Digest, String>) -> bool {
    let Some(command) = &event.command else { return false };
    let device = command.body["device"].as_str().and_then(|device| device.parse::<Uuid>().ok());
    if command.body["kind"] != write.kind || device != Some(write.device.0) {
        return false;
    }
    match &write.about {
        About::Mark(mark) => event.fact.digests().iter().any(|(_, digest)| texts.get(digest) == Some(mark)),
        About::Subject(subject) => match &event.fact {
            Fact::GrantEnding { grant, .. } => grant.0 == *subject,
            _ => event.request.is_some_and(|request| request.0 == *subject),
        },
    }
}
