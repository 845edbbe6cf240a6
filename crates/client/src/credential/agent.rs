//! The ssh-agent: a key with its certificate for as long as the access lasts (draft-ietf-sshm-ssh-agent).

use ssh_key::{Certificate, PrivateKey};
use std::time::Duration;

/// Gives the agent of `SSH_AUTH_SOCK` the key with its certificate, to be forgotten after `left`. False where no agent
/// runs, or it does not take it.
#[cfg(unix)]
pub fn add(key: &PrivateKey, certificate: &Certificate, comment: &str, left: Duration) -> bool {
    let Some(socket) = std::env::var_os("SSH_AUTH_SOCK").filter(|s| !s.is_empty()) else { return false };
    // The key by itself as well, as ssh-add does: OpenSSH looks for the private key of a certificate it has in a file by
    // the plain public one.
    [None, Some(certificate)].into_iter().all(|certificate| {
        let Some(message) = message(key, certificate, comment, left) else { return false };
        match tell(std::path::Path::new(&socket), &message) {
            Ok(taken) => taken,
            Err(error) => {
                tracing::debug!(%error, "no ssh-agent answers");
                false
            }
        }
    })
}

#[cfg(not(unix))]
pub fn add(_: &PrivateKey, _: &Certificate, _: &str, _: Duration) -> bool {
    false
}

#[cfg(unix)]
fn tell(socket: &std::path::Path, message: &[u8]) -> std::io::Result<bool> {
    use std::io::{Read as _, Write as _};
    const SUCCESS: u8 = 6;
    const PATIENCE: Duration = Duration::from_secs(3);
    let mut agent = std::os::unix::net::UnixStream::connect(socket)?;
    agent.set_read_timeout(Some(PATIENCE))?;
    agent.set_write_timeout(Some(PATIENCE))?;
    agent.write_all(message)?;
    let mut answer = [0; 5];
    agent.read_exact(&mut answer)?;
    Ok(answer == [0, 0, 0, 1, SUCCESS])
}

/// `SSH_AGENTC_ADD_ID_CONSTRAINED` with a lifetime.
#[cfg(unix)]
fn message(
    key: &PrivateKey,
    certificate: Option<&Certificate>,
    comment: &str,
    left: Duration,
) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    const ADD_CONSTRAINED: u8 = 25;
    const LIFETIME: u8 = 1;
    let pair = key.key_data().ed25519()?;
    let blob = certificate.map(Certificate::to_bytes).transpose().ok()?;
    let seconds = u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1);
    let public: &[u8] = pair.public.as_ref();
    let whole = zeroize::Zeroizing::new(pair.to_bytes());
    let mut fields: Vec<&[u8]> = match &blob {
        Some(blob) => vec![b"ssh-ed25519-cert-v01@openssh.com", blob],
        None => vec![b"ssh-ed25519"],
    };
    fields.extend([public, whole.as_slice(), comment.as_bytes()]);
    let length = 1 + fields.iter().map(|f| 4 + f.len()).sum::<usize>() + 5;
    // Never grows, so that no part of the key stays behind in memory that was given back.
    let mut out = zeroize::Zeroizing::new(Vec::with_capacity(4 + length));
    out.extend(u32::try_from(length).ok()?.to_be_bytes());
    out.push(ADD_CONSTRAINED);
    for field in fields {
        out.extend(u32::try_from(field.len()).ok()?.to_be_bytes());
        out.extend(field);
    }
    out.push(LIFETIME);
    out.extend(seconds.to_be_bytes());
    Some(out)
}
