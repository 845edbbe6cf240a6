//! From asking to the decision.

use super::read::Said;
use super::world::{CLOCKS, HEARD, Held, Published, Standing, World, fault, hold};
use super::{Extent, Report};
use chrono::TimeDelta;
use gatepass_core::Time;
use gatepass_core::catalogue::{Reason, Resource, Role};
use gatepass_core::command::Command;
use gatepass_core::event::{Event, Fact, Rule};
use gatepass_core::id::{GrantId, PersonId, RequestId};
use gatepass_core::quorum;
use gatepass_core::request::{Request, SETUP_LIMIT_S, apply};
use gatepass_core::wire::{GrantState, RequestState};

impl World {
    pub(super) fn request_event(
        &mut self,
        seq: u64,
        event: &Event,
        said: Option<&Said<'_>>,
        command: Option<&Command>,
        report: &mut Report,
    ) -> Held {
        let Some(id) = event.request else { return Ok(()) };
        if let Fact::RequestCreated { .. } = event.fact {
            return self.created(seq, id, event, said, report);
        }
        // Taken out while it is looked at, so that the others can be as well.
        let (request, last) = match self.requests.remove(&id) {
            Some(Standing::Open { request, at }) => (request, at),
            Some(over @ Standing::Over { .. }) => {
                let Standing::Over { number, .. } = &over else { return Ok(()) };
                let message = format!("{number} was over before this");
                let grant = event.fact.kind().starts_with("grant.");
                self.requests.insert(id, over);
                return fault(if grant { "grant-state" } else { "pending" }, message);
            }
            None | Some(Standing::Unseen) if self.partial() => {
                self.requests.insert(id, Standing::Unseen);
                return Ok(());
            }
            _ => return fault("context", format!("the request {id} did not begin here before")),
        };
        hold(event.at + CLOCKS >= last, "time", || {
            format!("it is of {}, and what came before it on {} of {last}", event.at, request.number)
        })?;
        let held = self.held(&request, event, command, report);
        if held.is_ok()
            && let Some(request) = apply(Some(*request), event)
        {
            self.requests.insert(id, standing(request, event.at.max(last)));
        }
        held
    }

    fn held(
        &mut self,
        request: &Request,
        event: &Event,
        command: Option<&Command>,
        report: &mut Report,
    ) -> Held {
        let by = event.by.person();
        match (&event.fact, by) {
            (Fact::RequestApproved { duration_s, .. }, Some(by)) => {
                report.decisions += 1;
                self.approved(request, event, by, command, *duration_s)
            }
            (Fact::RequestDenied { .. }, Some(by)) => {
                report.decisions += 1;
                self.decided(request, event, by, command)
            }
            (Fact::RequestGranted { grant, duration_s, latest_end }, _) => {
                self.granted(request, event, *grant, *duration_s, *latest_end)
            }
            (Fact::RequestWithdrawn, _) => {
                pending(request, "withdrawn")?;
                if let (Some(by), Some(Command::Withdraw { .. })) = (by, command) {
                    hold(by == request.by, "withdrawn", || {
                        format!("{by} withdrew {}, which {} asked for", request.number, request.by)
                    })?;
                    in_time(request, event.at)?;
                }
                Ok(())
            }
            (Fact::RequestLapsed, _) => {
                pending(request, "lapsed")?;
                hold(event.at >= request.lapses_at, "lapse", || {
                    format!("{} lapsed at {}, before {}", request.number, event.at, request.lapses_at)
                })
            }
            (Fact::ApprovalVoided { person }, _) => {
                pending(request, "without an approval again")?;
                hold(request.approvals.iter().any(|a| a.by == *person), "voided", || {
                    format!("{person} had not approved {}", request.number)
                })
            }
            _ => self.grant_event(request, event, command, report),
        }
    }

    fn created(
        &mut self,
        seq: u64,
        id: RequestId,
        event: &Event,
        said: Option<&Said<'_>>,
        report: &mut Report,
    ) -> Held {
        let Some(request) = apply(None, event) else {
            return fault("author", "nobody asked for this request");
        };
        hold(said.is_some_and(|said| RequestId::from(said.id) == id), "request-id", || {
            format!("the request {id} has another id than the command that asked")
        })?;
        hold(!self.requests.contains_key(&id), "request-id", || {
            format!("the request {id} was asked for before")
        })?;
        let number = request.number;
        hold(self.numbers.insert(number), "request-id", || format!("{number} was another request before"))?;
        let lapse = self.rule(seq, &request, event.at, report)?;
        let rule = &request.rule;
        hold(self.people(event.at, |d| d.in_any(request.by, &rule.ask)), "asker", || {
            format!("{}, who asked for {}, is in none of {}", request.by, role(&request), rule.ask.join(", "))
        })?;
        hold((1..=rule.max_s).contains(&request.duration_s), "duration", || {
            format!(
                "{number} asks for {} s, and {} gives {} s at most",
                request.duration_s,
                role(&request),
                rule.max_s
            )
        })?;
        let end = match request.extends {
            Some(grant) => self.extends(&request, grant, event.at)?,
            None => None,
        };
        if let Some(lapse_s) = lapse
            && (request.extends.is_none() || end.is_some())
        {
            let lapses = event.at + TimeDelta::seconds(lapse_s.into());
            let lapses = end.map_or(lapses, |end| lapses.min(end));
            hold(request.lapses_at == lapses, "lapse", || {
                format!("{number} lapses at {}, and should at {lapses}", request.lapses_at)
            })?;
        }
        self.requests.insert(id, Standing::Open { request: Box::new(request), at: event.at });
        Ok(())
    }

