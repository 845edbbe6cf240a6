//! `kind = "ssh"`: hosts that trust an authority of ours.

use super::fault;
use super::target::{Kind, TargetSection};
use gatepass_connectors::ssh::{ControlOptions, EXTENSIONS, Host, Options, source_address};
use gatepass_core::catalogue::Fault;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// How hosts that run `gatepass-host` are spoken to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlSection {
    user: Option<Spanned<String>>,
    known_hosts: Spanned<String>,
    ssh: Option<Spanned<String>>,
}

/// What a certificate permits unless it is said.
const PERMITTED: [&str; 1] = ["permit-pty"];
/// The login that `gatepass-host setup` makes.
const LOGIN: &str = "gatepass-host";

impl TargetSection {
    /// Nothing when a setting is missing, which is told elsewhere.
    pub(super) fn ssh(&self, folder: &Path, faults: &mut Vec<Fault>) -> Option<Kind> {
        let user = self.user.as_ref().map(|user| account(user, faults));
        let source_addresses = self.source_addresses.iter().flat_map(Spanned::get_ref).map(|address| {
            if !source_address(address.get_ref()) {
                let message = format!(
                    "“{}” is no address, expected one such as 10.1.2.3, or a network such as 10.0.0.0/8",
                    address.get_ref()
                );
                faults.push(fault(address, message));
            }
            address.get_ref().clone()
        });
        let source_addresses = source_addresses.collect();
        let extensions = match &self.extensions {
            None => PERMITTED.map(str::to_owned).to_vec(),
            Some(extensions) => extensions.get_ref().iter().map(|e| extension(e, faults)).collect(),
        };
        let control = self.control.as_ref().map(|control| control.get_ref().check(folder, faults));
        let (hosts, ca_key_file) = (self.hosts.as_ref()?, self.ca_key_file.as_ref()?);
        if hosts.get_ref().is_empty() {
            faults.push(fault(hosts, "there is no host, expected hosts = [\"HOST\" or \"HOST:PORT\", …]"));
        }
        let mut parsed = Vec::new();
        for host in hosts.get_ref() {
            match host.get_ref().parse::<Host>() {
                Ok(host) => parsed.push(host),
                Err(message) => faults.push(fault(host, message)),
            }
        }
        Some(Kind::Ssh(Options {
            hosts: parsed,
            ca_key_file: folder.join(ca_key_file.get_ref()),
            user,
            source_addresses,
            extensions,
            control,
        }))
    }
}

impl ControlSection {
    fn check(&self, folder: &Path, faults: &mut Vec<Fault>) -> ControlOptions {
        let user = match &self.user {
            Some(user) => account(user, faults),
            None => LOGIN.to_owned(),
        };
        let known_hosts = folder.join(self.known_hosts.get_ref());
        if let Err(error) = std::fs::File::open(&known_hosts) {
            let expected = "expected a file of the hosts’ keys, as “ssh-keyscan HOST” prints them";
            let message = format!("{} cannot be read: {error}, {expected}", known_hosts.display());
            faults.push(fault(&self.known_hosts, message));
        }
        // ssh reads both as its own in the names of files.
        if known_hosts.to_string_lossy().contains(['%', '"', '$']) {
            let message = "the name has % or \" or $ in it, expected a file that ssh can be told of";
            faults.push(fault(&self.known_hosts, message));
        }
        let program = match &self.ssh {
            None => PathBuf::from("ssh"),
            Some(ssh) => {
                if !Path::new(ssh.get_ref()).is_absolute() {
                    faults.push(fault(
                        ssh,
                        "expected the whole path of OpenSSH’s client, such as /usr/bin/ssh",
                    ));
                }
                PathBuf::from(ssh.get_ref())
            }
        };
        ControlOptions { user, known_hosts, program }
    }
}

/// An account as it may stand in a command line.
fn account(user: &Spanned<String>, faults: &mut Vec<Fault>) -> String {
    let name = user.get_ref();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(good) {
        let message = format!("“{name}” is no account, expected letters, digits, “.”, “-” and “_”");
        faults.push(fault(user, message));
    }
    name.clone()
}

fn extension(extension: &Spanned<String>, faults: &mut Vec<Fault>) -> String {
    let name = extension.get_ref();
    if !EXTENSIONS.contains(&name.as_str()) {
        let message = format!("there is no extension “{name}”, expected some of: {}", EXTENSIONS.join(", "));
        faults.push(fault(extension, message));
    }
    name.clone()
}
