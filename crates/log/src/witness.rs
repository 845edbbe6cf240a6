//! External witnesses: C2SP tlog-witness and tlog-cosignature, with Ed25519. A cosignature says that at some time this was
//! the largest tree of this log that the witness knew, and that it goes on from all that it saw before.
//! <https://c2sp.org/tlog-witness>, <https://c2sp.org/tlog-cosignature>

use crate::checkpoint::{CheckpointError, LONGEST};
use crate::leaf::Hash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, VerifyingKey};
use signed_note::{Note, Verifier, VerifierList, is_key_name_valid, key_id};

/// The signature type of `cosignature/v1`.
const COSIGNATURE: u8 = 4;
/// The time in a cosignature, before its signature.
const TIME: usize = 8;
/// No proof has more lines: a witness refuses it.
const LINES: usize = 63;

/// Whose cosignatures count.
#[derive(Clone)]
pub struct Witness {
    name: String,
    id: u32,
    key: VerifyingKey,
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Witness({})", self.name)
    }
}

/// What a witness said of a checkpoint, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The line of the note, with its end.
    pub line: String,
    /// Seconds since 1970, by the witness's clock.
    pub at: u64,
}

impl Witness {
    /// From its verifier key, `<name>+<id>+<key>`, of type 0x04.
    pub fn new(vkey: &str) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::Key;
        let mut parts = vkey.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong);
        };
        let bytes = BASE64.decode(key).map_err(|_| wrong.clone())?;
        let (Some((&COSIGNATURE, public)), true) = (bytes.split_first(), is_key_name_valid(name)) else {
            return Err(wrong);
        };
        let computed = key_id(name, &bytes);
        let public: &[u8; 32] = public.try_into().map_err(|_| wrong.clone())?;
        let key = VerifyingKey::from_bytes(public).map_err(|_| wrong.clone())?;
        // Under such a key anybody's signature holds.
        if id != format!("{computed:08x}") || key.is_weak() {
            return Err(wrong);
        }
        Ok(Self { name: name.to_owned(), id: computed, key })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its cosignature on `note`, if there is one that holds. Others' lines are not looked at.
    pub fn cosigned(&self, note: &str) -> Option<Cosignature> {
        if note.len() > LONGEST {
            return None;
        }
        let note = Note::from_bytes(note.as_bytes()).ok()?;
        let (held, _) = note.verify(&VerifierList::new(vec![Box::new(self.clone())])).ok()?;
        let signature = held.first()?;
        let (at, _) = signature.signature().split_first_chunk::<TIME>()?;
        let line = String::from_utf8(signature.to_bytes()).ok()?;
        Some(Cosignature { line, at: u64::from_be_bytes(*at) })
    }
}

impl Verifier for Witness {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, body: &[u8], signature: &[u8]) -> bool {
        let Some((at, signature)) = signature.split_first_chunk::<TIME>() else { return false };
        let (at, Ok(signature)) = (u64::from_be_bytes(*at), Signature::from_slice(signature)) else {
            return false;
        };
        let message = [format!("cosignature/v1\ntime {at}\n").as_bytes(), body].concat();
        at <= i64::MAX.cast_unsigned() && self.key.verify_strict(&message, &signature).is_ok()
    }
}

/// What `add-checkpoint` is sent: a proof that the tree of `old` leaves is how the one of `note` began. `None` for a proof
/// that no witness takes.
pub fn add_checkpoint(old: u64, proof: &[Hash], note: &str) -> Option<String> {
    if proof.len() > LINES {
        return None;
    }
    let lines: String = proof.iter().map(|hash| BASE64.encode(hash.0) + "\n").collect();
    Some(format!("old {old}\n{lines}\n{note}"))
}

