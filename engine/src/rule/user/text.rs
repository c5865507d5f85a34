//! Decoders of whole texts: base64 and percent-encoding.

/// The bytes of a base64 text in either alphabet, padded or not (RFC 4648, sections 4 and 5).
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let digits = text.get(..end)?;
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            bits = bits << 6 | sextet(*digit)?;
        }
        let (bytes, missing) = match group.len() {
            4 => (3, 0),
            3 => (2, 6),
            2 => (1, 12),
            _ => return None,
        };
        let all = (bits << missing).to_be_bytes();
        out.extend_from_slice(all.get(1..=bytes)?);
    }
    Some(out)
}

fn sextet(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

/// The bytes of a percent-encoded text (RFC 3986, section 2.1). A plus stays one.
pub(super) fn percent(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let ([high, low], after) = rest.split_first_chunk::<2>()?;
        let digit = |digit: u8| char::from(digit).to_digit(16);
        out.push((digit(*high)? << 4 | digit(*low)?) as u8);
        rest = after;
    }
    Some(out)
}
