//! One certificate: whose key, who they may be, from where, until when, and what ends their sessions.

use super::authority::{Authority, broken};
use super::{Options, note};
use crate::{Access, TargetError};
use gatepass_core::Time;
use gatepass_core::id::GrantId;
use rand::rngs::OsRng;
use sha2::{Digest as _, Sha256};
use ssh_key::certificate::{Builder, CertType};
use ssh_key::{Algorithm, PublicKey};
use std::net::IpAddr;

/// What a certificate can permit; sshd permits nothing that is not in it.
pub const EXTENSIONS: [&str; 6] = [
    "permit-pty",
    "permit-port-forwarding",
    "permit-agent-forwarding",
    "permit-X11-forwarding",
    "permit-user-rc",
    "no-touch-required",
];
/// What needs no command, so that no command ends it.
const FORWARDING: &str = "permit-port-forwarding";

/// Principals that begin like this are Gatepass's own.
pub const RESERVED: &str = "gatepass:";
/// The principal with which the server itself comes to a host.
pub const CONTROL: &str = "gatepass:control";

/// A certificate is good from a little before it is made: for hosts whose clocks are behind.
const BACKDATED_S: u64 = 60;

/// What becomes of sessions at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Left,
    /// `gatepass-host` ends them.
    CutByHost,
    /// A command in the certificate ends them.
    CutByCommand,
}

/// The serial of a grant's certificate with this number; never 0, which sshd can't revoke.
pub fn serial(grant: GrantId, number: u64) -> u64 {
    let hash = Sha256::new().chain_update(grant.0.as_bytes()).chain_update(number.to_be_bytes()).finalize();
    hash.iter().take(8).fold(0, |serial, byte| serial << 8 | u64::from(*byte)).max(1)
}

/// `gatepass:GRANT:NUMBER:END:leave|cut:HANDLE`. `gatepass-host` goes by it, and sshd writes it into its log.
pub fn key_id(access: &Access, number: u64, kind: Kind) -> String {
    let sessions = if kind == Kind::Left { "leave" } else { "cut" };
    let (grant, end, handle) = (access.grant, note::end(access.until), plain(&access.holder.handle));
    format!("{RESERVED}{grant}:{number}:{end}:{sessions}:{handle}")
}

/// A name as it may stand in logs and key ids.
pub fn plain(name: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '@' | '+' | '-');
    name.chars().take(64).map(|c| if good(c) { c } else { '_' }).collect()
}

pub fn sign(
    authority: &Authority,
    access: &Access,
    options: &Options,
    number: u64,
    kind: Kind,
    now: Time,
) -> Result<String, TargetError> {
    let key = holders(access)?;
    principals(&access.grants)?;
    if kind == Kind::CutByCommand && options.extensions.iter().any(|e| e == FORWARDING) {
        let why = "the role ends sessions (session = \"cut\") and its target permits port forwarding, which no command in \
                   a certificate ends: set “control” up, or take permit-port-forwarding away";
        return Err(TargetError::Configuration(why.to_owned()));
    }
    let seconds = |s: i64| u64::try_from(s).unwrap_or_default();
    let since = seconds(now.timestamp()).saturating_sub(BACKDATED_S);
    let until = seconds(note::end(access.until));
    let build = || {
        let mut builder =
            Builder::new_with_random_nonce(&mut OsRng, key.key_data().clone(), since.min(until), until)?;
        builder
            .serial(serial(access.grant, number))?
            .cert_type(CertType::User)?
            .key_id(key_id(access, number, kind))?;
        for principal in &access.grants {
            builder.valid_principal(principal)?;
        }
        if kind == Kind::CutByCommand {
            builder.critical_option("force-command", command(note::end(access.until)))?;
        }
        if !options.source_addresses.is_empty() {
            builder.critical_option("source-address", options.source_addresses.join(","))?;
        }
        for extension in &options.extensions {
            builder.extension(extension, "")?;
        }
        builder.sign(&authority.0)?.to_openssh()
    };
    build().map_err(broken)
}

