//! Expected replies: how the case files write them and when a reply fits. The README beside this
//! file is the reference.

use crate::support::reply::Reply;
use std::collections::BTreeMap;

/// What earlier replies of the case left under a `$name`.
pub(crate) type Captures = BTreeMap<String, Vec<u8>>;

/// Which protocol the connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Resp2,
    Resp3,
}

/// An expectation that a reply fits or not.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Exactly(Reply),
    Array { items: Vec<Expected>, any_order: bool },
    Push(Vec<Expected>),
    Set(Vec<Expected>),
    Map { pairs: Vec<(Expected, Expected)>, any_order: bool },
    Any,
    Integer { least: i64, most: i64 },
    Bulk,
    Text(String),
    Error(String),
    Capture { name: String, of: Box<Expected> },
    Captured(String),
}

impl Expected {
    /// Parses one whole expectation.
    pub(crate) fn parse(text: &str) -> Result<Expected, String> {
        let mut parser = Parser { rest: text.trim() };
        let expected = match parser.rest.as_bytes().first() {
            // On the top level a status and an error run to the end of the line, unless quoted.
            Some(b'+' | b'-') if parser.rest[1..].starts_with('"') => parser.value()?,
            Some(b'+') => Expected::Exactly(Reply::Simple(parser.take_all()[1..].to_owned())),
            Some(b'-') => Expected::Exactly(Reply::Error(parser.take_all()[1..].to_owned())),
            _ => parser.value()?,
        };
        match parser.rest.trim() {
            "" => Ok(expected),
            left => Err(format!("left over after the reply: {left:?}")),
        }
    }

    /// True when `reply` is what is expected of a connection that speaks `protocol`.
    pub(crate) fn fits(&self, reply: &Reply, protocol: Protocol, captures: &mut Captures) -> bool {
        match self {
            Expected::Any => true,
            Expected::Integer { least, most } => {
                matches!(reply, Reply::Integer(value) if (least..=most).contains(&value))
            }
            Expected::Bulk => matches!(reply, Reply::Bulk(_)),
            Expected::Text(pattern) => match reply {
                Reply::Simple(text) => glob(pattern.as_bytes(), text.as_bytes()),
                Reply::Bulk(bytes) => glob(pattern.as_bytes(), bytes),
                Reply::Verbatim(bytes) => {
                    bytes.starts_with(b"txt:") && glob(pattern.as_bytes(), &bytes[4..])
                }
                _ => false,
            },
            Expected::Error(pattern) => {
                matches!(reply, Reply::Error(text) if glob(pattern.as_bytes(), text.as_bytes()))
            }
            Expected::Capture { name, of } => {
                let fits = of.fits(reply, protocol, captures);
                if let (true, Some(bytes)) = (fits, bytes_of(reply)) {
                    captures.insert(name.clone(), bytes);
                }
                fits
            }
            Expected::Captured(name) => bytes_of(reply).as_ref() == captures.get(name),
            Expected::Exactly(exact) => *reply == on_the_wire(exact, protocol),
            Expected::Array { items, any_order } => match reply {
                Reply::Array(replies) => fits_all(items, replies, *any_order, protocol, captures),
                _ => false,
            },
            Expected::Push(items) => match (reply, protocol) {
                (Reply::Push(replies), Protocol::Resp3)
                | (Reply::Array(replies), Protocol::Resp2) => {
                    fits_all(items, replies, false, protocol, captures)
                }
                _ => false,
            },
            Expected::Set(items) => match (reply, protocol) {
                (Reply::Set(replies), Protocol::Resp3)
                | (Reply::Array(replies), Protocol::Resp2) => {
                    fits_all(items, replies, true, protocol, captures)
                }
                _ => false,
            },
            Expected::Map { pairs, any_order } => {
                fits_map(pairs, reply, *any_order, protocol, captures)
            }
        }
    }
}

