//! OpenSSH's key revocation list (PROTOCOL.krl), of the one form needed: certificates of one authority by serial.

const MAGIC: &[u8] = b"SSHKRL\n\0";
const FORMAT: u32 = 1;
const SECTION_CERTIFICATES: u8 = 1;
const SECTION_SERIALS: u8 = 0x20;

/// The list of these serials. `since` is its version and its date, in seconds: the same list is the same bytes,
/// whichever node makes it.
pub fn encode(authority: &[u8], since: u64, mut serials: Vec<u64>) -> Vec<u8> {
    // In order, as ssh-keygen writes them; 0 is no serial.
    serials.sort_unstable();
    serials.dedup();
    serials.retain(|serial| *serial != 0);
    let mut list = MAGIC.to_vec();
    list.extend(FORMAT.to_be_bytes());
    for field in [since, since, 0] {
        list.extend(field.to_be_bytes());
    }
    string(&mut list, b"");
    string(&mut list, b"Gatepass");
    if !serials.is_empty() {
        let numbers: Vec<u8> = serials.iter().flat_map(|serial| serial.to_be_bytes()).collect();
        let mut certificates = Vec::new();
        string(&mut certificates, authority);
        string(&mut certificates, b"");
        certificates.push(SECTION_SERIALS);
        string(&mut certificates, &numbers);
        list.push(SECTION_CERTIFICATES);
        string(&mut list, &certificates);
    }
    list
}

fn string(into: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing here comes near 4 GiB.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    into.extend(length.to_be_bytes());
    into.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_serials_are_the_same_bytes() {
        assert_eq!(encode(b"ca", 5, vec![3, 1, 0, 2, 1]), encode(b"ca", 5, vec![1, 2, 3]));
        let empty = encode(b"ca", 0, Vec::new());
        assert_eq!(empty.len(), 8 + 4 + 3 * 8 + 4 + 4 + 8, "a header and no section");
    }
}
