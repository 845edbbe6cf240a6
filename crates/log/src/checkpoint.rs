//! Signed heads: C2SP tlog-checkpoint in a C2SP signed-note, Ed25519. <https://c2sp.org/tlog-checkpoint>

use crate::leaf::Hash;
use gatepass_core::wire::Head;
use signed_note::{Note, Signer as _, StandardSigner, StandardVerifier, Verifier as _, VerifierList};
use tlog_tiles::Checkpoint;
use zeroize::Zeroizing;

/// A note is this long at most, with every cosignature.
pub const LONGEST: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("this is not a key in C2SP form")]
    Key,
    #[error("this is not a signed checkpoint")]
    Malformed,
    #[error("the checkpoint is of another log, {0}")]
    Origin(String),
    #[error("the checkpoint is not signed by the log’s key")]
    Signature,
}

/// The name of a server as an origin: a key's name has neither blanks nor pluses.
pub fn origin(server: &str) -> String {
    server.chars().map(|c| if c.is_whitespace() || c == '+' { '-' } else { c }).collect()
}

/// The log's signing key. Deterministic: the same head has the same signature whoever signs it.
pub struct LogKey {
    signer: StandardSigner,
    vkey: String,
}

impl LogKey {
    /// A key as it is kept: `PRIVATE+KEY+<origin>+<id>+<key>`, from 32 random bytes.
    pub fn generate(origin: &str, seed: &[u8; 32]) -> Zeroizing<String> {
        use base64::Engine as _;
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = [&[1u8], key.verifying_key().as_bytes().as_slice()].concat();
        let id = signed_note::key_id(origin, &public);
        let private = Zeroizing::new([&[1u8], seed.as_slice()].concat());
        let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(&*private));
        Zeroizing::new(format!("PRIVATE+KEY+{origin}+{id:08x}+{}", *encoded))
    }

    /// Reads what [`Self::generate`] wrote.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        use base64::Engine as _;
        let signer = StandardSigner::new(text.trim()).map_err(|_| CheckpointError::Key)?;
        // The key may hold pluses itself: 33 bytes of base64 are the last 44 digits.
        let text = text.trim();
        let secret = text.len().checked_sub(44).and_then(|at| text.get(at..)).ok_or(CheckpointError::Key)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(secret).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| CheckpointError::Key)?;
        let seed: &[u8; 32] = bytes.get(1..).and_then(|b| b.try_into().ok()).ok_or(CheckpointError::Key)?;
        let public = ed25519_dalek::SigningKey::from_bytes(seed).verifying_key();
        let vkey = signed_note::new_ed25519_verifier_key(signer.name(), &public);
        Ok(Self { signer, vkey })
    }

    /// `<origin>+<id>+<key>`, as C2SP has it.
    pub fn vkey(&self) -> &str {
        &self.vkey
    }

    pub fn origin(&self) -> &str {
        self.signer.name()
    }

    /// The head as a signed note.
    pub fn sign(&self, head: &Head) -> Result<String, CheckpointError> {
        let root = Hash::parse(&head.root).ok_or(CheckpointError::Malformed)?;
        let body = Checkpoint::new(self.origin(), head.size, tlog_tiles::Hash(root.0), "")
            .map_err(|_| CheckpointError::Malformed)?;
        let mut note = Note::new(&body.to_bytes(), &[]).map_err(|_| CheckpointError::Malformed)?;
        note.add_sigs(&[&self.signer]).map_err(|_| CheckpointError::Malformed)?;
        String::from_utf8(note.to_bytes()).map_err(|_| CheckpointError::Malformed)
    }
}

/// Whose checkpoints hold.
#[derive(Clone)]
pub struct LogVerifier {
    vkey: String,
    verifier: StandardVerifier,
}

impl std::fmt::Debug for LogVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogVerifier({})", self.vkey)
    }
}

impl LogVerifier {
    pub fn new(vkey: &str) -> Result<Self, CheckpointError> {
        let verifier = StandardVerifier::new(vkey.trim()).map_err(|_| CheckpointError::Key)?;
        Ok(Self { vkey: vkey.trim().to_owned(), verifier })
    }

    pub fn vkey(&self) -> &str {
        &self.vkey
    }

    pub fn origin(&self) -> &str {
        self.verifier.name()
    }

    /// The head that the log signed. Cosignatures are not looked at here.
    pub fn open(&self, note: &str) -> Result<Head, CheckpointError> {
        if note.len() > LONGEST {
            return Err(CheckpointError::Malformed);
        }
        let parsed = Note::from_bytes(note.as_bytes()).map_err(|_| CheckpointError::Malformed)?;
        let body = Checkpoint::from_bytes(parsed.text()).map_err(|_| CheckpointError::Malformed)?;
        if body.origin() != self.origin() {
            return Err(CheckpointError::Origin(body.origin().to_owned()));
        }
        let known = VerifierList::new(vec![Box::new(self.verifier.clone())]);
        parsed.verify(&known).map_err(|_| CheckpointError::Signature)?;
        Ok(Head { size: body.size(), root: Hash(body.hash().0).digest() })
    }
}

/// What a note says, whoever signed it: for notes whose signature does not matter, such as one's own.
pub fn head_of(note: &str) -> Option<Head> {
    let parsed = Note::from_bytes(note.as_bytes()).ok()?;
    let body = Checkpoint::from_bytes(parsed.text()).ok()?;
    Some(Head { size: body.size(), root: Hash(body.hash().0).digest() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Tree;
    use gatepass_core::text::Digest;
    use proptest::prelude::*;

    fn key(seed: u8) -> LogKey {
        LogKey::parse(&LogKey::generate("example.com/gatepass", &[seed; 32])).unwrap()
    }

    proptest! {
        #[test]
        fn every_key_reads_back_and_signs(seed: [u8; 32], size in 0u64..1 << 40, root: [u8; 32]) {
            let key = LogKey::parse(&LogKey::generate("example.com/gatepass", &seed)).unwrap();
            let head = Head { size, root: Hash(root).digest() };
            let note = key.sign(&head).unwrap();
            prop_assert_eq!(LogVerifier::new(key.vkey()).unwrap().open(&note), Ok(head));
        }
    }

    #[test]
    fn only_its_own_key_and_words_hold() {
        let head = Tree::default().head();
        let note = key(1).sign(&head).unwrap();
        let other = LogVerifier::new(key(2).vkey()).unwrap();
        assert_eq!(other.open(&note), Err(CheckpointError::Signature));
        let ours = LogVerifier::new(key(1).vkey()).unwrap();
        let changed = note.replacen("\n0\n", "\n1\n", 1);
        assert_eq!(ours.open(&changed), Err(CheckpointError::Signature));
        let renamed = LogKey::parse(&LogKey::generate("example.org/other", &[1; 32])).unwrap();
        let theirs = renamed.sign(&head).unwrap();
        assert_eq!(ours.open(&theirs), Err(CheckpointError::Origin("example.org/other".to_owned())));
        assert_eq!(ours.open("no note"), Err(CheckpointError::Malformed));
        assert_eq!(
            key(1).sign(&Head { size: 1, root: Digest("x".to_owned()) }),
            Err(CheckpointError::Malformed)
        );
    }

    #[test]
    fn a_name_becomes_an_origin() {
        assert_eq!(origin("Gatepass on this machine + more"), "Gatepass-on-this-machine---more");
    }
}
