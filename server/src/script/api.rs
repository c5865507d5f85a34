//! The table `redis` of scripts, and the functions of other libraries that need the machine's state.

use std::rc::Rc;

use hallpass_engine::Words;
use mlua::{Function, Lua, MultiValue, Table, Value};

use super::convert::{error_table, read_reply, word};
use super::machine::State;
use super::raise::{answer, bound_pattern, raising};
use super::{bits, digest, json};
use crate::command::connection::REDIS_VERSION;
use crate::resp::reply::Protocol;

/// What a function wrapped by [`raising`] gives.
type Answer = mlua::Result<(i64, Value)>;

/// All that the prelude builds the environment from.
pub(super) fn natives(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    native.raw_set("redis", library(lua, state)?)?;
    native.raw_set("cjson", json::library(lua, &state.json)?)?;
    native.raw_set("bit", bits::library(lua)?)?;
    native.raw_set("null", Value::NULL)?;
    let bounded = |lua: &Lua, inner: Function| bound_pattern(lua, inner);
    native.raw_set("bound_pattern", lua.create_function(bounded)?)?;
    add_random(lua, &native, state)?;
    Ok(native)
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "what functions of the libraries end with, as `raised` is"
)]
fn fine(value: Value) -> Answer {
    Ok((answer::FINE, value))
}

/// An error of the `redis` library.
fn raised(lua: &Lua, text: &str) -> Answer {
    Ok((answer::RAISE, error_table(lua, format!("ERR {text}").as_bytes())?))
}

fn add_random(lua: &Lua, native: &Table, state: &Rc<State>) -> mlua::Result<()> {
    let shared = Rc::clone(state);
    let random = lua.create_function(move |lua, arguments: MultiValue| {
        let complain = |index: usize, what: &str| {
            let text = format!("bad argument #{index} to 'random' ({what})");
            Ok((answer::RAISE_AT, Value::String(lua.create_string(text)?)))
        };
        let fraction = shared.random.fraction();
        let mut bounds = Vec::new();
        for (index, argument) in arguments.iter().enumerate() {
            let kind = argument.type_name();
            match lua.coerce_number(argument.clone())? {
                Some(number) => bounds.push(number.trunc()),
                None => return complain(index + 1, &format!("number expected, got {kind}")),
            }
        }
        match bounds[..] {
            [] => fine(Value::Number(fraction)),
            [most] if most < 1.0 => complain(1, "interval is empty"),
            [most] => fine(Value::Number((fraction * most).floor() + 1.0)),
            [least, most] if most < least => complain(2, "interval is empty"),
            [least, most] => fine(Value::Number((fraction * (most - least + 1.0)).floor() + least)),
            _ => {
                let text = lua.create_string("wrong number of arguments")?;
                Ok((answer::RAISE_AT, Value::String(text)))
            }
        }
    })?;
    native.raw_set("random", raising(lua, random)?)?;
    let shared = Rc::clone(state);
    let seed = lua.create_function(move |_, seed: f64| {
        shared.random.seed(seed as i64 as u32);
        Ok(())
    })?;
    native.raw_set("randomseed", seed)
}

fn library(lua: &Lua, state: &Rc<State>) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    for (name, raises) in [("call", true), ("pcall", false)] {
        let shared = Rc::clone(state);
        let call = move |lua: &Lua, arguments: MultiValue| {
            let (ok, value) = invoke(lua, &shared, &arguments)?;
            Ok((if ok || !raises { answer::FINE } else { answer::RAISE }, value))
        };
        redis.raw_set(name, raising(lua, lua.create_function(call)?)?)?;
    }
    let add = |name: &str, function: Function| redis.raw_set(name, raising(lua, function)?);
    add("error_reply", lua.create_function(error_reply)?)?;
    add("status_reply", lua.create_function(status_reply)?)?;
    add("sha1hex", lua.create_function(sha1hex)?)?;
    add("log", lua.create_function(log)?)?;
    add("set_repl", lua.create_function(set_repl)?)?;
    let shared = Rc::clone(state);
    add("setresp", lua.create_function(move |lua, arguments| set_resp(lua, &shared, &arguments))?)?;
    let shared = Rc::clone(state);
    let acl = move |lua: &Lua, arguments| acl_check_cmd(lua, &shared, &arguments);
    add("acl_check_cmd", lua.create_function(acl)?)?;
    let nothing = |_: &Lua, _: MultiValue| fine(Value::Nil);
    add("debug", lua.create_function(nothing)?)?;
    add("breakpoint", lua.create_function(|_, _: MultiValue| fine(Value::Boolean(false)))?)?;
    add("replicate_commands", lua.create_function(|_, _: MultiValue| fine(Value::Boolean(true)))?)?;
    let levels = ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"];
    for (level, name) in levels.into_iter().enumerate() {
        redis.raw_set(name, level)?;
    }
    for (name, value) in
        [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)]
    {
        redis.raw_set(name, value)?;
    }
    let number = |part: usize| {
        REDIS_VERSION.split('.').nth(part).and_then(|part| part.parse::<i64>().ok()).unwrap_or(0)
    };
    redis.raw_set("REDIS_VERSION", REDIS_VERSION)?;
    redis.raw_set("REDIS_VERSION_NUM", number(0) << 16 | number(1) << 8 | number(2))?;
    Ok(redis)
}