/// The device's key.
fn holders(access: &Access) -> Result<PublicKey, TargetError> {
    let wrong = |why: &str| TargetError::Configuration(format!("the device that asked {why}"));
    let text =
        access.holder.ssh_key.as_deref().ok_or_else(|| wrong("sent no SSH key: update Gatepass on it"))?;
    let key = PublicKey::from_openssh(text).map_err(|_| wrong("sent something that is no SSH key"))?;
    match key.algorithm() {
        Algorithm::Ed25519 => Ok(key),
        _ => Err(wrong("sent a key of another kind than ssh-ed25519")),
    }
}

/// A certificate without any would be good for every account.
fn principals(grants: &[String]) -> Result<(), TargetError> {
    let wrong = |why: String| Err(TargetError::Configuration(why));
    if grants.is_empty() {
        return wrong("the role gives no principal, expected grants = [\"…\"]".to_owned());
    }
    let good = |b: u8| b.is_ascii_graphic() && !matches!(b, b',' | b'"' | b'\'' | b'\\' | b'#');
    for grant in grants {
        if grant.is_empty() || !grant.bytes().all(good) {
            return wrong(format!(
                "“{grant}” is no principal: expected letters, digits and signs without , \" ' # \\"
            ));
        }
        if grant.starts_with(RESERVED) {
            return wrong(format!(
                "“{grant}” is no principal for people: “{RESERVED}” is kept for Gatepass itself"
            ));
        }
    }
    Ok(())
}

/// Whether sshd takes it: an address, or a network without bits after its length.
pub fn source_address(text: &str) -> bool {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let (bits, value) = match address {
        IpAddr::V4(v4) => (32, u128::from(u32::from(v4)) << 96),
        IpAddr::V6(v6) => (128, u128::from(v6)),
    };
    match length.map(str::parse::<u32>) {
        None => true,
        Some(Ok(length)) if length <= bits => value.checked_shl(length).unwrap_or_default() == 0,
        Some(_) => false,
    }
}

