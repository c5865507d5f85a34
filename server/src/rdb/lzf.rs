//! LZF, by which Redis compresses strings: runs of literal bytes, and references to what came before.
//!
//! A run begins with a byte below 32: its length less one. A reference is three bits of length and 13 of
//! distance; seven means that a byte with more length follows. Three bytes become 264 at the most.

use super::RdbError;

/// The most that a byte can stand for.
const EXPANSION_MAX: usize = 88;

const BROKEN: RdbError = RdbError::Malformed("a compressed string is broken");

/// The string of `length` bytes that was compressed. The caller has checked that so many are allowed.
pub(super) fn expand(compressed: &[u8], length: usize) -> Result<Vec<u8>, RdbError> {
    if length / EXPANSION_MAX > compressed.len() {
        return Err(BROKEN);
    }
    let mut out = Vec::with_capacity(length);
    let mut rest = compressed.iter();
    let next = |rest: &mut std::slice::Iter<'_, u8>| rest.next().copied().ok_or(BROKEN);
    while let Ok(control) = next(&mut rest) {
        let control = usize::from(control);
        if control < 32 {
            let (run, after) = rest.as_slice().split_at_checked(control + 1).ok_or(BROKEN)?;
            if out.len() + run.len() > length {
                return Err(BROKEN);
            }
            out.extend_from_slice(run);
            rest = after.iter();
            continue;
        }
        let mut copied = control >> 5;
        if copied == 7 {
            copied += usize::from(next(&mut rest)?);
        }
        copied += 2;
        let distance = ((control & 0x1f) << 8 | usize::from(next(&mut rest)?)) + 1;
        let start = out.len().checked_sub(distance).ok_or(BROKEN)?;
        if out.len() + copied > length {
            return Err(BROKEN);
        }
        if distance >= copied {
            out.extend_from_within(start..start + copied);
        } else {
            // It reaches into what it writes.
            for at in start..start + copied {
                out.extend_from_within(at..=at);
            }
        }
    }
    if out.len() == length { Ok(out) } else { Err(BROKEN) }
}

#[cfg(test)]
mod tests {
    use super::{BROKEN, expand};

    #[test]
    fn runs_and_references_are_expanded() {
        assert_eq!(expand(b"\x02abc", 3).unwrap(), b"abc");
        // Three bytes again, and a reference that repeats itself: "ab" to nine bytes.
        assert_eq!(expand(b"\x02abc\x20\x02", 6).unwrap(), b"abcabc");
        assert_eq!(expand(b"\x01ab\xa0\x01", 9).unwrap(), b"ababababa");
        // A long reference.
        assert_eq!(expand(b"\x00a\xe0\xff\x00", 265).unwrap(), [b'a'; 265]);
        assert_eq!(expand(b"", 0).unwrap(), b"");
    }

    #[test]
    fn broken_ones_are_refused() {
        for (compressed, length) in [
            (&b"\x02ab"[..], 3),
            (b"\x02abc", 2),
            (b"\x02abc", 4),
            (b"\x20\x00", 3),
            (b"\x00a\x20\x01", 4),
            (b"\x00a\x20", 4),
            (b"\x00a\xe0", 4),
            (b"\x00a\x20\x00", 3),
            (b"\x00a", usize::MAX),
        ] {
            assert_eq!(expand(compressed, length), Err(BROKEN), "{compressed:?}");
        }
    }
}
