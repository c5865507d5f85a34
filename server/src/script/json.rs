//! `cjson` for scripts, with the behaviour and the error texts of lua-cjson 2.1 as Redis has it.

mod decode;
mod encode;

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value};

use super::raise::{answer, raising};

/// What scripts may set, for themselves: each script begins with the defaults.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonOptions {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth_max: i64,
    decode_depth_max: i64,
    precision: i64,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            precision: 14,
        }
    }
}

/// The options of the script that runs.
pub(super) type SharedOptions = Rc<Cell<JsonOptions>>;

/// The library.
pub(super) fn library(lua: &Lua, options: &SharedOptions) -> mlua::Result<Table> {
    let json = lua.create_table()?;
    json.raw_set("_NAME", "cjson")?;
    json.raw_set("_VERSION", "2.1.0")?;
    json.raw_set("null", Value::NULL)?;
    let shared = Rc::clone(options);
    let encode = lua.create_function(move |lua, arguments: MultiValue| {
        if arguments.len() != 1 {
            return complain(lua, "bad argument #1 to 'encode' (expected 1 argument)");
        }
        let value = arguments.into_iter().next().unwrap_or(Value::Nil);
        match encode::encode(&value, shared.get())? {
            Ok(text) => Ok((answer::FINE, Value::String(lua.create_string(text)?))),
            Err(problem) => complain(lua, &problem),
        }
    })?;
    json.raw_set("encode", raising(lua, encode)?)?;
    let shared = Rc::clone(options);
    let decode = lua.create_function(move |lua, arguments: MultiValue| {
        if arguments.len() != 1 {
            return complain(lua, "bad argument #1 to 'decode' (expected 1 argument)");
        }
        let value = arguments.into_iter().next().unwrap_or(Value::Nil);
        let kind = value.type_name();
        let Some(text) = lua.coerce_string(value)? else {
            let text = format!("bad argument #1 to 'decode' (string expected, got {kind})");
            return complain(lua, &text);
        };
        match decode::decode(lua, &text.as_bytes(), shared.get())? {
            Ok(value) => Ok((answer::FINE, value)),
            Err(problem) => complain(lua, &problem),
        }
    })?;
    json.raw_set("decode", raising(lua, decode)?)?;
    add_options(lua, &json, options)?;
    Ok(json)
}

fn complain(lua: &Lua, text: &str) -> mlua::Result<(i64, Value)> {
    Ok((answer::RAISE_AT, Value::String(lua.create_string(text)?)))
}

/// What `encode_sparse_array` is given.
type Sparse = (Option<bool>, Option<i64>, Option<i64>);
/// Where an option stands.
type Field = fn(&mut JsonOptions) -> &mut i64;

fn add_options(lua: &Lua, json: &Table, options: &SharedOptions) -> mlua::Result<()> {
    let shared = Rc::clone(options);
    let sparse = lua.create_function(move |_, (convert, ratio, safe): Sparse| {
        let mut options = shared.get();
        options.sparse_convert = convert.unwrap_or(options.sparse_convert);
        options.sparse_ratio = ratio.unwrap_or(options.sparse_ratio);
        options.sparse_safe = safe.unwrap_or(options.sparse_safe);
        shared.set(options);
        Ok((options.sparse_convert, options.sparse_ratio, options.sparse_safe))
    })?;
    json.raw_set("encode_sparse_array", sparse)?;
    let fields: [(&str, i64, Field); 3] = [
        ("encode_max_depth", 1000, |options| &mut options.encode_depth_max),
        ("decode_max_depth", 1000, |options| &mut options.decode_depth_max),
        ("encode_number_precision", 14, |options| &mut options.precision),
    ];
    for (name, most, field) in fields {
        let shared = Rc::clone(options);
        let set = lua.create_function(move |_, value: Option<i64>| {
            let mut options = shared.get();
            if let Some(value) = value {
                *field(&mut options) = value.clamp(1, most);
            }
            shared.set(options);
            Ok(*field(&mut options))
        })?;
        json.raw_set(name, set)?;
    }
    let fixed = [
        ("encode_keep_buffer", true),
        ("encode_invalid_numbers", false),
        ("decode_invalid_numbers", true),
    ];
    for (name, value) in fixed {
        json.raw_set(name, lua.create_function(move |_, _: MultiValue| Ok(value))?)?;
    }
    Ok(())
}