/// The arguments as words, or the error to answer.
fn words_of(arguments: &MultiValue) -> Result<Vec<Vec<u8>>, &'static str> {
    if arguments.is_empty() {
        return Err("Please specify at least one argument for this redis lib call");
    }
    let words: Option<Vec<_>> = arguments.iter().map(word).collect();
    words.ok_or("Lua redis lib command arguments must be strings or integers")
}

/// Has a command carried out; whether its reply is no error, and the reply.
fn invoke(lua: &Lua, state: &State, arguments: &MultiValue) -> mlua::Result<(bool, Value)> {
    let refused = |text: &str| Ok((false, error_table(lua, format!("ERR {text}").as_bytes())?));
    let words = match words_of(arguments) {
        Ok(words) => words,
        Err(text) => return refused(text),
    };
    let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let mut reply = state.reply.take();
    reply.clear();
    let called = state.host.with(|host| {
        host.call(Words::from_slices(&slices), state.protocol.get(), &mut reply);
        if host.has_written() {
            state.watch.note_write();
        }
    });
    let value = match called {
        Some(()) => read_reply(lua, &mut &reply[..]),
        None => return refused("This Redis command is not allowed from script"),
    };
    let ok = reply.first() != Some(&b'-');
    state.reply.set(reply);
    Ok((ok, value?))
}

/// The one argument, if it is a text.
fn only_text(arguments: &MultiValue) -> Option<Vec<u8>> {
    match (arguments.len(), arguments.front()) {
        (1, Some(Value::String(text))) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

fn error_reply(lua: &Lua, arguments: MultiValue) -> Answer {
    let Some(text) = only_text(&arguments) else {
        return fine(error_table(lua, b"ERR wrong number or type of arguments")?);
    };
    let text = text.strip_prefix(b"-").unwrap_or(&text);
    fine(error_table(lua, text.trim_ascii_end())?)
}

fn status_reply(lua: &Lua, arguments: MultiValue) -> Answer {
    let Some(text) = only_text(&arguments) else {
        return fine(error_table(lua, b"ERR wrong number or type of arguments")?);
    };
    let table = lua.create_table()?;
    table.raw_set("ok", lua.create_string(text)?)?;
    fine(Value::Table(table))
}

fn sha1hex(lua: &Lua, arguments: MultiValue) -> Answer {
    if arguments.len() != 1 {
        return raised(lua, "wrong number of arguments");
    }
    let text = arguments.front().cloned().unwrap_or(Value::Nil);
    let text = lua.coerce_string(text)?.map(|text| text.as_bytes().to_vec()).unwrap_or_default();
    fine(Value::String(lua.create_string(digest(&text))?))
}

fn log(lua: &Lua, arguments: MultiValue) -> Answer {
    if arguments.len() < 2 {
        return raised(lua, "redis.log() requires two arguments or more.");
    }
    let level = match arguments.front() {
        Some(Value::Integer(level)) => *level as f64,
        Some(Value::Number(level)) => *level,
        _ => return raised(lua, "First argument must be a number (log level)."),
    };
    if !(0.0..4.0).contains(&level) {
        return raised(lua, "Invalid debug level.");
    }
    // As Redis with its default `loglevel`: notices and warnings.
    if level >= 2.0 {
        let words: Vec<_> = arguments.iter().skip(1).filter_map(word).collect();
        crate::log::line(format_args!("script: {}", String::from_utf8_lossy(&words.join(&b' '))));
    }
    fine(Value::Nil)
}

fn set_repl(lua: &Lua, arguments: MultiValue) -> Answer {
    let flags = match (arguments.len(), arguments.front()) {
        (1, Some(Value::Integer(flags))) => *flags,
        (1, _) => -1,
        _ => return raised(lua, "redis.set_repl() requires two arguments."),
    };
    if !(0..=3).contains(&flags) {
        let text = "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
        return raised(lua, text);
    }
    fine(Value::Nil)
}

fn set_resp(lua: &Lua, state: &State, arguments: &MultiValue) -> Answer {
    if arguments.len() != 1 {
        return raised(lua, "redis.setresp() requires one argument.");
    }
    state.protocol.set(match arguments.front() {
        Some(Value::Integer(2)) => Protocol::Resp2,
        Some(Value::Integer(3)) => Protocol::Resp3,
        _ => return raised(lua, "RESP version must be 2 or 3."),
    });
    fine(Value::Nil)
}

fn acl_check_cmd(lua: &Lua, state: &State, arguments: &MultiValue) -> Answer {
    let words = match words_of(arguments) {
        Ok(words) => words,
        Err(text) => return raised(lua, text),
    };
    let slices: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    match state.host.with(|host| host.may_call(Words::from_slices(&slices))).flatten() {
        Some(may) => fine(Value::Boolean(may)),
        None => raised(lua, "Invalid command passed to redis.acl_check_cmd()"),
    }
}
