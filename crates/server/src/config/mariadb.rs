//! `kind = "mariadb"`: a database of a MariaDB server.

use super::fault;
use super::target::{Kind, Password, TargetSection};
use gatepass_connectors::mariadb::Place;
use gatepass_core::catalogue::Fault;
use secrecy::SecretString;
use std::path::Path;

#[derive(Clone, Debug)]
pub struct MariadbTarget {
    pub url: String,
    pub password: Option<Password>,
    /// Where holders may come from.
    pub account_host: String,
}

const ANYWHERE: &str = "%";

impl TargetSection {
    /// Nothing when the URL is missing, which is told elsewhere.
    pub(super) fn mariadb(&self, folder: &Path, faults: &mut Vec<Fault>) -> Option<Kind> {
        let password = self.password(folder, faults);
        let account_host = match &self.account_host {
            None => ANYWHERE.to_owned(),
            Some(host) => {
                if !is_host(host.get_ref()) {
                    let message = "no account can have that as its host, expected an address, a name or a pattern such as 10.1.%";
                    faults.push(fault(host, message));
                }
                host.get_ref().clone()
            }
        };
        let url = self.url.as_ref()?;
        if let Err(error) = Place::parse(url.get_ref(), &SecretString::default()) {
            faults.push(fault(url, format!("{error}, expected mysql://USER@HOST:PORT/DATABASE")));
        }
        Some(Kind::Mariadb(MariadbTarget { url: url.get_ref().clone(), password, account_host }))
    }
}

/// As the procedures on the target see it.
fn is_host(text: &str) -> bool {
    (1..=60).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '%' | '_' | '/' | '-'))
}
