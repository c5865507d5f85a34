//! A short sequence of byte strings in one buffer: the memory form of small hashes and sets.
//!
//! Each item is its length as a varint and its bytes, back to back; finding one is a walk. That is cheap
//! while the sequence is short, and one allocation without slack is what keeps a session of six fields
//! lean. Callers bound the size; this type does not.

use std::ops::Range;

use super::wire::{push_bytes, varint_bytes};

/// Byte strings back to back in one exactly sized buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
}

/// One item: where it lies in the buffer, prefix included, and its bytes.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    pub(super) place: Range<usize>,
    pub(super) bytes: &'a [u8],
}

impl Packed {
    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Makes room for `additional` bytes at once, where the caller knows what is coming.
    pub(super) fn reserve(&mut self, additional: usize) {
        self.bytes.reserve_exact(additional);
    }

    pub(super) fn iter(&self) -> Items<'_> {
        Items { buffer: &self.bytes, position: 0 }
    }

    /// Appends an item.
    pub(super) fn push(&mut self, item: &[u8]) {
        self.bytes.reserve_exact(item_bytes(item));
        push_bytes(&mut self.bytes, item);
    }

    /// Takes out what lies at `place`.
    pub(super) fn remove(&mut self, place: Range<usize>) {
        self.bytes.drain(place);
        if self.bytes.capacity() > 2 * self.bytes.len() + 64 {
            self.bytes.shrink_to_fit();
        }
    }

    /// Puts `item` where the item at `place` was.
    pub(super) fn replace(&mut self, place: Range<usize>, item: &[u8]) {
        let (old_bytes, new_bytes) = (place.len(), item_bytes(item));
        let end = self.bytes.len();
        if new_bytes > old_bytes {
            self.bytes.reserve_exact(new_bytes - old_bytes);
            self.bytes.resize(end + new_bytes - old_bytes, 0);
        }
        if new_bytes != old_bytes {
            self.bytes.copy_within(place.end..end, place.start + new_bytes);
            self.bytes.truncate(end + new_bytes - old_bytes);
        }
        let prefix_bytes = new_bytes - item.len();
        let mut length = item.len();
        for (index, slot) in self.bytes[place.start..][..prefix_bytes].iter_mut().enumerate() {
            let more = if index + 1 < prefix_bytes { 0x80 } else { 0 };
            *slot = (length as u8 & 0x7f) | more;
            length >>= 7;
        }
        self.bytes[place.start + prefix_bytes..][..item.len()].copy_from_slice(item);
    }
}

/// How many bytes `item` takes with its prefix.
pub(super) fn item_bytes(item: &[u8]) -> usize {
    varint_bytes(item.len() as u64) + item.len()
}

/// The items in order.
#[derive(Debug, Clone)]
pub(super) struct Items<'a> {
    buffer: &'a [u8],
    position: usize,
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let start = self.position;
        let (mut length, mut position) = (0usize, start);
        for shift in (0..64).step_by(7) {
            let byte = *self.buffer.get(position)?;
            position += 1;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        let bytes = self.buffer.get(position..position + length)?;
        self.position = position + length;
        Some(Item { place: start..self.position, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(packed: &Packed) -> Vec<Vec<u8>> {
        packed.iter().map(|item| item.bytes.to_vec()).collect()
    }

    #[test]
    fn replace_moves_what_follows() {
        for length in [0, 1, 127, 128, 300, 20_000] {
            let mut packed = Packed::default();
            for item in [&b"first"[..], b"second", b"third"] {
                packed.push(item);
            }
            for new in [vec![7u8; length], vec![], vec![8; 6], vec![9; 129]] {
                let place = packed.iter().nth(1).unwrap().place;
                packed.replace(place, &new);
                assert_eq!(contents(&packed), [b"first".to_vec(), new, b"third".to_vec()]);
            }
        }
    }

    #[test]
    fn remove_closes_the_gap() {
        let mut packed = Packed::default();
        for item in [&b"a"[..], b"", b"ccc"] {
            packed.push(item);
        }
        let place = packed.iter().nth(1).unwrap().place;
        packed.remove(place);
        assert_eq!(contents(&packed), [b"a".to_vec(), b"ccc".to_vec()]);
        assert_eq!(packed.bytes(), 6);
    }
}
