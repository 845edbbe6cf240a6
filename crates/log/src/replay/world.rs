//! What the log has said up to a position: who is who, with which keys, under which catalogue, and how requests, accesses
//! and drift stand. Each event is held against it, and then changes it.

use super::read::{Read, Said, What};
use super::stands::{enrols, follows, stands_for};
use super::{Extent, Report};
use chrono::{Datelike as _, TimeDelta};
use gatepass_core::Time;
use gatepass_core::catalogue::Catalogue;
use gatepass_core::command::Command;
use gatepass_core::directory::{Directory, Person};
use gatepass_core::drift::Drift;
use gatepass_core::event::{By, Event, Fact};
use gatepass_core::id::{CommandId, DeviceId, DriftId, EventId, GrantId, Number, PersonId, RequestId};
use gatepass_core::request::Request;
use gatepass_core::text::Digest;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How much clocks of one server’s nodes and targets may differ.
pub const CLOCKS: TimeDelta = TimeDelta::seconds(5);
/// How long it takes at most until every node knows of a change of people, groups or the catalogue: what is decided
/// within may still go by what held before.
pub const HEARD: TimeDelta = TimeDelta::seconds(10);
/// How far the time that a device signs may be from the server’s.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// A rule that does not hold, and what is wrong.
#[derive(Debug)]
pub struct Fault {
    pub rule: &'static str,
    pub message: String,
}

pub type Held<T = ()> = Result<T, Fault>;

/// A fault unless `holds`.
pub fn hold(holds: bool, rule: &'static str, message: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(Fault { rule, message: message() }) }
}

pub fn fault<T>(rule: &'static str, message: impl Into<String>) -> Held<T> {
    Err(Fault { rule, message: message.into() })
}

pub struct Device {
    pub person: PersonId,
    pub disabled: bool,
}

/// Everything of a person was ended.
pub struct Order {
    pub person: PersonId,
    pub reason: Digest,
    pub at: Time,
    signature: String,
}

/// How a request stands.
pub enum Standing {
    /// And when something last happened to it.
    Open { request: Box<Request>, at: Time },
    /// Nothing follows any more.
    Over { number: Number, by: PersonId },
    /// Its beginning may not be read here.
    Unseen,
}

pub struct Known {
    pub drift: Drift,
    /// Whether all of it was there, so that its revision is known.
    pub whole: bool,
}

/// A catalogue that was published.
#[derive(Clone)]
pub struct Published {
    pub hash: Digest,
    pub catalogue: Option<Arc<Catalogue>>,
}

pub struct World {
    pub extent: Extent,
    /// Whether there are positions, up to here, that may not be read.
    pub unread: bool,
    directory: Directory,
    /// What held of a person before, and until when.
    before: Vec<(Time, PersonId, Option<Person>)>,
    pub devices: HashMap<DeviceId, Device>,
    pub orders: HashMap<CommandId, Order>,
    /// As ordered at the server’s console.
    console: HashMap<PersonId, Order>,
    commands: HashSet<CommandId>,
    events: HashSet<EventId>,
    pub published: Option<Published>,
    /// The one before it, and until when.
    pub superseded: Option<(Time, Published)>,
    pub requests: HashMap<RequestId, Standing>,
    pub numbers: HashSet<Number>,
    pub grants: HashMap<GrantId, RequestId>,
    /// What approved extensions allow and no end has been moved by yet.
    pub extensions: HashMap<RequestId, (GrantId, u32)>,
    pub drift: HashMap<DriftId, Known>,
    pub newest: Time,
}

impl World {
    pub fn new(extent: Extent) -> Self {
        Self {
            extent,
            unread: false,
            directory: Directory::default(),
            before: Vec::new(),
            devices: HashMap::new(),
            orders: HashMap::new(),
            console: HashMap::new(),
            commands: HashSet::new(),
            events: HashSet::new(),
            published: None,
            superseded: None,
            requests: HashMap::new(),
            numbers: HashSet::new(),
            grants: HashMap::new(),
            extensions: HashMap::new(),
            drift: HashMap::new(),
            newest: Time::default(),
        }
    }

    /// Whether what is not here may still be in the log.
    pub fn partial(&self) -> bool {
        self.extent == Extent::Whole && self.unread
    }

