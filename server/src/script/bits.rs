//! `bit` for scripts: operations on 32 bits, as `LuaBitOp` does them.

use mlua::{Lua, MultiValue, Table, Value};

use super::raise::{answer, raising};

/// The library.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let bit = lua.create_table()?;
    let add = |name: &'static str, least: usize, run: fn(&[u32]) -> u32| {
        let function = lua.create_function(move |lua, arguments: MultiValue| {
            match numbers(lua, name, least, &arguments)? {
                Ok(numbers) => Ok((answer::FINE, Value::Number(f64::from(run(&numbers) as i32)))),
                Err(text) => Ok((answer::RAISE_AT, Value::String(lua.create_string(text)?))),
            }
        })?;
        bit.raw_set(name, raising(lua, function)?)
    };
    add("tobit", 1, |numbers| numbers[0])?;
    add("bnot", 1, |numbers| !numbers[0])?;
    add("bswap", 1, |numbers| numbers[0].swap_bytes())?;
    add("band", 1, |numbers| numbers.iter().fold(u32::MAX, |all, number| all & number))?;
    add("bor", 1, |numbers| numbers.iter().fold(0, |all, number| all | number))?;
    add("bxor", 1, |numbers| numbers.iter().fold(0, |all, number| all ^ number))?;
    add("lshift", 2, |numbers| numbers[0] << (numbers[1] & 31))?;
    add("rshift", 2, |numbers| numbers[0] >> (numbers[1] & 31))?;
    add("arshift", 2, |numbers| ((numbers[0] as i32) >> (numbers[1] & 31)) as u32)?;
    add("rol", 2, |numbers| numbers[0].rotate_left(numbers[1] & 31))?;
    add("ror", 2, |numbers| numbers[0].rotate_right(numbers[1] & 31))?;
    let to_hex = lua.create_function(|lua, arguments: MultiValue| {
        match numbers(lua, "tohex", 1, &arguments)? {
            Ok(numbers) => {
                let text = hex(numbers[0], numbers.get(1).map_or(8, |digits| *digits as i32));
                Ok((answer::FINE, Value::String(lua.create_string(text)?)))
            }
            Err(text) => Ok((answer::RAISE_AT, Value::String(lua.create_string(text)?))),
        }
    })?;
    bit.raw_set("tohex", raising(lua, to_hex)?)?;
    Ok(bit)
}

/// The arguments as 32-bit numbers, at least `least` of them, or what is wrong with them.
fn numbers(
    lua: &Lua,
    name: &str,
    least: usize,
    arguments: &MultiValue,
) -> mlua::Result<Result<Vec<u32>, String>> {
    let mut numbers = Vec::with_capacity(arguments.len());
    for index in 0..arguments.len().max(least) {
        let value = arguments.get(index).cloned();
        let kind = value.as_ref().map_or("no value", Value::type_name);
        match lua.coerce_number(value.unwrap_or(Value::Nil))? {
            // Modulo 2^32, as the library's trick with the mantissa does it.
            Some(number) => {
                numbers.push(number.round_ties_even().rem_euclid(4_294_967_296.0) as u64 as u32);
            }
            None => {
                return Ok(Err(format!(
                    "bad argument #{} to '{name}' (number expected, got {kind})",
                    index + 1
                )));
            }
        }
    }
    Ok(Ok(numbers))
}

fn hex(number: u32, digits: i32) -> String {
    let count = digits.unsigned_abs().min(8) as usize;
    let text = if digits < 0 { format!("{number:08X}") } else { format!("{number:08x}") };
    text[8 - count..].to_owned()
}
