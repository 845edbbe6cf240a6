//! Invite links: `gatepass://join?server=<percent-encoded URL>&code=<letters>`.

use crate::ui::Failure;
use gatepass_core::Code;
use gatepass_core::text::Digest;
use url::Url;
use zeroize::Zeroizing;

/// What an invite link says.
pub struct Invite {
    /// Where the server is, http or https.
    pub server: Url,
    /// Single use; worth an enrolment to whoever holds it.
    pub code: Zeroizing<String>,
}

impl Invite {
    /// Reads a link; `Err` says what was expected.
    pub fn parse(link: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let message =
                format!("This is not an invite link: {why}. It looks like gatepass://join?server=…&code=…");
            Failure::new(Code::Malformed, message)
        };
        let url = Url::parse(link.trim()).map_err(|_| wrong("it can’t be read as a link"))?;
        if url.scheme() != "gatepass" || url.host_str() != Some("join") {
            return Err(wrong("it does not start with gatepass://join"));
        }
        let value = |name: &str| url.query_pairs().find(|(k, _)| k == name).map(|(_, v)| v.into_owned());
        let server = value("server").ok_or_else(|| wrong("the server is missing"))?;
        let server =
            server_url(&server).ok_or_else(|| wrong("the server is not an http or https address"))?;
        let code = Zeroizing::new(value("code").ok_or_else(|| wrong("the code is missing"))?);
        if code.len() < 22 || !code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(wrong("the code is not whole"));
        }
        Ok(Self { server, code })
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.code.as_bytes())
    }
}

/// A server's address as a base for paths; `None` unless http or https with a host.
pub(crate) fn server_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return None;
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn reads_a_link() {
        let link = "gatepass://join?server=http%3A%2F%2F127.0.0.1%3A7420&code=abcdefghijklmnopqrstuv";
        let invite = Invite::parse(&format!("  {link}\n")).unwrap();
        assert_eq!(invite.server.as_str(), "http://127.0.0.1:7420/");
        assert_eq!(*invite.code, "abcdefghijklmnopqrstuv");
    }

    #[test]
    fn says_what_is_wrong_and_never_repeats_the_code() {
        for (link, says) in [
            ("hello", "can’t be read"),
            ("https://join?server=x", "gatepass://join"),
            ("gatepass://join?code=abcdefghijklmnopqrstuv", "server is missing"),
            ("gatepass://join?server=ftp%3A%2F%2Fx&code=abcdefghijklmnopqrstuv", "http or https"),
            ("gatepass://join?server=http%3A%2F%2Fx&code=abc", "not whole"),
        ] {
            let Err(failure) = Invite::parse(link) else { panic!("{link}") };
            assert!(failure.message.contains(says), "{}", failure.message);
            assert!(!failure.message.contains("abcdefghij"));
        }
    }
}