    /// Whether `test` holds of the people at `at`: as the log has them, or had them until a moment before.
    pub fn people(&self, at: Time, test: impl Fn(&Directory) -> bool) -> bool {
        if test(&self.directory) {
            return true;
        }
        let mut earlier: Option<Directory> = None;
        for (_, person, before) in self.before.iter().rev().take_while(|(until, ..)| *until + HEARD >= at) {
            let directory = earlier.get_or_insert_with(|| self.directory.clone());
            directory.set(*person, before.clone());
            if test(directory) {
                return true;
            }
        }
        false
    }

    pub fn person(&self, person: PersonId) -> Held<&Person> {
        match self.directory.get(person) {
            Some(person) => Ok(person),
            None => fault("person", format!("the person {person} was not recorded before")),
        }
    }

    pub fn record(&mut self, at: Time, person: Person) {
        let id = person.id;
        let before = self.directory.set(id, Some(person));
        self.before.push((at, id, before));
    }

    /// Holds an event against what was before, and takes it in.
    pub fn take(
        &mut self,
        seq: u64,
        read: &Read<'_>,
        texts: &[super::SaltedText],
        report: &mut Report,
    ) -> Held {
        let event = &read.event;
        hold(self.events.insert(event.id), "event-id", || {
            format!("its id {} was another event’s before", event.id)
        })?;
        times(event, read.said.as_ref())?;
        author(event, read.said.is_some())?;
        belongs(event)?;
        if let (By::Person { person, device }, Some(said)) = (event.by, &read.said) {
            self.signed(event, person, device, said)?;
        } else {
            self.unsigned(event)?;
        }
        self.newest = self.newest.max(event.at);
        let command = read.said.as_ref().and_then(|said| match &said.what {
            What::Command(command) => Some(command),
            What::Enroll(_) => None,
        });
        match &event.fact {
            Fact::CataloguePublished { .. }
            | Fact::LogRecovered { .. }
            | Fact::PersonRecorded { .. }
            | Fact::DeviceEnrolled { .. }
            | Fact::PersonRevoked { .. }
            | Fact::PersonErased { .. }
            | Fact::DeviceDisabled { .. } => self.people_event(event, read.said.as_ref(), texts),
            Fact::DriftFound { .. }
            | Fact::DriftKnown { .. }
            | Fact::DriftUnknown { .. }
            | Fact::DriftGone { .. } => self.drift_event(event, command),
            Fact::AccessRemoved { .. } => self.access_removed(event),
            _ => self.request_event(seq, event, read.said.as_ref(), command, report),
        }
    }

    /// An event by a person: with a device of theirs that was not disabled, and what it signed.
    fn signed(&mut self, event: &Event, person: PersonId, device: DeviceId, said: &Said<'_>) -> Held {
        hold(said.device == device, "device", || {
            format!("it is by the device {device}, and {} signed", said.device)
        })?;
        hold((said.at - event.at).abs() <= SKEW + CLOCKS, "time", || {
            format!("it was signed at {} and is said to have happened at {}", said.at, event.at)
        })?;
        let command = match &said.what {
            What::Enroll(body) => {
                self.person(person)?;
                hold(enrols(body, &event.fact), "command", || {
                    "what was signed is another enrolment".to_owned()
                })?;
                return self.new_command(said.id);
            }
            What::Command(command) => command,
        };
        let Some(enrolled) = self.devices.get(&device) else {
            return fault("device", format!("the device {device} was not enrolled before"));
        };
        hold(enrolled.person == person, "device", || {
            format!("the device {device} is {}’s, and the event is by {person}", enrolled.person)
        })?;
        let disabled = enrolled.disabled;
        let usable = |allowed: bool| {
            hold(!disabled || allowed, "device", || format!("the device {device} was disabled before"))
        };
        let (Command::RevokeAll { .. }, false) = (command, matches!(event.fact, Fact::PersonRevoked { .. }))
        else {
            usable(false)?;
            hold(stands_for(command, event), "command", || {
                format!("what was signed, a {}, is not what the event says", command.kind())
            })?;
            return self.new_command(said.id);
        };
        let Some(order) = self.orders.get(&said.id) else {
            return fault("revoke-all", "nothing was ordered before that this would follow from");
        };
        // An admin who ends everything of their own signs what follows with a device that one of these disables.
        usable(order.person == person)?;
        hold(order.signature == said.signature, "command-id", || {
            format!("the id {} was another command’s before", said.id)
        })?;
        self.followed(order, event)
    }

    fn new_command(&mut self, id: CommandId) -> Held {
        hold(self.commands.insert(id), "command-id", || format!("the id {id} was another command’s before"))
    }

