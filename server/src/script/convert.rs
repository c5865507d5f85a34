//! Replies become Lua values, and Lua values replies, by Redis' rules.
//!
//! A command called by a script writes its reply as for a client, in the protocol that the script chose with
//! `redis.setresp`; [`read_reply`] makes a value of those bytes. What a script returns is written by
//! [`write_value`] in its client's protocol.

use hallpass_engine::value::number::parse_i64;
use mlua::{Lua, Table, Value};

use crate::resp::reply::{Protocol, Reply};

/// How deep tables may be nested that a script returns.
const DEPTH_MAX: usize = 1_000;

/// The value of the reply that `bytes` begin with; it is taken off them.
pub(super) fn read_reply(lua: &Lua, bytes: &mut &[u8]) -> mlua::Result<Value> {
    let Some((kind, line)) = take_line(bytes) else { return Ok(Value::Nil) };
    let count = parse_i64(line).unwrap_or(-1);
    match kind {
        b'+' => tagged(lua, "ok", lua.create_string(line)?),
        b'-' => error_table(lua, line),
        b':' => Ok(Value::Number(count_as_number(line))),
        b'$' | b'*' | b'>' if count < 0 => Ok(Value::Boolean(false)),
        b'$' => Ok(Value::String(lua.create_string(take_bulk(bytes, count as usize))?)),
        b'*' | b'>' => {
            let table = lua.create_table_with_capacity(count as usize, 0)?;
            for index in 1..=count {
                table.raw_set(index, read_reply(lua, bytes)?)?;
            }
            Ok(Value::Table(table))
        }
        b'#' => Ok(Value::Boolean(line == b"t")),
        b',' => tagged(lua, "double", number(line)),
        b'(' => tagged(lua, "big_number", lua.create_string(line)?),
        b'=' => {
            let text = take_bulk(bytes, count.max(0) as usize);
            let (format, text) = text.split_at_checked(4).unwrap_or((b"txt:", text));
            let inner = lua.create_table()?;
            inner.raw_set("format", lua.create_string(&format[..3])?)?;
            inner.raw_set("string", lua.create_string(text)?)?;
            tagged(lua, "verbatim_string", inner)
        }
        b'%' => {
            let inner = lua.create_table()?;
            for _ in 0..count {
                let key = read_reply(lua, bytes)?;
                inner.raw_set(key, read_reply(lua, bytes)?)?;
            }
            tagged(lua, "map", inner)
        }
        b'~' => {
            let inner = lua.create_table()?;
            for _ in 0..count {
                inner.raw_set(read_reply(lua, bytes)?, true)?;
            }
            tagged(lua, "set", inner)
        }
        // `_`, the null of RESP3.
        _ => Ok(Value::Nil),
    }
}

/// The table that stands for an error; `text` begins with its code.
pub(super) fn error_table(lua: &Lua, text: &[u8]) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(text)?)?;
    table.raw_set("ignore_error_stats_update", true)?;
    Ok(Value::Table(table))
}

fn tagged(lua: &Lua, name: &str, value: impl mlua::IntoLua) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    table.raw_set(name, value)?;
    Ok(Value::Table(table))
}

fn take_line<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (kind, rest) = bytes.split_first()?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    *bytes = &rest[end + 2..];
    Some((*kind, &rest[..end]))
}

fn take_bulk<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (bulk, rest) = bytes.split_at_checked(length).unwrap_or((*bytes, b""));
    *bytes = rest.get(2..).unwrap_or_default();
    bulk
}

fn count_as_number(line: &[u8]) -> f64 {
    parse_i64(line).unwrap_or_default() as f64
}

fn number(line: &[u8]) -> f64 {
    let text = std::str::from_utf8(line).unwrap_or_default();
    text.parse().unwrap_or(f64::NAN)
}

/// Writes what a script returned; `chosen` is the protocol that the script chose.
pub(super) fn write_value(
    value: &Value,
    chosen: Protocol,
    depth: usize,
    reply: &mut Reply<'_>,
) -> mlua::Result<()> {
    match value {
        Value::String(text) => reply.bulk(&text.as_bytes()),
        Value::Integer(value) => reply.integer(*value),
        Value::Number(value) => reply.integer(truncated(*value)),
        Value::Boolean(value) if chosen == Protocol::Resp3 => reply.boolean(*value),
        Value::Boolean(true) => reply.integer(1),
        Value::Table(_) if depth > DEPTH_MAX => reply.error(b"ERR reached lua stack limit"),
        Value::Table(table) => write_table(table, chosen, depth + 1, reply)?,
        _ => reply.null(),
    }
    Ok(())
}

