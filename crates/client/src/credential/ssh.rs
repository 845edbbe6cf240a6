//! This device's key for SSH, and where `ssh` finds it with the certificate of a grant: in the ssh-agent where one runs,
//! which forgets it at the end by itself; otherwise in files of the profile, which go when the grant is over.

use super::agent;
use super::line::shell;
use crate::client::Client;
use crate::profile::{Profile, private_write};
use crate::ui::Failure;
use gatepass_core::id::GrantId;
use gatepass_core::{Code, Time};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{Certificate, LineEnding, PrivateKey};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// The pair of an Ed25519 seed.
pub(crate) fn key(seed: &[u8; 32]) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(seed))
}

/// `ssh-ed25519 AAAA…` without a comment.
pub(crate) fn public_line(seed: &[u8; 32]) -> Result<String, Failure> {
    key(seed).public_key().to_openssh().map_err(|e| Failure::local("The SSH key can’t be made", e))
}

/// When a certificate runs out by itself.
pub(super) fn good_until(certificate: &str) -> Result<Time, Failure> {
    let seconds = i64::try_from(parse(certificate)?.valid_before()).unwrap_or(i64::MAX);
    Ok(Time::from_timestamp(seconds, 0).unwrap_or(Time::MAX_UTC))
}

fn parse(certificate: &str) -> Result<Certificate, Failure> {
    Certificate::from_openssh(certificate)
        .map_err(|_| Failure::new(Code::NoCredential, "The certificate can’t be read."))
}

/// Where the key and the certificate of a grant are.
pub(super) struct Placed {
    /// The private key; the public one, where the agent has the private.
    pub key_file: PathBuf,
    pub certificate_file: PathBuf,
    grant: GrantId,
}

impl Placed {
    /// The line for the first host.
    pub fn command(&self, hosts: &[String], user: &str) -> String {
        let (name, port) = split(hosts.first().map_or("", String::as_str));
        let option = |name: &str, path: &Path| {
            // ssh reads an option's value by its own quotes, after the shell took away its own.
            let path = path.to_string_lossy();
            let quoted = if path.contains(' ') { format!("\"{path}\"") } else { path.into_owned() };
            shell(&format!("{name}={quoted}"), false)
        };
        let mut words = vec![
            "ssh -o IdentitiesOnly=yes -i".to_owned(),
            shell(&self.key_file.to_string_lossy(), false),
            "-o".to_owned(),
            option("CertificateFile", &self.certificate_file),
        ];
        words.extend(port.map(|port| format!("-p {port}")));
        words.push(shell(&format!("{user}@{name}"), false));
        words.join(" ")
    }

    /// What to add to `~/.ssh/config`: one entry for each host.
    pub fn config(&self, hosts: &[String], user: &str) -> String {
        let entries = hosts.iter().map(|host| {
            let (name, port) = split(host);
            let port = port.map(|port| format!("    Port {port}\n")).unwrap_or_default();
            let (key, certificate) = (self.key_file.display(), self.certificate_file.display());
            format!(
                "Host {name}\n    HostName {name}\n{port}    User {user}\n    IdentityFile \"{key}\"\n    \
                 CertificateFile \"{certificate}\"\n    IdentitiesOnly yes\n"
            )
        });
        format!("# Gatepass, grant {}\n{}", self.grant, entries.collect::<Vec<_>>().join("\n"))
    }
}

/// `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
fn split(host: &str) -> (&str, Option<u16>) {
    if let Some((name, rest)) = host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        return (name, rest.strip_prefix(':').and_then(|p| p.parse().ok()));
    }
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (host, None),
        },
        _ => (host, None),
    }
}

impl Client {
    /// Deletes the files of accesses that are over.
    pub(crate) async fn tidy_ssh(&self) {
        for grant in placed(&self.0.profile) {
            if self.grant(grant).await.is_ok_and(|g| super::over(g.state)) {
                clear(&self.0.profile, Some(grant));
            }
        }
    }

    pub(super) async fn place_ssh(
        &self,
        grant: GrantId,
        certificate: &str,
        until: Time,
    ) -> Result<Placed, Failure> {
        let joined = self.joined()?;
        let seed = joined.secrets.ssh();
        let left = (until - joined.api.now()).to_std().unwrap_or(Duration::ZERO);
        let (certificate, profile) = (certificate.to_owned(), self.0.profile.clone());
        let placed = tokio::task::spawn_blocking(move || place(&profile, grant, &seed, &certificate, left));
        placed.await.map_err(|e| Failure::local("The key can’t be brought to ssh", e))?
    }
}