    /// What Gatepass did that people could have done follows from an order at its console.
    fn unsigned(&self, event: &Event) -> Held {
        let person = match &event.fact {
            Fact::DeviceDisabled { person, .. } | Fact::ApprovalVoided { person } => Some(*person),
            Fact::RequestWithdrawn
            | Fact::GrantEnding { cause: gatepass_core::wire::EndCause::Revoked, .. } => {
                match self.asker(event.request) {
                    Some(asker) => Some(asker),
                    None if self.partial() => return Ok(()),
                    None => return fault("context", "the request it is about did not begin here before"),
                }
            }
            _ => return Ok(()),
        };
        match person.and_then(|person| self.console.get(&person)) {
            Some(order) => self.followed(order, event),
            None => fault("revoke-all", "nothing was ordered before that this would follow from"),
        }
    }

    fn followed(&self, order: &Order, event: &Event) -> Held {
        let asker = self.asker(event.request);
        let fits = event.at == order.at && follows(order.person, &order.reason, &event.fact, asker);
        hold(fits, "revoke-all", || format!("it does not follow from ending everything of {}", order.person))
    }

    pub fn asker(&self, request: Option<RequestId>) -> Option<PersonId> {
        match self.requests.get(&request?)? {
            Standing::Open { request, .. } => Some(request.by),
            Standing::Over { by, .. } => Some(*by),
            Standing::Unseen => None,
        }
    }

    /// Everything of a person ends from here.
    pub fn order(&mut self, said: Option<&Said<'_>>, person: PersonId, reason: &Digest, at: Time) {
        let signature = said.map(|s| s.signature.to_owned()).unwrap_or_default();
        let order = Order { person, reason: reason.clone(), at, signature };
        match said {
            Some(said) => drop(self.orders.insert(said.id, order)),
            None => drop(self.console.insert(person, order)),
        }
    }
}

/// Whether all times are of years that are reckoned with.
fn times(event: &Event, said: Option<&Said<'_>>) -> Held {
    let of_fact = match &event.fact {
        Fact::RequestCreated { lapses_at, .. } => [Some(*lapses_at), None],
        Fact::RequestGranted { latest_end, .. } => [Some(*latest_end), None],
        Fact::GrantActive { starts_at, ends_at, .. } => [Some(*starts_at), Some(*ends_at)],
        Fact::GrantExtended { ends_at, .. } => [Some(*ends_at), None],
        Fact::GrantEnded { removal, .. }
        | Fact::GrantFailed { removal, .. }
        | Fact::AccessRemoved { removal, .. } => [Some(removal.checked_at), None],
        _ => [None, None],
    };
    let mut all = of_fact.into_iter().flatten().chain([event.at]).chain(said.map(|said| said.at));
    match all.find(|time| !(1970..=9999).contains(&time.year())) {
        Some(time) => fault("event", format!("the event can’t be read: it names the time {time}")),
        None => Ok(()),
    }
}

/// Whether it is by whom its kind can be by.
fn author(event: &Event, signed: bool) -> Held {
    let person = event.by.person().is_some();
    hold(person == signed, "author", || {
        if person {
            "a person did this, and no signed command is there"
        } else {
            "Gatepass did this, and a command is there"
        }
        .to_owned()
    })?;
    let either = match &event.fact {
        Fact::DeviceEnrolled { .. }
        | Fact::RequestCreated { .. }
        | Fact::RequestApproved { .. }
        | Fact::RequestDenied { .. }
        | Fact::DriftKnown { .. }
        | Fact::DriftUnknown { .. } => person,
        Fact::PersonRevoked { .. }
        | Fact::DeviceDisabled { .. }
        | Fact::ApprovalVoided { .. }
        | Fact::RequestWithdrawn
        | Fact::GrantEnding { .. } => true,
        _ => !person,
    };
    hold(either, "author", || {
        let who = if person { "a person does not do" } else { "Gatepass does not do by itself" };
        format!("{} is what {who}", event.fact.kind())
    })
}

/// Whether it names a request exactly when its kind belongs to one.
fn belongs(event: &Event) -> Held {
    let kind = event.fact.kind();
    let of_request = kind.starts_with("request.") || kind.starts_with("grant.");
    let fits = matches!(event.fact, Fact::AccessRemoved { .. }) || of_request == event.request.is_some();
    hold(fits, "context", || {
        let which = if of_request { "names no request" } else { "names a request" };
        format!("it is a {kind} and {which}")
    })
}