fn write_table(
    table: &Table,
    chosen: Protocol,
    depth: usize,
    reply: &mut Reply<'_>,
) -> mlua::Result<()> {
    if let Value::String(text) = table.raw_get("err")? {
        reply.error(&text.as_bytes());
        return Ok(());
    }
    if let Value::String(text) = table.raw_get("ok")? {
        let line: Vec<u8> = text.as_bytes().iter().map(|byte| one_line(*byte)).collect();
        reply.simple(&String::from_utf8_lossy(&line));
        return Ok(());
    }
    if let Some(value) = as_number(&table.raw_get("double")?) {
        reply.double(value);
        return Ok(());
    }
    if let Value::Table(inner) = table.raw_get("map")? {
        let pairs = inner.pairs::<Value, Value>().collect::<mlua::Result<Vec<_>>>()?;
        reply.map(pairs.len());
        for (key, value) in &pairs {
            write_value(key, chosen, depth, reply)?;
            write_value(value, chosen, depth, reply)?;
        }
        return Ok(());
    }
    if let Value::Table(inner) = table.raw_get("set")? {
        let pairs = inner.pairs::<Value, Value>().collect::<mlua::Result<Vec<_>>>()?;
        reply.set(pairs.len());
        for (key, _) in &pairs {
            write_value(key, chosen, depth, reply)?;
        }
        return Ok(());
    }
    if let Value::String(text) = table.raw_get("big_number")? {
        let line: Vec<u8> = text.as_bytes().iter().map(|byte| one_line(*byte)).collect();
        reply.big_number(&line);
        return Ok(());
    }
    if let Value::Table(inner) = table.raw_get("verbatim_string")?
        && let (Value::String(format), Value::String(text)) =
            (inner.raw_get::<Value>("format")?, inner.raw_get::<Value>("string")?)
    {
        let mut format = format.to_string_lossy();
        format.truncate(3);
        reply.verbatim(&format, &text.as_bytes());
        return Ok(());
    }
    let open = reply.open_array();
    let mut count = 0;
    loop {
        let value: Value = table.raw_get(count + 1)?;
        if value.is_nil() {
            break;
        }
        count += 1;
        write_value(&value, chosen, depth, reply)?;
    }
    reply.close_array(open, count);
    Ok(())
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(*value as f64),
        Value::Number(value) => Some(*value),
        _ => None,
    }
}

fn one_line(byte: u8) -> u8 {
    if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }
}

/// As C converts it: what does not fit is the least integer.
fn truncated(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) { value as i64 } else { i64::MIN }
}

/// A word of a command out of what a script gave; `None` for what can be none.
pub(super) fn word(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(value) => Some(value.to_string().into_bytes()),
        Value::Number(value) => Some(general(*value, 17).into_bytes()),
        _ => None,
    }
}

/// A number as C's `%.<digits>g` writes it.
pub(super) fn general(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let digits = digits.max(1);
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs());
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{value:.decimals$}")).to_owned()
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_c_writes_them() {
        let cases = [
            (1.5, 17, "1.5"),
            (1e15 + 0.3, 17, "1000000000000000.2"),
            (1e100, 17, "1e+100"),
            (0.1, 17, "0.10000000000000001"),
            (1e17, 17, "1e+17"),
            (-0.0, 17, "-0"),
            (1e-7, 17, "9.9999999999999995e-08"),
            (12_345_678_901_234_567.0, 14, "1.2345678901235e+16"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (1e14, 14, "1e+14"),
            (100.0, 14, "100"),
            (f64::INFINITY, 17, "inf"),
        ];
        for (value, digits, expected) in cases {
            assert_eq!(general(value, digits), expected);
        }
    }

    #[test]
    fn replies_come_back_as_they_went() {
        let lua = Lua::new();
        let cases = [
            (":12\r\n", ":12\r\n"),
            ("$3\r\nabc\r\n", "$3\r\nabc\r\n"),
            ("*2\r\n:1\r\n*1\r\n+OK\r\n", "*2\r\n:1\r\n*1\r\n+OK\r\n"),
            ("%1\r\n+a\r\n,1.5\r\n", "%1\r\n+a\r\n,1.5\r\n"),
            ("=6\r\ntxt:hi\r\n", "=6\r\ntxt:hi\r\n"),
            ("~1\r\n$1\r\na\r\n", "~1\r\n$1\r\na\r\n"),
            ("(123\r\n", "(123\r\n"),
            ("#f\r\n", "#f\r\n"),
            ("_\r\n", "_\r\n"),
            ("-ERR no\r\n", "-ERR no\r\n"),
        ];
        for (bytes, expected) in cases {
            let value = read_reply(&lua, &mut bytes.as_bytes()).unwrap();
            let mut output = Vec::new();
            let mut reply = Reply::new(&mut output, Protocol::Resp3);
            write_value(&value, Protocol::Resp3, 0, &mut reply).unwrap();
            assert_eq!(String::from_utf8(output).unwrap(), expected);
        }
    }
}
