//! Resources and roles: what may be asked for, by whom, who approves, and for how long.

use crate::duration;
use crate::text::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;

/// One `[[resource]]` as written; [`Catalogue::build`] checks and resolves it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceSection {
    pub id: Spanned<String>,
    pub name: String,
    pub environment: String,
    pub target: Spanned<String>,
    #[serde(default)]
    pub role: Vec<Spanned<RoleSection>>,
}

/// One `[[resource.role]]` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSection {
    pub id: Spanned<String>,
    pub name: String,
    pub grants: Spanned<Vec<String>>,
    pub ask: Spanned<Vec<String>>,
    pub approve: Vec<Spanned<NeedSection>>,
    pub default: Spanned<Length>,
    pub max: Spanned<Length>,
    pub min: Option<Spanned<Length>>,
    pub lapse: Option<Length>,
    #[serde(default)]
    pub reason: Reason,
    pub ticket: Option<Spanned<String>>,
    pub session: Option<Spanned<Session>>,
}

/// One `{ from = […], count = N }` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeedSection {
    pub from: Vec<String>,
    #[serde(default = "one")]
    pub count: u32,
}

fn one() -> u32 {
    1
}

/// A duration as written, in seconds.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Length(#[serde(deserialize_with = "duration::deserialize")] pub u32);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    Required,
    #[default]
    Optional,
}

/// What becomes of open sessions when the access ends, on a target that leaves it to the role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Session {
    /// They go on until they are closed.
    #[default]
    Leave,
    /// They are ended.
    Cut,
}

impl Session {
    /// For serialization: what is not said is left out.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A checked catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Catalogue {
    pub resources: Vec<Resource>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Resource {
    pub id: String,
    pub name: String,
    pub environment: String,
    pub target: String,
    /// Kind of the target: postgres, mariadb, ssh, ldap, webhook, command.
    pub kind: String,
    pub roles: Vec<Role>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Role {
    pub id: String,
    pub name: String,
    pub grants: Vec<String>,
    /// Groups whose members may ask.
    pub ask: Vec<String>,
    pub approve: Vec<Slot>,
    pub default_s: u32,
    pub min_s: u32,
    pub max_s: u32,
    /// Undecided requests lapse after this.
    pub lapse_s: u32,
    pub reason: Reason,
    /// A regular expression the ticket must match.
    pub ticket: Option<String>,
    #[serde(default, skip_serializing_if = "Session::is_default")]
    pub session: Session,
}

/// One need: `count` distinct people from any of the groups `from`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Slot {
    pub from: Vec<String>,
    pub count: u32,
}

/// What is wrong in a configuration, and where: `span` is a byte range of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub span: Range<usize>,
    pub message: String,
}

/// How long undecided requests live unless the role says otherwise.
pub const DEFAULT_LAPSE_S: u32 = 8 * 3_600;

