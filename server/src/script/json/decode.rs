//! Lua values out of JSON text.

use mlua::{Lua, Value};

use super::JsonOptions;

/// The value, or what is wrong with the text.
pub(super) fn decode(
    lua: &Lua,
    text: &[u8],
    options: JsonOptions,
) -> mlua::Result<Result<Value, String>> {
    if let [0, _, ..] | [_, 0, ..] = text {
        return Ok(Err("JSON parser does not support UTF-16 or UTF-32".to_owned()));
    }
    let mut decoder = Decoder { lua, text, at: 0, depth: 0, depth_max: options.decode_depth_max };
    let token = decoder.token();
    let value = match decoder.value(token) {
        Ok(value) => value,
        Err(Problem::Text(problem)) => return Ok(Err(problem)),
        Err(Problem::Lua(error)) => return Err(error),
    };
    let token = decoder.token();
    Ok(match token.kind {
        Kind::End => Ok(value),
        _ => Err(expected("the end", &token)),
    })
}

/// Why there is no value.
enum Problem {
    Text(String),
    Lua(mlua::Error),
}

impl From<mlua::Error> for Problem {
    fn from(error: mlua::Error) -> Self {
        Self::Lua(error)
    }
}

/// What the text is made of.
enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Wrong(&'static str),
}

struct Token {
    kind: Kind,
    at: usize,
}

fn expected(what: &str, token: &Token) -> String {
    let found = match token.kind {
        Kind::ObjectBegin => "T_OBJ_BEGIN",
        Kind::ObjectEnd => "T_OBJ_END",
        Kind::ArrayBegin => "T_ARR_BEGIN",
        Kind::ArrayEnd => "T_ARR_END",
        Kind::String(_) => "T_STRING",
        Kind::Number(_) => "T_NUMBER",
        Kind::Boolean(_) => "T_BOOLEAN",
        Kind::Null => "T_NULL",
        Kind::Colon => "T_COLON",
        Kind::Comma => "T_COMMA",
        Kind::End => "T_END",
        Kind::Wrong(text) => text,
    };
    format!("Expected {what} but found {found} at character {}", token.at + 1)
}

struct Decoder<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
    depth: i64,
    depth_max: i64,
}

