//! The address a request came from, also through proxies.

use crate::app::App;
use crate::config::Network;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Whoever sent the request, as far as it can be believed: the last address of the way here that is no trusted
/// proxy. What stands before that one in `X-Forwarded-For` anybody may have written.
pub struct Peer(pub IpAddr);

impl FromRequestParts<App> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let connected = connected.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).to_canonical();
        let lines = parts.headers.get_all("x-forwarded-for").iter();
        let way: Vec<&str> =
            lines.flat_map(|line| line.to_str().unwrap_or("not text").split(',').map(str::trim)).collect();
        Ok(Self(sender(connected, &way, &app.trusted_proxies)))
    }
}

/// `way` is what the proxies wrote, each the address it was connected to from, in order.
fn sender(connected: IpAddr, way: &[&str], trusted: &[Network]) -> IpAddr {
    let mut sender = connected;
    for written in way.iter().rev() {
        if !trusted.iter().any(|network| network.contains(sender)) {
            break;
        }
        // A proxy that writes no address stands for whoever is behind it.
        let Some(before) = address(written) else { break };
        sender = before;
    }
    sender
}

/// Some proxies add the port.
fn address(written: &str) -> Option<IpAddr> {
    let alone = written.parse().ok();
    let address = alone.or_else(|| written.parse::<SocketAddr>().ok().map(|a| a.ip()));
    let bracketed = || written.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(bracketed).map(|a: IpAddr| a.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        let trusted = networks(&["10.0.0.0/8", "2001:db8::5"]);
        for (connected, way, expected) in [
            // Nothing in front, or nobody that is trusted: what is written there is nobody's word.
            ("203.0.113.7", vec![], "203.0.113.7"),
            ("203.0.113.7", vec!["198.51.100.1"], "203.0.113.7"),
            ("203.0.113.7", vec!["10.0.0.1"], "203.0.113.7"),
            // One proxy, and what the sender wrote before it.
            ("10.0.0.5", vec!["203.0.113.7"], "203.0.113.7"),
            ("10.0.0.5", vec!["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
            ("10.0.0.5", vec!["10.0.0.9", "203.0.113.7"], "203.0.113.7"),
            // Two.
            ("10.0.0.5", vec!["203.0.113.7", "10.0.0.6"], "203.0.113.7"),
            ("2001:db8::5", vec!["2001:db8::9", "10.0.0.6"], "2001:db8::9"),
            // Nobody but proxies: a request from one of them.
            ("10.0.0.5", vec![], "10.0.0.5"),
            ("10.0.0.5", vec!["10.0.0.7", "10.0.0.6"], "10.0.0.7"),
            // Ports, brackets, and IPv4 within IPv6.
            ("10.0.0.5", vec!["203.0.113.7:5123"], "203.0.113.7"),
            ("10.0.0.5", vec!["[2001:db8::9]:5123"], "2001:db8::9"),
            ("10.0.0.5", vec!["[2001:db8::9]"], "2001:db8::9"),
            ("::ffff:10.0.0.5", vec!["::ffff:203.0.113.7"], "203.0.113.7"),
            // What is no address.
            ("10.0.0.5", vec!["203.0.113.7", "unknown"], "10.0.0.5"),
            ("10.0.0.5", vec![""], "10.0.0.5"),
        ] {
            let found = sender(connected.parse::<IpAddr>().unwrap().to_canonical(), &way, &trusted);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{connected} {way:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_a_sender_writes_changes_who_it_is(lies in prop::collection::vec(".{0,20}|10\\.0\\.0\\.[1-9]|[0-9.]{7,15}", 0..5)) {
            let trusted = networks(&["10.0.0.0/8"]);
            let mut way: Vec<&str> = lies.iter().map(String::as_str).collect();
            way.push("203.0.113.7");
            prop_assert_eq!(sender("10.0.0.5".parse().unwrap(), &way, &trusted).to_string(), "203.0.113.7");
            prop_assert_eq!(sender("203.0.113.8".parse().unwrap(), &way, &trusted).to_string(), "203.0.113.8");
        }
    }
}