/// What `reply`, written in RESP3's terms, is in `protocol`.
fn on_the_wire(reply: &Reply, protocol: Protocol) -> Reply {
    match (protocol, reply) {
        (Protocol::Resp3, Reply::NullBulk | Reply::NullArray) => Reply::Null,
        (Protocol::Resp2, Reply::Double(digits) | Reply::BigNumber(digits)) => {
            Reply::Bulk(digits.clone().into_bytes())
        }
        (Protocol::Resp2, Reply::Boolean(value)) => Reply::Integer((*value).into()),
        (Protocol::Resp2, Reply::Verbatim(bytes)) => Reply::Bulk(bytes[4..].to_vec()),
        (_, other) => other.clone(),
    }
}

fn fits_all(
    expected: &[Expected],
    replies: &[Reply],
    any_order: bool,
    protocol: Protocol,
    captures: &mut Captures,
) -> bool {
    if expected.len() != replies.len() {
        return false;
    }
    if !any_order {
        return expected
            .iter()
            .zip(replies)
            .all(|(item, reply)| item.fits(reply, protocol, captures));
    }
    let mut left: Vec<&Reply> = replies.iter().collect();
    expected.iter().all(|item| {
        let place = left.iter().position(|reply| item.fits(reply, protocol, captures));
        place.map(|place| left.swap_remove(place)).is_some()
    })
}

fn fits_map(
    expected: &[(Expected, Expected)],
    reply: &Reply,
    any_order: bool,
    protocol: Protocol,
    captures: &mut Captures,
) -> bool {
    let mut left: Vec<(Reply, Reply)> = match (reply, protocol) {
        (Reply::Map(pairs), Protocol::Resp3) => pairs.clone(),
        (Reply::Array(items), Protocol::Resp2) if items.len() % 2 == 0 => {
            items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        }
        _ => return false,
    };
    if expected.len() != left.len() {
        return false;
    }
    expected.iter().all(|(key, value)| {
        let window = if any_order { left.len() } else { 1 };
        let place = left[..window].iter().position(|(reply_key, reply_value)| {
            key.fits(reply_key, protocol, captures) && value.fits(reply_value, protocol, captures)
        });
        place.map(|place| left.remove(place)).is_some()
    })
}

fn bytes_of(reply: &Reply) -> Option<Vec<u8>> {
    match reply {
        Reply::Simple(text) | Reply::Double(text) => Some(text.clone().into_bytes()),
        Reply::Bulk(bytes) => Some(bytes.clone()),
        Reply::Integer(value) => Some(value.to_string().into_bytes()),
        _ => None,
    }
}

/// `*` any bytes, `?` one byte, all else itself.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..])),
        Some((wanted, rest)) => match text.split_first() {
            Some((byte, text)) => (*wanted == b'?' || wanted == byte) && glob(rest, text),
            None => false,
        },
    }
}

