//! Where a directory is, and how people are found in it.

use super::tls;
use crate::TargetError;
use secrecy::{ExposeSecret, SecretString};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use url::{Host, Url};

/// What stands in a filter for the person's handle.
pub(super) const PERSON: &str = "{person}";

/// A directory as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `ldap://HOST:PORT` or `ldaps://HOST:PORT`
    pub url: String,
    /// Encrypt an `ldap://` connection before anything is said on it.
    pub starttls: bool,
    /// Authorities to verify the server by, in PEM; the system's unless set.
    pub ca_file: Option<PathBuf>,
    pub bind_dn: String,
    /// Where people's entries are.
    pub base: String,
    /// Finds the one entry of a person; `{person}` stands for the handle.
    pub filter: String,
    /// Stands in for the last member of a group that may not be empty; `cn=gatepass-nobody` below the group unless
    /// set.
    pub placeholder: Option<String>,
}

/// Settings that can be used.
pub(super) struct Place {
    pub settings: Settings,
    pub password: SecretString,
    pub url: Url,
    pub host: String,
    pub port: u16,
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Settings {
    /// What can't work, without reading any file. No message repeats the URL.
    ///
    /// # Errors
    /// The first fault: the setting that has it, and a sentence.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        self.parsed().map_err(|message| ("url", message))?;
        if self.bind_dn.trim().is_empty() {
            return Err((
                "bind_dn",
                "bind_dn is empty, expected the DN that Gatepass signs in as".to_owned(),
            ));
        }
        let message = if !self.filter.contains(PERSON) {
            format!("the filter finds the same for everybody, expected {PERSON} in it")
        } else if ldap3::parse_filter(self.filter.replace(PERSON, "x")).is_err() {
            "the filter can't be read, expected one such as (mail={person})".to_owned()
        } else {
            return Ok(());
        };
        Err(("people", message))
    }

    /// The URL, its host and its port.
    fn parsed(&self) -> Result<(Url, String, u16), String> {
        const EXPECTED: &str = "expected ldap://HOST:PORT or ldaps://HOST:PORT";
        let url = Url::parse(&self.url).map_err(|e| format!("the url can't be read ({e}), {EXPECTED}"))?;
        let encrypted = match url.scheme() {
            "ldaps" => true,
            "ldap" => self.starttls,
            _ => return Err(format!("the url is not one of a directory, {EXPECTED}")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("the url has a login in it, {EXPECTED}, and bind_dn beside it"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("the url has more than a server in it, {EXPECTED}"));
        }
        if url.scheme() == "ldaps" && self.starttls {
            return Err("ldaps:// is encrypted from the start, expected no starttls with it".to_owned());
        }
        // In a scheme that the crate does not know, an address is text as well.
        let (host, shown) = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => (name.to_owned(), name.to_owned()),
            Some(Host::Ipv4(address)) => (address.to_string(), address.to_string()),
            Some(Host::Ipv6(address)) => (address.to_string(), format!("[{address}]")),
            _ => return Err(format!("the url names no host, {EXPECTED}")),
        };
        if !encrypted && !loopback(&host) {
            return Err(format!(
                "the password would cross the network to {shown} readable, expected ldaps://, or starttls = true"
            ));
        }
        if encrypted && host.contains(':') {
            return Err("a certificate can't be checked for an IPv6 address here, expected a name".to_owned());
        }
        let port = url.port().unwrap_or(if url.scheme() == "ldaps" { 636 } else { 389 });
        Ok((url, host, port))
    }
}

fn loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
}

impl Place {
    /// Reads `ca_file`, and nothing else.
    pub fn new(settings: Settings, password: &SecretString) -> Result<Self, TargetError> {
        settings.check().map_err(|(_, message)| TargetError::Configuration(message))?;
        let (url, host, port) = settings.parsed().map_err(TargetError::Configuration)?;
        // A directory takes a DN without a password for nobody, and says so by letting it in.
        if password.expose_secret().is_empty() {
            let text = "there is no password for bind_dn: set password_file or password_env";
            return Err(TargetError::Configuration(text.to_owned()));
        }
        let tls = (settings.starttls || url.scheme() == "ldaps")
            .then(|| tls::verified(settings.ca_file.as_deref()))
            .transpose()
            .map_err(|e| TargetError::Configuration(format!("TLS can't be set up: {e}")))?;
        Ok(Self { settings, password: password.clone(), url, host, port, tls })
    }

    /// The filter that finds this person.
    pub fn filter(&self, handle: &str) -> String {
        self.settings.filter.replace(PERSON, &ldap3::ldap_escape(handle))
    }

    pub fn placeholder(&self, group: &str) -> String {
        self.settings.placeholder.clone().unwrap_or_else(|| format!("cn=gatepass-nobody,{group}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings {
            url: url.to_owned(),
            starttls: false,
            ca_file: None,
            bind_dn: "cn=gatepass,dc=example,dc=com".into(),
            base: "ou=people,dc=example,dc=com".into(),
            filter: "(mail={person})".into(),
            placeholder: None,
        }
    }

    #[test]
    fn a_password_crosses_no_network_readable() {
        for url in [
            "ldap://127.0.0.1",
            "ldap://localhost:3890",
            "ldap://[::1]:389",
            "ldaps://db.example",
            "ldap://127.8.9.1/",
        ] {
            assert_eq!(settings(url).check(), Ok(()), "{url}");
        }
        for url in ["ldap://db.example", "ldap://10.0.0.1:389", "ldap://localhost.example"] {
            assert!(settings(url).check().unwrap_err().1.contains("readable"), "{url}");
            assert_eq!(Settings { starttls: true, ..settings(url) }.check(), Ok(()));
        }
    }

    #[test]
    fn what_cant_work_is_told_and_never_repeated() {
        for url in [
            "hunter2",
            "ldap:hunter2",
            "ldap://",
            "http://hunter2",
            "ldap://hunter2:hunter2@localhost",
            "ldap://localhost/dc=hunter2",
            "ldap://localhost:hunter2",
            "ldapi://%2frun%2fhunter2",
        ] {
            let (_, message) = settings(url).check().unwrap_err();
            assert!(!message.contains("hunter2"), "{url}: {message}");
        }
        for filter in ["(mail=x)", "(mail={person}", "mail={person})"] {
            assert!(Settings { filter: filter.into(), ..settings("ldap://localhost") }.check().is_err());
        }
        assert!(Settings { starttls: true, ..settings("ldaps://db.example") }.check().is_err());
        let empty = Place::new(settings("ldap://localhost"), &SecretString::default());
        assert!(matches!(empty, Err(TargetError::Configuration(_))));
    }

    #[test]
    fn a_handle_is_a_value_and_no_filter() {
        let place = Place::new(settings("ldap://localhost"), &"x".into()).unwrap();
        assert_eq!(place.filter("mara@example.com"), "(mail=mara@example.com)");
        assert_eq!(place.filter("*)(uid=*"), r"(mail=\2a\29\28uid=\2a)");
        assert_eq!(place.filter("a\\b\0"), r"(mail=a\5cb\00)");
    }
}
