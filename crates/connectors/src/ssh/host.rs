//! `HOST` or `HOST:PORT`, as the configuration and the holder's side have it.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Without brackets.
    pub name: String,
    pub port: u16,
    written: String,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl FromStr for Host {
    type Err = String;

    /// Takes what can stand in a command line and in `ssh_config` as it is, and nothing else.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("“{text}” is not a host, expected HOST or HOST:PORT, such as bastion.example.com:22");
        let number = |port: &str| port.parse::<u16>().ok().filter(|p| *p != 0).ok_or_else(wrong);
        let (name, port) = if let Some(rest) = text.strip_prefix('[') {
            let (name, rest) = rest.split_once(']').ok_or_else(wrong)?;
            name.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            match rest {
                "" => (name, 22),
                rest => (name, number(rest.strip_prefix(':').ok_or_else(wrong)?)?),
            }
        } else {
            let (name, port) = match text.split_once(':') {
                Some((name, port)) => (name, number(port)?),
                None => (text, 22),
            };
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            if name.is_empty() || name.starts_with('-') || !name.bytes().all(good) {
                return Err(wrong());
            }
            (name, port)
        };
        Ok(Self { name: name.to_owned(), port, written: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, name, port) in [
            ("bastion-eu-1.example.com", "bastion-eu-1.example.com", 22),
            ("10.0.0.1:2222", "10.0.0.1", 2222),
            ("[::1]", "::1", 22),
            ("[fe80::1]:2200", "fe80::1", 2200),
        ] {
            let host: Host = text.parse().unwrap();
            assert_eq!((host.name.as_str(), host.port, host.to_string().as_str()), (name, port, text));
        }
        let wrong = [
            "",
            ":22",
            "a:",
            "a:0",
            "a:70000",
            "-oProxyCommand=x",
            "a b",
            "me@host",
            "a;b",
            "::1",
            "[x]",
            "[::1]22",
        ];
        for wrong in wrong {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
    }
}
