//! A part of what PHP's `serialize` wrote, walked where it lies; and of what its session handler wrote.
//!
//! Laravel serialises a session and its cache store serialises the string once more, so a string is
//! opened where a pointer leads into it. Of an object the properties are named without their class.

use std::borrow::Cow;

use super::DEPTH_MAX;
use super::pointer::Pointer;

/// How many strings are opened on the way to a part.
const OPENED_MAX: usize = 4;

/// The string or integer that `pointer` names.
pub(super) fn scalar_at<'a>(document: &'a [u8], pointer: Pointer<'_>) -> Option<Cow<'a, [u8]>> {
    let (mut value, mut pointer, mut opened) = (document, pointer, 0);
    while let Some((name, rest)) = pointer.split() {
        if let Some((content, _)) = string(value) {
            opened += 1;
            if opened > OPENED_MAX {
                return None;
            }
            value = content;
            continue;
        }
        value = member(value, &name)?;
        pointer = rest;
    }
    let scalar = string(value).map(|(content, _)| content);
    scalar.or_else(|| integer(value)).map(Cow::Borrowed)
}

/// The string or integer that `pointer` names in `name|value name|value`.
pub(super) fn scalar_of_session<'a>(
    session: &'a [u8],
    pointer: Pointer<'_>,
) -> Option<Cow<'a, [u8]>> {
    let (name, rest) = pointer.split()?;
    let mut at = session;
    loop {
        let bar = at.iter().position(|byte| *byte == b'|')?;
        let (key, value) = (at.get(..bar)?, at.get(bar + 1..)?);
        if *key == *name {
            return scalar_at(value, rest);
        }
        at = skip_value(value, DEPTH_MAX)?;
    }
}

/// The value of an array's element or an object's property.
fn member<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (count, mut rest) = entries(value)?;
    for _ in 0..count {
        let (key, after) = key(rest)?;
        if key == name {
            return Some(after);
        }
        rest = skip_value(after, DEPTH_MAX)?;
    }
    None
}

/// How many entries an array or object has, and the first of them.
fn entries(value: &[u8]) -> Option<(usize, &[u8])> {
    let rest = match value.first()? {
        b'a' => value.strip_prefix(b"a:")?,
        b'O' => {
            let (_, rest) = counted(value.strip_prefix(b"O:")?)?;
            rest.strip_prefix(b":")?
        }
        _ => return None,
    };
    let (count, rest) = number(rest)?;
    Some((count, rest.strip_prefix(b":{")?))
}

/// A key as text, and what follows it.
fn key(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some((name, rest)) = string(text) {
        // Private and protected properties have their class, or a star, between zeros in front.
        let plain = name.strip_prefix(b"\0").and_then(|inner| {
            let end = inner.iter().position(|byte| *byte == 0)?;
            inner.get(end + 1..)
        });
        return Some((plain.unwrap_or(name), rest));
    }
    let name = integer(text)?;
    let after = text.get(2 + name.len()..)?;
    Some((name, after.strip_prefix(b";")?))
}

/// The content of a string, and what follows it.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (content, rest) = counted(text.strip_prefix(b"s:")?)?;
    Some((content, rest.strip_prefix(b";")?))
}

/// `length:"content"`, and what follows it.
fn counted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = number(text)?;
    let (content, rest) = rest.strip_prefix(b":\"")?.split_at_checked(length)?;
    Some((content, rest.strip_prefix(b"\"")?))
}

fn integer(text: &[u8]) -> Option<&[u8]> {
    let rest = text.strip_prefix(b"i:")?;
    let number = rest.get(..rest.iter().position(|byte| *byte == b';')?)?;
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(number)
}

fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at(end);
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// What follows a value that is nested at most `depth` deep.
fn skip_value(value: &[u8], depth: usize) -> Option<&[u8]> {
    match value.first()? {
        b's' => string(value).map(|(_, rest)| rest),
        b'E' => counted(value.strip_prefix(b"E:")?)?.1.strip_prefix(b";"),
        b'C' => {
            let (_, rest) = counted(value.strip_prefix(b"C:")?)?;
            let (length, rest) = number(rest.strip_prefix(b":")?)?;
            rest.strip_prefix(b":{")?.get(length..)?.strip_prefix(b"}")
        }
        b'a' | b'O' => {
            let depth = depth.checked_sub(1)?;
            let (count, mut rest) = entries(value)?;
            for _ in 0..count {
                rest = skip_value(key(rest)?.1, depth)?;
            }
            rest.strip_prefix(b"}")
        }
        b'i' | b'd' | b'b' | b'N' | b'r' | b'R' => {
            let end = value.iter().position(|byte| *byte == b';')?;
            value.get(end + 1..)
        }
        _ => None,
    }
}
