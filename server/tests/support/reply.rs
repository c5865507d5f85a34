//! One RESP reply as it came over the wire, RESP2 and RESP3, kept exact: a null bulk string and a
//! null array are two things, and a double keeps its digits.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead};

/// A reply, with every distinction the protocol makes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// `+text`
    Simple(String),
    /// `-PREFIX text`
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$3 abc`
    Bulk(Vec<u8>),
    /// `$-1`, RESP2's missing string
    NullBulk,
    /// `*-1`, RESP2's missing array
    NullArray,
    /// `_`, RESP3's only null
    Null,
    /// `*2 ...`
    Array(Vec<Reply>),
    /// `%2 ...`
    Map(Vec<(Reply, Reply)>),
    /// `~2 ...`
    Set(Vec<Reply>),
    /// `>2 ...`
    Push(Vec<Reply>),
    /// `,1.5`, digits as sent
    Double(String),
    /// `#t` or `#f`
    Boolean(bool),
    /// `=15 txt:...`, format included
    Verbatim(Vec<u8>),
    /// `(123`, digits as sent
    BigNumber(String),
}

impl Reply {
    /// Whether the cluster could not answer, so that a client tries again.
    pub(crate) fn is_unavailable(&self) -> bool {
        matches!(self, Reply::Error(text) if text.starts_with("CLUSTERDOWN"))
    }

    /// Reads one reply; an unknown type byte or malformed length is `InvalidData`.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Reply> {
        let line = read_line(reader)?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| invalid("an empty line"))?;
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number(rest)?),
            "_" => Reply::Null,
            "," => Reply::Double(rest.to_owned()),
            "(" => Reply::BigNumber(rest.to_owned()),
            "#" => Reply::Boolean(match rest {
                "t" => true,
                "f" => false,
                other => return Err(invalid(&format!("boolean {other:?}"))),
            }),
            "$" if rest == "-1" => Reply::NullBulk,
            "*" if rest == "-1" => Reply::NullArray,
            "$" => Reply::Bulk(read_blob(reader, number(rest)?)?),
            "=" => Reply::Verbatim(read_blob(reader, number(rest)?)?),
            "*" => Reply::Array(read_many(reader, number(rest)?)?),
            "~" => Reply::Set(read_many(reader, number(rest)?)?),
            ">" => Reply::Push(read_many(reader, number(rest)?)?),
            "%" => {
                let pairs = number(rest)?;
                let pairs = (0..pairs).map(|_| Ok((Reply::read(reader)?, Reply::read(reader)?)));
                Reply::Map(pairs.collect::<io::Result<_>>()?)
            }
            other => return Err(invalid(&format!("reply type {other:?} in {line:?}"))),
        })
    }

    /// True for any of the three nulls.
    pub(crate) fn is_nil(&self) -> bool {
        matches!(self, Reply::Null | Reply::NullBulk | Reply::NullArray)
    }

    /// True for `+OK`.
    pub(crate) fn is_ok(&self) -> bool {
        *self == Reply::Simple("OK".to_owned())
    }

    /// The integer; panics on anything else.
    #[track_caller]
    pub(crate) fn integer(&self) -> i64 {
        match self {
            Reply::Integer(value) => *value,
            other => panic!("expected an integer, got {other}"),
        }
    }

    /// The text of a simple or bulk string or number; panics on anything else.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        match self {
            Reply::Simple(text) | Reply::Double(text) => text.clone(),
            Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Reply::Verbatim(bytes) => String::from_utf8_lossy(&bytes[4..]).into_owned(),
            Reply::Integer(value) => value.to_string(),
            other => panic!("expected a string, got {other}"),
        }
    }

    /// The error line; panics on anything else.
    #[track_caller]
    pub(crate) fn error(&self) -> &str {
        match self {
            Reply::Error(text) => text,
            other => panic!("expected an error, got {other}"),
        }
    }

    /// The elements of an array, set or push; panics on anything else.
    #[track_caller]
    pub(crate) fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items,
            other => panic!("expected a list, got {other}"),
        }
    }

    /// A map by the text of its keys, from a RESP3 map or RESP2's flat array.
    #[track_caller]
    pub(crate) fn map(&self) -> BTreeMap<String, Reply> {
        match self {
            Reply::Map(pairs) => {
                pairs.iter().map(|(key, value)| (key.text(), value.clone())).collect()
            }
            Reply::Array(items) if items.len() % 2 == 0 => {
                items.chunks(2).map(|pair| (pair[0].text(), pair[1].clone())).collect()
            }
            other => panic!("expected a map, got {other}"),
        }
    }
}

/// As the conformance cases write replies; see `conformance/README.md`.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Simple(text) => write!(f, "+{text}"),
            Reply::Error(text) => write!(f, "-{text}"),
            Reply::Integer(value) => write!(f, ":{value}"),
            Reply::Bulk(bytes) => write!(f, "\"{}\"", escape(bytes)),
            Reply::NullBulk | Reply::Null => f.write_str("nil"),
            Reply::NullArray => f.write_str("nil*"),
            Reply::Array(items) => write_list(f, "[", items),
            Reply::Set(items) => write_list(f, "~[", items),
            Reply::Push(items) => write_list(f, ">[", items),
            Reply::Map(pairs) => {
                f.write_str("{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    let gap = if index == 0 { "" } else { " " };
                    write!(f, "{gap}{} => {}", nested(key), nested(value))?;
                }
                f.write_str("}")
            }
            Reply::Double(digits) => write!(f, ",{digits}"),
            Reply::Boolean(value) => f.write_str(if *value { "#t" } else { "#f" }),
            Reply::Verbatim(bytes) => write!(f, "=\"{}\"", escape(bytes)),
            Reply::BigNumber(digits) => write!(f, "({digits}"),
        }
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, open: &str, items: &[Reply]) -> fmt::Result {
    f.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        write!(f, "{}{}", if index == 0 { "" } else { " " }, nested(item))?;
    }
    f.write_str("]")
}

/// Inside a list a status or an error is quoted, because it may hold spaces.
fn nested(item: &Reply) -> String {
    match item {
        Reply::Simple(text) => format!("+\"{}\"", escape(text.as_bytes())),
        Reply::Error(text) => format!("-\"{}\"", escape(text.as_bytes())),
        other => other.to_string(),
    }
}

/// Bytes as redis-cli prints them between quotes.
pub(crate) fn escape(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b' '..=b'~' => out.push(byte as char),
            other => write!(out, "\\x{other:02x}").expect("writing to a string"),
        }
    }
    out
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        None => Err(invalid(&format!("line without CRLF: {:?}", escape(&line)))),
    }
}

fn read_blob(reader: &mut impl BufRead, bytes: i64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(bytes).map_err(|_| invalid("a negative length"))?;
    let mut blob = vec![0; length + 2];
    reader.read_exact(&mut blob)?;
    if !blob.ends_with(b"\r\n") {
        return Err(invalid("a bulk string that does not end where it says"));
    }
    blob.truncate(length);
    Ok(blob)
}

fn read_many(reader: &mut impl BufRead, count: i64) -> io::Result<Vec<Reply>> {
    (0..count).map(|_| Reply::read(reader)).collect()
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| invalid(&format!("number {text:?}")))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {what}"))
}
