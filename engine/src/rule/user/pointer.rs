//! A pointer into a document, as RFC 6901 writes it: `/passport/user`.

use std::borrow::Cow;

/// The rest of a pointer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pointer<'a>(&'a [u8]);

impl<'a> Pointer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// The next name and what follows it; `None` at the end.
    pub(super) fn split(self) -> Option<(Cow<'a, [u8]>, Self)> {
        let rest = self.0.strip_prefix(b"/")?;
        let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        Some((unescaped(name), Self(after)))
    }
}

/// `~1` stands for a slash and `~0` for a tilde.
fn unescaped(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'~') {
        return Cow::Borrowed(name);
    }
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match (byte, after) {
            (b'~', [b'0', after @ ..]) => (b'~', after),
            (b'~', [b'1', after @ ..]) => (b'/', after),
            _ => (byte, after),
        };
        out.push(byte);
        rest = after;
    }
    Cow::Owned(out)
}

/// Whether `name` is the index `index` of an array: without zeros in front.
pub(super) fn is_index(name: &[u8], index: usize) -> bool {
    number(name) == Some(index)
}

fn number(name: &[u8]) -> Option<usize> {
    let plain = name == b"0" || !name.starts_with(b"0");
    let digits = plain && name.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(name).ok()?.parse().ok() } else { None }
}
