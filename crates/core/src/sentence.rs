//! Events as sentences: the facts strong, the glue not.

use crate::drift::{Found, Who};
use crate::duration;
use crate::event::{Event, Fact};
use crate::request::Request;
use crate::view::Lens;
use crate::wire::{EndCause, EventView, Part};
use std::collections::BTreeMap;

/// What Gatepass does by itself is said to be done by this.
const SELF: &str = "Gatepass";

struct Sentence(Vec<Part>);

impl Sentence {
    fn by(name: &str) -> Self {
        Self(vec![Part { text: name.to_owned(), strong: true }])
    }

    fn glue(mut self, text: impl Into<String>) -> Self {
        self.0.push(Part { text: text.into(), strong: false });
        self
    }

    fn fact(mut self, text: impl Into<String>) -> Self {
        self.0.push(Part { text: text.into(), strong: true });
        self
    }

    fn access(self, request: Option<&Request>, lens: &Lens<'_>) -> Self {
        match request {
            Some(r) => {
                let name = lens.catalogue.resource(&r.resource).map_or(&r.resource, |found| &found.name);
                self.fact(r.role.clone()).glue(" on ").fact(name.clone())
            }
            None => self.fact("an access"),
        }
    }
}

/// An event at position `seq` as `lens` shows it; `request` is the projection it belongs to.
/// Whether its texts were erased, and for how long they are kept, is told by whoever has them.
pub fn event_view(seq: u64, event: &Event, request: Option<&Request>, lens: &Lens<'_>) -> EventView {
    let person = event.by.person().map(|p| lens.person(p));
    let (by, by_name) = match &person {
        Some(p) => (p.handle.clone(), p.name.clone()),
        None => ("gatepass".to_owned(), SELF.to_owned()),
    };
    let parts = sentence(event, &by_name, request, lens).0;
    let texts: BTreeMap<String, String> = event
        .fact
        .digests()
        .into_iter()
        .filter(|(field, _)| !matches!(*field, "details" | "document"))
        .filter_map(|(field, digest)| (lens.text)(digest).map(|text| (field.to_owned(), text)))
        .collect();
    EventView {
        seq,
        id: event.id,
        at: event.at,
        kind: event.fact.kind().to_owned(),
        by,
        by_name,
        sentence: parts.iter().map(|p| p.text.as_str()).collect(),
        parts,
        request: event.request,
        number: request.map(|r| r.number.to_string()),
        resource: request
            .map(|r| r.resource.clone())
            .or_else(|| event.fact.found().and_then(|f| f.resources.first().cloned())),
        role: request.map(|r| r.role.clone()),
        texts,
        erased_at: None,
        kept_until: None,
    }
}