/// Takes values off the front of a text.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn take_all(&mut self) -> &'a str {
        std::mem::take(&mut self.rest)
    }

    /// Takes `token` if it comes next.
    fn accept(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(token) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    /// Takes up to the next space or closing bracket.
    fn word(&mut self) -> &'a str {
        let rest = self.rest.trim_start();
        let end = rest.find([' ', ']', '}', '>']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        self.rest = after;
        word
    }

    /// Takes a quoted string, or a bare word.
    fn string(&mut self) -> Result<Vec<u8>, String> {
        self.rest = self.rest.trim_start();
        if !self.rest.starts_with('"') {
            return Ok(self.word().as_bytes().to_vec());
        }
        let (bytes, after) = unquote(self.rest)?;
        self.rest = after;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String, String> {
        String::from_utf8(self.string()?).map_err(|error| error.to_string())
    }

    fn value(&mut self) -> Result<Expected, String> {
        let any_order = self.accept("any-order ");
        if self.accept("[") {
            return Ok(Expected::Array { items: self.items()?, any_order });
        }
        if self.accept("{") {
            return self.map(any_order);
        }
        if any_order {
            return Err("any-order belongs before [ or {".to_owned());
        }
        if self.accept("~[") {
            return Ok(Expected::Set(self.items()?));
        }
        if self.accept(">[") {
            return Ok(Expected::Push(self.items()?));
        }
        if self.accept("<") {
            return self.pattern();
        }
        self.scalar().map(Expected::Exactly)
    }

    fn scalar(&mut self) -> Result<Reply, String> {
        self.rest = self.rest.trim_start();
        Ok(match self.rest.as_bytes().first() {
            Some(b'"') => Reply::Bulk(self.string()?),
            Some(b'=') if self.accept("=") => Reply::Verbatim(self.string()?),
            Some(b'+') if self.accept("+") => Reply::Simple(self.text()?),
            Some(b'-') if self.accept("-") => Reply::Error(self.text()?),
            Some(b':') if self.accept(":") => {
                Reply::Integer(self.word().parse().map_err(|_| "not a number after :".to_owned())?)
            }
            Some(b',') if self.accept(",") => Reply::Double(self.word().to_owned()),
            Some(b'(') if self.accept("(") => Reply::BigNumber(self.word().to_owned()),
            _ => match self.word() {
                "nil" => Reply::NullBulk,
                "nil*" => Reply::NullArray,
                "#t" => Reply::Boolean(true),
                "#f" => Reply::Boolean(false),
                other => return Err(format!("unknown reply {other:?}")),
            },
        })
    }

    fn items(&mut self) -> Result<Vec<Expected>, String> {
        let mut items = Vec::new();
        while !self.accept("]") {
            if self.rest.trim().is_empty() {
                return Err("missing ]".to_owned());
            }
            items.push(self.value()?);
        }
        Ok(items)
    }

    fn map(&mut self, any_order: bool) -> Result<Expected, String> {
        let mut pairs = Vec::new();
        while !self.accept("}") {
            let key = self.value()?;
            if !self.accept("=>") {
                return Err(format!("missing => before {:?}", self.rest));
            }
            pairs.push((key, self.value()?));
        }
        Ok(Expected::Map { pairs, any_order })
    }

    fn pattern(&mut self) -> Result<Expected, String> {
        let expected = match self.word() {
            "any" => Expected::Any,
            "bulk" => Expected::Bulk,
            "text" => Expected::Text(self.text()?),
            "error" => Expected::Error(self.text()?),
            "integer" => self.integer_range()?,
            name if name.starts_with('$') => Expected::Captured(name[1..].to_owned()),
            other => return Err(format!("unknown pattern <{other}>")),
        };
        let expected = if self.accept("$") {
            Expected::Capture { name: self.word().to_owned(), of: Box::new(expected) }
        } else {
            expected
        };
        if self.accept(">") { Ok(expected) } else { Err("missing >".to_owned()) }
    }

    fn integer_range(&mut self) -> Result<Expected, String> {
        let rest = self.rest.trim_start();
        if rest.starts_with('>') || rest.starts_with('$') {
            return Ok(Expected::Integer { least: i64::MIN, most: i64::MAX });
        }
        let word = self.word();
        let (least, most) = word.split_once("..").ok_or("a range is least..most")?;
        let number = |text: &str| text.parse().map_err(|_| format!("bad range {word:?}"));
        Ok(Expected::Integer { least: number(least)?, most: number(most)? })
    }
}

/// Reads a quoted string off the front; returns its bytes and what follows.
pub(crate) fn unquote(text: &str) -> Result<(Vec<u8>, &str), String> {
    let mut bytes = Vec::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Ok((bytes, &text[place + 1..])),
            '\\' => {
                let (place, escaped) = characters.next().ok_or("a \\ at the end")?;
                bytes.push(match escaped {
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'x' => {
                        let digits =
                            text.get(place + 1..place + 3).ok_or("\\x needs two digits")?;
                        characters.nth(1);
                        u8::from_str_radix(digits, 16).map_err(|error| error.to_string())?
                    }
                    other => u8::try_from(other).map_err(|error| error.to_string())?,
                });
            }
            other => {
                bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    Err(format!("missing closing quote in {text:?}"))
}
