//! Session ids: what a client holds, and the hash of it that the engine holds.
//!
//! An id is 256 random bits from the operating system in base64url. Only its [`SessionHash`] is
//! stored (requirement R3); the id itself exists in the reply that hands it out and at the client.

use hallpass_engine::SessionHash;
use sha2::{Digest, Sha256};

/// Characters of an id, and of a handle.
pub const ID_BYTES: usize = 43;
const HANDLE_BYTES: usize = 22;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A fresh session id.
pub struct Secret {
    id: [u8; ID_BYTES],
}

impl Secret {
    /// An id of 256 bits from the operating system's generator.
    pub fn draw() -> Self {
        let mut bits = [0; 32];
        crate::random::fill(&mut bits);
        let mut id = [0; ID_BYTES];
        encode(&bits, &mut id);
        Self { id }
    }

    /// The id as the client gets it.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// What the engine is told of it.
    pub fn hash(&self) -> SessionHash {
        hash(&self.id)
    }
}

impl std::fmt::Debug for Secret {
    /// Ids appear in no log.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// The hash under which the engine knows the session of this id.
pub fn hash(id: &[u8]) -> SessionHash {
    let digest = Sha256::digest(id);
    let mut hash = [0; 16];
    hash.copy_from_slice(&digest[..16]);
    SessionHash(hash)
}

/// A session's public name: its hash in base64url. Safe to show, useless as an id.
pub fn handle(hash: &SessionHash) -> [u8; HANDLE_BYTES] {
    let mut text = [0; HANDLE_BYTES];
    encode(&hash.0, &mut text);
    text
}

/// The hash a handle stands for, if it is one.
pub fn parse_handle(text: &[u8]) -> Option<SessionHash> {
    if text.len() != HANDLE_BYTES {
        return None;
    }
    let mut hash = [0; 16];
    let mut bits: u32 = 0;
    let mut count = 0;
    let mut at = 0;
    for byte in text {
        let value = ALPHABET.iter().position(|letter| letter == byte)? as u32;
        bits = bits << 6 | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            *hash.get_mut(at)? = (bits >> count) as u8;
            at += 1;
        }
    }
    // The last letter's unused bits are zero in what we print; anything else is not ours.
    (bits & ((1 << count) - 1) == 0).then_some(SessionHash(hash))
}

/// Base64url without padding (RFC 4648, section 5) of `bits` into exactly as many letters as it takes.
fn encode(bits: &[u8], text: &mut [u8]) {
    assert_eq!(text.len(), (bits.len() * 4).div_ceil(3));
    for (letter, index) in text.iter_mut().zip(0..) {
        let bit = index * 6;
        let high = u16::from(bits[bit / 8]) << 8;
        let low = bits.get(bit / 8 + 1).copied().map_or(0, u16::from);
        let value = (high | low) >> (10 - bit % 8) & 0x3f;
        *letter = ALPHABET[usize::from(value)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_as_in_the_rfc() {
        let mut text = [0; 8];
        encode(b"foobar", &mut text);
        assert_eq!(&text, b"Zm9vYmFy");
        let mut text = [0; 6];
        encode(b"fooo", &mut text);
        assert_eq!(&text, b"Zm9vbw");
        let mut text = [0; 2];
        encode(&[0xff], &mut text);
        assert_eq!(&text, b"_w");
    }

    #[test]
    fn handles_read_back_and_ids_differ() {
        let secret = Secret::draw();
        assert_ne!(secret.id(), Secret::draw().id());
        let hash = secret.hash();
        assert_eq!(parse_handle(&handle(&hash)), Some(hash));
        assert_eq!(parse_handle(secret.id()), None);
        assert_eq!(parse_handle(b"AAAAAAAAAAAAAAAAAAAAAB"), None);
    }
}