fn sentence(event: &Event, by: &str, request: Option<&Request>, lens: &Lens<'_>) -> Sentence {
    let holder = request.map_or_else(|| "someone".to_owned(), |r| lens.person(r.by).name);
    let number = request.map_or_else(|| "a request".to_owned(), |r| r.number.to_string());
    let who = Sentence::by(by);
    match &event.fact {
        Fact::CataloguePublished { catalogue, .. } => {
            who.glue(" published catalogue ").fact(catalogue.0.chars().take(12).collect::<String>())
        }
        Fact::LogRecovered { lost } => who.glue(format!(
            " continues the log from an older copy; what came after it, up to position {}, is lost",
            lost.size
        )),
        Fact::PersonRecorded { person, groups, .. } => {
            let named = who.glue(" recorded ").fact(lens.person(*person).name);
            if groups.is_empty() {
                named.glue(" with no group")
            } else {
                named.glue(format!(" in {}", groups.join(", ")))
            }
        }
        Fact::DeviceEnrolled { name, .. } => match (lens.text)(name) {
            Some(name) => who.glue(" enrolled ").fact(name),
            None => who.glue(" enrolled a device"),
        },
        Fact::PersonRevoked { person, .. } => {
            who.glue(" ended everything of ").fact(lens.person(*person).name)
        }
        Fact::PersonErased { person } => {
            who.glue(" erased what was known of ").fact(lens.person(*person).handle)
        }
        Fact::DeviceDisabled { person, .. } => {
            who.glue(" disabled a device of ").fact(lens.person(*person).name)
        }
        Fact::RequestCreated { duration_s, extends, .. } => {
            let asked = if extends.is_some() { " asked to extend " } else { " asked for " };
            let joint = if extends.is_some() { " by " } else { " for " };
            who.glue(asked).access(request, lens).glue(joint).fact(duration::say(*duration_s))
        }
        Fact::RequestApproved { duration_s, .. } => who
            .glue(" approved ")
            .access(request, lens)
            .glue(" for ")
            .fact(holder)
            .glue(", ")
            .fact(duration::say(*duration_s)),
        Fact::ApprovalVoided { person } => who
            .glue(" voided the approval by ")
            .fact(lens.person(*person).name)
            .glue(" of ")
            .access(request, lens)
            .glue(" for ")
            .fact(holder),
        Fact::RequestGranted { duration_s, .. } => {
            let how = if request.is_some_and(|r| r.rule.approve.is_empty()) {
                " granted at once: "
            } else {
                " granted "
            };
            who.glue(how)
                .access(request, lens)
                .glue(" to ")
                .fact(holder)
                .glue(", ")
                .fact(duration::say(*duration_s))
        }
        Fact::RequestDenied { .. } => who.glue(" denied ").access(request, lens).glue(" to ").fact(holder),
        Fact::RequestWithdrawn => who.glue(" withdrew ").fact(number),
        Fact::RequestLapsed => Sentence::by(&number).glue(" lapsed: nobody decided in time"),
        Fact::GrantProvisioning { .. } => {
            who.glue(" sets up ").access(request, lens).glue(" for ").fact(holder)
        }
        Fact::GrantActive { starts_at, ends_at, .. } => {
            let length = u32::try_from((*ends_at - *starts_at).num_seconds()).unwrap_or(0);
            who.glue(" gave ")
                .fact(holder)
                .glue(" ")
                .access(request, lens)
                .glue(" for ")
                .fact(duration::say(length))
        }
        Fact::GrantDelayed { attempts: 0, .. } => {
            who.glue(" waits until ").access(request, lens).glue(format!(" of {holder} runs out by itself"))
        }
        Fact::GrantDelayed { attempts, .. } => {
            let ending = request.and_then(|r| r.grant.as_ref()).is_some_and(|g| g.end.is_some());
            let verb = if ending { " could not remove " } else { " could not set up " };
            let tries = if *attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
            who.glue(verb).access(request, lens).glue(format!(" for {holder}, tried {tries}"))
        }
        Fact::GrantExtended { ends_at, .. } => {
            let until = ends_at.format("%H:%M:%S UTC").to_string();
            who.glue(" extended ")
                .access(request, lens)
                .glue(" for ")
                .fact(holder)
                .glue(" until ")
                .fact(until)
        }
        Fact::GrantEnding { cause, .. } => match cause {
            EndCause::Returned => who.glue(" gave back ").access(request, lens),
            EndCause::Revoked => who.glue(" ended ").access(request, lens).glue(" of ").fact(holder),
            EndCause::Expired => who
                .glue(" is ending ")
                .access(request, lens)
                .glue(" of ")
                .fact(holder)
                .glue(": its time is over"),
            EndCause::Missing => who
                .glue(" found ")
                .access(request, lens)
                .glue(" of ")
                .fact(holder)
                .glue(" taken away on the target"),
            EndCause::Failed => {
                who.glue(" gave up setting up ").access(request, lens).glue(" for ").fact(holder)
            }
        },
        Fact::GrantEnded { removal, .. } => {
            let checked = removal.checked_at.format("%H:%M:%S UTC").to_string();
            who.glue(" removed ")
                .access(request, lens)
                .glue(" of ")
                .fact(holder)
                .glue(format!(", checked {checked}"))
        }
        Fact::GrantFailed { .. } => who
            .glue(" could not give ")
            .fact(holder)
            .glue(" ")
            .access(request, lens)
            .glue("; nothing is left on the target"),
        Fact::AccessRemoved { target, removal, .. } => {
            let sessions = match removal.sessions_ended {
                0 => String::new(),
                1 => ", with one open session".to_owned(),
                n => format!(", with {n} open sessions"),
            };
            let what = if request.is_some() {
                who.glue(" removed ").access(request, lens).glue(" of ").fact(holder)
            } else {
                who.glue(" removed ").fact("an access")
            };
            what.glue(" again from ")
                .fact(target.clone())
                .glue(format!(", where no live grant explained it{sessions}"))
        }
        Fact::DriftFound { found, .. } => {
            let (name, verb) = named(found, lens);
            who.glue(" found that ")
                .fact(name)
                .glue(verb)
                .fact(holds(found))
                .glue(" on ")
                .fact(place(found, lens))
                .glue(", and no grant explains it")
        }
        Fact::DriftKnown { found, .. } => who
            .glue(" marked as known that ")
            .fact(named(found, lens).0)
            .glue(named(found, lens).1)
            .fact(holds(found))
            .glue(" on ")
            .fact(place(found, lens)),
        Fact::DriftUnknown { found, .. } => who
            .glue(" no longer takes as known that ")
            .fact(named(found, lens).0)
            .glue(named(found, lens).1)
            .fact(holds(found))
            .glue(" on ")
            .fact(place(found, lens)),
        Fact::DriftGone { found, .. } => {
            let (name, verb) = named(found, lens);
            who.glue(" no longer finds that ")
                .fact(name)
                .glue(verb)
                .fact(holds(found))
                .glue(" on ")
                .fact(place(found, lens))
        }
    }
}

/// Who holds what no grant explains, and the verb that fits.
fn named(found: &Found, lens: &Lens<'_>) -> (String, &'static str) {
    match &found.who {
        Who::Name(name) => ((lens.text)(name).unwrap_or_else(|| "someone".to_owned()), " holds "),
        Who::More(count) => (format!("about {count} more"), " hold "),
    }
}

fn holds(found: &Found) -> String {
    if found.grants.is_empty() { "access".to_owned() } else { found.grants.join(", ") }
}

/// The names of the resources, or of the target when there is none any more.
fn place(found: &Found, lens: &Lens<'_>) -> String {
    let name = |id: &String| lens.catalogue.resource(id).map_or_else(|| id.clone(), |r| r.name.clone());
    let names: Vec<String> = found.resources.iter().map(name).collect();
    if names.is_empty() { found.target.clone() } else { names.join(", ") }
}