    /// The catalogue that a request made at `at` may name.
    fn in_force(&self, request: &Request, at: Time) -> Held<Option<Published>> {
        let named = &request.rule.catalogue;
        let before = self.superseded.as_ref().filter(|(until, _)| *until + HEARD >= at).map(|(_, p)| p);
        match self.published.iter().chain(before).find(|p| p.hash == *named) {
            Some(published) => Ok(Some(published.clone())),
            // What was published before is not among the parts.
            None if self.published.is_none() && self.extent == Extent::Parts => Ok(None),
            None => fault(
                "rule",
                format!("{} is by the catalogue {named}, which was not in force", request.number),
            ),
        }
    }

    /// Holds a request against its role in the catalogue; answers after how long it lapses, where that is known.
    fn rule(&self, seq: u64, request: &Request, at: Time, report: &mut Report) -> Held<Option<u32>> {
        let number = request.number;
        let Some(catalogue) = self.in_force(request, at)?.and_then(|p| p.catalogue) else {
            report.without_catalogue.push(seq);
            return Ok(None);
        };
        let Some((resource, asked)) = catalogue.role(&request.resource, &request.role) else {
            return fault("rule", format!("{} is not in the catalogue", role(request)));
        };
        hold(of(resource, asked, &request.rule), "rule", || {
            format!("{number} is by another rule than the catalogue has for {}", role(request))
        })?;
        hold(request.duration_s >= asked.min_s, "duration", || {
            format!(
                "{number} asks for {} s, and {} takes {} s at least",
                request.duration_s,
                role(request),
                asked.min_s
            )
        })?;
        hold(asked.reason != Reason::Required || request.reason.is_some(), "rule", || {
            format!("{} needs a reason, and {number} has none", role(request))
        })?;
        hold(
            asked.ticket.is_none() || request.ticket.is_some() || request.extends.is_some(),
            "rule",
            || format!("{} needs a ticket, and {number} has none", role(request)),
        )?;
        let certified = resource.kind == "ssh" && request.extends.is_none();
        hold(certified == request.ssh_key.is_some() || request.extends.is_some(), "rule", || {
            format!("{number} has a key to certify only on an ssh target")
        })?;
        Ok(Some(asked.lapse_s))
    }

    /// The request whose grant is meant: `None` when it may not be read here.
    pub(super) fn parent(&self, grant: GrantId) -> Held<Option<&Request>> {
        match self.grants.get(&grant).and_then(|request| self.requests.get(request)) {
            Some(Standing::Open { request, .. }) => Ok(Some(request)),
            Some(Standing::Over { number, .. }) => {
                fault("extension", format!("the access of {number} was over before this"))
            }
            Some(Standing::Unseen) | None if self.partial() => Ok(None),
            _ => fault("context", format!("the access {grant} was not granted here before")),
        }
    }

    /// Holds asking for more time against the access; answers its end.
    fn extends(&self, request: &Request, grant: GrantId, at: Time) -> Held<Option<Time>> {
        let number = request.number;
        let Some(parent) = self.parent(grant)? else { return Ok(None) };
        hold(parent.by == request.by, "extension", || {
            format!("{} asks to extend the access of {}", request.by, parent.by)
        })?;
        hold(parent.resource == request.resource && parent.role == request.role, "extension", || {
            format!("{number} asks for {}, and extends {}", role(request), role(parent))
        })?;
        let end = fits(parent, request.duration_s, request.rule.max_s, number)?;
        hold(at < end, "extension", || format!("the access that {number} extends was over at {end}"))?;
        Ok(Some(end))
    }

    /// What holds of every decision.
    fn decided(&self, request: &Request, event: &Event, by: PersonId, command: Option<&Command>) -> Held {
        let number = request.number;
        pending(request, "decided")?;
        in_time(request, event.at)?;
        hold(by != request.by, "self", || format!("{by} decided on {number}, which they asked for"))?;
        let groups = request.approver_groups();
        hold(self.people(event.at, |d| d.in_any(by, &groups)), "approver", || {
            format!("{by}, who decided on {number}, is in none of {}", groups.join(", "))
        })?;
        hold(request.approvals.iter().all(|a| a.by != by), "twice", || {
            format!("{by} had approved {number} before")
        })?;
        let Some(Command::Decide { revision, shown, .. }) = command else {
            return fault("command", "what was signed is no decision");
        };
        hold(*revision == request.revision && *shown == request.shown(), "shown", || {
            format!("{by} was shown something else than {number}")
        })
    }

