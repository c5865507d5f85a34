//! A string as Java's object serialisation writes it: what Spring Session keeps in a hash's fields.
//!
//! Stream magic and version, then `TC_STRING` with two bytes of length or `TC_LONGSTRING` with eight, then
//! modified UTF-8 (Java Object Serialization Specification, chapter 6).

const HEADER: &[u8] = &[0xac, 0xed, 0, 5];
const STRING: u8 = 0x74;
const LONG_STRING: u8 = 0x7c;

/// The string in a stream that holds just one.
pub(super) fn string(stream: &[u8]) -> Option<Vec<u8>> {
    let (&kind, rest) = stream.strip_prefix(HEADER)?.split_first()?;
    let (length, text) = match kind {
        STRING => {
            let (length, text) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*length)), text)
        }
        LONG_STRING => {
            let (length, text) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length), text)
        }
        _ => return None,
    };
    if text.len() as u64 != length {
        return None;
    }
    from_modified(text)
}

/// UTF-8 out of Java's: zero is written in two bytes there, and what lies past U+FFFF as two surrogates.
fn from_modified(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_ascii() {
        return Some(text.to_vec());
    }
    let mut units = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let (unit, after) = match (first, after) {
            (0..=0x7f, after) => (u16::from(first), after),
            (0xc0..=0xdf, [second, after @ ..]) => {
                (u16::from(first & 0x1f) << 6 | tail(*second)?, after)
            }
            (0xe0..=0xef, [second, third, after @ ..]) => {
                (u16::from(first & 0xf) << 12 | tail(*second)? << 6 | tail(*third)?, after)
            }
            _ => return None,
        };
        units.push(unit);
        rest = after;
    }
    String::from_utf16(&units).ok().map(String::into_bytes)
}

fn tail(byte: u8) -> Option<u16> {
    (byte & 0xc0 == 0x80).then_some(u16::from(byte & 0x3f))
}
