//! `kind = "ldap"`: a directory.

use super::fault;
use super::target::{Kind, TargetSection};
use gatepass_connectors::ldap::Settings;
use gatepass_core::catalogue::Fault;
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeopleSection {
    base: String,
    filter: String,
}

impl TargetSection {
    /// Nothing when a setting is missing, which is told elsewhere.
    pub(super) fn ldap(&self, folder: &Path, faults: &mut Vec<Fault>) -> Option<Kind> {
        let password = self.password(folder, faults);
        let (url, bind_dn, people) = (self.url.as_ref()?, self.bind_dn.as_ref()?, self.people.as_ref()?);
        let settings = Settings {
            url: url.get_ref().clone(),
            starttls: self.starttls.as_ref().is_some_and(|s| *s.get_ref()),
            ca_file: self.ca_file.as_ref().map(|file| folder.join(file.get_ref())),
            bind_dn: bind_dn.get_ref().clone(),
            base: people.get_ref().base.clone(),
            filter: people.get_ref().filter.clone(),
            placeholder: self.placeholder.as_ref().map(|p| p.get_ref().clone()),
        };
        if let Err((setting, message)) = settings.check() {
            let span = match setting {
                "bind_dn" => bind_dn.span(),
                "people" => people.span(),
                _ => url.span(),
            };
            faults.push(Fault { span, message });
        }
        if let (Some(at), Some(path)) = (&self.ca_file, &settings.ca_file)
            && let Err(error) = std::fs::File::open(path)
        {
            let expected = "expected a file with certificates in PEM";
            faults.push(fault(at, format!("{} cannot be read: {error}, {expected}", path.display())));
        }
        if password.is_none() {
            let message = "there is no password for bind_dn, expected password_file or password_env";
            faults.push(Fault { span: bind_dn.span(), message: message.to_owned() });
        }
        Some(Kind::Ldap { settings, password: password? })
    }
}