    fn approved(
        &self,
        request: &Request,
        event: &Event,
        by: PersonId,
        command: Option<&Command>,
        duration_s: u32,
    ) -> Held {
        self.decided(request, event, by, command)?;
        let said = match command {
            Some(Command::Decide { duration_s, .. }) => duration_s.unwrap_or(request.duration_s),
            _ => 0,
        };
        let number = request.number;
        hold(duration_s == said && (1..=request.duration_s).contains(&duration_s), "allowed", || {
            format!("{by} allows {duration_s} s of the {} s that {number} asks for", request.duration_s)
        })?;
        let given = request.approvers();
        let helps = |d: &_| quorum::helps(&request.rule.approve, &given, by, d);
        hold(self.people(event.at, helps), "needed", || format!("{number} did not need {by}’s approval"))
    }

    fn granted(
        &mut self,
        request: &Request,
        event: &Event,
        grant: GrantId,
        duration_s: u32,
        latest_end: Time,
    ) -> Held {
        let number = request.number;
        pending(request, "granted")?;
        let given = request.approvers();
        let complete = |d: &_| quorum::complete(&request.rule.approve, &given, d);
        hold(self.people(event.at, complete), "quorum", || {
            format!(
                "{number} was granted with {} approvals, which are not those its rule asks for",
                given.len()
            )
        })?;
        hold(self.people(event.at, |d| d.in_any(request.by, &request.rule.ask)), "asker", || {
            format!("{}, who was granted {number}, is in none of {}", request.by, request.rule.ask.join(", "))
        })?;
        let last = request.approvals.last().map_or(request.created_at, |a| a.at);
        hold(event.at >= last && event.at <= last + CLOCKS, "granted", || {
            format!("{number} was granted at {}, and the last decision was at {last}", event.at)
        })?;
        let allowed = request.allowed_s();
        hold(duration_s == allowed, "granted", || {
            format!("{number} was granted {duration_s} s, and {allowed} s were allowed")
        })?;
        let latest = event.at + TimeDelta::seconds(i64::from(SETUP_LIMIT_S) + i64::from(duration_s));
        hold(latest_end == latest, "granted", || {
            format!("{number} is over at {latest_end} at the latest, and should be at {latest}")
        })?;
        let Some(extended) = request.extends else {
            hold(!self.grants.contains_key(&grant), "grant", || {
                format!("the grant {grant} was another request’s before")
            })?;
            self.grants.insert(grant, request.id);
            return Ok(());
        };
        hold(extended == grant, "grant", || format!("{number} extends {extended}, and {grant} was granted"))?;
        if let Some(parent) = self.parent(grant)? {
            fits(parent, duration_s, request.rule.max_s, number)?;
        }
        self.extensions.insert(request.id, (grant, duration_s));
        Ok(())
    }
}

/// Whether the access of `parent` is active and may last so much longer; answers its end.
fn fits(parent: &Request, duration_s: u32, max_s: u32, number: impl std::fmt::Display) -> Held<Time> {
    let active = parent.grant.as_ref().filter(|g| g.state == GrantState::Active);
    let (Some(starts), Some(ends)) = (active.and_then(|g| g.starts_at), active.and_then(|g| g.ends_at))
    else {
        return fault("extension", format!("the access that {number} extends was not active"));
    };
    let whole = (ends - starts).num_seconds() + i64::from(duration_s);
    hold(whole <= i64::from(max_s), "duration", || {
        format!("with {number} the access would last {whole} s, and {max_s} s is the most")
    })?;
    Ok(ends)
}

fn pending(request: &Request, what: &str) -> Held {
    hold(request.state == RequestState::Pending, "pending", || {
        format!("{} was {} before it was {what}", request.number, word(request.state))
    })
}

/// A state as it stands in a sentence.
pub(super) fn word(state: impl std::fmt::Debug) -> String {
    format!("{state:?}").to_lowercase()
}

fn in_time(request: &Request, at: Time) -> Held {
    hold(at < request.lapses_at, "lapse", || {
        format!("{} was decided at {at}, and lapsed at {}", request.number, request.lapses_at)
    })
}

pub(super) fn role(request: &Request) -> String {
    format!("{}/{}", request.resource, request.role)
}

/// Whether a frozen rule is the one of this role.
fn of(resource: &Resource, role: &Role, rule: &Rule) -> bool {
    rule.target == resource.target
        && rule.kind == resource.kind
        && rule.grants == role.grants
        && rule.ask == role.ask
        && rule.approve == role.approve
        && rule.max_s == role.max_s
        && rule.session == role.session
}

/// Nothing follows on a request that gives no access, and on an access that is over.
fn standing(request: Request, at: Time) -> Standing {
    let over = match (request.state, &request.grant) {
        (RequestState::Pending, _) => false,
        (_, Some(grant)) => grant.over(),
        (_, None) => true,
    };
    if over {
        return Standing::Over { number: request.number, by: request.by };
    }
    Standing::Open { request: Box::new(request), at }
}
