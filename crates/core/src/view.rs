//! Requests and accesses as one person sees them. The server and every client build views with this, from the
//! same projections, so offline review shows what the server saw.

use crate::Time;
use crate::catalogue::{Catalogue, Reason};
use crate::directory::{Directory, Person};
use crate::drift::{Drift, Who};
use crate::id::{PersonId, RequestId};
use crate::quorum;
use crate::request::{Analysis, Request, may_revoke};
use crate::text::Digest;
use crate::wire::{
    DriftKnown, DriftState, DriftView, Given, GrantView, Need, PersonRef, Preview, RequestState, RequestView,
    ResourceView, RoleView, Trouble, Verdict,
};

/// What a view needs beside the projection.
pub struct Lens<'a> {
    pub catalogue: &'a Catalogue,
    pub directory: &'a Directory,
    /// The text behind a digest; `None` when it was erased or is not here.
    pub text: &'a dyn Fn(&Digest) -> Option<String>,
    pub viewer: PersonId,
    pub now: Time,
}

/// Whether `viewer` may see this request and its events: their own, those they may decide, and auditors all.
pub fn may_see(viewer: &Person, request: &Request) -> bool {
    viewer.auditor
        || viewer.admin
        || request.by == viewer.id
        || request.approver_groups().iter().any(|g| viewer.groups.contains(g))
        || request.deciders().any(|by| by == viewer.id)
}

