//! A part of a JSON text, walked where it lies.
//!
//! What is passed over is not checked for being JSON to the letter: the application wrote it. Of a name
//! that an object has twice the last counts, as for JavaScript's parser.

use std::borrow::Cow;

use super::DEPTH_MAX;
use super::pointer::{Pointer, is_index};

/// The string or integer that `pointer` names.
pub(super) fn scalar_at<'a>(text: &'a [u8], pointer: Pointer<'_>) -> Option<Cow<'a, [u8]>> {
    let (mut value, mut pointer) = (skip_space(text), pointer);
    while let Some((name, rest)) = pointer.split() {
        value = match value.first()? {
            b'{' => member(value, &name)?,
            b'[' => element(value, &name)?,
            _ => return None,
        };
        pointer = rest;
    }
    match value.first()? {
        b'"' => string(value).and_then(|(content, _)| unescaped(content)),
        b'-' | b'0'..=b'9' => integer(value).map(Cow::Borrowed),
        _ => None,
    }
}

/// The value of an object's last member of this name.
fn member<'a>(object: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = skip_space(object.get(1..)?);
    let mut found = None;
    while let Some((key, after)) = string(rest) {
        let value = skip_space(skip_space(after).strip_prefix(b":")?);
        if unescaped(key).is_some_and(|key| *key == *name) {
            found = Some(value);
        }
        rest = skip_space(skip_value(value)?);
        match rest.split_first()? {
            (b',', after) => rest = skip_space(after),
            (b'}', _) => return found,
            _ => return None,
        }
    }
    None
}

/// An array's element of this index.
fn element<'a>(array: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut value = skip_space(array.get(1..)?);
    for index in 0.. {
        if is_index(name, index) {
            return (*value.first()? != b']').then_some(value);
        }
        value = skip_space(skip_space(skip_value(value)?).strip_prefix(b",")?);
    }
    None
}

fn skip_space(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

/// What follows a value.
fn skip_value(text: &[u8]) -> Option<&[u8]> {
    let (mut rest, mut depth) = (text, 0_usize);
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = match byte {
            b'"' => string(rest)?.1,
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return None;
                }
                after
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                after
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth > 0 => after,
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                let end = after.iter().position(|byte| !is_of_word(*byte)).unwrap_or(after.len());
                after.get(end..)?
            }
            _ => return None,
        };
        if depth == 0 {
            return Some(rest);
        }
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// The content of a string, still escaped, and what follows it.
fn string(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let content = text.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        match content.get(at)? {
            b'"' => return Some((content.get(..at)?, content.get(at + 1..)?)),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn integer(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| !is_of_word(*byte)).unwrap_or(text.len());
    let word = text.get(..end)?;
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(word)
}

fn unescaped(content: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !content.contains(&b'\\') {
        return Some(Cow::Borrowed(content));
    }
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let (&kind, after) = rest.split_first()?;
        rest = after;
        let plain = match kind {
            b'"' | b'\\' | b'/' => kind,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = character(&mut rest)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(plain);
    }
    Some(Cow::Owned(out))
}

/// The character of `\u`, with the second half of a pair if it is the first of one.
fn character(rest: &mut &[u8]) -> Option<char> {
    let first = hexadecimal(rest)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    *rest = rest.strip_prefix(b"\\u")?;
    let second = hexadecimal(rest)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + second)
}

fn hexadecimal(rest: &mut &[u8]) -> Option<u32> {
    let (digits, after) = rest.split_at_checked(4)?;
    *rest = after;
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}