/// Runs what was asked for, or the login shell, in its own place, so that a terminal, signals and the exit status are as
/// ever; a companion in the same session ends everything in it at `end`, by the host's clock.
///
/// The login shell reads this first, whichever it is: so no single quotes, backslashes, exclamation marks or line breaks
/// inside. The companion shares the session, so the number of the session can't become somebody else's while it waits.
fn command(end: i64) -> String {
    const SCRIPT: &str = r#"
        e=END; p=$$;
        left() { l=$(( e - $(date +%s) )); [ "$l" -gt 0 ]; };
        over() { echo "Gatepass: this access has ended."; };
        left || { over >&2; exit 1; };
        (
            trap "" HUP INT QUIT TERM TSTP TTIN TTOU;
            cd /;
            while left; do
                [ "$l" -gt 2 ] && l=2;
                sleep "$l";
                kill -0 "$p" || exit 0;
            done;
            { echo; over; } >/dev/tty;
            read -r me s </proc/self/stat;
            each() {
                for f in /proc/[0-9]*/stat; do
                    read -r s <"$f" || continue;
                    i=${s%% *};
                    set -- ${s##*) };
                    [ "$4" = "$p" ] && { [ "$i" = "$me" ] || kill -s "$k" "$i"; };
                done;
            };
            k=HUP; each;
            sleep 0.2 || sleep 1;
            k=KILL; each; each;
            kill -s KILL -- "-$p"
        ) </dev/null >/dev/null 2>&1 &
        s=${SHELL:-/bin/sh};
        [ -n "${SSH_ORIGINAL_COMMAND+set}" ] || exec "$s" -l;
        case "$SSH_ORIGINAL_COMMAND" in
            internal-sftp*)
                for f in /usr/lib/openssh /usr/libexec/openssh /usr/libexec /usr/lib/ssh; do
                    [ -x "$f/sftp-server" ] && exec "$f/sftp-server";
                done;
                exit 127;;
        esac;
        exec "$s" -c "$SSH_ORIGINAL_COMMAND""#;
    let script =
        SCRIPT.split_whitespace().collect::<Vec<_>>().join(" ").replace("e=END", &format!("e={end}"));
    format!("exec /bin/sh -c '{script}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Holder;
    use crate::ssh::ensure;
    use gatepass_core::catalogue::Session;
    use gatepass_core::id::PersonId;
    use ssh_key::Certificate;
    use uuid::Uuid;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn access() -> Access {
        let key = Some(KEY.to_owned());
        let holder = Holder { person: PersonId(Uuid::nil()), handle: "tomás o'n:x".into(), ssh_key: key };
        let until = Time::from_timestamp_millis(1_800_000_000_999).unwrap();
        Access {
            grant: GrantId(Uuid::nil()),
            holder,
            grants: vec!["deploy".into(), "ops@eu".into()],
            session: Session::Leave,
            until,
        }
    }

    fn options() -> Options {
        Options {
            hosts: Vec::new(),
            ca_key_file: "/nowhere".into(),
            user: None,
            source_addresses: vec!["10.0.0.0/8".into(), "::1".into()],
            extensions: vec!["permit-pty".into()],
            control: None,
        }
    }

    fn signed(access: &Access, options: &Options, kind: Kind) -> Result<Certificate, TargetError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca");
        ensure(&file).unwrap();
        let now = access.until - chrono::TimeDelta::seconds(600);
        let line = sign(&Authority::read(&file)?, access, options, 7, kind, now)?;
        Ok(Certificate::from_openssh(&line).unwrap())
    }

    #[test]
    fn says_who_from_where_and_until_when() {
        let access = access();
        let certificate = signed(&access, &options(), Kind::Left).unwrap();
        assert_eq!(certificate.valid_principals(), ["deploy", "ops@eu"]);
        assert_eq!(certificate.valid_before(), 1_800_000_000, "never good after the end");
        assert_eq!(certificate.valid_after(), 1_800_000_000 - 600 - 60);
        let id = format!("gatepass:{}:7:1800000000:leave:tom_s_o_n_x", access.grant);
        assert_eq!(certificate.key_id(), id);
        assert_eq!(certificate.serial(), serial(access.grant, 7));
        assert_ne!(certificate.serial(), serial(access.grant, 8));
        let options: Vec<_> = certificate.critical_options().iter().collect();
        assert_eq!(options, [(&"source-address".to_owned(), &"10.0.0.0/8,::1".to_owned())]);
        assert_eq!(certificate.extensions().keys().collect::<Vec<_>>(), ["permit-pty"]);
    }

    #[test]
    fn what_is_not_signed() {
        let refused = |change: &dyn Fn(&mut Access, &mut Options)| {
            let (mut access, mut options) = (access(), options());
            change(&mut access, &mut options);
            let error = signed(&access, &options, Kind::CutByCommand).unwrap_err();
            assert!(matches!(error, TargetError::Configuration(_)), "{error}");
            error.to_string()
        };
        assert!(refused(&|a, _| a.grants.clear()).contains("no principal"));
        for wrong in ["", "a b", "a,b", "a\nb", "gatepass:control", "\u{e9}"] {
            assert!(refused(&|a, _| a.grants.push(wrong.into())).contains("no principal"), "{wrong}");
        }
        assert!(refused(&|a, _| a.holder.ssh_key = None).contains("sent no SSH key"));
        assert!(refused(&|a, _| a.holder.ssh_key = Some("ssh-ed25519 AAAA".into())).contains("no SSH key"));
        assert!(refused(&|_, o| o.extensions.push(FORWARDING.into())).contains("port forwarding"));
    }

    #[test]
    fn the_command_is_one_word_for_every_shell() {
        let command = command(1_800_000_000);
        let script = command.strip_prefix("exec /bin/sh -c '").and_then(|c| c.strip_suffix('\'')).unwrap();
        assert!(!script.contains(['\'', '\\', '!', '\n']), "{script}");
        assert!(script.starts_with("e=1800000000; "), "{script}");
        // sshd's own limit is far away.
        assert!(command.len() < 2000);
    }

    #[test]
    fn addresses() {
        for good in
            ["10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "10.0.0.1/32", "::1", "fd00::/8", "::/0", "::1/128"]
        {
            assert!(source_address(good), "{good}");
        }
        for wrong in
            ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "example.com", "fd00::1/8", "10.0.0.0/8,::1"]
        {
            assert!(!source_address(wrong), "{wrong}");
        }
    }
}
