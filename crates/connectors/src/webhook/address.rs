//! Which addresses a webhook may be at. What a name leads to is looked at when connecting, and that address is the
//! one connected to: a name that changes between the two gains nothing.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

/// What the URL's host may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any address of the internet.
    Public,
    /// This machine: `localhost`.
    Loopback,
    /// A name that the configuration lists: also this machine, and private networks.
    Private,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Public,
    Loopback,
    Private,
    /// Nothing that a name has a reason to lead to: link-local, with the metadata services of clouds, multicast,
    /// reserved.
    Never,
}

/// A name leads where the configuration does not allow it to.
#[derive(Debug, thiserror::Error)]
#[error("{name} leads to {address}, {}", .why)]
pub struct Forbidden {
    name: String,
    address: IpAddr,
    why: &'static str,
}

impl Reach {
    fn forbids(self, address: IpAddr) -> Option<&'static str> {
        match (self, sort(address)) {
            (_, Sort::Never) => Some("which no webhook may be at"),
            (Self::Public, Sort::Loopback | Sort::Private) => {
                Some("which is a private address; if that is meant, name the host in the target’s “private”")
            }
            (Self::Loopback, Sort::Private | Sort::Public) => Some("which is not this machine"),
            (Self::Public | Self::Private, Sort::Public)
            | (Self::Loopback | Self::Private, Sort::Loopback)
            | (Self::Private, Sort::Private) => None,
        }
    }
}

fn sort(address: IpAddr) -> Sort {
    match address {
        IpAddr::V4(v4) => sort_v4(v4),
        IpAddr::V6(v6) => sort_v6(v6),
    }
}

fn sort_v4(address: Ipv4Addr) -> Sort {
    // The metadata service of one cloud lies among public addresses.
    const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    match address.octets() {
        [127, ..] => Sort::Loopback,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] => Sort::Private,
        // Another cloud's, within what providers share.
        [100, 100, 100, 200] => Sort::Never,
        [100, 64..=127, ..] => Sort::Private,
        [0, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Sort::Never,
        _ if address == WIRE_SERVER => Sort::Never,
        _ => Sort::Public,
    }
}

fn sort_v6(address: Ipv6Addr) -> Sort {
    if address == Ipv6Addr::LOCALHOST {
        return Sort::Loopback;
    }
    let segments = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        sort_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Mapped, and translated on the way (NAT64): what it is as IPv4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // 6to4 names the router it goes by.
        [0x2002, high, low, ..] => v4(high, low),
        // A metadata service within the unique local addresses.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Sort::Never,
        [0xfc00..=0xfdff, ..] => Sort::Private,
        // Teredo, benchmarks, ORCHID, documentation.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Sort::Never,
        [0x2000..=0x3fff, ..] => Sort::Public,
        _ => Sort::Never,
    }
}

type Answered = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;
/// How a name is looked up.
pub type Lookup = Arc<dyn Fn(String) -> Answered + Send + Sync>;

/// As the system does it.
pub fn system() -> Lookup {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
}

/// Looks names up, and lets through only what is within reach.
pub struct Guarded {
    pub reach: Reach,
    pub lookup: Lookup,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (reach, name) = (self.reach, name.as_str().to_owned());
        let found = (self.lookup)(name.clone());
        Box::pin(async move {
            let found = found.await?;
            // One that may not be is enough: nobody has a reason to mix them.
            for address in found.iter().map(SocketAddr::ip) {
                if let Some(why) = reach.forbids(address) {
                    return Err(Forbidden { name, address, why }.into());
                }
            }
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_address_has_its_sort() {
        let expected = [
            (
                Sort::Public,
                "1.1.1.1 8.8.8.8 172.15.0.1 172.32.0.1 192.167.1.1 100.63.0.1 100.128.0.1 223.255.255.254",
            ),
            (Sort::Public, "2606:4700::1111 2a00:1450::1 2002:808:808::1 ::ffff:8.8.8.8 64:ff9b::808:808"),
            (Sort::Loopback, "127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 64:ff9b::7f00:1 2002:7f00:1::"),
            (Sort::Private, "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fc00::1 fd12::1"),
            (Sort::Private, "::ffff:10.0.0.1 ::ffff:192.168.0.1 2002:a00:1::1 64:ff9b::a00:1"),
            (
                Sort::Never,
                "0.0.0.0 169.254.169.254 100.100.100.200 168.63.129.16 224.0.0.1 255.255.255.255 240.0.0.1",
            ),
            (Sort::Never, "192.0.0.192 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 192.88.99.1"),
            (
                Sort::Never,
                ":: fe80::1 fec0::1 ff02::1 fd00:ec2::254 2001:db8::1 2001::1 ::7f00:1 64:ff9b:1::1",
            ),
            (Sort::Never, "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 ::ffff:0.0.0.0"),
        ];
        for (sort_of, addresses) in expected {
            for address in addresses.split(' ') {
                assert_eq!(sort(address.parse().unwrap()), sort_of, "{address}");
            }
        }
    }

    #[test]
    fn a_reach_lets_through_what_it_says() {
        let of = |address: &str| address.parse::<IpAddr>().unwrap();
        let allowed = |reach: Reach| {
            ["8.8.8.8", "127.0.0.1", "10.0.0.1", "169.254.169.254"].map(|a| reach.forbids(of(a)).is_none())
        };
        assert_eq!(allowed(Reach::Public), [true, false, false, false]);
        assert_eq!(allowed(Reach::Loopback), [false, true, false, false]);
        assert_eq!(allowed(Reach::Private), [true, true, true, false]);
    }

    async fn resolved(reach: Reach, addresses: &[&str]) -> Result<usize, String> {
        let found: Vec<SocketAddr> =
            addresses.iter().map(|a| SocketAddr::new(a.parse().unwrap(), 0)).collect();
        let lookup: Lookup = Arc::new(move |_| {
            let found = found.clone();
            Box::pin(async move { Ok(found) })
        });
        let guarded = Guarded { reach, lookup };
        guarded
            .resolve("deploys.example.com".parse().unwrap())
            .await
            .map(Iterator::count)
            .map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn one_private_address_among_public_ones_is_one_too_many() {
        assert_eq!(resolved(Reach::Public, &["8.8.8.8", "1.1.1.1"]).await, Ok(2));
        let mixed = resolved(Reach::Public, &["8.8.8.8", "::ffff:10.0.0.1"]).await.unwrap_err();
        assert!(mixed.contains("deploys.example.com leads to ::ffff:10.0.0.1"), "{mixed}");
        assert!(mixed.contains("“private”"), "{mixed}");
        assert_eq!(resolved(Reach::Private, &["8.8.8.8", "10.0.0.1"]).await, Ok(2));
    }
}