fn place(
    profile: &Profile,
    grant: GrantId,
    seed: &[u8; 32],
    certificate: &str,
    left: Duration,
) -> Result<Placed, Failure> {
    let (private, parsed) = (key(seed), parse(certificate)?);
    let folder = folder(profile).join(grant.to_string());
    profile.ensure()?;
    crate::profile::private_dirs(&folder)
        .map_err(|e| Failure::local(&format!("{} can’t be made", folder.display()), e))?;
    let certificate_file = folder.join("id-cert.pub");
    private_write(&certificate_file, format!("{}\n", certificate.trim_end()).as_bytes())?;
    let made = |e: ssh_key::Error| Failure::local("The SSH key can’t be written", e);
    let key_file = if agent::add(&private, &parsed, &grant.to_string(), left) {
        let public = folder.join("id.pub");
        private_write(&public, format!("{}\n", private.public_key().to_openssh().map_err(made)?).as_bytes())?;
        // One that was written before the agent ran.
        let _ = std::fs::remove_file(folder.join("id"));
        public
    } else {
        let text: Zeroizing<String> = private.to_openssh(LineEnding::LF).map_err(made)?;
        let file = folder.join("id");
        private_write(&file, text.as_bytes())?;
        file
    };
    Ok(Placed { key_file, certificate_file, grant })
}

fn folder(profile: &Profile) -> PathBuf {
    profile.dir().join("ssh")
}

/// Deletes the files of a grant, or of all. What can't be deleted now is tried again the next time.
pub(crate) fn clear(profile: &Profile, grant: Option<GrantId>) {
    let folder = folder(profile);
    let gone = grant.map_or(folder.clone(), |grant| folder.join(grant.to_string()));
    if let Err(error) = std::fs::remove_dir_all(&gone)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %gone.display(), "the files of an ended access could not be deleted");
    }
}

/// The grants that have files.
fn placed(profile: &Profile) -> Vec<GrantId> {
    let entries = std::fs::read_dir(folder(profile)).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What a server says is never syntax, neither for the shell nor in `ssh_config`, and never an option.
pub(super) fn fine(hosts: &[String], user: &str) -> bool {
    let made_of = |text: &str, more: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    !hosts.is_empty() && hosts.iter().all(|h| made_of(h, "-._:[]")) && made_of(user, "-._@")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_as_openssh_writes_it() {
        // What ssh-keygen -y prints for the seed of 32 zero bytes.
        let line = public_line(&[0; 32]).unwrap();
        assert_eq!(line, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop");
    }

    #[test]
    fn hosts_with_and_without_a_port() {
        for (host, name, port) in [
            ("bastion", "bastion", None),
            ("bastion:2222", "bastion", Some(2222)),
            ("[::1]:2222", "::1", Some(2222)),
            ("::1", "::1", None),
        ] {
            assert_eq!(split(host), (name, port), "{host}");
        }
    }

    #[test]
    fn what_the_server_says_is_no_syntax() {
        let host = |text: &str| fine(&[text.to_owned()], "deploy");
        assert!(host("bastion-1.example.com:2222") && host("[::1]:22"));
        assert!(!host("a b") && !host("-oProxyCommand=x") && !host("h\n    ProxyCommand x") && !host(""));
        assert!(!fine(&["h".to_owned()], "$(id)") && !fine(&["h".to_owned()], "-l") && !fine(&[], "deploy"));
    }

    #[test]
    fn the_line_and_the_entry_name_key_and_certificate() {
        let placed = Placed {
            key_file: "/home/mara/my keys/id".into(),
            certificate_file: "/home/mara/my keys/id-cert.pub".into(),
            grant: GrantId(uuid::Uuid::nil()),
        };
        let hosts = ["bastion.example:2222".to_owned(), "other.example".to_owned()];
        assert_eq!(
            placed.command(&hosts, "deploy"),
            r#"ssh -o IdentitiesOnly=yes -i "/home/mara/my keys/id" -o 'CertificateFile="/home/mara/my keys/id-cert.pub"' -p 2222 deploy@bastion.example"#
        );
        let config = placed.config(&hosts, "deploy");
        assert!(config.contains("Host bastion.example\n") && config.contains("    Port 2222\n"), "{config}");
        assert!(
            config.contains("Host other.example\n") && config.matches("User deploy").count() == 2,
            "{config}"
        );
    }
}
