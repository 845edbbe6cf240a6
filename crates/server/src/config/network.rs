//! Networks, as a configuration names them.

use super::fault;
use gatepass_core::catalogue::Fault;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use toml::Spanned;

/// `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// An IPv4 address that came over IPv6 (`::ffff:10.0.0.1`) is that IPv4 address.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                (ours.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix.into()
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                (ours.to_bits() ^ other.to_bits()).leading_zeros() >= self.prefix.into()
            }
            _ => false,
        }
    }
}

/// Each text as a network.
pub fn check(texts: Option<Vec<Spanned<String>>>, faults: &mut Vec<Fault>) -> Vec<Network> {
    let mut networks = Vec::new();
    for text in texts.unwrap_or_default() {
        match text.get_ref().parse() {
            Ok(network) => networks.push(network),
            Err(message) => faults.push(fault(&text, message)),
        }
    }
    networks
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("“{text}” is not a network, expected one such as 10.0.0.0/8, or an address");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(most), |p| p.parse::<u8>().map_err(|_| wrong()))?;
        if prefix > most {
            return Err(wrong());
        }
        let network = Self { address, prefix };
        // 10.1.2.3/8 is a slip of the hand, and nobody knows of which one.
        let rest = match address {
            IpAddr::V4(a) => a.to_bits().checked_shl(prefix.into()).unwrap_or(0) != 0,
            IpAddr::V6(a) => a.to_bits().checked_shl(prefix.into()).unwrap_or(0) != 0,
        };
        if rest {
            return Err(format!("“{text}” has more than its first {prefix} bits, expected 0 after them"));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_network_contains_its_addresses() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::10.1.1.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in
            ["", "10.0.0.0/33", "10.0.0.0/x", "10.0.0/8", "10.1.2.3/8", "2001:db8::1/64", "db.example.com"]
        {
            assert!(text.parse::<Network>().unwrap_err().contains("expected"), "{text}");
        }
    }
}
