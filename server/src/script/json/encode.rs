//! Lua values as JSON text.

use mlua::{Table, Value};

use super::JsonOptions;
use crate::script::convert::general;

/// The text, or what is wrong with the value.
type Encoded = Result<(), String>;

pub(super) fn encode(value: &Value, options: JsonOptions) -> mlua::Result<Result<Vec<u8>, String>> {
    let mut encoder = Encoder { text: Vec::new(), options };
    Ok(encoder.value(value, 0)?.map(|()| encoder.text))
}

struct Encoder {
    text: Vec<u8>,
    options: JsonOptions,
}

impl Encoder {
    fn value(&mut self, value: &Value, depth: i64) -> mlua::Result<Encoded> {
        match value {
            Value::Nil => self.text.extend_from_slice(b"null"),
            Value::Boolean(true) => self.text.extend_from_slice(b"true"),
            Value::Boolean(false) => self.text.extend_from_slice(b"false"),
            Value::Integer(value) => return Ok(self.number(*value as f64)),
            Value::Number(value) => return Ok(self.number(*value)),
            Value::String(text) => self.string(&text.as_bytes()),
            Value::LightUserData(pointer) if pointer.0.is_null() => {
                self.text.extend_from_slice(b"null");
            }
            Value::Table(table) => return self.table(table, depth + 1),
            other => {
                let kind = other.type_name();
                return Ok(Err(format!("Cannot serialise {kind}: type not supported")));
            }
        }
        Ok(Ok(()))
    }

    fn number(&mut self, value: f64) -> Encoded {
        if !value.is_finite() {
            return Err("Cannot serialise number: must not be NaN or Inf".to_owned());
        }
        self.text.extend_from_slice(general(value, self.options.precision as usize).as_bytes());
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.text.push(b'"');
        for byte in text {
            let escape: &[u8] = match byte {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'/' => b"\\/",
                0x08 => b"\\b",
                b'\t' => b"\\t",
                b'\n' => b"\\n",
                0x0c => b"\\f",
                b'\r' => b"\\r",
                0..=31 | 127 => {
                    self.text.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    continue;
                }
                _ => std::slice::from_ref(byte),
            };
            self.text.extend_from_slice(escape);
        }
        self.text.push(b'"');
    }

    fn table(&mut self, table: &Table, depth: i64) -> mlua::Result<Encoded> {
        if depth > self.options.encode_depth_max {
            return Ok(Err(format!("Cannot serialise, excessive nesting ({depth})")));
        }
        match self.array_length(table)? {
            Err(problem) => Ok(Err(problem)),
            Ok(Some(length)) => self.array(table, length, depth),
            Ok(None) => self.object(table, depth),
        }
    }

    /// The length of a table that is an array; an empty one is an object.
    fn array_length(&self, table: &Table) -> mlua::Result<Result<Option<i64>, String>> {
        let (mut most, mut items) = (0, 0);
        for pair in table.pairs::<Value, Value>() {
            let index = match pair?.0 {
                Value::Integer(index) => index,
                Value::Number(index) if index.fract() == 0.0 => index as i64,
                _ => return Ok(Ok(None)),
            };
            if index < 1 {
                return Ok(Ok(None));
            }
            most = most.max(index);
            items += 1;
        }
        let JsonOptions { sparse_convert, sparse_ratio, sparse_safe, .. } = self.options;
        let sparse = sparse_ratio > 0
            && most > i64::saturating_mul(items, sparse_ratio)
            && most > sparse_safe;
        Ok(match (sparse, sparse_convert) {
            (true, false) => Err("Cannot serialise table: excessively sparse array".to_owned()),
            (true, true) => Ok(None),
            (false, _) => Ok((most > 0).then_some(most)),
        })
    }

    fn array(&mut self, table: &Table, length: i64, depth: i64) -> mlua::Result<Encoded> {
        self.text.push(b'[');
        for index in 1..=length {
            if index > 1 {
                self.text.push(b',');
            }
            if let Err(problem) = self.value(&table.raw_get(index)?, depth)? {
                return Ok(Err(problem));
            }
        }
        self.text.push(b']');
        Ok(Ok(()))
    }

    fn object(&mut self, table: &Table, depth: i64) -> mlua::Result<Encoded> {
        self.text.push(b'{');
        let mut first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if !first {
                self.text.push(b',');
            }
            first = false;
            let written = match &key {
                Value::String(text) => {
                    self.string(&text.as_bytes());
                    Ok(())
                }
                Value::Integer(number) => self.number_key(*number as f64),
                Value::Number(number) => self.number_key(*number),
                _ => Err("Cannot serialise table: table key must be a number or string".to_owned()),
            };
            if let Err(problem) = written {
                return Ok(Err(problem));
            }
            self.text.push(b':');
            if let Err(problem) = self.value(&value, depth)? {
                return Ok(Err(problem));
            }
        }
        self.text.push(b'}');
        Ok(Ok(()))
    }

    fn number_key(&mut self, key: f64) -> Encoded {
        self.text.push(b'"');
        self.number(key)?;
        self.text.push(b'"');
        Ok(())
    }
}
