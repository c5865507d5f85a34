//! Numbers in as few bytes as they need: LEB128, seven bits a byte, the low ones first; and byte strings with
//! their length in front.
//!
//! What snapshots and encoded ops write their lengths, counts and stamps with. Values have their own
//! reader in `value`, whose errors say more.

/// Appends `number`.
pub(crate) fn push(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front; `None` when the bytes end before it does or it has more than 64 bits.
pub(crate) fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// A signed number as an unsigned one: the sign moves to the lowest bit, so small negatives stay short.
pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// The signed number that [`zigzag`] made this one of.
pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Appends a byte string, its length in front.
pub(crate) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes a byte string off the front; `None` when the bytes end before it does.
pub(crate) fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take(rest)?).ok()?;
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_come_back() {
        for shift in 0..64 {
            for number in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                push(&mut out, number);
                assert_eq!(take(&mut &out[..]), Some(number));
                assert_eq!(take(&mut &out[..out.len() - 1]), None);
                assert_eq!(zigzag(unzigzag(number)), number);
            }
        }
        assert_eq!(take(&mut &[0xff; 11][..]), None);
        assert_eq!(unzigzag(zigzag(i64::MIN)), i64::MIN);
    }
}
