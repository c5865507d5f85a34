//! A session's metadata fields, encoded in its record: name length, value length, name, value, each
//! length in two bytes.

use crate::key::Words;

/// A session's metadata, borrowed from its record.
#[derive(Clone, Copy)]
pub struct Meta<'a> {
    pub(crate) encoded: &'a [u8],
}

impl<'a> Meta<'a> {
    /// Names and values in the order in which they were first set.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.encoded;
        std::iter::from_fn(move || {
            let (name_length, after) = rest.split_first_chunk::<2>()?;
            let (value_length, after) = after.split_first_chunk::<2>()?;
            let (name, after) = after.split_at_checked(u16::from_le_bytes(*name_length).into())?;
            let (value, after) =
                after.split_at_checked(u16::from_le_bytes(*value_length).into())?;
            rest = after;
            Some((name, value))
        })
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }
}

/// The fields of `encoded` with `fields` set on top; an empty value removes a field. `None` when a
/// name, a value or the whole is longer than the encoding holds.
pub(crate) fn with_fields(encoded: &[u8], fields: Words<'_>) -> Option<Vec<u8>> {
    let mut merged: Vec<(&[u8], &[u8])> = Meta { encoded }.iter().collect();
    for (name, value) in fields.pairs() {
        match merged.iter_mut().find(|(known, _)| *known == name) {
            Some(field) => field.1 = value,
            None => merged.push((name, value)),
        }
    }
    let mut out = Vec::new();
    for (name, value) in merged.into_iter().filter(|(_, value)| !value.is_empty()) {
        out.extend_from_slice(&u16::try_from(name.len()).ok()?.to_le_bytes());
        out.extend_from_slice(&u16::try_from(value.len()).ok()?.to_le_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
    u16::try_from(out.len()).is_ok().then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_replaced_and_removed() {
        let first = with_fields(&[], Words::from_slices(&[b"ip", b"::1", b"agent", b"curl"]));
        let first = first.expect("short enough");
        let second =
            with_fields(&first, Words::from_slices(&[b"ip", b"", b"os", b"x", b"agent", b"w"]));
        let second = second.expect("short enough");
        let fields: Vec<_> = Meta { encoded: &second }.iter().collect();
        assert_eq!(fields, [(&b"agent"[..], &b"w"[..]), (b"os", b"x")]);
    }
}