/// The size that a witness answers to another one than it knows (409).
pub fn known_size(answer: &str) -> Option<u64> {
    let size = answer.strip_suffix('\n').unwrap_or(answer);
    size.parse().ok().filter(|n: &u64| n.to_string() == size)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::checkpoint::LogKey;
    use crate::{LogVerifier, Tree};
    use ed25519_dalek::{Signer as _, SigningKey};

    /// The example of c2sp.org/tlog-cosignature.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
        — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

    fn vkey(kind: u8, name: &str, key: &SigningKey) -> String {
        let public = [&[kind], key.verifying_key().as_bytes().as_slice()].concat();
        format!("{name}+{:08x}+{}", key_id(name, &public), BASE64.encode(public))
    }

    fn cosign(key: &SigningKey, name: &str, at: u64, note: &str) -> String {
        let body = note.split("\n\n").next().unwrap();
        let signature = key.sign(format!("cosignature/v1\ntime {at}\n{body}\n").as_bytes());
        let public = [&[COSIGNATURE], key.verifying_key().as_bytes().as_slice()].concat();
        let id = key_id(name, &public).to_be_bytes();
        let bytes = [id.as_slice(), &at.to_be_bytes(), &signature.to_bytes()].concat();
        format!("— {name} {}\n", BASE64.encode(bytes))
    }

    #[test]
    fn a_cosignature_holds_for_its_witness_its_time_and_its_note() {
        let (key, other) = (SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32]));
        let witness = Witness::new(&vkey(4, "w.example/1", &key)).unwrap();
        let log = LogKey::parse(&LogKey::generate("example.com/gatepass", &[1; 32])).unwrap();
        let note = log.sign(&Tree::default().head()).unwrap();
        assert_eq!(witness.cosigned(&note), None);
        let line = cosign(&key, "w.example/1", 1_795_000_000, &note);
        let both = format!("{note}{}{line}", cosign(&other, "w.example/2", 5, &note));
        assert_eq!(witness.cosigned(&both), Some(Cosignature { line: line.clone(), at: 1_795_000_000 }));
        // To who knows only the log, it is the same checkpoint.
        assert_eq!(LogVerifier::new(log.vkey()).unwrap().open(&both), Ok(Tree::default().head()));
        // The same line under another note, and the same name with another key.
        let mut tree = Tree::default();
        tree.append(Hash::leaf(b"1"));
        let next = log.sign(&tree.head()).unwrap();
        assert_eq!(witness.cosigned(&format!("{next}{line}")), None);
        let imitated = cosign(&other, "w.example/1", 1_795_000_000, &note);
        assert_eq!(witness.cosigned(&format!("{note}{imitated}")), None);
        // The time is signed.
        let signature = BASE64.decode(line.trim_end().rsplit(' ').next().unwrap()).unwrap();
        let later = [&signature[..4], &1_795_000_001u64.to_be_bytes(), &signature[12..]].concat();
        let later = format!("{note}— w.example/1 {}\n", BASE64.encode(later));
        assert_eq!(witness.cosigned(&later), None);
        let late = cosign(&key, "w.example/1", u64::MAX, &note);
        assert_eq!(witness.cosigned(&format!("{note}{late}")), None);
    }

    #[test]
    fn only_a_cosigners_key_is_taken() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let good = vkey(4, "w.example/1", &key);
        assert!(Witness::new(&good).is_ok());
        for wrong in [
            vkey(1, "w.example/1", &key),
            vkey(4, "w example", &key),
            good.replacen("w.example/1", "w.example/2", 1),
            good.to_uppercase(),
            format!("{good}A"),
            good[..good.len() - 4].to_owned(),
            String::new(),
            "a+b".to_owned(),
        ] {
            assert!(Witness::new(&wrong).is_err(), "{wrong}");
        }
        // The point of order one.
        let mut small = [0; 33];
        (small[0], small[1]) = (4, 1);
        let id = key_id("w", &small);
        assert!(Witness::new(&format!("w+{id:08x}+{}", BASE64.encode(small))).is_err());
    }

    #[test]
    fn what_is_sent_is_as_in_the_specification() {
        let note = EXAMPLE;
        let sent = add_checkpoint(20_852_014, &[Hash([1; 32]), Hash([2; 32])], note).unwrap();
        let (proof, rest) = sent.split_once("\n\n").unwrap();
        assert_eq!(proof.lines().next(), Some("old 20852014"));
        assert_eq!(proof.lines().nth(1), Some("AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="));
        assert_eq!(rest, note);
        assert_eq!(add_checkpoint(0, &[], "n\n"), Some("old 0\n\nn\n".to_owned()));
        assert_eq!(add_checkpoint(1, &[Hash([0; 32]); 64], note), None);
    }

    #[test]
    fn the_size_that_a_witness_knows_is_a_plain_number() {
        assert_eq!(
            (known_size("0\n"), known_size("20852014\n"), known_size("7")),
            (Some(0), Some(20_852_014), Some(7))
        );
        for wrong in ["", "\n", "07\n", "+7\n", "7 \n", "7\n\n", "18446744073709551616\n", "seven\n"] {
            assert_eq!(known_size(wrong), None, "{wrong}");
        }
    }
}
