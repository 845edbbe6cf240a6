//! This device's key for SSH, in OpenSSH's forms.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// `ssh-ed25519 AAAA…` without a comment, of an Ed25519 public key (RFC 8709).
pub(crate) fn public_line(key: &gatepass_log::Key) -> String {
    const NAME: &str = "ssh-ed25519";
    let raw = BASE64.decode(key.public()).unwrap_or_default();
    let mut blob = Vec::with_capacity(51);
    for part in [NAME.as_bytes(), &raw] {
        blob.extend(u32::try_from(part.len()).unwrap_or_default().to_be_bytes());
        blob.extend(part);
    }
    format!("{NAME} {}", BASE64.encode(blob))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_as_openssh_writes_it() {
        // What ssh-keygen -y prints for the seed of 32 zero bytes.
        let line = public_line(&gatepass_log::Key::from_bytes(&[0; 32]));
        assert_eq!(line, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop");
        assert_eq!(line.len(), "ssh-ed25519 ".len() + 68);
    }
}
