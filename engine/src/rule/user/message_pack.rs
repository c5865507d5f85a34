//! A part of a `MessagePack` document, walked where it lies: what Flask-Session writes by default.

use std::borrow::Cow;

use super::DEPTH_MAX;
use super::pointer::{Pointer, is_index};

/// One object's head: what it is and what follows.
enum Head<'a> {
    /// A text, or bytes.
    Text(&'a [u8]),
    Integer(i128),
    /// So many elements follow.
    Array(usize),
    /// So many pairs follow.
    Map(usize),
    Other,
}

/// The string or integer that `pointer` names.
pub(super) fn scalar_at<'a>(document: &'a [u8], pointer: Pointer<'_>) -> Option<Cow<'a, [u8]>> {
    let (mut value, mut pointer) = (document, pointer);
    while let Some((name, rest)) = pointer.split() {
        value = part(value, &name)?;
        pointer = rest;
    }
    match head(value)?.0 {
        Head::Text(text) => Some(Cow::Borrowed(text)),
        Head::Integer(number) => Some(Cow::Owned(number.to_string().into_bytes())),
        _ => None,
    }
}

fn part<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match head(value)? {
        (Head::Map(count), mut rest) => {
            for _ in 0..count {
                let (key, after) = head(rest)?;
                let is_it = match key {
                    Head::Text(text) => text == name,
                    Head::Integer(number) => number.to_string().as_bytes() == name,
                    _ => return None,
                };
                if is_it {
                    return Some(after);
                }
                rest = skip(after, DEPTH_MAX)?;
            }
            None
        }
        (Head::Array(count), mut rest) => {
            for index in 0..count {
                if is_index(name, index) {
                    return Some(rest);
                }
                rest = skip(rest, DEPTH_MAX)?;
            }
            None
        }
        _ => None,
    }
}

/// What follows a value that is nested at most `depth` deep.
fn skip(value: &[u8], depth: usize) -> Option<&[u8]> {
    let depth = depth.checked_sub(1)?;
    let (head, mut rest) = head(value)?;
    let inside = match head {
        Head::Array(count) => count,
        Head::Map(count) => count.checked_mul(2)?,
        _ => 0,
    };
    for _ in 0..inside {
        rest = skip(rest, depth)?;
    }
    Some(rest)
}

fn head(value: &[u8]) -> Option<(Head<'_>, &[u8])> {
    let (&mark, rest) = value.split_first()?;
    let small = usize::from(mark);
    Some(match mark {
        0..=0x7f => (Head::Integer(mark.into()), rest),
        0x80..=0x8f => (Head::Map(small & 0xf), rest),
        0x90..=0x9f => (Head::Array(small & 0xf), rest),
        0xa0..=0xbf => text(rest, small & 0x1f)?,
        0xc0 | 0xc2 | 0xc3 => (Head::Other, rest),
        0xc4 | 0xd9 => sized(rest, 1, text)?,
        0xc5 | 0xda => sized(rest, 2, text)?,
        0xc6 | 0xdb => sized(rest, 4, text)?,
        0xc7 => sized(rest, 1, extension)?,
        0xc8 => sized(rest, 2, extension)?,
        0xc9 => sized(rest, 4, extension)?,
        0xca => extension(rest, 3)?,
        0xcb => extension(rest, 7)?,
        0xcc..=0xcf => {
            let (number, rest) = unsigned(rest, 1 << (mark - 0xcc))?;
            (Head::Integer(number.into()), rest)
        }
        0xd0..=0xd3 => {
            let bytes = 1 << (mark - 0xd0);
            let (number, rest) = unsigned(rest, bytes)?;
            let shift = 64 - 8 * bytes as u32;
            (Head::Integer(((number << shift).cast_signed() >> shift).into()), rest)
        }
        0xd4..=0xd8 => extension(rest, 1 << (mark - 0xd4))?,
        0xdc => sized(rest, 2, |rest, count| Some((Head::Array(count), rest)))?,
        0xdd => sized(rest, 4, |rest, count| Some((Head::Array(count), rest)))?,
        0xde => sized(rest, 2, |rest, count| Some((Head::Map(count), rest)))?,
        0xdf => sized(rest, 4, |rest, count| Some((Head::Map(count), rest)))?,
        0xc1 => return None,
        0xe0..=0xff => (Head::Integer(mark.cast_signed().into()), rest),
    })
}

type Read<'a> = Option<(Head<'a>, &'a [u8])>;

/// A size of so many bytes, and what has that size.
fn sized<'a>(
    rest: &'a [u8],
    bytes: usize,
    read: impl FnOnce(&'a [u8], usize) -> Read<'a>,
) -> Read<'a> {
    let (size, rest) = unsigned(rest, bytes)?;
    read(rest, usize::try_from(size).ok()?)
}

fn text(rest: &[u8], length: usize) -> Read<'_> {
    let (text, rest) = rest.split_at_checked(length)?;
    Some((Head::Text(text), rest))
}

/// A byte of type and so many of content; also what else is passed over.
fn extension(rest: &[u8], length: usize) -> Read<'_> {
    Some((Head::Other, rest.get(length.checked_add(1)?..)?))
}

fn unsigned(rest: &[u8], bytes: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = rest.split_at_checked(bytes)?;
    Some((digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit)), rest))
}