impl Catalogue {
    /// Checks the sections against each other and against `targets` (id, kind). All faults are returned, not only
    /// the first.
    pub fn build(sections: &[ResourceSection], targets: &[(String, String)]) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        let mut resources = Vec::new();
        for section in sections {
            let id = section.id.get_ref();
            check_id(&section.id, "resource", &mut faults);
            if !seen.insert(id.clone()) {
                faults.push(fault(
                    &section.id,
                    format!("resource “{id}” is defined twice, expected another id"),
                ));
            }
            let target = section.target.get_ref();
            let kind = targets.iter().find(|(t, _)| t == target).map(|(_, kind)| kind.clone());
            if kind.is_none() {
                let known = targets.iter().map(|(t, _)| t.as_str()).collect::<Vec<_>>().join(", ");
                faults.push(fault(
                    &section.target,
                    format!("target “{target}” is not defined; expected one of: {known}"),
                ));
            }
            if section.role.is_empty() {
                faults.push(fault(
                    &section.id,
                    format!("resource “{id}” has no [[resource.role]], expected at least one"),
                ));
            }
            let mut role_ids = BTreeSet::new();
            let mut roles = Vec::new();
            for role in &section.role {
                let role = role.get_ref();
                if !role_ids.insert(role.id.get_ref().clone()) {
                    let name = role.id.get_ref();
                    faults.push(fault(
                        &role.id,
                        format!("role “{name}” is defined twice in “{id}”, expected another id"),
                    ));
                }
                if let Some(session) = &role.session
                    && kind.as_deref().is_some_and(|kind| kind != "ssh")
                {
                    let message = "only a role on an ssh target has “session”, expected it to be left out";
                    faults.push(fault(session, message));
                }
                roles.push(role.check(&mut faults));
            }
            resources.push(Resource {
                id: id.clone(),
                name: section.name.clone(),
                environment: section.environment.clone(),
                target: target.clone(),
                kind: kind.unwrap_or_default(),
                roles,
            });
        }
        if faults.is_empty() { Ok(Self { resources }) } else { Err(faults) }
    }

    pub fn resource(&self, id: &str) -> Option<&Resource> {
        self.resources.iter().find(|r| r.id == id)
    }

    pub fn role(&self, resource: &str, role: &str) -> Option<(&Resource, &Role)> {
        let resource = self.resource(resource)?;
        resource.roles.iter().find(|r| r.id == role).map(|role| (resource, role))
    }

    /// The version: SHA-256 over the catalogue's JSON, whose field order is fixed by these types.
    pub fn hash(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

impl RoleSection {
    fn check(&self, faults: &mut Vec<Fault>) -> Role {
        check_id(&self.id, "role", faults);
        if self.grants.get_ref().is_empty() {
            faults.push(fault(&self.grants, "a role must grant something; expected at least one entry"));
        }
        if self.ask.get_ref().is_empty() {
            faults.push(fault(&self.ask, "nobody could ask for this role; expected at least one group"));
        }
        for need in &self.approve {
            if need.get_ref().from.is_empty() {
                faults.push(fault(need, "nobody could approve; expected at least one group in “from”"));
            }
            if need.get_ref().count == 0 {
                faults.push(fault(
                    need,
                    "count is 0, expected at least 1; leave the entry out if nobody has to approve",
                ));
            }
        }
        let (default_s, max_s) = (self.default.get_ref().0, self.max.get_ref().0);
        let min_s = self.min.as_ref().map_or(1, |m| m.get_ref().0);
        if max_s == 0 {
            faults.push(fault(&self.max, "max is nothing, expected at least 1s"));
        }
        if default_s > max_s {
            faults.push(fault(&self.default, "default is longer than max, expected at most max"));
        }
        if default_s < min_s || min_s == 0 {
            faults.push(fault(
                &self.default,
                "default is shorter than min, expected at least min, and min at least 1s",
            ));
        }
        if let Some(pattern) = &self.ticket
            && let Err(error) = regex::Regex::new(pattern.get_ref())
        {
            faults.push(fault(
                pattern,
                format!("ticket is not a pattern, expected a regular expression: {error}"),
            ));
        }
        Role {
            id: self.id.get_ref().clone(),
            name: self.name.clone(),
            grants: self.grants.get_ref().clone(),
            ask: self.ask.get_ref().clone(),
            approve: self
                .approve
                .iter()
                .map(|n| Slot { from: n.get_ref().from.clone(), count: n.get_ref().count })
                .collect(),
            default_s,
            min_s,
            max_s,
            lapse_s: self.lapse.map_or(DEFAULT_LAPSE_S, |l| l.0.max(1)),
            reason: self.reason,
            ticket: self.ticket.as_ref().map(|t| t.get_ref().clone()),
            session: self.session.as_ref().map(|s| *s.get_ref()).unwrap_or_default(),
        }
    }
}

fn fault<T>(at: &Spanned<T>, message: impl Into<String>) -> Fault {
    Fault { span: at.span(), message: message.into() }
}

/// Ids stand in `resource/role`, links and file names: a small alphabet.
fn check_id(id: &Spanned<String>, what: &str, faults: &mut Vec<Fault>) {
    let text = id.get_ref();
    let fine = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !fine {
        faults.push(fault(
            id,
            format!("“{text}” is not a {what} id; expected 1 to 64 letters, digits, “-”, “_” or “.”"),
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[derive(Deserialize)]
    struct File {
        resource: Vec<ResourceSection>,
    }

    fn build(text: &str) -> Result<Catalogue, Vec<Fault>> {
        let file: File = toml::from_str(text).expect("reads");
        Catalogue::build(&file.resource, &[("pg".into(), "postgres".into())])
    }

    const GOOD: &str = r#"
[[resource]]
id = "orders-db"
name = "Orders database"
environment = "production"
target = "pg"
[[resource.role]]
id = "write"
name = "Read and write"
grants = ["orders_writer"]
ask = ["backend"]
approve = [{ from = ["dba"], count = 1 }, { from = ["oncall"] }]
default = "30m"
max = "2h"
reason = "required"
ticket = '^INC-[0-9]+$'
"#;

    #[test]
    fn a_good_catalogue_is_resolved() {
        let catalogue = build(GOOD).expect("good");
        let (resource, role) = catalogue.role("orders-db", "write").expect("there");
        assert_eq!((resource.kind.as_str(), role.max_s, role.min_s), ("postgres", 7200, 1));
        assert_eq!(role.approve[1], Slot { from: vec!["oncall".into()], count: 1 });
        assert_eq!(role.lapse_s, DEFAULT_LAPSE_S);
        assert_eq!(catalogue.hash(), build(GOOD).expect("good").hash());
    }

    #[test]
    fn each_fault_says_where_and_what() {
        for (from, to, says) in [
            ("target = \"pg\"", "target = \"pgg\"", "expected one of: pg"),
            ("default = \"30m\"", "default = \"3h\"", "longer than max"),
            ("'^INC-[0-9]+$'", "'^INC-[0-9+$'", "regular expression"),
            ("count = 1", "count = 0", "at least 1"),
            ("ask = [\"backend\"]", "ask = []", "nobody could ask"),
            ("id = \"write\"", "id = \"wr/ite\"", "not a role id"),
        ] {
            let text = GOOD.replace(from, to);
            let faults = build(&text).expect_err(says);
            assert!(faults[0].message.contains(says), "{faults:?}");
            let value = to.split(" = ").last().unwrap_or_default();
            assert!(text.get(faults[0].span.clone()).is_some_and(|s| s.contains(value) || value.contains(s)));
        }
    }
}
