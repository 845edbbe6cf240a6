//! Where in the window: the routes the page knows, and what a `gatepass://` link may open.

use gatepass_core::id::{DriftId, GrantId, RequestId};

/// A route of the page, `/review/ID`. Only made here, so only places that exist can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(String);

/// A step that opens on an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Extend,
    Return,
}

impl Place {
    pub fn inbox() -> Self {
        Self("/review".to_owned())
    }

    pub fn review(id: &RequestId) -> Self {
        Self(format!("/review/{id}"))
    }

    pub fn accesses() -> Self {
        Self("/access".to_owned())
    }

    pub fn access(id: &GrantId, step: Option<Step>) -> Self {
        Self(match step {
            None => format!("/access/{id}"),
            Some(Step::Extend) => format!("/access/{id}?step=extend"),
            Some(Step::Return) => format!("/access/{id}?step=return"),
        })
    }

    pub fn ask() -> Self {
        Self("/request".to_owned())
    }

    pub fn ask_for(resource: &str, role: &str) -> Self {
        Self(format!("/request?resource={}&role={}", escape(resource), escape(role)))
    }

    pub fn request(id: &RequestId) -> Self {
        Self(format!("/requests/{id}"))
    }

    pub fn now() -> Self {
        Self("/now".to_owned())
    }

    pub fn drift(id: &DriftId) -> Self {
        Self(format!("/now/{id}"))
    }

    pub fn audit() -> Self {
        Self("/audit".to_owned())
    }

    /// Opens from a link of someone else's making: it fills the invite's field or shows a request, and never
    /// joins, decides or asks by itself. Anything else opens nothing.
    pub fn from_link(link: &str) -> Option<Self> {
        if link.len() > 2048 || link.chars().any(char::is_control) {
            return None;
        }
        let rest = link.strip_prefix("gatepass://")?;
        if rest.strip_prefix("join").is_some_and(|r| r.starts_with('?') || r.starts_with("/?")) {
            return Some(Self(format!("/join?link={}", escape(link))));
        }
        let id = rest.strip_prefix("request/")?.trim_end_matches('/');
        id.parse::<RequestId>().ok().map(|id| Self::request(&id))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ID: &str = "0193a000-0000-7000-8000-000000000001";

    #[test]
    fn an_invite_only_fills_the_field() {
        let link = "gatepass://join?server=http%3A%2F%2F127.0.0.1%3A7420&code=abc";
        let place = Place::from_link(link).unwrap();
        assert_eq!(
            place.as_str(),
            "/join?link=gatepass%3A%2F%2Fjoin%3Fserver%3Dhttp%253A%252F%252F127.0.0.1%253A7420%26code%3Dabc"
        );
    }

    #[test]
    fn a_request_is_only_shown() {
        let place = Place::from_link(&format!("gatepass://request/{ID}")).unwrap();
        assert_eq!(place.as_str(), format!("/requests/{ID}"));
    }

    #[test]
    fn nothing_else_opens() {
        for link in [
            "https://example.com/",
            "gatepass://approve/0193a000-0000-7000-8000-000000000001",
            "gatepass://request/../settings",
            "gatepass://request/",
            "gatepass://joining?x",
            "gatepass://join",
            "gatepass://join?code=a\nb",
            "--hidden",
            "",
        ] {
            assert_eq!(Place::from_link(link), None, "{link}");
        }
        assert_eq!(Place::from_link(&format!("gatepass://join?code={}", "a".repeat(3000))), None);
    }

    #[test]
    fn names_in_a_route_are_escaped() {
        assert_eq!(
            Place::ask_for("orders-db", "a&b=c#d").as_str(),
            "/request?resource=orders-db&role=a%26b%3Dc%23d"
        );
    }
}
