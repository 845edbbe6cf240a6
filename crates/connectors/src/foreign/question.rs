//! What Gatepass asks.

use crate::{Access, TargetError};
use chrono::SecondsFormat;
use gatepass_core::catalogue::Session;
use gatepass_core::id::{GrantId, PersonId};
use serde::Serialize;

/// Raised when a question or an answer changes so that who knows only the one before would get it wrong.
const VERSION: u32 = 1;

#[derive(Serialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub(super) enum Question<'a> {
    Provision {
        grant: GrantId,
        person: Who<'a>,
        grants: &'a [String],
        session: Session,
        until: String,
    },
    Remove {
        grant: GrantId,
    },
    Inspect {
        /// Who else holds any of these is asked for too.
        #[serde(skip_serializing_if = "Option::is_none")]
        grants: Option<&'a [String]>,
    },
}

#[derive(Serialize)]
pub(super) struct Who<'a> {
    id: PersonId,
    handle: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ssh_key: Option<&'a str>,
}

#[derive(Serialize)]
struct Said<'a> {
    version: u32,
    target: &'a str,
    #[serde(flatten)]
    question: &'a Question<'a>,
}

impl<'a> Question<'a> {
    pub fn provision(access: &'a Access) -> Self {
        let holder = &access.holder;
        Self::Provision {
            grant: access.grant,
            person: Who { id: holder.person, handle: &holder.handle, ssh_key: holder.ssh_key.as_deref() },
            grants: &access.grants,
            session: access.session,
            until: access.until.to_rfc3339_opts(SecondsFormat::Millis, true),
        }
    }

    pub fn verb(&self) -> &'static str {
        match self {
            Self::Provision { .. } => "provision",
            Self::Remove { .. } => "remove",
            Self::Inspect { .. } => "inspect",
        }
    }

    pub fn grant(&self) -> Option<GrantId> {
        match self {
            Self::Provision { grant, .. } | Self::Remove { grant } => Some(*grant),
            Self::Inspect { .. } => None,
        }
    }

    pub fn json(&self, target: &str) -> Result<Vec<u8>, TargetError> {
        serde_json::to_vec(&Said { version: VERSION, target, question: self })
            .map_err(|e| TargetError::Configuration(format!("the question cannot be written: {e}")))
    }
}