impl Decoder<'_> {
    fn value(&mut self, token: Token) -> Result<Value, Problem> {
        match token.kind {
            Kind::String(text) => Ok(Value::String(self.lua.create_string(text)?)),
            Kind::Number(number) => Ok(Value::Number(number)),
            Kind::Boolean(value) => Ok(Value::Boolean(value)),
            Kind::Null => Ok(Value::NULL),
            Kind::ObjectBegin => self.nested(Self::object),
            Kind::ArrayBegin => self.nested(Self::array),
            _ => Err(Problem::Text(expected("value", &token))),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, Problem>) -> Result<Value, Problem> {
        self.depth += 1;
        if self.depth > self.depth_max {
            let (depth, at) = (self.depth, self.at);
            return Err(Problem::Text(format!(
                "Found too many nested data structures ({depth}) at character {at}"
            )));
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, Problem> {
        let table = self.lua.create_table()?;
        let mut token = self.token();
        if matches!(token.kind, Kind::ObjectEnd) {
            return Ok(Value::Table(table));
        }
        loop {
            let key = match token.kind {
                Kind::String(key) => self.lua.create_string(key)?,
                _ => return Err(Problem::Text(expected("object key string", &token))),
            };
            token = self.token();
            if !matches!(token.kind, Kind::Colon) {
                return Err(Problem::Text(expected("colon", &token)));
            }
            token = self.token();
            let value = self.value(token)?;
            table.raw_set(key, value)?;
            token = self.token();
            match token.kind {
                Kind::ObjectEnd => return Ok(Value::Table(table)),
                Kind::Comma => token = self.token(),
                _ => return Err(Problem::Text(expected("comma or object end", &token))),
            }
        }
    }

    fn array(&mut self) -> Result<Value, Problem> {
        let table = self.lua.create_table()?;
        let mut token = self.token();
        if matches!(token.kind, Kind::ArrayEnd) {
            return Ok(Value::Table(table));
        }
        for index in 1.. {
            let value = self.value(token)?;
            table.raw_set(index, value)?;
            token = self.token();
            match token.kind {
                Kind::ArrayEnd => break,
                Kind::Comma => token = self.token(),
                _ => return Err(Problem::Text(expected("comma or array end", &token))),
            }
        }
        Ok(Value::Table(table))
    }

    fn token(&mut self) -> Token {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let at = self.at;
        let Some(&byte) = self.text.get(at) else { return Token { kind: Kind::End, at } };
        let single = match byte {
            b'{' => Some(Kind::ObjectBegin),
            b'}' => Some(Kind::ObjectEnd),
            b'[' => Some(Kind::ArrayBegin),
            b']' => Some(Kind::ArrayEnd),
            b':' => Some(Kind::Colon),
            b',' => Some(Kind::Comma),
            _ => None,
        };
        if let Some(kind) = single {
            self.at += 1;
            return Token { kind, at };
        }
        if byte == b'"' {
            return self.string();
        }
        if byte == b'-' || byte.is_ascii_digit() {
            return self.number();
        }
        let rest = &self.text[at..];
        for (word, kind) in [
            (&b"true"[..], Kind::Boolean(true)),
            (b"false", Kind::Boolean(false)),
            (b"null", Kind::Null),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Token { kind, at };
            }
        }
        let unsigned = rest.strip_prefix(b"+").unwrap_or(rest);
        let named = unsigned.get(..3).is_some_and(|name| {
            name.eq_ignore_ascii_case(b"nan") || name.eq_ignore_ascii_case(b"inf")
        });
        if named || byte == b'+' {
            self.number()
        } else {
            Token { kind: Kind::Wrong("invalid token"), at }
        }
    }

    fn number(&mut self) -> Token {
        let at = self.at;
        match number_prefix(&self.text[at..]) {
            Some((value, length)) => {
                self.at += length;
                Token { kind: Kind::Number(value), at }
            }
            None => Token { kind: Kind::Wrong("invalid number"), at },
        }
    }

    fn string(&mut self) -> Token {
        let at = self.at;
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let here = self.at;
            let wrong = |what| Token { kind: Kind::Wrong(what), at: here };
            match self.text.get(here) {
                None | Some(0) => return wrong("unexpected end of string"),
                Some(b'"') => {
                    self.at += 1;
                    return Token { kind: Kind::String(text), at };
                }
                Some(b'\\') => match self.text.get(here + 1) {
                    Some(b'u') => match unicode(&self.text[here..]) {
                        Some((character, length)) => {
                            let mut bytes = [0; 4];
                            text.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
                            self.at += length;
                        }
                        None => return wrong("invalid unicode escape code"),
                    },
                    Some(escape) => {
                        let byte = match escape {
                            b'b' => 0x08,
                            b't' => b'\t',
                            b'n' => b'\n',
                            b'f' => 0x0c,
                            b'r' => b'\r',
                            b'"' | b'\\' | b'/' => *escape,
                            _ => return wrong("invalid escape code"),
                        };
                        text.push(byte);
                        self.at += 2;
                    }
                    None => return wrong("invalid escape code"),
                },
                Some(byte) => {
                    text.push(*byte);
                    self.at += 1;
                }
            }
        }
    }
}

/// The character that an escape `\uXXXX`, or two of them, stand for, and how long that is.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |text: &[u8]| {
        let digits = text.strip_prefix(b"\\u")?.get(..4)?;
        let digits = std::str::from_utf8(digits).ok()?;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(text)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = unit(text.get(6..)?)?;
    (0xdc00..0xe000).contains(&second).then_some(())?;
    Some((char::from_u32(0x10000 + ((first & 0x3ff) << 10 | (second & 0x3ff)))?, 12))
}

/// The number that C's `strtod` reads from the beginning of a text, and how long it is.
fn number_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let rest = &text[signed..];
    let with_sign = |value: f64, length| Some((if negative { -value } else { value }, length));
    let named =
        |name: &[u8]| rest.get(..name.len()).is_some_and(|is| is.eq_ignore_ascii_case(name));
    for (name, value) in
        [(&b"infinity"[..], f64::INFINITY), (b"inf", f64::INFINITY), (b"nan", f64::NAN)]
    {
        if named(name) {
            return with_sign(value, signed + name.len());
        }
    }
    let count = |text: &[u8], is: fn(&u8) -> bool| text.iter().take_while(|byte| is(byte)).count();
    if named(b"0x") {
        let digits = count(&rest[2..], u8::is_ascii_hexdigit);
        if digits > 0 {
            let value = rest[2..2 + digits].iter().fold(0.0, |value, digit| {
                value * 16.0 + f64::from(char::from(*digit).to_digit(16).unwrap_or(0))
            });
            return with_sign(value, signed + 2 + digits);
        }
    }
    let mut length = count(rest, u8::is_ascii_digit);
    let mut digits = length;
    if rest.get(length) == Some(&b'.') {
        let fraction = count(&rest[length + 1..], u8::is_ascii_digit);
        digits += fraction;
        length += 1 + fraction;
    }
    (digits > 0).then_some(())?;
    if matches!(rest.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(length + 1), Some(b'-' | b'+')));
        let exponent = count(rest.get(length + 1 + sign..)?, u8::is_ascii_digit);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    let value: f64 = std::str::from_utf8(&rest[..length]).ok()?.parse().ok()?;
    with_sign(value, signed + length)
}