impl Lens<'_> {
    pub fn person(&self, id: PersonId) -> PersonRef {
        match self.directory.get(id) {
            Some(p) => PersonRef { id, handle: p.handle.clone(), name: p.name.clone() },
            None => PersonRef { id, handle: id.to_string(), name: "someone no longer here".to_owned() },
        }
    }

    fn words(&self, digest: Option<&Digest>) -> Option<String> {
        digest.and_then(|d| (self.text)(d))
    }

    fn resource_name(&self, id: &str) -> (String, String) {
        match self.catalogue.resource(id) {
            Some(r) => (r.name.clone(), r.environment.clone()),
            None => (id.to_owned(), String::new()),
        }
    }

    fn role_name(&self, resource: &str, role: &str) -> String {
        self.catalogue.role(resource, role).map_or_else(|| role.to_owned(), |(_, r)| r.name.clone())
    }

    pub fn request(&self, request: &Request) -> RequestView {
        let (resource_name, environment) = self.resource_name(&request.resource);
        let by = self.person(request.by);
        let needs = self.needs(request);
        let approvers = request.approvers();
        let open = request.state == RequestState::Pending && self.now < request.lapses_at;
        let can_decide = open
            && request.by != self.viewer
            && !approvers.contains(&self.viewer)
            && quorum::helps(&request.rule.approve, &approvers, self.viewer, self.directory);
        let with: Vec<PersonId> = approvers.iter().copied().chain([self.viewer]).collect();
        let last_approval = can_decide && quorum::complete(&request.rule.approve, &with, self.directory);
        let denied_by = request.denial.as_ref().map(|d| Given {
            by: self.person(d.by),
            at: d.at,
            note: self.words(d.note.as_ref()),
            duration_s: 0,
        });
        RequestView {
            id: request.id,
            number: request.number.to_string(),
            state: request.state,
            resource_name,
            environment,
            kind: request.rule.kind.clone(),
            role_name: self.role_name(&request.resource, &request.role),
            resource: request.resource.clone(),
            role: request.role.clone(),
            grants: request.rule.grants.clone(),
            by: by.handle,
            by_name: by.name,
            by_id: request.by,
            reason: self.words(request.reason.as_ref()),
            ticket: self.words(request.ticket.as_ref()),
            duration_s: request.duration_s,
            allowed_s: request.allowed_s(),
            created_at: request.created_at,
            lapses_at: request.lapses_at,
            decided_at: request.decided_at,
            my_verdict: self.my_verdict(request),
            denied_by,
            revision: request.revision,
            shown: request.shown(),
            catalogue: request.rule.catalogue.clone(),
            extends: request.extends,
            needs,
            can_decide,
            last_approval,
            mine: request.by == self.viewer,
            grant: request.grant.as_ref().map(|g| g.id),
        }
    }

    fn my_verdict(&self, request: &Request) -> Option<Verdict> {
        if request.denial.as_ref().is_some_and(|d| d.by == self.viewer) {
            return Some(Verdict::Deny);
        }
        request.approvals.iter().any(|a| a.by == self.viewer).then_some(Verdict::Approve)
    }

    fn needs(&self, request: &Request) -> Vec<Need> {
        let approvers = request.approvers();
        let seats = quorum::assign(&request.rule.approve, &approvers, self.directory);
        let mut needs = self.open_needs(&request.rule.approve, request.by);
        for (approval, seat) in request.approvals.iter().zip(seats) {
            let given = Given {
                by: self.person(approval.by),
                at: approval.at,
                note: self.words(approval.note.as_ref()),
                duration_s: approval.duration_s,
            };
            if let Some(need) = seat.and_then(|s| needs.get_mut(s)) {
                need.given.push(given);
            }
        }
        for need in &mut needs {
            if need.given.len() >= need.count as usize {
                need.candidates.clear();
            }
            need.candidates.retain(|c| !approvers.contains(&c.id));
            need.yours = need.candidates.iter().any(|c| c.id == self.viewer);
        }
        needs
    }

    /// The needs of a rule before anyone decided.
    pub fn open_needs(&self, rule: &[crate::catalogue::Slot], asker: PersonId) -> Vec<Need> {
        rule.iter()
            .map(|slot| {
                let candidates: Vec<PersonRef> = self
                    .directory
                    .members(&slot.from)
                    .filter(|p| p.id != asker)
                    .map(|p| PersonRef { id: p.id, handle: p.handle.clone(), name: p.name.clone() })
                    .collect();
                let yours = candidates.iter().any(|c| c.id == self.viewer);
                Need { from: slot.from.clone(), count: slot.count, given: Vec::new(), candidates, yours }
            })
            .collect()
    }

    /// `extension` is the pending request to extend this access, if there is one.
    pub fn grant(&self, request: &Request, extension: Option<RequestId>) -> Option<GrantView> {
        let grant = request.grant.as_ref()?;
        let (resource_name, environment) = self.resource_name(&request.resource);
        let by = self.person(request.by);
        let mine = request.by == self.viewer;
        let running = grant.end.is_none() && !grant.over();
        Some(GrantView {
            id: grant.id,
            request: request.id,
            number: request.number.to_string(),
            state: grant.state,
            resource_name,
            environment,
            kind: request.rule.kind.clone(),
            role_name: self.role_name(&request.resource, &request.role),
            resource: request.resource.clone(),
            role: request.role.clone(),
            by: by.handle,
            by_name: by.name,
            by_id: request.by,
            approved_by: request.approvers().into_iter().map(|p| self.person(p).name).collect(),
            duration_s: grant.duration_s,
            max_s: request.rule.max_s,
            starts_at: grant.starts_at,
            ends_at: grant.ends_at,
            end: grant.end.as_ref().map(|e| e.cause),
            ended_by: grant.end.as_ref().and_then(|e| e.by).map(|p| self.person(p).name),
            end_reason: self.words(grant.end.as_ref().and_then(|e| e.reason.as_ref())),
            ended_at: grant.ended_at,
            removal: grant.removal.clone(),
            trouble: grant.delay.as_ref().map(|d| Trouble {
                attempts: d.attempts,
                message: d.message.clone(),
                since: d.since,
            }),
            mine,
            can_revoke: running && !mine && may_revoke(request, self.viewer, self.directory),
            extension,
        })
    }

    /// `None` when the viewer may not see it.
    pub fn drift(&self, drift: &Drift) -> Option<DriftView> {
        let viewer = self.directory.get(self.viewer)?;
        if !drift.seen_by(viewer) {
            return None;
        }
        let found = &drift.found;
        let resource = found.resources.first().and_then(|id| self.catalogue.resource(id));
        let (name, more) = match &found.who {
            Who::Name(name) => (self.words(Some(name)), None),
            Who::More(count) => (None, Some(*count)),
        };
        Some(DriftView {
            id: drift.id,
            revision: drift.revision,
            state: drift.state,
            target: found.target.clone(),
            kind: resource.map(|r| r.kind.clone()).unwrap_or_default(),
            name,
            more,
            grants: found.grants.clone(),
            resources: found.resources.clone(),
            resource_names: found.resources.iter().map(|id| self.resource_name(id).0).collect(),
            environment: resource.map(|r| r.environment.clone()).unwrap_or_default(),
            found_at: drift.found_at,
            changed_at: drift.changed_at,
            known: drift.known.as_ref().map(|k| DriftKnown {
                by: self.person(k.by),
                at: k.at,
                reason: self.words(Some(&k.reason)),
            }),
            gone_at: drift.gone_at,
            can_mark: drift.state != DriftState::Gone && drift.marked_by(viewer),
        })
    }

    /// The catalogue as this viewer may use it.
    pub fn resources(&self) -> Vec<ResourceView> {
        self.catalogue
            .resources
            .iter()
            .map(|resource| ResourceView {
                id: resource.id.clone(),
                name: resource.name.clone(),
                environment: resource.environment.clone(),
                kind: resource.kind.clone(),
                roles: resource
                    .roles
                    .iter()
                    .map(|role| RoleView {
                        id: role.id.clone(),
                        name: role.name.clone(),
                        grants: role.grants.clone(),
                        default_s: role.default_s,
                        min_s: role.min_s,
                        max_s: role.max_s,
                        reason_required: role.reason == Reason::Required,
                        ticket: role.ticket.clone(),
                        at_once: role.approve.is_empty(),
                        may_ask: self.directory.in_any(self.viewer, &role.ask),
                    })
                    .collect(),
            })
            .collect()
    }

    /// An analysis as a preview for the viewer.
    pub fn preview(&self, analysis: &Analysis, duration_s: u32) -> Preview {
        let rule = analysis.rule.as_ref();
        let approve = rule.map_or(&[][..], |r| &r.approve);
        Preview {
            allowed: analysis.problems.is_empty(),
            problems: analysis.problems.clone(),
            needs: self.open_needs(approve, self.viewer),
            at_once: rule.is_some() && approve.is_empty(),
            grants: rule.map(|r| r.grants.clone()).unwrap_or_default(),
            duration_s,
            lapses_at: (analysis.lapse_s > 0)
                .then(|| self.now + chrono::TimeDelta::seconds(analysis.lapse_s.into())),
            catalogue: self.catalogue.hash(),
        }
    }
}
